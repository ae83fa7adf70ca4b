"""Whether a machine can make photos, and the versions that it uses: for `check`."""

from __future__ import annotations

import base64
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import NamedTuple

from watcher.app.dask_worker.render import serve
from watcher.core.recipe import Recipe
from watcher.core.types import Done, Job, PhotoId, Rendering
from watcher.fs.cleanup import temporary_name
from watcher.render import describe

# one grey pixel
_TINY = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19i"
    "Z2hnPk1xeXBkeFxlZ2P/wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAI"
    "AQEAAD8AP//Z"
)


class Read(NamedTuple):
    """A folder to read, and a photo in it."""

    folder: bytes
    photo: bytes  # its name; empty: there is none
    size: int  # bytes


class Write(NamedTuple):
    """A folder to write to, and a file in it."""

    folder: bytes
    marker: bytes  # its name
    content: bytes


class Inspection(NamedTuple):
    """What a worker found out about itself."""

    host: str
    versions: dict[str, str]
    faults: list[str]
    seconds: float  # that a tiny photo took to make


def inspect(reads: Sequence[Read], writes: Sequence[Write], timeout_seconds: float) -> Inspection:
    """Return this machine's versions, and what keeps it from making photos: make a tiny one, and try each folder."""
    versions = {"python": sys.version.split()[0], "distributed": version("distributed"), **describe()}
    faults = [fault for read in reads if (fault := _try_to_read(read))]
    faults += [fault for write in writes if (fault := _try_to_write(write))]
    began = time.monotonic()
    fault = _try_to_make(timeout_seconds)
    seconds = time.monotonic() - began
    return Inspection(socket.gethostname(), versions, faults + [fault] * bool(fault), seconds)


def _try_to_read(read: Read) -> str:
    folder = os.fsdecode(read.folder)
    try:
        with os.scandir(read.folder) as entries:
            next(entries, None)
        if read.photo:
            with open(os.path.join(read.folder, read.photo), "rb") as file:
                file.read(1)
                if os.fstat(file.fileno()).st_size == read.size:
                    return ""
            name = os.fsdecode(read.photo)
            return f"the inbox {folder}: {name!r} in it is another one than here; mount the same one there"
    except OSError as error:
        what = f"{os.fsdecode(read.photo)!r} in it" if error.filename != read.folder else "it"
        return f"the inbox {folder}: {what} can't be read there ({error.strerror}); mount it there, or correct `paths`"
    return ""


def _try_to_write(write: Write) -> str:
    folder = os.fsdecode(write.folder)
    mend = "mount it there, or correct `paths`"
    try:
        with open(os.path.join(write.folder, write.marker), "rb") as file:
            if file.read() != write.content:
                return f"the output {folder} is another folder there than here; {mend}"
    except OSError as error:
        return f"the output {folder}: what this machine wrote is not to be read there ({error.strerror}); {mend}"
    name = os.path.join(write.folder, temporary_name(0, threading.get_ident() % 1_000_000))
    try:
        with open(name, "xb") as file:
            file.write(write.content)
            os.fsync(file.fileno())
    except OSError as error:
        return f"the output {folder} can't be written there ({error.strerror}); let the worker's user write it"
    finally:
        with suppress(OSError):
            os.unlink(name)
    return ""


def _try_to_make(timeout_seconds: float) -> str:
    recipe = Recipe(8, 8, "inside", "jpeg", 85, "none", "0" * 16)
    with tempfile.TemporaryDirectory(prefix="watcher-") as folder:
        with open(os.path.join(folder, "a.jpg"), "wb") as file:
            file.write(_TINY)
        inbox = os.fsencode(os.path.realpath(folder))
        job = Job(1, PhotoId(inbox, b"a.jpg"), inbox + b"/out", (Rendering("web", recipe, b"web/a.jpg"),))
        try:
            outcome = serve([job], timeout_seconds)[0].outcome
        except RuntimeError as error:
            return f"no photo can be made there: {error}"
    return "" if isinstance(outcome, Done) else f"a tiny photo could not be made there: {outcome}"
