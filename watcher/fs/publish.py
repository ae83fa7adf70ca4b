"""Publish outputs completely or not at all: write temporary files, fsync, rename all together, then fsync the folders.

Each step is done for all photos of a bundle before the next step. The write-out of each file is started when the file
is written, and awaited when all are written: eight small files take 0.1 ms each this way, and 0.5 ms one by one.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from watcher.core.output_paths import top_folders
from watcher.core.types import FailureKind, Job
from watcher.core.volumes import Holder
from watcher.fs.cleanup import temporary_name
from watcher.fs.dates import set_date
from watcher.fs.faults import OF_A_TREE, Abort, name_refused, unwritable
from watcher.fs.openat import open_below, open_root, sync_file, sync_folder
from watcher.fs.output_mark import Tree, claim, look_at
from watcher.fs.relocate import Relocation
from watcher.text import shown, utf8_bytes

_FICLONE = 0x40049409  # linux/fs.h
_STEP = 1 << 20  # bytes
ATTRIBUTE = "user.watcher.recipe"  # the fingerprint of the recipe that made the file
CONTENT = "user.watcher.content"  # the digest, in hex digits, of the photo that it was made from


class Outputs:
    """The output folders that a bundle of photos needs, each opened and synced once."""

    def __init__(self) -> None:
        self._roots: dict[bytes, int] = {}
        self._folders: dict[tuple[bytes, bytes], int] = {}
        self._removed: list[int] = []
        self._synced: dict[int, OSError | None] = {}
        self._trees: dict[bytes, Tree] = {}
        self._holders: dict[bytes, tuple[Holder, list[str]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in (*self._folders.values(), *self._removed, *self._roots.values()):
            os.close(folder)

    def tree(self, job: Job) -> Tree:
        """Return the state of a job's output tree. Raise Abort if it belongs to another inbox."""
        if job.holder is None:
            return Tree()
        root, names = job.output_root, top_folders({item.name: item.recipe for item in job.renderings})
        if root not in self._trees:
            self._trees[root], self._holders[root] = look_at(root, job.holder, names), (job.holder, names)
        return self._trees[root]

    def create(self, root: bytes, path: bytes, name: bytes) -> tuple[int, int]:
        """Create a file in the folder `path` below `root`; create missing folders. Return both open. Raise OSError."""
        folder = self.folder(root, path)
        try:
            return folder, _create(name, folder)
        except FileNotFoundError:  # the folder was empty and was removed after it was opened
            self._removed.append(self._folders.pop((root, path)))
            folder = self.folder(root, path)
            return folder, _create(name, folder)

    def folder(self, root: bytes, path: bytes) -> int:
        """Open the folder `path` below `root`, once; create what is missing. Raise OSError."""
        if root not in self._roots:
            self._roots[root] = open_root(root, create=True)
            if root in self._holders:
                claim(self._roots[root], root, *self._holders[root])
        if (root, path) not in self._folders:
            self._folders[root, path] = open_below(self._roots[root], path, create=True)
        return self._folders[root, path]

    def sync(self, folder: int) -> None:
        """Make the renames in an open folder durable. Call it after all renames. Raise OSError."""
        if folder not in self._synced:
            self._synced[folder] = None
            try:
                sync_folder(folder)
            except OSError as error:
                self._synced[folder] = error
        failed = self._synced[folder]
        if failed:
            raise failed


class Publication:
    """The publication of one photo's renditions. Files that were not renamed are removed at the end.

    All methods raise Abort if the file system refuses.
    """

    def __init__(self, outputs: Outputs, root: bytes, job: int, folders: Sequence[str] = ()) -> None:
        self._outputs, self._root, self._job = outputs, root, job
        self._tops = [utf8_bytes(folder) for folder in folders]  # the renditions' own folders
        self.content = b""  # the digest of the photo
        self.relocation = Relocation(outputs, root)
        self._count = 0  # of temporary files
        self._files: list[tuple[int, bytes]] = []  # open and not durable yet, with the output
        self._waiting: list[tuple[int, bytes, bytes]] = []  # open folder, temporary name, output
        self._folders: dict[int, bytes] = {}  # open folders with renames, each with one of its outputs
        self._dates: list[tuple[int, bytes, int]] = []  # open file in its place, the output, its new modification time

    def close(self) -> None:
        """Remove the files that were not renamed."""
        for file, _ in self._files:
            os.close(file)
        for folder, temporary, _ in self._waiting:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
        for file, _, _ in self._dates:
            os.close(file)
        self._files, self._waiting, self._dates = [], [], []
        self.relocation.undo()

    def add(self, output: bytes, data: bytes, mtime_ns: int, fingerprint: str) -> None:
        """Write `data` to a temporary file next to its place `output`, with the photo's modification time."""
        self._add(output, lambda file: _write(file, data), mtime_ns, fingerprint)

    def copy(self, output: bytes, source: int, size: int, mtime_ns: int, fingerprint: str) -> None:
        """Do as `add` does with the `size` bytes of an open file, without reading them if the file system allows."""
        self._add(output, lambda file: _copy(file, source, size), mtime_ns, fingerprint)

    def date(self, output: bytes, file: int, mtime_ns: int) -> None:
        """Let `show` set the modification time of an open file that is in its place already."""
        self._dates.append((os.dup(file), output, mtime_ns))

    def _add(self, output: bytes, fill: Callable[[int], None], mtime_ns: int, fingerprint: str) -> None:
        try:
            temporary = temporary_name(self._job, self._count)
            self._count += 1
            folder, file = self._outputs.create(self._root, output.rpartition(b"/")[0], temporary)
            self._waiting.append((folder, temporary, output))
            self._files.append((file, output))
            _look_at_place(output.rpartition(b"/")[2], folder)
            fill(file)
            _label(file, fingerprint, self.content)
            set_date(file, mtime_ns)
            _begin_sync(file)
        except OSError as error:
            raise self._sorted(error, output) from error

    @property
    def pending(self) -> bool:
        """Whether there is anything to publish."""
        return bool(self._waiting or self._dates)

    def settle(self) -> None:
        """Make all written files durable."""
        while self._files:
            file, output = self._files.pop(0)
            try:
                sync_file(file)
            except OSError as error:
                raise self._sorted(error, output) from error
            finally:
                os.close(file)

    def show(self) -> None:
        """Rename all files into place, and set the new dates of files that are in their places already."""
        while self._waiting:
            folder, temporary, output = self._waiting[0]
            try:
                os.rename(temporary, output.rpartition(b"/")[2], src_dir_fd=folder, dst_dir_fd=folder)
            except OSError as error:
                if error.errno == errno.ENOENT and _is_there(temporary, folder):  # exFAT's error for a refused name
                    raise name_refused(shown(output)) from error
                raise self._sorted(error, output) from error
            self._folders[folder] = output
            del self._waiting[0]
        for file, output, mtime_ns in self._dates:
            try:
                set_date(file, mtime_ns)
                sync_file(file)
            except OSError as error:
                raise self._sorted(error, output) from error

    def harden(self) -> None:
        """Make the renames durable. Call it after `show` was called for all other photos too."""
        for folder, output in self._folders.items():
            try:
                self._outputs.sync(folder)
            except OSError as error:
                raise self._sorted(error, output) from error
        try:
            self.relocation.finish()
        except OSError as error:
            raise unwritable(error, shown(self._root)) from error

    def _sorted(self, error: OSError, output: bytes) -> Abort:
        """Return the failure for an error: of this output, or of the whole tree. A test write decides which."""
        if error.errno in OF_A_TREE:
            top = next((path for path in self._tops if output.startswith(path + b"/")), b"")
            fault = self._fault_of_tree(top)
            if fault is not None and fault.errno in OF_A_TREE:
                return unwritable(fault, shown(os.path.join(self._root, top).rstrip(b"/")), FailureKind.OUTPUT)
        return unwritable(error, shown(output))

    def _fault_of_tree(self, top: bytes) -> OSError | None:
        """Return why no file can be written to a folder of the tree; None: one can be written."""
        folders = []
        try:
            folders.append(open_root(self._root, create=True))
            folders.append(open_below(folders[0], top, create=True))
            name = temporary_name(self._job, self._count)
            os.close(_create(name, folders[1]))
            os.unlink(name, dir_fd=folders[1])
        except OSError as fault:
            return fault
        finally:
            for folder in folders:
                os.close(folder)
        return None


def _look_at_place(name: bytes, folder: int) -> None:
    """Raise the error that the rename would meet too late, when the photo's other outputs are published already."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _is_there(name: bytes, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _create(name: bytes, folder: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, 0o666, dir_fd=folder)
    except FileExistsError:  # left by an earlier process with the same process number
        os.unlink(name, dir_fd=folder)
        return os.open(name, flags, 0o666, dir_fd=folder)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _copy(file: int, source: int, size: int) -> None:
    """Fill `file` with `size` bytes of `source`: by a reflink, by a copy in the kernel, or by read and write."""
    if _reflinked(file, source):
        return
    at = 0
    while at < size:
        part = _copied(file, source, at, size - at)
        if not part:
            raise OSError(errno.EIO, "it became shorter while it was copied")
        at += part


def _reflinked(file: int, source: int) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl  # noqa: PLC0415 - only needed for copies

    try:
        fcntl.ioctl(file, _FICLONE, source)
    except OSError:  # another file system, or one without reflinks
        return False
    return True


def _copied(file: int, source: int, at: int, size: int) -> int:
    """Copy up to `size` bytes. Return their number."""
    if sys.platform == "linux":
        with suppress(OSError):  # two file systems, or one that can't do it; some report that nothing was copied
            if copied := os.copy_file_range(source, file, size, offset_src=at):
                return copied
    return os.write(file, os.pread(source, min(size, _STEP), at))


def _label(file: int, fingerprint: str, content: bytes) -> None:
    """Record the recipe and the content's digest in attributes of the file, if platform and file system allow."""
    if hasattr(os, "setxattr"):
        with suppress(OSError):
            os.setxattr(file, ATTRIBUTE, fingerprint.encode())
            if content:
                os.setxattr(file, CONTENT, content.hex().encode())


def label(file: int, attribute: str) -> bytes:
    """Return an attribute of an open file; empty: it has none, or attributes are not supported here."""
    try:
        return os.getxattr(file, attribute)
    except (OSError, AttributeError):
        return b""


def _begin_sync(file: int) -> None:
    """Start the kernel's write-out of a file. Do not wait for it."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            # Data that is not written yet stays in memory despite this advice, but the kernel begins to write it.
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
