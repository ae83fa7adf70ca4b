"""The service managers, controlled by their own commands; the only module that runs other programs.

Every method reports a failure by raising ControlError, which contains the manager's own output.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple, Protocol

from watcher.errors import EXIT_CONFIG, WatcherError

_START_SECONDS = 660  # above the unit's TimeoutStartSec: systemd times out first, and reports why
_LAST_WORDS = 5  # lines of the journal: they show why a service can't start
_STOP_SECONDS = 24 * 3600  # a photo may take long, and systemd has its own timeout


class ControlError(WatcherError):
    """A service manager can't do what was requested."""

    exit_code = EXIT_CONFIG


class Standing(NamedTuple):
    """The state of an installed service."""

    enabled: bool  # it starts by itself
    active: bool  # it runs


class ServiceManager(Protocol):
    """The operations of a service manager; `path` is that of our unit or plist."""

    def absent(self) -> str:
        """Return why it can't be used here; empty: it can."""
        ...

    def faults(self, text: str) -> str:
        """Return what is wrong with a unit or plist; empty: nothing."""
        ...

    def standing(self, path: str) -> Standing:
        """Return the state of the service."""
        ...

    def start(self, path: str, *, changed: bool) -> None:
        """Start it now and at each boot or login; `changed`: restart it if it runs."""

    def stop(self, path: str) -> None:
        """Stop it cleanly, and no longer start it automatically."""

    def forget(self) -> None:
        """Update the manager after the file was removed."""


class Systemd:
    """systemd, of the system or of the current user."""

    def __init__(self, name: str, *, system: bool) -> None:
        self._name = name
        self._system = system
        self._ctl = ["systemctl", "--no-pager"] if system else ["systemctl", "--user", "--no-pager"]

    def absent(self) -> str:
        """Return why it can't be used here; empty: it can."""
        if not os.path.isdir("/run/systemd/system") or not shutil.which("systemctl"):
            return (
                "systemd does not run this machine; `watcher run` works under any supervisor that stops it by SIGTERM"
            )
        code, said = _run(*self._ctl, "show", "--property=Version")
        if code == 0:
            return ""
        if self._system:
            return f"systemd does not answer: {said}"
        return f"this user has no systemd that answers ({said}); log in directly and not by `su`, or take --system"

    def faults(self, text: str) -> str:
        """Return what is wrong with a unit; empty: nothing."""
        if not shutil.which("systemd-analyze"):
            return ""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, self._name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            whose = "--system" if self._system else "--user"
            code, said = _run("systemd-analyze", "verify", whose, "--man=no", "--recursive-errors=no", path)
        # errors of other units are ignored
        ours = [line.replace(folder + "/", "") for line in said.splitlines() if self._name in line]
        return "\n".join(ours) or (said if code else "")

    def standing(self, path: str) -> Standing:
        """Return the state of the service."""
        del path  # systemd knows it by name
        _, said = _run(*self._ctl, "show", "--property=UnitFileState,ActiveState", self._name)
        return Standing("UnitFileState=enabled" in said, "ActiveState=active" in said)

    def start(self, path: str, *, changed: bool) -> None:
        """Enable it, and start it; `changed`: restart it if it runs."""
        del path  # the same
        self._do("daemon-reload")
        self._do("enable", self._name)
        self._do("reset-failed", self._name, may_fail=True)  # it may not be loaded yet
        try:
            self._do("restart" if changed else "start", self._name, seconds=_START_SECONDS)
        except ControlError as error:
            raise ControlError(f"{error}\n{self._last_words()}") from None

    def stop(self, path: str) -> None:
        """Stop it cleanly, and disable it."""
        del path  # the same
        self._do("disable", self._name, may_fail=True)  # it may never have been enabled
        self._do("stop", self._name, seconds=_STOP_SECONDS)

    def forget(self) -> None:
        """Reload systemd after the unit was removed."""
        self._do("daemon-reload")
        self._do("reset-failed", self._name, may_fail=True)  # it may not have failed

    def _last_words(self) -> str:
        journal = ["journalctl"] if self._system else ["journalctl", "--user"]
        _, said = _run(*journal, "--no-pager", "--output=cat", f"--unit={self._name}", f"--lines={_LAST_WORDS}")
        return said

    def _do(self, *words: str, seconds: float = 90.0, may_fail: bool = False) -> None:
        code, said = _run(*self._ctl, *words, seconds=seconds)
        if code != 0 and not may_fail:
            raise ControlError(f"`{' '.join([*self._ctl, *words])}` failed: {said}")


class Launchd:
    """launchd, of the system or of the current user."""

    def __init__(self, name: str, *, system: bool) -> None:
        self._domain = "system" if system else f"gui/{os.getuid()}"
        self._target = f"{self._domain}/{name}"

    def absent(self) -> str:
        """Return why it can't be used here; empty: it can."""
        return "" if shutil.which("launchctl") else "there is no launchctl here"

    def faults(self, text: str) -> str:
        """Return what is wrong with a plist; empty: nothing."""
        import plistlib  # noqa: PLC0415  # only needed on macOS

        try:
            plistlib.loads(text.encode())
        except Exception as error:  # noqa: BLE001  # expat's errors and others
            return str(error)
        return ""

    def standing(self, path: str) -> Standing:
        """Return the state of the service."""
        code, said = _run("launchctl", "print", self._target)
        return Standing(os.path.exists(path), code == 0 and "state = running" in said)

    def start(self, path: str, *, changed: bool) -> None:
        """Load it, which starts it; `changed`: restart it if it runs."""
        if changed:
            self.stop(path)
        self._do("bootstrap", self._domain, path)

    def stop(self, path: str) -> None:
        """Stop it cleanly, and unload it."""
        del path  # launchd knows it by name
        _run("launchctl", "bootout", self._target, seconds=_STOP_SECONDS)  # it may not be loaded

    def forget(self) -> None:
        """Do nothing: launchd keeps nothing about an unloaded service."""

    def _do(self, *words: str) -> None:
        code, said = _run("launchctl", *words)
        if code != 0:
            raise ControlError(f"`launchctl {' '.join(words)}` failed: {said}")


def manager(*, system: bool, unit: str, label: str) -> ServiceManager:
    """Return this platform's service manager."""
    return Launchd(label, system=system) if sys.platform == "darwin" else Systemd(unit, system=system)


def add_account(name: str, home: str) -> None:
    """Create an account without a login, with a group of the same name."""
    shell = next((path for path in ("/usr/sbin/nologin", "/sbin/nologin") if os.path.exists(path)), "/bin/false")
    words = ["useradd", "--system", "--user-group", "--home-dir", home, "--no-create-home", "--shell", shell, name]
    code, said = _run(*words)
    if code != 0:
        raise ControlError(f"The user `{name}` can't be made ({said}): make it yourself, or name another with --as.")


def _run(*words: str, seconds: float = 90.0) -> tuple[int, str]:
    """Run a command to its end; return its exit code and its output."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"},
        )
    except FileNotFoundError:
        return 127, f"there is no {words[0]} here"
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {seconds:g} s"
    return done.returncode, done.stdout.decode(errors="replace").strip()
