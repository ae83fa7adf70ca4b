"""The installed command as a process, in a home of its own, and what its outputs have to be."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

from PIL import Image

from tests import photos
from tests.e2e import forks

COMMAND = forks.COMMAND
MARK = "WATCHER_TEST_MARK"  # in the environment of all that a test starts, so that what is left can be found
TIMEOUT = 30.0  # seconds; far above anything a healthy run needs

Rendition = Mapping[str, object]

WEB: Rendition = {"width": 300, "height": 300}
THUMB: Rendition = {"width": 90, "height": 90, "fit": "cover"}
BOTH: Mapping[str, Rendition] = {"web": WEB, "thumb": THUMB}


# ---- photos ----


def camera(number: int = 0, width: int = 600, height: int = 400) -> bytes:
    """Encode a photo that no other number gives: its middle has a colour of its own."""
    image = photos.scene(width, height)
    image.paste(tint(number), (width * 3 // 8, height * 3 // 8, width * 5 // 8, height * 5 // 8))
    return photos.jpeg(image)


def tint(number: int) -> tuple[int, int, int]:
    return (number * 67 % 256, number * 131 % 256, number * 29 % 256)


def fill(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Write photos that differ from each other into a folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(first, first + count):
        path = folder / f"p{number:03}.jpg"
        path.write_bytes(camera(number))
        paths.append(path)
    return paths


MARK_OF_TREE = ".watcher-output"


def is_whole(path: Path) -> bool:
    """Tell whether a file decodes to its last row."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError):
        return False
    return True


def middle(path: Path) -> tuple[int, int, int]:
    with Image.open(path) as image:
        x, y = image.width // 2, image.height // 2
        found = image.crop((x, y, x + 1, y + 1)).convert("RGB").getpixel((0, 0))
    return cast("tuple[int, int, int]", found)


def shows(path: Path, number: int) -> bool:
    """Tell whether an output was made of photo `number`."""
    return all(abs(a - b) < 14 for a, b in zip(middle(path), tint(number), strict=True))


def files(folder: Path) -> Iterator[Path]:
    """Give every file below a folder, also while folders come and go: `Path.rglob` raises then."""
    for above, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(above, name)).is_file())


def tree(folder: Path) -> dict[str, Path]:
    """Give every file below a folder by its path in it."""
    return {str(path.relative_to(folder)): path for path in files(folder) if path.name != MARK_OF_TREE}


def fingerprint(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Give of every file what changes when it is written again: inode and change time, and its bytes' hash."""
    return {
        name: (path.stat().st_ino, path.stat().st_ctime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for name, path in tree(folder).items()
    }


def temporary(folder: Path) -> list[Path]:
    return [path for path in files(folder) if path.name.startswith(".") and path.name != MARK_OF_TREE]


# ---- waiting ----


def until(holds: Callable[[], object], what: str, seconds: float = TIMEOUT) -> None:
    """Poll until something holds; fail with `what` where it does not in time.

    What takes long to ask is asked less often, to leave the CPU to what is waited for.
    """
    began = time.monotonic()
    deadline = began + seconds
    while not holds():
        answered = time.monotonic()
        assert answered < deadline, f"not in {seconds:g} s: {what}"
        took = answered - began
        time.sleep(min(max(0.02, 2 * took), 0.5))
        began = time.monotonic()


# ---- a place to run in ----


def marked(mark: str) -> list[int]:
    """Give the pids of all processes that have a mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def toml(value: object) -> str:
    """Write a value as TOML, strings and numbers as JSON does."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


class Place:
    """A home with an inbox, an output folder, a config and a state file of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / "inbox"
        self.output = root / "output"
        self.config = root / "config.toml"
        self.state = root / "state.db"
        self.within: list[str] = []  # what commands beside the daemon are run through
        self.inbox.mkdir()
        self.mark = uuid.uuid4().hex
        home = root / "home"
        home.mkdir()
        places = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "STATE", "CACHE", "DATA")}
        self.env = {**os.environ, **places, "HOME": str(home), MARK: self.mark, "COLUMNS": "200", "TERM": "dumb"}
        self._env = dict(self.env)
        self.configure()

    def configure(
        self,
        renditions: Mapping[str, Rendition] | None = None,
        inbox: Mapping[str, object] | None = None,
        *,
        more_inboxes: Iterable[Mapping[str, object]] = (),
        **top: object,
    ) -> None:
        """Write the config: two small renditions, short waits and the debug log, unless told otherwise."""
        top = {
            "state": str(self.state),
            "nice": 0,  # tests run beside each other
            "batch": {"quiet_seconds": 0.2, "max_wait_seconds": 2.0},
            "log": {"format": "json", "level": "debug"},
            "rendition": BOTH if renditions is None else renditions,
            "inbox": [{"path": str(self.inbox), "output": str(self.output), **(inbox or {})}, *more_inboxes],
            **top,
        }
        lines = [f"{key} = {_inline(value)}" for key, value in top.items()]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def watcher(self, *args: str | Path, seconds: float = 60.0) -> Finished:
        """Run the command to its end; where its environment is a special one, Python is started anew for it."""
        if forks.POSSIBLE and not self.within and self.env == self._env:
            code, out, err = forks.run([*map(str, args)], self.env, self.root, seconds)
            return Finished(code, out.decode(), err.decode())
        done = subprocess.run(
            [*self.within, COMMAND, *map(str, args)],
            env=self.env,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    def once(self, *args: str, seconds: float = 60.0) -> Finished:
        return self.watcher("once", "--config", self.config, *args, seconds=seconds)

    def status(self) -> dict[str, Any]:
        found = self.watcher("status", "--config", self.config, "--json")
        assert found.code == 0, found
        return cast("dict[str, Any]", json.loads(found.out))

    def run(self, *args: str, via: Sequence[str] = ()) -> Running:
        """Start the daemon on the config."""
        return Running(self, "run", "--config", str(self.config), *args, via=via)

    def left(self) -> list[int]:
        """Give the pids of all that a test started here and that still runs."""
        return marked(self.mark)

    def outputs(self, *paths: str) -> list[Path]:
        """Name the two outputs of each photo, given relative to the inbox."""
        return [self.output / rendition / path for path in paths for rendition in BOTH]


def _inline(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return toml(value)


def reported(place: Place) -> dict[str, Any]:
    """Read what a daemon has last written of its inbox: `watcher status`, asked often, would take CPU from it."""
    with contextlib.closing(sqlite3.connect(f"file:{place.state}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT report FROM inbox WHERE path = ?", (os.fsencode(place.inbox),)).fetchone()
    return cast("dict[str, Any]", json.loads(found[0])) if found else {}


class Finished:
    """What a command that ended said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        self.log = list(_parsed(err.splitlines()))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == name]

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def _parsed(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict) and "event" in found:
                yield found


class Running:
    """A daemon, and its log as it comes; `via` is what starts it, as `nice` would."""

    def __init__(self, place: Place, *args: str, ready: bool = True, via: Sequence[str] = ()) -> None:
        self.place = place
        self.lines: list[str] = []
        self._events: list[dict[str, Any]] = []  # each line parsed once: tests ask many times a second
        self.process = subprocess.Popen(
            [*via, COMMAND, *args],
            env=place.env,
            cwd=place.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._ready = ready

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            self._events.extend(_parsed([line]))

    def __enter__(self) -> Self:
        if self._ready:
            self.wait_for("scan.done")
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
            finally:
                self._close()
        else:
            self._close()
        if error[0] is not None:
            print("".join(self.lines[-60:]))

    def _close(self) -> None:
        self.process.wait()
        until(lambda: not self.place.left(), "every worker has left", 5.0)
        self._reader.join(5.0)
        assert self.process.stderr is not None
        self.process.stderr.close()

    # ---- its log ----

    @property
    def log(self) -> list[dict[str, Any]]:
        return list(self._events)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == name]

    def wait_for(self, name: str, count: int = 1, seconds: float = TIMEOUT) -> None:
        """Wait until the log has `count` lines of an event."""

        def there() -> bool:
            return len(self.events(name)) >= count or self.process.poll() is not None

        until(there, f"{count} times {name}", seconds)
        assert len(self.events(name)) >= count, f"ended with {self.process.poll()}\n" + "".join(self.lines[-40:])

    def made(self) -> Counter[str]:
        """Count how often each photo was made, by its path in the inbox."""
        prefix = str(self.place.inbox.resolve()) + "/"
        return Counter(line["path"].removeprefix(prefix) for line in self.events("photo.done") if line["renditions"])

    def settle(self, photos_made: int, seconds: float = TIMEOUT) -> None:
        """Wait until that many photos are made and nothing is under way any more."""
        until(lambda: sum(self.made().values()) >= photos_made, f"{photos_made} photos made", seconds)
        until(lambda: not self._waiting(), "nothing waits in the state file", seconds)
        until(lambda: self.place.status()["inboxes"][0]["waiting"] == 0, "nothing waits", seconds)

    def _waiting(self) -> int:
        """Return how many photos wait by the state file; 0 where it can't be read, `status` is asked afterwards."""
        with contextlib.suppress(sqlite3.Error):
            return int(reported(self.place).get("waiting") or 0)
        return 0

    # ---- what is done to it ----

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop, and give the exit code."""
        self.send(signal.SIGTERM)
        return self.process.wait(TIMEOUT)


class Beside(ABC):
    """Somebody who acts over and over, on a thread of their own, for as long as this is entered."""

    def __init__(self, pause: float) -> None:
        self._pause = pause  # seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @abstractmethod
    def act(self) -> None: ...

    @property
    def ending(self) -> bool:
        return self._end.is_set()

    def _run(self) -> None:
        while not self._end.wait(self._pause):
            self.act()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()


class Looker(Beside):
    """Somebody who opens every output over and over, and notes those that do not decode."""

    def __init__(self, output: Path) -> None:
        super().__init__(0.01)
        self.looks = 0
        self.broken: list[str] = []
        self._output = output
        self._whole: dict[Path, tuple[int, int, int]] = {}  # what was seen whole, by inode, size and time of change

    def act(self) -> None:
        for path in [path for path in files(self._output) if path.suffix == ".jpg"]:
            self._look(path)
            if self.ending:
                return

    def _look(self, path: Path) -> None:
        """Decode an output, unless it has not changed since it was seen whole."""
        if not path.is_file():
            return
        found = path.stat()
        version = (found.st_ino, found.st_size, found.st_ctime_ns)
        if self._whole.get(path) == version:
            return
        self.looks += 1
        if is_whole(path):
            self._whole[path] = version
        else:
            self.broken.append(str(path))
