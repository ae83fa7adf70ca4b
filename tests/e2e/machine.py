"""A machine of its own: a real systemd booted in namespaces by `boot.sh`, with the built wheel installed in it."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.e2e.harness import Finished, until

ROOT = Path(__file__).parents[2]
WATCHER = "/opt/watcher/bin/watcher"
PHOTOS = "/srv/photos"  # where the machine sees `Machine.photos`
_HIDDEN = ("/root", "/home", "/tmp", "/var/tmp", "/run", "/mnt")  # noqa: S108  # no place for a service's Python
_ENTER = ("-m", "-p", "-C", "-u", "-i", "-n", "-r", "-w")  # every namespace, its root and its current folder
_BOOT_SECONDS = 30.0


def unable() -> str:
    """Say why no machine can be booted here; empty: perhaps one can."""
    if sys.platform != "linux":
        return "systemd is Linux's"
    if os.geteuid() != 0:
        return "it takes root to boot a systemd"
    if not os.path.exists("/lib/systemd/systemd"):
        return "systemd is not installed here"
    missing = [tool for tool in ("unshare", "nsenter", "useradd", "systemctl") if not shutil.which(tool)]
    return f"not installed here: {', '.join(missing)}" if missing else ""


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree without a network."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


class Machine:
    """The booted machine. `photos` is a folder that it shares with the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = folder / "srv" / "photos"
        self.wheels = folder / "wheels"
        self.photos.mkdir(parents=True)
        self.wheels.mkdir()
        (folder / "on").touch()
        base = sys.base_prefix if sys.base_prefix.startswith(_HIDDEN) else "-"
        self.python = os.path.join("/opt/python" if base != "-" else sys.base_prefix, "bin", _interpreter())
        self._log = (folder / "boot.log").open("wb")
        self._process = subprocess.Popen(
            ["bash", str(ROOT / "tests" / "e2e" / "boot.sh"), str(folder), sysconfig.get_path("purelib"), base],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        (self.folder / "on").unlink(missing_ok=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()
        cgroup = Path((self.folder / "cgroup").read_text().strip()) if (self.folder / "cgroup").exists() else None
        if cgroup is not None:
            until(lambda: _remove(cgroup), "the machine's cgroup is empty")

    def _wait(self) -> None:
        """Wait until systemd is up; skip the test where it can't be booted."""
        deadline = time.monotonic() + _BOOT_SECONDS
        pid = self.folder / "pid"
        while not pid.exists() or self.run("systemctl", "is-active", "multi-user.target").out.strip() != "active":
            if self._process.poll() is not None or (time.monotonic() > deadline and not pid.exists()):
                said = (self.folder / "boot.log").read_text(errors="replace").strip().splitlines()
                pytest.skip(f"no systemd can be booted here: {said[-1] if said else 'it says nothing'}")
            assert time.monotonic() < deadline, (self.folder / "boot.log").read_text(errors="replace")
            time.sleep(0.05)

    @property
    def init(self) -> int:
        return int((self.folder / "pid").read_text())

    def cut_power(self) -> None:
        """Kill all that runs, systemd first, and boot again from the same disk."""
        before = self.init
        (self.folder / "pid").unlink()
        process = os.pidfd_open(before)
        try:
            os.kill(before, signal.SIGKILL)
            # it ends only after all others in it, one of which may still write its last file
            assert select.select([process], [], [], _BOOT_SECONDS)[0], "the machine is still on"
        finally:
            os.close(process)

    def power_on(self) -> None:
        self._wait()

    # ---- what is done in it ----

    def run(self, *words: str, user: str = "", env: Iterable[str] = (), seconds: float = 60.0) -> Finished:
        """Run a command in the machine to its end."""
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"] if user else []
        home = f"/home/{user}" if user else "/root"
        setting = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"HOME={home}", "LANG=C.UTF-8", *env]
        done = subprocess.run(
            ["nsenter", "-t", str(self.init), *_ENTER, "--", *setting, *become, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    def must(self, *words: str, user: str = "", env: Iterable[str] = (), seconds: float = 60.0) -> str:
        """Run a command that has to succeed; what it printed."""
        done = self.run(*words, user=user, env=env, seconds=seconds)
        assert done.code == 0, (words, done)
        return done.out

    def install_wheel(self, name: str) -> None:
        """Install or upgrade watcher from a wheel in `wheels`, by pip as a user would, but without a network."""
        pip = ["/opt/watcher/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        self.must(
            *pip, "--no-index", "--no-deps", "--upgrade", f"/opt/wheels/{name}", env=["PIP_ROOT_USER_ACTION=ignore"]
        )

    def make_environment(self) -> None:
        """Make the environment for the wheel, which finds what watcher depends on in that of the tests."""
        # a Python that was moved here may look for its library where only root can
        self.must("sh", "-c", "echo /opt/python/lib >/etc/ld.so.conf.d/00-python.conf && ldconfig")
        self.must(self.python, "-m", "venv", "--without-pip", "/opt/watcher")
        self.must("sh", "-c", "echo /opt/deps >$(echo /opt/watcher/lib/python3*/site-packages)/deps.pth")

    def show(self, *properties: str) -> dict[str, str]:
        """Ask systemd for properties of the service."""
        said = self.must("systemctl", "show", "watcher.service", "--property=" + ",".join(properties))
        return dict(line.split("=", 1) for line in said.splitlines())

    def journal(self, form: str = "cat") -> str:
        return self.must("journalctl", "--unit=watcher.service", f"--output={form}", "--no-pager")

    def processes(self) -> list[int]:
        """Give the host's numbers of all processes of the service."""
        with contextlib.suppress(OSError):
            found = (Path((self.folder / "cgroup").read_text().strip()) / "system.slice" / "watcher.service").rglob(
                "cgroup.procs"
            )
            return [int(number) for path in found for number in path.read_text().split()]
        return []


def _interpreter() -> str:
    return os.path.basename(os.path.realpath(sys.executable))


def _remove(cgroup: Path) -> bool:
    with contextlib.suppress(OSError):
        for path in sorted(cgroup.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
        cgroup.rmdir()
    return not cgroup.exists()


def drop(folder: Path, photos: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Put photos into an inbox as a careful program does: whole, by rename."""
    for name, data in photos:
        temporary = folder / f".{name}.part"
        temporary.write_bytes(data)
        temporary.rename(folder / name)
        yield name
