"""File systems of their own for tests: small ones, read-only ones. Only root may mount."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest


@cache
def can_mount() -> bool:
    """Tell whether this process may mount; tried in a mount namespace of its own, so that nothing is left."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not can_mount(), reason="only root may mount a small file system")


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mount a tmpfs (unless told otherwise by `options`) on a folder for as long as this is entered."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *(options or ("-t", "tmpfs")), "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def volume(source: Path, folder: Path) -> Iterator[None]:
    """Mount one folder on another for as long as this is entered, as a disk that is plugged in and out."""
    subprocess.run(["mount", "--bind", source, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write below a folder for as long as this is entered."""
    if os.geteuid() != 0:
        mode = folder.stat().st_mode
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(mode)
        return
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def can_fold() -> bool:
    """Tell whether a file system can be had here that folds case, as memory cards and most of macOS and Windows do."""
    tools = ("mkfs.exfat", "mount.exfat-fuse", "losetup")
    return can_mount() and all(map(shutil.which, tools)) and os.path.exists("/dev/fuse")


needs_folding = pytest.mark.skipif(
    not can_fold(), reason="only root may mount, or exfat-fuse or exfatprogs is not installed"
)


@contextmanager
def folding(folder: Path) -> Iterator[None]:
    """Mount an exFAT on a folder for as long as this is entered: `A.jpg` and `a.jpg` are one name there."""
    folder.mkdir(exist_ok=True)
    image = folder.with_name("exfat.img")
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.exfat", image], check=True, stdout=subprocess.DEVNULL)
    made = subprocess.run(["losetup", "--find", "--show", image], check=True, stdout=subprocess.PIPE, text=True)
    device = made.stdout.strip()
    try:
        subprocess.run(["mount.exfat-fuse", device, folder], check=True, stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


class Filler:
    """A file that takes up whatever room a file system has left."""

    def __init__(self, folder: Path, spare: int = 0) -> None:
        self._path = folder / "filler"
        room = os.statvfs(folder)
        size = max(0, room.f_bavail * room.f_frsize - spare)
        with self._path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def remove(self) -> None:
        self._path.unlink()
