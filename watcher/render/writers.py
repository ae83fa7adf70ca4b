"""What can be measured of a file before it is read: how long it is unchanged, and whether a process writes to it."""

from __future__ import annotations

import os
import sys
import time

from watcher.core.stability import Observation
from watcher.core.types import Evidence
from watcher.render.source import Source


def observe(evidence: Evidence, source: Source) -> Observation:
    """Return how long a photo has been unchanged, and whether a process has it open for writing."""
    now, since = time.time(), evidence.stable_since
    unchanged = now - source.stamp.mtime_ns / 1e9
    writer = has_writer(source.file) if not since or _is_on_a_disk(source.file) else None
    if writer is False:
        source.at_rest = lambda: not has_writer(source.file)
    if since:
        seen = max(0.0, now - since)
        unchanged = min(seen, unchanged) if unchanged >= 0 else seen
    untouched = unchanged if evidence.listed else now - max(source.stamp.mtime_ns, source.changed_ns) / 1e9
    return Observation(source.stamp, unchanged, writer, untouched)


def _is_on_a_disk(file: int) -> bool:
    """Return whether a file lies on a disk of this machine. NFS and SMB report a writer where they don't know."""
    return os.major(os.fstat(file).st_dev) != 0


if sys.platform == "linux":
    import fcntl
    import signal

    def has_writer(file: int) -> bool | None:
        """Return whether a process has a file open for writing (`file`: open for reading); None: unknown.

        The kernel grants a lease for reading only where none has (fcntl(2), F_SETLEASE): 2 µs. It can't be asked
        about the files of other users without CAP_LEASE, nor on most file systems that are not local. It is given back
        at once; a writer that comes in between waits for that, some µs, and we would be told by a signal: one that is
        ignored by default, since SIGIO would end us.
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
        """Return None: this system cannot tell whether a process has a file open for writing."""
        return None
