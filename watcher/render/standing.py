"""Whether a rendition is where it was put: asked before its photo's original goes."""

from __future__ import annotations

import os
import stat

from watcher.fs.openat import READ
from watcher.fs.publish import CONTENT

_END = 64  # bytes: of a file that lost its data in a crash the end is zeros


def stands(path: bytes, size: int, digest: bytes) -> bool:
    """Return whether a file is there, whole as far as can be told cheaply, and not labelled as of another content."""
    try:
        file = os.open(path, READ)
    except OSError:
        return False
    try:
        found = os.fstat(file)
        whole = stat.S_ISREG(found.st_mode) and found.st_size == size
        return whole and any(os.pread(file, _END, max(0, size - _END))) and _label(file) in {b"", digest.hex().encode()}
    except OSError:
        return False
    finally:
        os.close(file)


def _label(file: int) -> bytes:
    try:
        return os.getxattr(file, CONTENT)
    except (OSError, AttributeError):  # not labelled; a platform or file system without labels
        return b""
