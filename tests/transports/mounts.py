"""Inboxes of which no events tell: FUSE file systems that are written to behind their mount, a kernel without inotify.

The photos are written where the mount gets them from, as somebody else on a file server does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.harness import until
from tests.transports.clients import version_of
from tests.transports.local import Copy, cut_off
from tests.transports.road import Ground, Kind, Road, absent, first_line
from tests.transports.ssh import HOST, Line


class Behind(Road):
    """Somebody copies photos into the folder that a mount shows."""

    kind = Kind.SCANNED
    watch = "poll"

    @property
    def served(self) -> Path:
        """The folder behind the mount."""
        return self.ground.root / "served"

    @property
    def landing(self) -> Path:
        return self.served

    @property
    def settings(self) -> dict[str, object]:
        return {"poll_seconds": 1}

    def put(self, source: Path, name: str) -> None:
        self.ground.run("cp", source, self.served / name)

    def put_tree(self, source: Path, name: str) -> None:
        self.ground.run("cp", "-r", source, self.served / name)

    def interrupt(self, source: Path, name: str) -> None:
        cut_off(self.ground, source, "cp", source, self.served / name)

    def resume(self, source: Path, name: str) -> None:
        there = (self.served / name).stat().st_size
        options = (f"skip={there}", "iflag=skip_bytes", "oflag=append", "conv=notrunc")
        self.ground.run("dd", f"if={source}", f"of={self.served / name}", *options)


def no_fuse(tool: str) -> str:
    """Say why nothing can be mounted by this program here; empty: it can."""
    if missing := absent(tool):
        return missing
    if not Path("/dev/fuse").exists():
        return "no FUSE in this kernel"
    if os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        return "this root may not mount"
    return ""


def mount(ground: Ground, point: Path, *command: str | Path) -> None:
    """Mount by a FUSE program that stays in the foreground; it is let go with the road."""
    ground.serve(*command, ready=point.is_mount)
    ground.stack.callback(_unmount, point)


def _unmount(point: Path) -> None:
    tool = ["fusermount3", "-u"] if shutil.which("fusermount3") else ["umount"]
    if subprocess.run([*tool, point], check=False, capture_output=True).returncode != 0:
        subprocess.run([*tool, "-z" if len(tool) > 1 else "-l", point], check=True)
    until(lambda: not point.is_mount(), "it is unmounted")


class Bindfs(Behind):
    name = "FUSE, bindfs"

    @classmethod
    def missing(cls) -> str:
        return no_fuse("bindfs")

    @classmethod
    def versions(cls) -> str:
        return first_line("bindfs", "--version")

    def open(self) -> None:
        self.served.mkdir()
        mount(self.ground, self.inbox, "bindfs", "-f", "--no-allow-other", self.served, self.inbox)


class Sshfs(Behind):
    name = "FUSE, sshfs -o dir_cache=no"  # which remembers folders for 20 seconds otherwise

    @classmethod
    def missing(cls) -> str:
        return no_fuse("sshfs") or absent("sshd")

    @classmethod
    def versions(cls) -> str:
        return f"sshfs {version_of(['sshfs', '--version'])}, OpenSSH {version_of(['ssh', '-V'])}"

    def open(self) -> None:
        self.served.mkdir()
        line = Line(self.ground)
        options = ("-f", "-o", "dir_cache=no", *line.shared)
        mount(self.ground, self.inbox, "sshfs", *options, f"{HOST}:{self.served}", self.inbox)


class NoWatches(Copy):
    """A kernel that gives this user no inotify any more."""

    name = "cp, no inotify left"
    kind = Kind.SCANNED
    watch = "poll"

    @classmethod
    def missing(cls) -> str:
        may = not absent("unshare") and subprocess.run(["unshare", "-Ur", "true"], check=False).returncode == 0
        return "" if may else "no user namespaces, in which to lower its limit"

    @property
    def settings(self) -> dict[str, object]:
        return {"poll_seconds": 1}

    @property
    def command(self) -> Sequence[str]:
        return "unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$0" "$@"'


ROADS: tuple[type[Road], ...] = (Bindfs, Sshfs, NoWatches)
