"""How many CPUs and how much memory this process may use: the machine's, or less if a container or service limits it.

Every function takes the root of the file system, so that tests can provide their own `/proc` and `/sys`.
Sources: cgroups(7), and Documentation/admin-guide/cgroup-v1 and cgroup-v2 of the kernel.
"""

from __future__ import annotations

import math
import os
import resource
import sys
from collections.abc import Iterator


def available_cpus(root: str = "/") -> int:
    """Return how many CPUs this process may keep busy: by affinity and by cgroup quota, rounded up; at least 1."""
    if sys.platform == "darwin":
        allowed = os.cpu_count() or 1
    else:
        allowed = len(os.sched_getaffinity(0))
    quotas = (math.ceil(quota) for quota in _cpu_quotas(root))
    return max(1, min((allowed, *quotas)))


def available_memory(root: str = "/") -> int:
    """Return how many bytes of memory this process may use: the machine's, or less if a cgroup limits it."""
    return min((_machine_memory(root), *_memory_limits(root)))


def open_files() -> int:
    """Return how many descriptors this process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _machine_memory(root: str) -> int:
    for line in _read(os.path.join(root, "proc/meminfo")).splitlines():
        name, _, value = line.partition(":")
        kilobytes = value.removesuffix("kB").strip()
        if name == "MemTotal" and kilobytes.isdecimal():
            return int(kilobytes) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cpu_quotas(root: str) -> Iterator[float]:
    for folder in _folders(root, "cpu"):
        # version 2: "max 100000" or "150000 100000"; version 1: two files, the quota -1 if there is none
        words = _read(os.path.join(folder, "cpu.max")).split()
        words = words or _read(os.path.join(folder, "cpu.cfs_quota_us")).split()
        words += _read(os.path.join(folder, "cpu.cfs_period_us")).split()
        match words:
            case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
                yield int(quota) / int(period)
            case _:
                pass


def _memory_limits(root: str) -> Iterator[int]:
    for folder in _folders(root, "memory"):
        # `high` does not kill, but slows down processes above it
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            limit = _read(os.path.join(folder, name)).strip()
            if limit.isdecimal():
                yield int(limit)


def _folders(root: str, controller: str) -> Iterator[str]:
    """Yield the folders whose limits for `controller` apply to this process: its own cgroup's and all above it."""
    base = os.path.join(root, "sys/fs/cgroup")
    for line in _read(os.path.join(root, "proc/self/cgroup")).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mounts = [base, os.path.join(base, "unified")]  # version 2: alone, or beside version 1
        elif controller in controllers.split(","):
            mounts = [os.path.join(base, controllers), os.path.join(base, controller)]
        else:
            continue
        # in a container the path may be the host's: a folder that does not exist here sets no limit; go on upwards
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            for mount in mounts:
                yield os.path.join(mount, *parts[:depth])


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
