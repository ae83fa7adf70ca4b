"""What can be wrong with the state file as a whole: in use, damaged, removed, or the file of another program."""

from __future__ import annotations

import os
import shlex
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote

from watcher.core.selection import special
from watcher.errors import EXIT_CONFIG, StateError, WatcherError
from watcher.store.schema import APPLICATIONS
from watcher.text import shown, user_name

BUSY_SECONDS = 5.0  # how long to wait for another program that holds the file
_REMEDIES = {
    "locked": "close the other program that uses it",
    "full": "make room on its disk",
    "begun to write": "do this again",
}
_SQLITE = b"SQLite format 3\0"
_HEAD = 100  # bytes of SQLite's header
_TABLES = {"meta", "inbox", "folder", "photo"}


class StateBusyError(StateError):
    """The state file can't be used just now (locked, disk full, I/O error): keep what you have and try later."""


class StateCorruptError(WatcherError):
    """SQLite says that the file is no database or a damaged one. No StateError: waiting does not help."""

    exit_code = EXIT_CONFIG


class StateGoneError(StateCorruptError):
    """The file was removed or replaced while it was open: what is written to it is lost."""


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's exceptions into the program's own."""
    try:
        yield
    except sqlite3.OperationalError as error:
        remedies = (remedy for fault, remedy in _REMEDIES.items() if fault in str(error))
        remedy = next(remedies, "see that its disk is sound and can be written")
        if "readonly" in str(error) and (why := unwritable(path)):
            raise StateBusyError(f"the state file {path} can't be used just now: {why}") from error
        raise StateBusyError(f"the state file {path} can't be used just now: {error}; {remedy}") from error
    except sqlite3.DatabaseError as error:
        raise StateCorruptError(_damaged(path, str(error))) from error


def unwritable(path: str) -> str:
    """Return what keeps this user from writing to a state file, and what to do; empty: nothing that can be seen.

    Files are not opened for that: closing one would release the locks that SQLite holds on it.
    """
    real = os.path.realpath(path)
    folder = os.path.dirname(real)
    closed = [name for name in (real, real + "-wal", real + "-shm") if _refused(name, os.W_OK)]
    if not closed and os.path.isdir(folder) and _refused(folder, os.W_OK | os.X_OK):
        closed = [folder]
    if not closed:
        return ""
    what, names = " and ".join(map(shown, closed)), shlex.join(closed)
    if os.statvfs(closed[0]).f_flag & os.ST_RDONLY:
        return f"{what} may not be written: the disk is mounted read-only; mount it for writing"
    users = {os.lstat(name).st_uid for name in closed}
    if users == {os.geteuid()}:
        return f"{what} may not be written: `chmod u+w{'x' if closed == [folder] else ''} {names}`"
    owner, own = (shlex.quote(user_name(number)) for number in (next(iter(users - {os.geteuid()})), os.geteuid()))
    return (
        f"{what} may not be written, and belongs to the user {owner}: do this as that user"
        f" (`sudo -u {owner} watcher …`), or `sudo chown {own} {names}`"
    )


def _refused(name: str, mode: int) -> bool:
    return os.path.exists(name) and not os.access(name, mode, effective_ids=os.access in os.supports_effective_ids)


def _damaged(path: str, fault: str) -> str:
    return (
        f"the state file {path} is damaged: {fault}; `watcher run` and `watcher once` set it aside and begin a new one"
    )


def check_sound(connection: sqlite3.Connection, path: str) -> None:
    """Raise StateCorruptError where SQLite finds the file damaged."""
    fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if fault != "ok":
        raise StateCorruptError(_damaged(path, fault))


def put_aside(path: str) -> str:
    """Rename a damaged file and the files that belong to it; return the new name."""
    stem = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    target, number = stem, 1
    while os.path.exists(target):
        number += 1
        target = f"{stem}.{number}"
    for suffix in ("-wal", "-shm", ""):
        if os.path.exists(path + suffix):
            os.rename(path + suffix, target + suffix)
    return target


def identity(path: str) -> tuple[int, int]:
    """Return (st_dev, st_ino) of the file at a path; zeros where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino


# ---- files of other programs: a slip of the keyboard can name any file ----


def refuse_other_file(path: str) -> None:
    """Raise StateError where the file was never a state file; change nothing.

    A damaged state file is recognised by its header, or by the lock file that lies beside every state file in use.
    """
    try:
        found = os.stat(path)
        what = _what(path, found)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(
            f"the state file {path} can't be read: {error.strerror}; let this user read it, or name another"
        ) from error
    if what:
        raise StateError(
            f"{path} is {what}, and no state file of watcher: it is left as it is. Name another file with --state or"
            " `state`; if it is a damaged state file, move it away"
        )


def _what(path: str, found: os.stat_result) -> str:
    """Return what the file is; empty: a state file, or a file that is still empty."""
    if stat.S_ISDIR(found.st_mode):
        return "a folder"
    if reason := special(found.st_mode):
        return reason.removeprefix("it is ").removesuffix(", not a photo")
    if not found.st_size:
        return ""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if int.from_bytes(head[68:72], "big") in APPLICATIONS or _was_locked(path):
        return ""
    if not head.startswith(_SQLITE):
        return "no database"
    return "" if _has_our_tables(path) else "a database of another program"


def _was_locked(path: str) -> bool:
    """Return whether a watcher has ever held the lock of that state file."""
    try:
        with open(os.path.realpath(path) + ".lock", "rb") as file:
            return file.read(20).split(b"\n")[0].isdigit()
    except OSError:
        return False


def _has_our_tables(path: str) -> bool:
    log = os.path.exists(path + "-wal") and os.path.getsize(path + "-wal") > 0  # the header may be in it
    uri = "file:" + quote(os.fsencode(path)) + ("?mode=ro" if log else "?mode=ro&immutable=1")
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=1.0)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:
        return True  # busy, or not to be opened like this: opening it in the ordinary way finds out
    except sqlite3.DatabaseError:
        return False
    return not names or names >= _TABLES
