"""What another user may do with a path: the kernel is asked, in a process that has become that user.

Modes alone are not enough: there are access lists, read-only mounts, and shares whose server decides.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

_FOLDER = os.R_OK | os.X_OK
_MODES = {
    "r": os.R_OK,
    "x": _FOLDER,
    "rx": _FOLDER,
    "tree": _FOLDER,
    "rwx": _FOLDER | os.W_OK,
    "own": _FOLDER | os.W_OK,
}
_MOST = 5000  # entries of an inbox that are checked, so that a million photos take little time


class Account(NamedTuple):
    """A user, as recorded in the system's user database."""

    name: str
    uid: int
    gid: int
    home: str


class RequiredAccess(NamedTuple):
    """The access to a path that is required."""

    path: str
    # `r`: a file; `x`: a program; `rx`, `rwx`: a folder; `own`: a folder of its own; `tree`: a folder that must be
    # readable with its contents
    rights: str


class MissingAccess(NamedTuple):
    """A path that prevents a required access, and the right that is missing there."""

    path: str
    rights: str  # `x`: to pass through; empty: the path does not exist; otherwise as required
    wish: RequiredAccess
    read_only: bool = False  # its whole file system is read-only


def account(name: str) -> Account | None:
    """Look up a user; None: there is no user with that name."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir)


def obstacles(who: Account, wishes: Sequence[RequiredAccess]) -> list[MissingAccess]:
    """Return what prevents the accesses that a user requires, the outermost of each; another user requires root."""
    if os.geteuid() == who.uid:
        return list(_look(wishes))
    told = _as_user(who, lambda: json.dumps([[*found[:2], [*found.wish], found.read_only] for found in _look(wishes)]))
    return [
        MissingAccess(path, rights, RequiredAccess(*wish), read_only)
        for path, rights, wish, read_only in json.loads(told)
    ]


def become(who: Account) -> None:
    """Change this process to another user, permanently; requires root."""
    os.initgroups(who.name, who.gid)
    os.setresgid(who.gid, who.gid, who.gid)
    os.setresuid(who.uid, who.uid, who.uid)


def _as_user(who: Account, ask: Callable[[], str]) -> str:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reads)
            become(who)
            with open(writes, "w", encoding="utf-8", errors="surrogateescape") as pipe:
                pipe.write(ask())
            code = 0
        except BaseException:  # noqa: BLE001  # the process ends here, whatever the error
            traceback.print_exc()
        finally:
            os._exit(code)  # the parent's clean-up must not run twice
    os.close(writes)
    with open(reads, encoding="utf-8", errors="surrogateescape") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise RuntimeError(f"could not look as the user {who.name}")
    return text


def _look(wishes: Sequence[RequiredAccess]) -> Iterator[MissingAccess]:
    for wish in wishes:
        found = next(_in_the_way(wish), None)
        if found is not None:
            yield found


def _in_the_way(wish: RequiredAccess) -> Iterator[MissingAccess]:
    parts = wish.path.split("/")
    for depth in range(1, len(parts)):
        folder = "/".join(parts[:depth]) or "/"
        if not os.access(folder, os.X_OK):
            yield MissingAccess(folder, "x" if os.path.isdir(folder) else "", wish)
            return
    if not os.path.exists(wish.path):
        yield MissingAccess(wish.path, "", wish)
    elif not os.access(wish.path, _MODES[wish.rights]):
        read_only = wish.rights in {"rwx", "own"} and bool(os.statvfs(wish.path).f_flag & os.ST_RDONLY)
        yield MissingAccess(wish.path, wish.rights, wish, read_only)
    elif wish.rights == "tree":
        yield from _unreadable(wish)


def _unreadable(wish: RequiredAccess) -> Iterator[MissingAccess]:
    """Yield the first file or folder found in an inbox that can't be read."""
    folders, left = [wish.path], _MOST
    while folders and left > 0:
        # OSError: removed meanwhile
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                left -= 1
                mode = entry.stat(follow_symlinks=False).st_mode
                wanted = _FOLDER if stat.S_ISDIR(mode) else os.R_OK
                if (stat.S_ISDIR(mode) or stat.S_ISREG(mode)) and not os.access(entry.path, wanted):
                    yield MissingAccess(entry.path, "tree", wish)
                    return
                if stat.S_ISDIR(mode):
                    folders.append(entry.path)
                if left == 0:
                    return
