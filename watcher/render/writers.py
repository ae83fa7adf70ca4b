"""Has a photo come to rest? How long it has been as it is, how long it must be, and whether somebody writes to it.

Rules:
- A close or a rename is the writer's word; without it, stillness has to do, and then the bytes must agree (`whole`).
- Where the kernel tells that somebody still has the file open for writing, that can only make the wait longer, never
  keep a photo for good: some programs keep open what they have long finished.
- Bytes are no proof for a photo that is written anew in its place: a new head with an old tail decodes. So it has to
  be still for longer, unless its writer has closed it or is known to be gone. That goes for every file of which it is
  not known that it was empty when its writer opened it: also for one that nothing is known of, as at a first start.
- Where the kernel says that nobody has it open, its writer has closed it, whatever was announced.
- Where others change what we see (a share), neither their clock nor their writers are ours to ask: what counts is how
  long we have seen the photo as it is. Of what is scanned on a disk of this machine writers can be asked.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from watcher.core.stability import StabilityPolicy
from watcher.core.types import FileSignature, Unready
from watcher.fs.faults import Abort
from watcher.render.source import Source

REWRITE_SECONDS = 60.0  # how long a photo must be still that somebody is writing anew and does not close


@dataclass(frozen=True, slots=True)
class Rest:
    """What is known of a photo's stillness, before it is read."""

    still: float  # seconds that it has looked as it does; negative: its date is in the future, which says nothing
    writer: bool | None  # somebody has it open for writing; None: that can't be told

    def within(self, seconds: float) -> bool:
        """Tell whether it has changed that short a time ago."""
        return 0 <= self.still < seconds


def rest_of(patience: StabilityPolicy, source: Source) -> Rest:
    """Look how still a photo is."""
    now = time.time()
    still = now - source.stamp.mtime_ns / 1e9
    writer = has_writer(source.file) if not patience.since or _is_on_a_disk(source.file) else None
    if writer is False:
        source.at_rest = lambda: not has_writer(source.file)
    if not patience.since:
        return Rest(still, writer)
    seen = max(0.0, now - patience.since)
    return Rest(min(seen, still) if still >= 0 else seen, writer)


def hold_back(patience: StabilityPolicy, source: Source, rest: Rest) -> None:
    """Raise the verdict on a photo that is not to be read yet."""
    wanted, reason = _wanted(patience, rest, source.stamp)
    if rest.within(wanted):
        raise Abort(Unready(source.stamp, reason, settling=True, seconds=wanted - rest.still))


def doubt(patience: StabilityPolicy, rest: Rest, *, sparse: bool = False) -> float:
    """Give how long a photo must have been still that decodes and looks unfinished; `sparse`: it has holes on disk."""
    return max(REWRITE_SECONDS, patience.doubt) if rest.writer or sparse else patience.doubt


def more_may_follow(patience: StabilityPolicy, rest: Rest) -> bool:
    """Tell whether a photo that is whole may be about to get a second picture or a trailer behind it."""
    return bool(rest.writer) and not patience.closed and rest.within(patience.open)


def mixed_perhaps(patience: StabilityPolicy, size: int) -> bool:
    """Tell whether what lies there may be of two photos: an overwrite that is broken off leaves the size as it was."""
    return patience.reopened or (patience.rewritten and patience.size == size)


def _wanted(patience: StabilityPolicy, rest: Rest, stamp: FileSignature) -> tuple[float, str]:
    """Give how long the photo must have been still, and what it is told to wait for."""
    if rest.writer and patience.rewritten:
        return max(REWRITE_SECONDS, patience.quiet), "it is being written anew"
    if rest.writer and patience.fresh != stamp.inode:
        return max(REWRITE_SECONDS, patience.quiet), "somebody has it open for writing, and may be writing it anew"
    if rest.writer and (patience.closed or patience.reopened):
        return max(patience.open, patience.quiet), "it was closed, and somebody else still has it open for writing"
    if rest.writer is False and not patience.reopened:
        return 0.0, ""
    if rest.writer is None and patience.rewritten and not patience.closed and patience.quiet:
        return max(patience.open, patience.quiet), "it was written anew a moment ago"
    return patience.quiet, "it was written a moment ago"


def _is_on_a_disk(file: int) -> bool:
    """Tell whether a file lies on a disk of this machine. NFS and SMB say "somebody writes" where they don't know."""
    return os.major(os.fstat(file).st_dev) != 0


if sys.platform == "linux":
    import fcntl
    import signal

    def has_writer(file: int) -> bool | None:
        """Tell whether somebody has a file open for writing (`file`: open for reading); None: that can't be told.

        The kernel grants a lease for reading only where nobody has (fcntl(2), F_SETLEASE): 2 µs. It can't be asked
        about the files of other users without CAP_LEASE, nor on most file systems that are not local. It is given back
        at once; a writer who comes in between waits for that, some µs, and we would be told by a signal: one that is
        ignored unless somebody wants it, since SIGIO would end us.
        """
        try:
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:
            return None
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False

else:

    def has_writer(file: int) -> bool | None:  # noqa: ARG001 - as elsewhere
        """Tell whether somebody has a file open for writing: that can't be asked here."""
        return None
