"""The mount table and inotify's limits: whether changes in a folder cause events, and which folders are the same.

Theory: inotify reports what was done through this kernel's own view of a file system. A network share, a shared folder
of a virtual machine or a FUSE file system is also changed by others, outside that view and without events. The same
applies to a folder that is a layer of an overlay: a write through the overlay is not a write through the folder.

One folder may have several paths: a bind mount shows a part of a file system again, and an overlay shows its layers.
The mount table identifies a folder by its device and its path on that device (`Spot`).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from watcher.fs.volume import highest_on_device
from watcher.text import shown

Advice = tuple[Literal["native", "poll"], str]

# File systems that others change without an event here. `fuseblk` is missing on purpose: it is a disk under FUSE
# (ntfs-3g, exfat), changed only through this mount, and such writes cause events.
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
_DEEPEST = 3  # levels of nested overlays that are followed
_INOTIFY = "/proc/sys/fs/inotify/"
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Spot(NamedTuple):
    """The identity of a folder, independent of its path: a place on a device."""

    device: str
    path: str  # on the device
    name: str  # the absolute path by which it is reached


class _Mount(NamedTuple):
    number: str
    parent: str
    device: str
    root: str  # the part of the device that is mounted
    point: str
    kind: str
    options: tuple[str, ...]  # of the file system


def watch_advice(path: bytes, enters: Callable[[bytes], bool] | None = None, *, mountinfo: str | None = None) -> Advice:
    """Return whether events for the folder `path` (resolved, absolute) are reliable or it must be polled, and why.

    Args:
        path: the folder.
        enters: whether a folder below it counts too, by its path in it; None: none counts.
        mountinfo: text in the format of /proc/self/mountinfo; None: that of this machine. Without one the result is
            always native (macOS: FSEvents reports from below the file systems).

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
                f"{shown(layer)} is a layer of the overlay on {shown(other.point)}: no events of writers there",
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
    return f"{mount.kind} on {shown(mount.point)} does not announce what others change there"


def file_system(path: bytes, *, mountinfo: str | None = None) -> str:
    """Return the type of the file system that `path` (resolved, absolute) is on; empty: not known here."""
    mounts = _mounts(_read_mountinfo() if mountinfo is None else mountinfo)
    mount = _mount_of(path.decode("utf-8", "surrogateescape"), mounts)
    return mount.kind if mount is not None else ""


def spots(path: bytes, *, layers: bool) -> list[Spot]:
    """Return the identities of the folder `path` (resolved, absolute); empty where there is no mount table.

    On an overlay these include the folder of the upper layer, which gets the writes, and with `layers` also the folders
    of all other layers.
    """
    mounts = _mounts(_read_mountinfo())
    return list(_spots(path.decode("utf-8", "surrogateescape"), mounts, layers, _DEEPEST))


def spots_below(path: bytes) -> list[Spot]:
    """Return what is mounted, and not hidden, below the folder `path` (resolved, absolute)."""
    mounts = _mounts(_read_mountinfo())
    name = path.decode("utf-8", "surrogateescape")
    below = (mount for mount in mounts if mount.point != name and _is_below(mount.point, name))
    return [Spot(m.device, m.root, m.point) for m in below if m is _mount_of(m.point, mounts)]


def _spots(name: str, mounts: Sequence[_Mount], layers: bool, deepest: int) -> Iterator[Spot]:
    mount = _mount_of(name, mounts)
    if mount is None or not deepest:
        return
    inside = os.path.relpath(name, mount.point)
    yield Spot(mount.device, os.path.normpath(os.path.join(mount.root, inside)), name)
    for key, folder in _layers(mount):
        if layers or key == "upperdir":
            yield from _spots(os.path.normpath(os.path.join(folder, inside)), mounts, layers, deepest - 1)


def mount_point(folder: bytes) -> bytes:
    """Return the mount point of `folder` (resolved, absolute), or of the existing part of its path; empty: unknown.

    Where there is no mount table, it is the highest folder above it on the same device.
    """
    mount = _mount_of(folder.decode("utf-8", "surrogateescape"), _mounts(_read_mountinfo()))
    if mount is not None:
        return mount.point.encode("utf-8", "surrogateescape")
    return highest_on_device(folder)


def inotify_limits() -> dict[str, int]:
    """Return inotify's `max_user_watches`, `max_user_instances` and `max_queued_events`; empty where there is none."""
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


@lru_cache(maxsize=1)  # it is requested every few seconds, and rarely changes
def _mounts(mountinfo: str) -> tuple[_Mount, ...]:
    """Parse the table (proc_pid_mountinfo(5)): `id parent dev root point options [tags] - type source options`."""
    mounts = []
    for line in mountinfo.split("\n"):
        head, separator, tail = line.partition(" - ")
        fields, rest = head.split(" "), tail.split(" ")
        if separator and len(fields) >= 6 and len(rest) >= 3:  # noqa: PLR2004 - the fields that the format requires
            options = tuple(_split(rest[2], ","))
            root, point = _unescape(fields[3]), _unescape(fields[4])
            mounts.append(_Mount(fields[0], fields[1], fields[2], root, point, rest[0], options))
    return tuple(mounts)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _split(text: str, separator: str) -> list[str]:
    """Split at each separator without a backslash before it."""
    return re.split(rf"(?<!\\){separator}", text)


def _mount_of(path: str, mounts: Sequence[_Mount]) -> _Mount | None:
    """Return the mount of a path. Descend the mount tree as the kernel does: a later mount may hide a deeper one."""
    over = [mount for mount in mounts if _is_below(path, mount.point)]
    numbers = {mount.number for mount in over}
    here = min((m for m in over if m.parent not in numbers or m.parent == m.number), key=_depth, default=None)
    while here is not None:
        above = here
        children = [m for m in over if m.parent == above.number and m is not above]
        below = min(children, key=_depth, default=None)
        if below is None:
            return here
        over.remove(below)  # each is used once, so that this ends even if the table has a loop
        here = below
    return None


def _depth(mount: _Mount) -> int:
    return len(mount.point)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _layer_over(path: str, mount: _Mount) -> str:
    """Return the layer of an overlay that contains `path`; empty: none does."""
    return next((folder for _, folder in _layers(mount) if folder != "/" and _is_below(path, folder)), "")


def _layers(mount: _Mount) -> Iterator[tuple[str, str]]:
    """Yield the layers of an overlay: the option, and the absolute folder. Yield nothing for other mounts."""
    for option in mount.options if mount.kind == "overlay" else ():
        key, _, value = option.partition("=")
        if key in {"lowerdir", "lowerdir+", "datadir+", "upperdir"}:
            for layer in _split(value, ":"):
                folder = re.sub(r"\\([:,\\])", r"\1", _unescape(layer))
                if folder.startswith("/"):
                    yield key, folder
