"""Hosts in network namespaces: each with an address, a name, processes and a link of its own, and one shared folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.e2e.harness import until

_HERE = Path(__file__).parent


def unable() -> str:
    """Say why no hosts can be made here; empty: perhaps they can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "it takes root to make hosts in network namespaces"
    missing = [tool for tool in ("ip", "unshare", "nsenter", "mount", "hostname") if not shutil.which(tool)]
    if missing:
        return f"not installed here: {', '.join(missing)}"
    tried = subprocess.run(
        ["unshare", "--net", "ip", "link", "add", "name", "left", "type", "veth", "peer", "name", "right"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no network can be made here: {tried.stderr.strip()}" if tried.returncode else ""


class Network:
    """A hub, where the daemon and the scheduler run, and hosts that are linked with it, each by a cable of its own."""

    def __init__(self, shared: Path, seen: Path) -> None:
        self._shared, self._seen = shared, seen  # the folder, and where hosts see it
        self._holders: list[subprocess.Popen[str]] = []
        self._hosts: dict[str, int] = {}  # number of the cable by the hub's name for it
        self._hub = 0

    def __enter__(self) -> Self:
        holder = self._hold("unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity")
        self._hub = holder.pid
        return self

    def __exit__(self, *_: object) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()
            assert holder.stdout is not None
            holder.stdout.close()

    def hub(self) -> list[str]:
        """Give what starts a command in the hub; the process is the command's own."""
        return ["nsenter", f"--net=/proc/{self._hub}/ns/net", "--"]

    def join(self, cable: str, name: str) -> Host:
        """Make a host called `name`, on a new cable. Two hosts may have the same name, as containers do."""
        number = self._hosts[cable] = len(self._hosts) + 1
        namespaces = ["--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        holder = self._hold(
            "unshare", *namespaces, "bash", str(_HERE / "host.sh"), name, str(self._shared), str(self._seen)
        )
        host = Host(_children(holder.pid)[0], f"10.77.{number}.1", name)
        self._ip("link", "add", "name", cable, "type", "veth", "peer", "name", "eth0", "netns", str(host.init))
        self._ip("address", "add", f"10.77.{number}.1/24", "dev", cable)
        self._ip("link", "set", cable, "up")
        host.must("ip", "address", "add", f"10.77.{number}.2/24", "dev", "eth0")
        host.must("ip", "link", "set", "eth0", "up")
        host.must("ip", "route", "add", "default", "via", host.hub)
        return host

    def pull(self, cable: str) -> None:
        """Unplug a cable: nothing gets through, and nobody is told."""
        self._ip("link", "set", cable, "down")

    def plug(self, cable: str) -> None:
        self._ip("link", "set", cable, "up")

    def _ip(self, *words: str) -> None:
        subprocess.run([*self.hub(), "ip", *words], check=True, capture_output=True)

    def _hold(self, *words: str) -> subprocess.Popen[str]:
        """Start what keeps namespaces alive, and wait until they are set up."""
        holder = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self._holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n", words
        return holder


class Host:
    """One host; `init` is its first process, without which none of its others lives."""

    def __init__(self, init: int, hub: str, name: str) -> None:
        self.init = init
        self.hub = hub  # the hub's address, as it is seen from there
        self.name = name

    def via(self) -> list[str]:
        """Give what starts a command there; the command is its child."""
        return ["nsenter", "-t", str(self.init), "-n", "-u", "-m", "-p", "--"]

    def must(self, *words: str) -> None:
        subprocess.run([*self.via(), *words], check=True, capture_output=True)

    def cut_power(self) -> None:
        """End everything there at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{self.init}").exists(), "the host is off")


def _children(pid: int) -> Sequence[int]:
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
