"""A crash at every call that moves renditions or originals: nothing is lost, and the next run makes it good."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.harness import BOTH, Place, camera, is_whole, temporary, tree
from tests.faults.records import contents, rows
from tests.faults.test_crash_points import Trial
from tests.faults.tracing import Traced, needs_strace

pytestmark = needs_strace


class Renamed(Trial):
    """Photos that were made, and whose folder was renamed since: a run moves their renditions."""

    def place(self) -> Place:
        place = super().place()
        assert place.once().code == 0
        (place.inbox / "sub").rename(place.inbox / "new")
        return place

    def check_next(self, place: Place, traced: Traced, what: str) -> None:
        finished = place.once()
        assert finished.code == 0, (what, finished, traced.lines[-5:])
        outputs, books = self.expected
        found = contents(place.output)
        assert {name: found.get(name) for name in outputs} == outputs, (what, traced.lines[-5:])
        left = set(found) - set(outputs)
        assert all("sub/" in name and is_whole(place.output / name) for name in left), (what, left)
        assert rows(place.state) == books, (what, traced.lines[-5:])
        assert not temporary(place.output), what


class Moved(Trial):
    """Photos whose originals move when they are done; one of their names is taken there."""

    def place(self) -> Place:
        place = super().place()
        originals = self.originals(place)
        place.configure(
            workers=1, retry={"backoff_seconds": 0.05}, inbox={"after": "move", "originals": str(originals)}
        )
        (originals / "sub").mkdir(parents=True)
        (originals / "sub" / "p2.jpg").write_bytes(b"another")
        return place

    def originals(self, place: Place) -> Path:
        return place.root / "originals"

    def folders(self, place: Place) -> list[Path]:
        roots = (place.inbox, self.originals(place))
        return [folder for root in roots for folder in (root, root / "sub")]

    def check_next(self, place: Place, traced: Traced, what: str) -> None:
        self.check_both(place, what)
        super().check_next(place, traced, what)
        assert not tree(place.inbox), (what, traced.lines[-5:])
        assert self.found(place) == {**self.wanted(), "sub/p2.jpg": b"another"}, (what, traced.lines[-5:])

    def check_both(self, place: Place, what: str) -> None:
        """Hold that each original is there whole, at least once, by a name that tells which it is."""
        found = [(path.name, path.read_bytes()) for path in place.inbox.rglob("*") if path.is_file()]
        found += [(name.rpartition("/")[2], data) for name, data in self.found(place).items()]
        for name, data in self.wanted().items():
            stem = name.rpartition("/")[2][:2]
            assert any(stem in other and data == there for other, there in found), (what, name)

    def found(self, place: Place) -> dict[str, bytes]:
        originals = self.originals(place)
        return {str(path.relative_to(originals)): path.read_bytes() for path in originals.rglob("*") if path.is_file()}

    def wanted(self) -> dict[str, bytes]:
        photos = {"p0.jpg": 0, "p1.jpg": 1, "sub/p2 (1).jpg": 2, "sub/p3.jpg": 3}
        return {name: camera(number, 60, 40) for name, number in photos.items()}


class Copied(Moved):
    """The same, on another file system."""

    def originals(self, place: Place) -> Path:
        return Path("/dev/shm") / f"watcher-test-{os.getpid()}-{place.root.parent.name}-{place.root.name}"  # noqa: S108


class Deleted(Trial):
    """Photos whose originals are deleted when they are done."""

    def place(self) -> Place:
        place = super().place()
        place.configure(workers=1, retry={"backoff_seconds": 0.05}, inbox={"after": "delete"})
        return place

    def folders(self, place: Place) -> list[Path]:
        return [place.inbox, place.inbox / "sub"]

    def check_next(self, place: Place, traced: Traced, what: str) -> None:
        super().check_next(place, traced, what)
        assert not [path for path in place.inbox.rglob("*") if path.is_file()], (what, traced.lines[-5:])


class Relocated(Trial):
    """Photos that were made, and whose renditions have another `name` since."""

    def place(self) -> Place:
        place = super().place()
        assert place.once().code == 0
        self.files[place.root] = inodes(place)
        names = {"web": "big/{folder}/{stem}-{width}.{ext}", "thumb": "small/{folder}/{stem}.{ext}"}
        renditions = {name: {**rendition, "name": names[name]} for name, rendition in BOTH.items()}
        place.configure(renditions, workers=1, retry={"backoff_seconds": 0.05})
        return place

    def __init__(self, root: Path) -> None:
        self.files: dict[Path, set[int]] = {}
        super().__init__(root)
        assert {path.partition("/")[0] for path in self.expected[0]} == {"big", "small"}

    def check_next(self, place: Place, traced: Traced, what: str) -> None:
        super().check_next(place, traced, what)
        assert inodes(place) == self.files[place.root], (what, "none is rendered again")


class Resized(Trial):
    """Photos that were made, and whose renditions are to have another size since, which is in their names."""

    def place(self) -> Place:
        place = super().place()
        self.configure(place, 50)
        assert place.once().code == 0
        self.configure(place, 40)
        return place

    def configure(self, place: Place, width: int) -> None:
        name = "{rendition}/{folder}/{stem}-{width}.{ext}"
        renditions = {rendition: {"width": width, "name": name} for rendition in BOTH}
        place.configure(renditions, workers=1, retry={"backoff_seconds": 0.05})

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        assert all(path.endswith("-40.jpg") for path in self.expected[0])


def inodes(place: Place) -> set[int]:
    return {path.stat().st_ino for path in tree(place.output).values()}


# each call is tried at one place in each run, and at a second one by the soak
_slow = partial(pytest.param, marks=pytest.mark.slow)
_soak = partial(pytest.param, marks=pytest.mark.soak)


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Renamed:
    return Renamed(tmp_path_factory.mktemp("renamed"))


@pytest.fixture(scope="module")
def relocated(tmp_path_factory: pytest.TempPathFactory) -> Relocated:
    return Relocated(tmp_path_factory.mktemp("relocated"))


@pytest.fixture(scope="module")
def resized(tmp_path_factory: pytest.TempPathFactory) -> Resized:
    return Resized(tmp_path_factory.mktemp("resized"))


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Moved:
    return Moved(tmp_path_factory.mktemp("moved"))


@pytest.mark.parametrize(("call", "number"), [_slow("unlinkat", 4), _slow("renameat", 2), _soak("unlinkat", 1)])
def test_a_crash_while_renditions_move_loses_none(renamed: Renamed, call: str, number: int) -> None:
    assert renamed.crash(call, number)


@pytest.mark.parametrize(("call", "number"), [_slow("linkat", 4), _slow("unlinkat", 2), _soak("unlinkat", 5)])
def test_a_crash_while_renditions_get_other_names_has_none_made_again(
    relocated: Relocated, call: str, number: int
) -> None:
    assert relocated.crash(call, number)


@pytest.mark.parametrize(("call", "number"), [_slow("renameat", 3), _slow("unlinkat", 4), _soak("unlinkat", 7)])
def test_a_crash_while_other_sizes_take_old_outputs_away_leaves_none_behind(
    resized: Resized, call: str, number: int
) -> None:
    assert resized.crash(call, number)


@pytest.mark.parametrize(
    ("call", "number"),
    [
        *(_slow("linkat", 3), _slow("renameat", 1), _slow("unlinkat", 2)),
        *(_soak("linkat", 1), _soak("renameat", 3), _soak("unlinkat", 4)),
    ],
)
def test_a_crash_while_originals_move_loses_none(moved: Moved, call: str, number: int) -> None:
    assert moved.crash(call, number)


@pytest.fixture(scope="module")
def deleted(tmp_path_factory: pytest.TempPathFactory) -> Deleted:
    return Deleted(tmp_path_factory.mktemp("deleted"))


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copied]:
    memory, root = Path("/dev/shm"), tmp_path_factory.mktemp("copied")  # noqa: S108
    if not memory.is_dir() or memory.stat().st_dev == root.stat().st_dev:
        pytest.skip("a second file system is needed in /dev/shm")
    yield Copied(root)
    for left in memory.glob(f"watcher-test-{os.getpid()}-{root.name}-*"):
        shutil.rmtree(left)


CALLS = ("renameat", "renameat2", "unlinkat", "fsync")


@pytest.mark.parametrize(
    ("call", "number"),
    [*(_slow(call, 1) for call in CALLS), *(_soak(call, 2) for call in CALLS if call != "renameat2")],
)
def test_a_crash_while_originals_are_copied_loses_none(copied: Copied, call: str, number: int) -> None:
    assert copied.crash(call, number)


@pytest.mark.parametrize(
    ("call", "number"), [_slow("renameat", 1), _slow("unlinkat", 3), _soak("renameat", 3), _soak("unlinkat", 1)]
)
def test_a_crash_while_originals_are_deleted_leaves_none_behind(deleted: Deleted, call: str, number: int) -> None:
    assert deleted.crash(call, number)


@pytest.mark.slow
def test_an_io_error_while_an_original_moves_costs_no_photo_and_it_moves_later(moved: Moved) -> None:
    assert moved.fail("linkat", 1)
