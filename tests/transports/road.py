"""What a road into the inbox has to do, and the ground that it runs on.

A road is one way by which photos come: a client, with its server where it has one, both real and started here as
processes of our own on free ports of the loopback. `drop.py` sends the same photos over each.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from tests.e2e.harness import Place
from tests.transports.card import Version

_ENDING_SECONDS = 5.0
_STARTING_SECONDS = 20.0


class Kind(StrEnum):
    """How a road writes: this decides what can be asked of it."""

    RENAMES = "renames"  # under another name or in another place first
    CLOSES = "closes once"  # under the final name, and closes it when it is whole
    APPEARS = "appears"  # under the final name, whole, and nobody closes it
    REOPENS = "reopens"  # closes it more than once, or stops in between
    SCANNED = "scanned"  # nothing tells of it: the inbox is watched by scanning


class Ground:
    """A place for one road: scratch, an empty inbox, and the processes that it starts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / "inbox"
        self.inbox.mkdir(parents=True)
        self.stack = contextlib.ExitStack()  # what is to be undone when the road ends
        self._logs = 0

    def run(
        self,
        *command: str | Path,
        check: bool = True,
        seconds: float = 60.0,
        **more: Any,  # noqa: ANN401 - Popen's
    ) -> subprocess.CompletedProcess[str]:
        """Run a client to its end; its output is kept, and told where it fails."""
        done = subprocess.run(
            [os.fspath(part) for part in command],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **_plain(more)},
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
        return done

    def start(self, *command: str | Path, **more: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - Popen's
        """Start a process; it is ended with the road if it still runs. Its output goes to a log in `root`."""
        self._logs += 1
        log = self.root / f"{Path(command[0]).name}.{self._logs}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [os.fspath(part) for part in command],
                **{"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT, **_plain(more)},
            )
        self.stack.callback(end, process)
        return process

    def serve(
        self,
        *command: str | Path,
        port: int = 0,
        ready: Callable[[], bool] | None = None,
        **more: Any,  # noqa: ANN401 - Popen's
    ) -> subprocess.Popen[bytes]:
        """Start a server, and wait until its port answers or it is `ready`."""
        process = self.start(*command, **more)
        wanted = ready or (lambda: answers(port))
        deadline = time.monotonic() + _STARTING_SECONDS
        while not wanted():
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self.root / f"{Path(command[0]).name}.{self._logs}.log").read_text(errors="replace")
                raise RuntimeError(f"{' '.join(map(str, command))} did not start ({process.poll()})\n{said[-3000:]}")
            time.sleep(0.02)
        return process

    def free_port(self) -> int:
        """Give a port of the loopback that nobody listens on."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])


def _plain(more: Mapping[str, Any]) -> dict[str, Any]:
    """Let programs speak English, and names be UTF-8."""
    return {**more, "env": {**os.environ, "LC_ALL": "C.UTF-8", **more.get("env", {})}}


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and wait for it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def absent(*tools: str) -> str:
    """Say which programs are not there; empty: all are."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    gone = [tool for tool in tools if shutil.which(tool, path=places) is None]
    return f"{' and '.join(gone)} not installed" if gone else ""


def first_line(*command: str) -> str:
    """Give the first line that a program prints, as for its version."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip().partition("\n")[0]


class Road(ABC):
    """One way into the inbox. `name` in an operation is a path in the inbox, with `/`."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    watch: ClassVar[str] = "native"  # what `status` must say of the inbox: native, or poll with a reason
    edits: ClassVar[bool] = False  # photos lie there already, and are changed where they are
    recodes: ClassVar[bool] = False  # what arrives has other bytes than what was sent
    lag: ClassVar[float] = 0.0  # seconds by which the road itself tells late of a last byte
    cannot: ClassVar[Mapping[str, str]] = {}  # operation -> why this road has none

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    @classmethod
    def missing(cls) -> str:
        """Say why this road can't be taken here; empty: it can."""
        return ""

    @classmethod
    @abstractmethod
    def versions(cls) -> str:
        """Give the versions of its programs, as they print them."""

    def open(self) -> None:  # noqa: B027 - most roads need nothing
        """Start servers, mount; `ground` undoes it."""

    @property
    def inbox(self) -> Path:
        """What the daemon watches."""
        return self.ground.inbox

    @property
    def landing(self) -> Path | None:
        """The local folder whose events tell when a last byte came; None: there is none, the client's return counts."""
        return self.inbox

    @property
    def settings(self) -> dict[str, object]:
        """More keys of the config's `[[inbox]]`."""
        return {}

    @property
    def command(self) -> Sequence[str]:
        """What the daemon is started by, as `prlimit` would."""
        return ()

    def place(self, home: Path) -> Place:
        """Give the place that the daemon runs in, and the commands that ask it."""
        return Place(home)

    def adds(self, name: str) -> bool:  # noqa: ARG002 - most add nothing
        """Tell whether the road itself adds a photo of this name, as a copy of a conflict."""
        return False

    def edited(self, version: Version) -> Version:
        """Give what `put` makes of a version."""
        return version

    @abstractmethod
    def put(self, source: Path, name: str) -> None:
        """Send a photo, and return when the client says that it is done."""

    def put_tree(self, source: Path, name: str) -> None:
        """Send a folder with all below."""
        for folder, _, files in sorted(os.walk(source)):
            target = os.path.normpath(os.path.join(name, os.path.relpath(folder, source)))
            self.make_folder(target)
            for file in sorted(files):
                self.put(Path(folder, file), f"{target}/{file}")

    def make_folder(self, name: str) -> None:
        (self.inbox / name).mkdir(parents=True, exist_ok=True)

    def overwrite(self, source: Path, name: str) -> None:
        """Send a newer version over a photo."""
        self.put(source, name)

    @abstractmethod
    def interrupt(self, source: Path, name: str) -> None:
        """Send about half of a photo, and be cut off."""

    def resume(self, source: Path, name: str) -> None:
        """Go on after `interrupt`, as this road does."""
        self.put(source, name)

    def two_writers(self, one: Path, other: Path, name: str) -> None:
        """Send two photos to one name at once; each may be refused."""

        def send(source: Path) -> None:
            with contextlib.suppress(RuntimeError):
                self.put(source, name)

        threads = [threading.Thread(target=send, args=(source,)) for source in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
