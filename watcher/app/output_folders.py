"""The folders of an output tree as `verify` opens them: those that are not there, and those that can't be read."""

from __future__ import annotations

import errno
import os
import shlex
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from watcher.fs.openat import open_below, open_root
from watcher.text import user_name

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}  # with these nothing is there


class UnreadableError(Exception):
    """It can't be known whether an output is there."""


@dataclass(slots=True)
class OutputFolders:
    """The folders of the outputs of the photos in one folder."""

    root: int  # the open output folder; -1: it is not there
    folder: bytes
    names: dict[bytes, array[int]] = field(default_factory=dict)  # path → hashes of the file names that are known
    opened: dict[bytes, int] = field(default_factory=dict)
    closed: dict[bytes, OSError] = field(default_factory=dict)  # those that can't be read

    def stat(self, output: bytes) -> os.stat_result | None:
        """Look at an output without following links; None: there is none. May raise UnreadableError."""
        path, _, name = output.rpartition(b"/")
        opened = self.open(path)
        if opened < 0:
            return None
        try:
            return os.stat(name, dir_fd=opened, follow_symlinks=False)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            self.closed[path] = error
            raise UnreadableError from error

    def know(self, outputs: Sequence[bytes]) -> None:
        """Remember that these are known."""
        for output in outputs:
            path, _, name = output.rpartition(b"/")
            self.names.setdefault(path, array("q")).append(hash(name))

    def open(self, path: bytes) -> int:
        """Open a folder of outputs, once; -1: there is none. May raise UnreadableError."""
        if path in self.closed:
            raise UnreadableError
        if path not in self.opened:
            try:
                self.opened[path] = open_below(self.root, path, create=False) if self.root >= 0 else -1
            except OSError as error:
                if error.errno not in _ABSENT:
                    self.closed[path] = error
                    raise UnreadableError from error
                self.opened[path] = -1
        return self.opened[path]


@contextmanager
def open_output(output: bytes) -> Iterator[int | OSError]:
    """Open an output folder; -1: there is none. The error where it can't be read."""
    try:
        root = open_root(output, create=False)
    except OSError as error:
        yield -1 if error.errno in _ABSENT else error
        return
    try:
        yield root
    finally:
        os.close(root)


def obstacle(output: bytes, folder: bytes, error: OSError) -> tuple[bytes, str]:
    """Return which folder keeps `folder` of an output tree from being read, and what to do."""
    path = os.path.join(output, folder).rstrip(b"/")
    if error.errno not in {errno.EACCES, errno.EPERM}:
        return path, f"{error.strerror}; see that its disk or share is there, and sound"
    above = [path]
    while len(above[-1]) > 1:
        above.append(os.path.dirname(above[-1]))
    effective = os.access in os.supports_effective_ids
    for each in reversed(above):
        mode = os.R_OK | os.X_OK if len(each) >= len(output) else os.X_OK
        if os.path.lexists(each) and not os.access(each, mode, effective_ids=effective):
            path = each
            break
    try:
        owner = os.stat(path).st_uid
    except OSError:  # it has just gone
        owner = os.geteuid()
    if owner == os.geteuid():
        return path, f"`chmod u+rx {shlex.quote(os.fsdecode(path))}`"
    name = user_name(owner)
    command = f"sudo -u {shlex.quote(name)} watcher …"
    return path, f"it belongs to the user {name}: do this as that user (`{command}`), or have them let you"
