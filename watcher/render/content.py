"""A photo's content by its digest, and whether a rendition still is what was made from it."""

from __future__ import annotations

import os
import stat

from blake3 import blake3

from watcher.fs.openat import READ
from watcher.fs.publish import CONTENT, label

_BYTES = 16  # no two photos ever had the same 128 bits
_OUTPUT_BYTES = 8  # shows whether an output is the file that was written, beside its size and its date
_STEP = 1 << 20  # bytes
_END = 64  # bytes: of a file that lost its data in a crash the end is zeros


def digest_of(data: bytes) -> bytes:
    """Return the digest of a photo that was read."""
    return blake3(data).digest(_BYTES)


def digest_of_output(file: int | bytes) -> bytes:
    """Return the digest of an output, open or as bytes, as the state file keeps it. Raise OSError."""
    return (digest_of(file) if isinstance(file, bytes) else digest_of_file(file))[:_OUTPUT_BYTES]


def digest_of_file(file: int) -> bytes:
    """Return the digest of an open file, read from its beginning to its end. Raise OSError."""
    digest, at = blake3(), 0
    while part := os.pread(file, _STEP, at):
        digest.update(part)
        at += len(part)
    return digest.digest(_BYTES)


def stands(path: bytes, size: int, digest: bytes) -> bool:
    """Return whether a file is there, whole as far as can be told cheaply, and not labelled as of another content."""
    try:
        file = os.open(path, READ)
    except OSError:
        return False
    try:
        found = os.fstat(file)
        whole = stat.S_ISREG(found.st_mode) and found.st_size == size
        return (
            whole
            and any(os.pread(file, _END, max(0, size - _END)))
            and label(file, CONTENT) in {b"", digest.hex().encode()}
        )
    except OSError:
        return False
    finally:
        os.close(file)
