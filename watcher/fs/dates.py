"""How finely a file system keeps modification times, and whether two of them are one there.

Rules:
- It is measured once per output tree and never guessed per file: a known time, `SAMPLE_NS`, is set and read back.
- A time that is off by more than the grain is another one: a zone's shift by an hour is not forgiven.
"""

from __future__ import annotations

import errno
import os

# ns; odd in every digit that a file system may drop: no grain below fits what a finer one would keep
SAMPLE_NS = 1_000_000_001_987_654_321
EXACT = 1
NOT_KEPT = 0  # modification times can't be set there: they tell nothing
# ns; two seconds come before one, since what was rounded up to an even second may be of either
_GRAINS = (EXACT, 100, 1_000, 1_000_000, 10_000_000, 2_000_000_000, 1_000_000_000)
_REFUSED = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def grain_of(found_ns: int) -> int:
    """Return the grain in nanoseconds of a file system that keeps `SAMPLE_NS` as `found_ns`; `NOT_KEPT`: none fits."""
    return next((grain for grain in _GRAINS if _fits(found_ns, SAMPLE_NS, grain)), NOT_KEPT)


def same_date(found_ns: int, wanted_ns: int, grain: int) -> bool:
    """Return whether a file dated `found_ns` may have been given `wanted_ns` where times have that grain."""
    return found_ns == wanted_ns or grain == NOT_KEPT or _fits(found_ns, wanted_ns, grain)


def _fits(found_ns: int, wanted_ns: int, grain: int) -> bool:
    return found_ns % grain == 0 and abs(found_ns - wanted_ns) < grain


def set_date(file: int, mtime_ns: int) -> bool:
    """Set an open file's modification time; False: the file system refuses that. Raise OSError for all else."""
    try:
        os.utime(file, ns=(mtime_ns, mtime_ns))
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        return False
    return True
