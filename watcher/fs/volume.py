"""Find the mount point of an output tree, and refuse to write to a mount point that has lost its volume."""

from __future__ import annotations

import os
from collections.abc import Iterable

from watcher.core.output_paths import top_folders
from watcher.core.types import Failed, FailureKind, Job
from watcher.core.volumes import belongs_on
from watcher.fs.faults import Abort
from watcher.fs.openat import open_root
from watcher.text import shown, utf8_bytes


def highest_on_device(folder: bytes) -> bytes:
    """Return the highest folder on the same device as `folder`, or as the existing part of its path; empty: unknown.

    Two mounts of the same device are not distinguished: for a disk that may be missing, that makes no difference.
    """
    try:
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        device = os.stat(folder).st_dev
        while (above := os.path.dirname(folder)) != folder and os.stat(above).st_dev == device:
            folder = above
    except OSError:
        return b""
    return folder


def is_nested(folder: int, inbox: bytes) -> bool:
    """Return whether an open folder is on a volume that is mounted below the inbox. Raise OSError.

    A folder that is mounted there, as in a container, has the inbox's device: on Linux the kernel numbers the mounts.
    """
    root = open_root(inbox, create=False)
    try:
        return os.fstat(folder).st_dev != os.fstat(root).st_dev or _mount(folder) != _mount(root)
    finally:
        os.close(root)


def _mount(folder: int) -> bytes:
    """Return what tells mounts apart of the one through which a folder was opened; empty: nothing does."""
    try:
        with open(f"/proc/self/fdinfo/{folder}", "rb", buffering=0) as found:
            return next((line for line in found.read(4096).splitlines() if line.startswith(b"mnt_id:")), b"")
    except OSError:
        return b""


def is_bare(root: bytes, folders: Iterable[str]) -> bool:
    """Return whether no rendition has its folder there; where one has none of its own, whether nothing is there."""
    return not any(_exists(root, name) for name in folders)


def _exists(root: bytes, folder: str) -> bool:
    if folder:
        return os.path.lexists(root + b"/" + utf8_bytes(folder))
    try:
        return any(not name.startswith(b".") for name in os.listdir(root))
    except OSError:
        return False


def check(job: Job) -> None:
    """Raise Abort if the job's output has lost its volume."""
    if job.volume in {b"", b"/"}:
        return
    folders = top_folders({rendering.name: rendering.recipe for rendering in job.renderings})
    now = highest_on_device(job.output_root)
    if now == job.volume or belongs_on(job.volume, now, bare=is_bare(job.output_root, folders)) != job.volume:
        return
    root = shown(job.output_root)
    raise Abort(
        Failed(
            f"{root} was on a volume at {shown(job.volume)} that is not mounted now: mount it,"
            f" or, to begin anew without it, make the folder {root}/{folders[0] or 'new'}",
            FailureKind.OUTPUT,
        )
    )
