"""How still a photo must be before it is read: what the daemon knows of that, for the worker that looks at the file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StabilityPolicy:
    """For how many seconds a photo must have looked as it does, and on what evidence less or more will do."""

    quiet: float = 0.0  # at the least; 0: its writer is known to be done, or nobody waits
    doubt: float = 10.0  # if it decodes but looks unfinished (no end, a tail of zeros)
    open: float = 0.0  # if it was closed, and another writer has it open
    fresh: int = 0  # inode of the file that was seen to be created here, and held nothing before; 0: none was
    closed: bool = False  # its writer closed it or renamed it into place
    rewritten: bool = False  # other content lay there before, and renditions of that are shown
    reopened: bool = False  # it was closed before and not whole: its writer comes back, or there are several
    size: int = -1  # bytes that it had with that, as far as is known
    mtime_ns: int = -1  # and its date then: where both are as they were, only its recipe has changed
    digest: bytes = b""  # BLAKE3 of that; empty: not known
    since: float = 0.0  # wall clock: since when it was seen to look as it was expected to; 0: its own date tells


UNASKED = StabilityPolicy()  # what a photo is read on where nobody has said anything
