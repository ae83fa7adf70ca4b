"""Outputs appear whole or not at all: temporary file, fsync, then rename of all together, then fsync of the folders."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from watcher.model import Blame
from watcher.render.folders import open_below, open_root
from watcher.render.sweep import temporary_name
from watcher.render.verdict import OF_A_TREE, Verdict, shown, unwritable

_FICLONE = 0x40049409  # linux/fs.h
_STEP = 1 << 20  # bytes
ATTRIBUTE = "user.watcher.recipe"  # the fingerprint of the recipe that made the file


class Publication:
    """The renditions of one photo on their way to their places; what was not committed is removed at the end."""

    def __init__(self, output_root: bytes, job: int) -> None:
        self._root_path, self._job = output_root, job
        self._root = -1
        self._count = 0  # of temporary files
        self._folders: dict[bytes, int] = {}
        self._waiting: list[tuple[int, bytes, bytes]] = []  # open folder, temporary name, output

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for folder, temporary, _ in self._waiting:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
        for folder in (*self._folders.values(), self._root):
            if folder >= 0:
                os.close(folder)

    def add(self, output: bytes, data: bytes, mtime_ns: int, fingerprint: str) -> None:
        """Write `data` beside its place `output`, durable, with the photo's modification time; raises the verdict."""
        self._add(output, lambda file: _write(file, data), mtime_ns, fingerprint)

    def copy(self, output: bytes, source: int, size: int, mtime_ns: int, fingerprint: str) -> None:
        """Do the same with the `size` bytes of an open file, without their being read where the file system can."""
        self._add(output, lambda file: _copy(file, source, size), mtime_ns, fingerprint)

    def _add(self, output: bytes, fill: Callable[[int], None], mtime_ns: int, fingerprint: str) -> None:
        try:
            temporary = temporary_name(self._job, self._count)
            self._count += 1
            folder, file = self._open(output.rpartition(b"/")[0], temporary)
            self._waiting.append((folder, temporary, output))
            try:
                _look_at_place(output.rpartition(b"/")[2], folder)
                fill(file)
                _label(file, fingerprint)
                os.utime(file, ns=(mtime_ns, mtime_ns))
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise self._sorted(error, output) from error

    def commit(self) -> None:
        """Rename everything into place and make that durable; raises the verdict."""
        output = b""
        try:
            while self._waiting:
                folder, temporary, output = self._waiting[0]
                os.rename(temporary, output.rpartition(b"/")[2], src_dir_fd=folder, dst_dir_fd=folder)
                del self._waiting[0]
            for folder in self._folders.values():
                os.fsync(folder)
        except OSError as error:
            raise self._sorted(error, output) from error

    def _sorted(self, error: OSError, output: bytes) -> Verdict:
        """Tell whether an error is this output's own trouble, or that of the whole tree: by trying."""
        if error.errno in OF_A_TREE:
            rendition = output.partition(b"/")[0]
            fault = self._fault_of_tree(rendition)
            if fault is not None and fault.errno in OF_A_TREE:
                return unwritable(fault, shown(self._root_path + b"/" + rendition), Blame.OUTPUT)
        return unwritable(error, shown(output))

    def _fault_of_tree(self, rendition: bytes) -> OSError | None:
        """Say why nothing at all can be written for a rendition; None: something can."""
        folders = []
        try:
            folders.append(open_root(self._root_path, create=True))
            folders.append(open_below(folders[0], rendition, create=True))
            name = temporary_name(self._job, self._count)
            os.close(_create(name, folders[1]))
            os.unlink(name, dir_fd=folders[1])
        except OSError as fault:
            return fault
        finally:
            for folder in folders:
                os.close(folder)
        return None

    def _open(self, path: bytes, temporary: bytes) -> tuple[int, int]:
        folder = self._folder(path)
        try:
            return folder, _create(temporary, folder)
        except FileNotFoundError:  # the folder was removed, empty, between its being opened and now
            os.close(self._folders.pop(path))
            folder = self._folder(path)
            return folder, _create(temporary, folder)

    def _folder(self, path: bytes) -> int:
        if self._root < 0:
            self._root = open_root(self._root_path, create=True)
        if path not in self._folders:
            self._folders[path] = open_below(self._root, path, create=True)
        return self._folders[path]


def _look_at_place(name: bytes, folder: int) -> None:
    """Raise what the rename would find too late, when the photo's other outputs are shown already."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _create(name: bytes, folder: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, 0o666, dir_fd=folder)
    except FileExistsError:  # left by a process that had our number before us
        os.unlink(name, dir_fd=folder)
        return os.open(name, flags, 0o666, dir_fd=folder)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _copy(file: int, source: int, size: int) -> None:
    """Fill `file` with `size` bytes of `source`: as a reflink, or in the kernel, or by hand."""
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
    import fcntl  # noqa: PLC0415 - for copies alone

    try:
        fcntl.ioctl(file, _FICLONE, source)
    except OSError:  # another file system, or one that can't
        return False
    return True


def _copied(file: int, source: int, at: int, size: int) -> int:
    """Copy up to `size` bytes; how many."""
    if sys.platform == "linux":
        with suppress(OSError):  # two file systems, or one that can't
            return os.copy_file_range(source, file, size, offset_src=at)
    return os.write(file, os.pread(source, min(size, _STEP), at))


def _label(file: int, fingerprint: str) -> None:
    """Note the recipe on the file itself, where the platform and the file system can."""
    if hasattr(os, "setxattr"):
        with suppress(OSError):
            os.setxattr(file, ATTRIBUTE, fingerprint.encode())
