"""Who is about while a cluster works: one who drops photos, one who opens every output, and a murderer."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Self

from PIL import Image
from watchdog.events import FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from tests import photos
from tests.cluster.cluster import Member
from tests.e2e.harness import Rendition, is_whole, tint, until
from tests.faults.processes import cpu_seconds

_DECODING_SECONDS = 0.2  # of CPU time: more than it takes to read and to hash a photo

SMALL: Mapping[str, Rendition] = {
    "web": {"width": 24, "height": 24},
    "thumb": {"width": 8, "height": 8, "fit": "cover"},
}


def tiny(number: int) -> bytes:
    """Encode a photo of a few hundred bytes that no other number gives, and whose copies differ from all others'."""
    image = Image.new("RGB", (48, 32), tint(number))
    image.paste(tint(number // 256), (0, 0, 16, 32))
    image.paste(tint(number * 7 + 1), (32, 16, 48, 32))
    return photos.jpeg(image)


class Somebody:
    """A thread that does one thing over and over until it is told to leave."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def _live(self) -> None:
        while not self._end.wait(self._every) and self.act():
            pass

    def act(self) -> bool:
        """Do it once; False: there is nothing more to do."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


class Dropper(Somebody):
    """Drops photos into the inbox, whole, and a crowd of them ahead of what is made, until there are `wanted`."""

    def __init__(self, inbox: Path, made: Callable[[], int], ahead: int = 150) -> None:
        super().__init__(0.005)
        self._inbox, self._made, self._ahead = inbox, made, ahead
        self._part = inbox.parent / "dropped.part"
        self.wanted = self.dropped = 0

    def act(self) -> bool:
        while self.dropped < min(self.wanted, self._made() + self._ahead):
            self._part.write_bytes(tiny(self.dropped))
            self._part.rename(self._inbox / f"p{self.dropped:05}.jpg")
            self.dropped += 1
        return True


class Witness(FileSystemEventHandler):
    """Opens every output the moment it has its final name, and notes those that are not whole then."""

    def __init__(self, output: Path, renditions: Iterable[str]) -> None:
        self.appeared: Counter[str] = Counter()  # how often, by rendition and name
        self.broken: list[str] = []
        self._output = output
        for rendition in renditions:  # a folder that is new when its first output appears would hide that one
            (output / rendition).mkdir(parents=True, exist_ok=True)
        self._observer = Observer()
        self._observer.schedule(self, str(output), recursive=True, event_filter=[FileMovedEvent])

    def dispatch(self, event: FileSystemEvent) -> None:
        path = Path(os.fsdecode(event.dest_path))
        if not is_whole(path):
            self.broken.append(str(path))
        self.appeared[str(path.relative_to(self._output))] += 1

    def count(self, rendition: str = "web") -> int:
        """Tell how many photos have that rendition."""
        return sum(name.startswith(f"{rendition}/") for name in list(self.appeared))

    def wait_for(self, count: int, seconds: float = 120.0) -> None:
        until(lambda: self.count() >= count, f"{count} photos are made", seconds)

    def __enter__(self) -> Self:
        self._observer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._observer.stop()
        self._observer.join()


class Murderer(Somebody):
    """Kills every process that has opened one of some photos, as the system does when memory runs out."""

    def __init__(self, processes: Callable[[], Iterable[int]], *poison: Path) -> None:
        super().__init__(0.01)
        self.killed: set[int] = set()  # pids
        self._processes = processes
        self._names = {path.name for path in poison}

    def act(self) -> bool:
        for pid in set(self._processes()) - self.killed:
            if self._names & set(map(os.path.basename, opened(pid))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed.add(pid)
        return True


def opened(pid: int) -> list[str]:
    """Give the paths that a process has open, as it sees them."""
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(entry.path))
    return found


def at_work(members: Collection[Member], photo: Path) -> Member:
    """Wait until one of some workers decodes a slow photo; which. What it would reuse it has looked for before that."""
    began: dict[int, float] = {}  # process → the CPU time that it had used when it was first seen with the photo
    found: list[Member] = []

    def decodes(pid: int) -> bool:
        if not _has(pid, photo):
            return False
        used = cpu_seconds(pid)
        return used >= began.setdefault(pid, used) + _DECODING_SECONDS

    def look() -> bool:
        found.extend(member for member in members if any(map(decodes, member.family())))
        return bool(found)

    until(look, f"a worker decodes {photo.name}")
    return found[0]


def _has(pid: int, photo: Path) -> bool:
    return photo.name in map(os.path.basename, opened(pid))
