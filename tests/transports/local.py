"""Roads of the machine itself: copying, moving, linking, unpacking, and a writer in small blocks."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import ClassVar

from tests.transports.road import Ground, Kind, Road, absent, first_line

_MEMORY = "/dev/shm"  # noqa: S108 - a file system of its own, in which we make a folder of our own


def cut_off(ground: Ground, source: Path, *command: str | Path) -> None:
    """Run a command that dies when a file that it writes holds half of what `source` does (SIGXFSZ)."""
    half = source.stat().st_size // 2
    done = ground.run(*command, check=False, preexec_fn=lambda: _limit(half))
    if done.returncode == 0:
        raise RuntimeError(f"{command[0]} came to its end all the same")


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Local(Road):
    tools: tuple[str, ...]

    @classmethod
    def missing(cls) -> str:
        return absent(*cls.tools)

    @classmethod
    def versions(cls) -> str:
        return first_line(cls.tools[0], "--version")

    def at(self, name: str) -> Path:
        return self.inbox / name

    def write(self, source: Path, target: Path) -> tuple[str | Path, ...]:
        """Give the command that brings a photo in."""
        raise NotImplementedError

    def put(self, source: Path, name: str) -> None:
        self.ground.run(*self.write(source, self.at(name)))

    def interrupt(self, source: Path, name: str) -> None:
        cut_off(self.ground, source, *self.write(source, self.at(name)))


class Copy(_Local):
    name, kind, tools = "cp", Kind.CLOSES, ("cp",)

    def write(self, source: Path, target: Path) -> tuple[str | Path, ...]:
        return "cp", source, target

    def put_tree(self, source: Path, name: str) -> None:
        self.ground.run("cp", "-r", source, self.at(name))


class Reflink(Copy):
    name = "cp -r --reflink=auto"

    def write(self, source: Path, target: Path) -> tuple[str | Path, ...]:
        return "cp", "--reflink=auto", source, target

    def put_tree(self, source: Path, name: str) -> None:
        self.ground.run("cp", "-r", "--reflink=auto", source, self.at(name))


class Move(_Local):
    name, kind, tools = "mv", Kind.RENAMES, ("mv",)

    def open(self) -> None:
        self.aside = self.ground.root / "aside"
        self.aside.mkdir()

    def take(self, source: Path) -> Path:
        """Give a copy that can be moved away: the next road needs the photo too."""
        taken = Path(tempfile.mkdtemp(dir=self.aside)) / source.name
        return Path(shutil.copytree(source, taken) if source.is_dir() else shutil.copy(source, taken))

    def write(self, source: Path, target: Path) -> tuple[str | Path, ...]:
        return "mv", self.take(source), target

    def put_tree(self, source: Path, name: str) -> None:
        self.ground.run("mv", self.take(source), self.at(name))

    def interrupt(self, source: Path, name: str) -> None:
        """Move half of a photo: a rename has no half-way, so it was cut off before."""
        half = self.take(source)
        os.truncate(half, source.stat().st_size // 2)
        self.ground.run("mv", half, self.at(name))


class MoveAcross(Move):
    name, kind = "mv from another file system", Kind.CLOSES

    @classmethod
    def missing(cls) -> str:
        if not os.access(_MEMORY, os.W_OK) or os.stat(_MEMORY).st_dev == os.stat(tempfile.gettempdir()).st_dev:
            return f"no second file system ({_MEMORY})"
        return super().missing()

    def open(self) -> None:
        self.aside = Path(self.ground.stack.enter_context(tempfile.TemporaryDirectory(dir=_MEMORY)))

    def interrupt(self, source: Path, name: str) -> None:
        cut_off(self.ground, source, *self.write(source, self.at(name)))


class Connection(_Local):
    name, kind, tools = "ln", Kind.APPEARS, ("ln",)

    def write(self, source: Path, target: Path) -> tuple[str | Path, ...]:
        return "ln", "-f", source, target

    def interrupt(self, source: Path, name: str) -> None:
        """Link half of a photo: a link has no half-way, so it was cut off before."""
        half = self.ground.root / f"half of {Path(name).name}"
        half.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
        self.ground.run("ln", "-f", half, self.at(name))


class Blocks(_Local):
    name, kind, tools = "dd, small blocks", Kind.CLOSES, ("dd",)
    block = 4096

    def write(self, source: Path, target: Path) -> tuple[str | Path, ...]:
        return "dd", f"if={source}", f"of={target}", f"bs={self.block}"


class BlocksWithPauses(Blocks):
    """A writer over a slow line, who opens the file anew for each part: longer pauses than the daemon's quiet time."""

    name, kind = "dd, parts with pauses", Kind.REOPENS
    parts, pause = 3, 0.7
    cannot: ClassVar = {
        "two_writers": "while both pause, the parts of two photos lie there, and by chance they can look like one"
    }

    def put(self, source: Path, name: str) -> None:
        if source.stat().st_size < 1_500_000:
            super().put(source, name)
            return
        self._append(source, name, 0, self.parts)

    def resume(self, source: Path, name: str) -> None:
        self._append(source, name, self.parts // 2, self.parts)

    def interrupt(self, source: Path, name: str) -> None:
        self._append(source, name, 0, self.parts // 2)

    def _append(self, source: Path, name: str, first: int, last: int) -> None:
        blocks = -(-source.stat().st_size // self.block // self.parts)
        for part in range(first, last):
            place = (f"skip={part * blocks}", f"seek={part * blocks}", f"count={blocks}")  # cuts off what lay behind
            self.ground.run(*self.write(source, self.at(name)), *place)
            if part < last - 1:
                time.sleep(self.pause)  # this is the outside world


ROADS: tuple[type[Road], ...] = (Copy, Reflink, Move, MoveAcross, Connection, Blocks, BlocksWithPauses)
