"""How precisely a file system stores modification times, and whether two times are equal at that precision.

Rules:
- The grain is measured once per output tree and never guessed per file: a known time, `SAMPLE_NS`, is set and read
  back.
- A time that is off by more than the grain is a different time. This includes a shift of an hour by a time zone.
"""

from __future__ import annotations

import errno
import os

# ns; odd in every digit that a file system may drop: no grain below fits what a finer one would store
SAMPLE_NS = 1_000_000_001_987_654_321
EXACT = 1
NOT_KEPT = 0  # modification times can't be set there: they prove nothing
# ns; two seconds come before one, since a time that was rounded up to an even second may come from either
_GRAINS = (EXACT, 100, 1_000, 1_000_000, 10_000_000, 2_000_000_000, 1_000_000_000)
_REFUSED = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def grain_of(found_ns: int) -> int:
    """Return the grain in ns of a file system that stores `SAMPLE_NS` as `found_ns`; `NOT_KEPT`: no grain fits."""
    return next((grain for grain in _GRAINS if _fits(found_ns, SAMPLE_NS, grain)), NOT_KEPT)


def same_date(found_ns: int, wanted_ns: int, grain: int) -> bool:
    """Return whether a file with the date `found_ns` may have been given `wanted_ns` on a file system of that grain."""
    return found_ns == wanted_ns or grain == NOT_KEPT or _fits(found_ns, wanted_ns, grain)


def _fits(found_ns: int, wanted_ns: int, grain: int) -> bool:
    return found_ns % grain == 0 and abs(found_ns - wanted_ns) < grain


def set_date(file: int, mtime_ns: int) -> bool:
    """Set an open file's modification time. Return False if the file system refuses that.

    Raise OSError for other errors.
    """
    try:
        os.utime(file, ns=(mtime_ns, mtime_ns))
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        return False
    return True
