"""Outputs appear whole or not at all: temporary file, fsync, then rename of all together, then fsync of the folders."""

from __future__ import annotations

import os
from contextlib import suppress
from types import TracebackType
from typing import Self

from watcher.render.folders import open_below, open_root
from watcher.render.sweep import temporary_name
from watcher.render.verdict import shown, unwritable

ATTRIBUTE = "user.watcher.recipe"  # the fingerprint of the recipe that made the file


class Publication:
    """The renditions of one photo on their way to their places; what was not committed is removed at the end."""

    def __init__(self, output_root: bytes, job: int) -> None:
        self._root_path, self._job = output_root, job
        self._root = -1
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
        try:
            folder = self._folder(output.rpartition(b"/")[0])
            temporary = temporary_name(self._job, len(self._waiting))
            file = _create(temporary, folder)
            self._waiting.append((folder, temporary, output))
            try:
                _write(file, data)
                _label(file, fingerprint)
                os.utime(file, ns=(mtime_ns, mtime_ns))
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise unwritable(error, shown(output)) from error

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
            raise unwritable(error, shown(output)) from error

    def _folder(self, path: bytes) -> int:
        if self._root < 0:
            self._root = open_root(self._root_path, create=True)
        if path not in self._folders:
            self._folders[path] = open_below(self._root, path, create=True)
        return self._folders[path]


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


def _label(file: int, fingerprint: str) -> None:
    """Note the recipe on the file itself, where the platform and the file system can."""
    if hasattr(os, "setxattr"):
        with suppress(OSError):
            os.setxattr(file, ATTRIBUTE, fingerprint.encode())
