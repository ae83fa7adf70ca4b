"""The page's token, in a file of its own beside the state file: it lasts over restarts, so that bookmarks do.

The file holds the page's address with the token. Its owner alone can read it; one that others can read is not believed.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress

_LONGEST = 4096  # bytes of the file
_ADDRESS = re.compile(r"\S*\?token=([A-Za-z0-9_-]{43})\s*")


class AccessToken:
    """The token of a running page; one that is written to the file meanwhile counts from the next request on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._token = ""
        self._seen = (0, 0)

    def __call__(self) -> str:
        """Return the token; where its file is gone, the last one."""
        with suppress(OSError):
            found = os.lstat(self._path)
            if self._seen != (found.st_ino, found.st_mtime_ns):
                self._seen = found.st_ino, found.st_mtime_ns
                self._token = read_token(self._path) or self._token
        return self._token


def token_file(state: str) -> str:
    """Return where the token of the daemon with this state file lies."""
    return f"{state}.token"


def read_token(path: str) -> str:
    """Return the token in a file; empty: there is none that can be believed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            return ""
        found = _ADDRESS.fullmatch(os.read(descriptor, _LONGEST).decode(errors="replace"))
    finally:
        os.close(descriptor)
    return found[1] if found else ""


def write_token(path: str, url: str, token: str = "") -> str:
    """Write the page's address with its token, a new one unless one is given; return that address. Raises OSError.

    The file belongs to whom the state file beside it does, which root may write it for.
    """
    address = f"{url}?token={token or secrets.token_urlsafe(32)}"
    temporary = f"{path}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{address}\n")
            if os.geteuid() == 0:
                state = path.removesuffix(".token")
                owner = os.stat(state if os.path.exists(state) else os.path.dirname(path))
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return address
