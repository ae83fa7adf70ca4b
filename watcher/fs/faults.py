"""End a render early: an outcome as an exception, and the mapping of system errors to failure kinds."""

from __future__ import annotations

import errno

from watcher.core.types import Failed, FailureKind, Outcome
from watcher.text import shown


class Abort(Exception):  # noqa: N818 - it carries an outcome, and is not an error
    """The outcome of a job that is known before its end."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def short(error: BaseException) -> str:
    """Return an error's text in printable characters."""
    return shown(str(error).strip())[:200]


def bad_photo(reason: str) -> Abort:
    """Return a failure of the photo itself: it is not tried again until it changes."""
    return Abort(Failed(reason, FailureKind.PHOTO))


def passing(reason: str) -> Abort:
    """Return a temporary failure: the photo is tried again."""
    return Abort(Failed(reason, FailureKind.PASSING))


def unreadable(error: OSError, what: str) -> Abort:
    """Return the failure for an error while reading the photo `what` (already escaped)."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return passing(
            f"{what} may not be read: give the user of watcher the right to (chmod u+r, or +rx on its folders)"
        )
    return passing(f"{what} could not be read: {_text(error)}")


def unreachable(error: OSError, inbox: bytes) -> Abort:
    """Return the failure for an error while opening the inbox itself.

    No photo is at fault. The failure is of the inbox, unless only this process lacks resources.
    """
    what = f"the inbox {shown(inbox)}"
    if error.errno in {errno.EACCES, errno.EPERM}:
        reason = f"{what} may not be read: let the user of watcher read and enter it (chmod u+rx)"
    elif error.errno in OF_A_TREE:
        reason = f"{what} can't be read: {_text(error)}; is its volume there?"
    else:
        return unreadable(error, what)
    return Abort(Failed(reason, FailureKind.INBOX))


# These errors may concern a whole tree: its volume is gone, or may not be used.
OF_A_TREE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.ENODEV,
    errno.ENXIO,
    errno.EIO,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
}


NAME_REFUSED = {errno.EINVAL, errno.EILSEQ}


def name_refused(what: str) -> Abort:
    """Return a failure of the photo's name: the output's file system does not accept it."""
    return bad_photo(
        f"{what} can't be written: the file system takes no such name (: ? * and others on disks for Windows);"
        " rename the photo"
    )


def unwritable(error: OSError, what: str, kind: FailureKind = FailureKind.PASSING) -> Abort:
    """Return the failure for an error in writing `what` (already escaped): an output, or (`kind` OUTPUT) its tree."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Abort(Failed(f"no space to write {what}: {_text(error)}", FailureKind.DISK_FULL))
    if error.errno == errno.ENAMETOOLONG:
        return bad_photo(f"{what} can't be written: its name is too long for the file system; rename the photo")
    if error.errno in NAME_REFUSED and kind is FailureKind.PASSING:
        return name_refused(what)
    if error.errno in {errno.EACCES, errno.EPERM}:
        why = "may not be written: give the user of watcher the right to (chmod u+rwx on its folder)"
    elif error.errno == errno.EROFS:
        why = "can't be written: the file system is read-only; mount it for writing"
    elif error.errno in {errno.ELOOP, errno.ENOTDIR}:
        why = "can't be written: a part of its path is a symbolic link or a file, not a folder; move that away"
    elif error.errno == errno.EISDIR:
        why = "can't be written: a folder lies in its place; move that away"
    else:
        why = f"could not be written: {_text(error)}"
    return Abort(Failed(f"{what} {why}", kind))


def _text(error: OSError) -> str:
    return f"{error.strerror or type(error).__name__} ({errno.errorcode.get(error.errno or 0, 'no code')})"
