"""The mount table and inotify's limits: whether the kernel can be trusted to announce what happens in a folder.

Theory: inotify tells what was done through this kernel's own view of a file system. A network share, a shared folder
of a virtual machine or a FUSE file system is also changed by somebody else, behind that view and in silence. The same
holds for a folder that is a layer of an overlay: what is written through the overlay is not written through the folder.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from watcher.select import shown

Advice = tuple[Literal["native", "poll"], str]

# Changed by others, without an event here. `fuseblk` is missing on purpose: it is a disk under FUSE (ntfs-3g, exfat),
# changed only through this mount, and such writers cause events.
_CHANGED_ELSEWHERE = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "virtiofs",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "gpfs",
        "beegfs",
        "ncpfs",
        "coda",
        "gfs2",
        "ocfs2",
        "orangefs",
        "vboxsf",
        "vmhgfs",
        "prl_fs",
        "hostfs",
        "fuse",
    )
)
_INOTIFY = "/proc/sys/fs/inotify/"
_ESCAPE = re.compile(r"\\([0-7]{3})")


class _Mount(NamedTuple):
    number: str
    parent: str
    point: str
    kind: str
    options: tuple[str, ...]  # of the file system


def watch_advice(path: bytes, enters: Callable[[bytes], bool] | None = None, *, mountinfo: str | None = None) -> Advice:
    """Say whether events of the folder `path` (resolved, absolute) can be relied on, or it must be polled, and why.

    Args:
        path: the folder.
        enters: which folders below it count too, by their path in it; None: none of them.
        mountinfo: text in the form of /proc/self/mountinfo; None: that of this machine, and always native where
            there is none (macOS: FSEvents reports from below the file systems).

    """
    mounts = _mounts(_read_mountinfo() if mountinfo is None else mountinfo)
    name = path.decode("utf-8", "surrogateescape")
    mount = _mount_of(name, mounts)
    if mount is None:
        return "native", "the system announces changes"
    if _speaks_not(mount):
        return "poll", _silence(mount)
    for other in mounts if enters is not None else ():
        if _speaks_not(other) and _is_below(other.point, name) and other is _mount_of(other.point, mounts):
            below = os.path.relpath(other.point, name).encode("utf-8", "surrogateescape")
            if enters is not None and enters(below):
                return "poll", _silence(other)
    for other in mounts:
        layer = _layer_over(name, other)
        if layer:
            return (
                "poll",
                f"{_show(layer)} is a layer of the overlay on {_show(other.point)}: no events of writers there",
            )
    if mount.kind == "overlay":
        return (
            "native",
            "overlay announces what is changed through it; a change to its layers from below is not announced",
        )
    return "native", f"{mount.kind} announces changes"


def _speaks_not(mount: _Mount) -> bool:
    return mount.kind in _CHANGED_ELSEWHERE or mount.kind.startswith("fuse.")


def _silence(mount: _Mount) -> str:
    return f"{mount.kind} on {_show(mount.point)} does not announce what others change there"


def file_system(path: bytes, *, mountinfo: str | None = None) -> str:
    """Give the name of the type of the file system that `path` (resolved, absolute) is on; empty: not known here."""
    mounts = _mounts(_read_mountinfo() if mountinfo is None else mountinfo)
    mount = _mount_of(path.decode("utf-8", "surrogateescape"), mounts)
    return mount.kind if mount is not None else ""


def inotify_limits() -> dict[str, int]:
    """Give inotify's `max_user_watches`, `max_user_instances` and `max_queued_events`; empty where there is none."""
    limits: dict[str, int] = {}
    for name in ("max_user_watches", "max_user_instances", "max_queued_events"):
        try:
            with open(_INOTIFY + name, "rb") as file:
                limits[name] = int(file.read())
        except (OSError, ValueError):
            continue
    return limits


def _read_mountinfo() -> str:
    if sys.platform != "linux":
        return ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.read()
    except OSError:
        return ""


@lru_cache(maxsize=1)  # it is asked for every few seconds, and hardly ever changes
def _mounts(mountinfo: str) -> tuple[_Mount, ...]:
    """Parse the table (proc_pid_mountinfo(5)): `id parent dev root point options [tags] - type source options`."""
    mounts = []
    for line in mountinfo.split("\n"):
        head, separator, tail = line.partition(" - ")
        fields, rest = head.split(" "), tail.split(" ")
        if separator and len(fields) >= 6 and len(rest) >= 3:  # noqa: PLR2004 - the fields that the form demands
            options = tuple(_split(rest[2], ","))
            mounts.append(_Mount(fields[0], fields[1], _unescape(fields[4]), rest[0], options))
    return tuple(mounts)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator that no backslash stands before."""
    return re.split(rf"(?<!\\){separator}", text)


def _mount_of(path: str, mounts: Sequence[_Mount]) -> _Mount | None:
    """Go down the tree of mounts as the kernel does, since a deeper mount may lie hidden below a later one."""
    over = [mount for mount in mounts if _is_below(path, mount.point)]
    numbers = {mount.number for mount in over}
    here = min((m for m in over if m.parent not in numbers or m.parent == m.number), key=_depth, default=None)
    while here is not None:
        above = here
        children = [m for m in over if m.parent == above.number and m is not above]
        below = min(children, key=_depth, default=None)
        if below is None:
            return here
        over.remove(below)  # each is taken once, so that a table which loops ends too
        here = below
    return None


def _depth(mount: _Mount) -> int:
    return len(mount.point)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _layer_over(path: str, mount: _Mount) -> str:
    """Give the layer of an overlay that `path` lies in; empty: none."""
    if mount.kind != "overlay":
        return ""
    for option in mount.options:
        key, _, value = option.partition("=")
        if key in {"lowerdir", "lowerdir+", "datadir+", "upperdir"}:
            for layer in _split(value, ":"):
                folder = re.sub(r"\\([:,\\])", r"\1", _unescape(layer))
                if folder.startswith("/") and folder != "/" and _is_below(path, folder):
                    return folder
    return ""


def _show(path: str) -> str:
    return shown(path.encode("utf-8", "surrogateescape"))
