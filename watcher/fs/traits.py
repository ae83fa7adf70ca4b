"""The capabilities of an output tree's file system: tested there, not guessed by its type."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from watcher.fs.cleanup import temporary_name
from watcher.fs.dates import EXACT, NOT_KEPT, SAMPLE_NS, grain_of, set_date
from watcher.fs.openat import FOLDER, sync_file, sync_folder

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TOLD_GRAIN = 1_000_000_000  # ns: finer grains are never a problem, and not reported


class Traits(NamedTuple):
    """The capabilities of a folder's file system."""

    grain: int = EXACT  # ns, see `watcher.fs.dates`
    syncs: bool = True  # files and folders can be made durable
    folds: bool = False  # names that differ only in case, or in the encoding of an accent, are the same

    @property
    def weaker(self) -> str:
        """The limitations of the file system, in a sentence; empty: there are none."""
        return "; ".join(self._weaker())

    def _weaker(self) -> Iterator[str]:
        if self.grain == NOT_KEPT:
            yield "dates can't be set there: outputs bear the time of their making"
        elif self.grain >= _TOLD_GRAIN:
            seconds = self.grain // _TOLD_GRAIN
            yield f"dates are kept to {'two seconds' if seconds > 1 else 'whole seconds'}: outputs are compared by that"
        if not self.syncs:
            yield "files or folders can't be synced there: a power cut may take what was made last"


def probe(folder: bytes) -> Traits | None:
    """Test the file system of an existing folder. Return None if nothing can be written to it."""
    name = temporary_name(0, 0)  # a name that the clean-up removes if this process is killed
    path = folder + b"/" + name
    try:
        file = os.open(path, _CREATE, 0o600)
    except OSError:
        return None
    try:
        kept = set_date(file, SAMPLE_NS)
        syncs = sync_file(file)
        os.close(file)
        found = os.stat(path)
        folds = os.path.exists(folder + b"/" + name.upper()) or _normalises(folder)
        return Traits(grain_of(found.st_mtime_ns) if kept else NOT_KEPT, syncs and _syncs(folder), folds)
    except OSError:
        return None
    finally:
        with suppress(OSError):  # a folder that only allows adding: the first photo that can't be written reports it
            os.unlink(path)


def _syncs(folder: bytes) -> bool:
    opened = os.open(folder, FOLDER)
    try:
        return sync_folder(opened)
    finally:
        os.close(opened)


def _normalises(folder: bytes) -> bool:
    """Return whether an accented letter and its decomposed form, of two characters, are the same name there."""
    stem = folder + b"/" + temporary_name(0, 1)
    path = stem + "\u00e9".encode()
    try:
        os.close(os.open(path, _CREATE, 0o600))
    except OSError:  # no name can have such a letter there
        return False
    try:
        return os.path.exists(stem + "e\u0301".encode())
    finally:
        with suppress(OSError):
            os.unlink(path)
