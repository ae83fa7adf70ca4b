"""A crash at every call that moves renditions or originals: nothing is lost, and the next run makes it good."""

from __future__ import annotations

import pytest

from tests.e2e.harness import Place, camera, is_whole, temporary, tree
from tests.faults.books import contents, rows
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
        originals = place.root / "originals"
        place.configure(
            workers=1, retry={"backoff_seconds": 0.05}, inbox={"after": "move", "originals": str(originals)}
        )
        (originals / "sub").mkdir(parents=True)
        (originals / "sub" / "p2.jpg").write_bytes(b"another")
        return place

    def check_next(self, place: Place, traced: Traced, what: str) -> None:
        super().check_next(place, traced, what)
        assert not tree(place.inbox), (what, traced.lines[-5:])
        found = {name: path.read_bytes() for name, path in tree(place.root / "originals").items()}
        photos = {"p0.jpg": 0, "p1.jpg": 1, "sub/p2 (1).jpg": 2, "sub/p3.jpg": 3}
        expected = {name: camera(number, 60, 40) for name, number in photos.items()}
        assert found == {**expected, "sub/p2.jpg": b"another"}, (what, traced.lines[-5:])


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Renamed:
    return Renamed(tmp_path_factory.mktemp("renamed"))


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Moved:
    return Moved(tmp_path_factory.mktemp("moved"))


@pytest.mark.slow
@pytest.mark.parametrize(("call", "numbers"), [("unlinkat", (1, 4)), ("renameat", (2,))])
def test_a_crash_while_renditions_move_loses_none(renamed: Renamed, call: str, numbers: tuple[int, ...]) -> None:
    assert renamed.through("crash", call, numbers) == len(numbers)


@pytest.mark.slow
@pytest.mark.parametrize(("call", "numbers"), [("linkat", (1, 3)), ("unlinkat", (1, 4))])
def test_a_crash_while_originals_move_loses_none(moved: Moved, call: str, numbers: tuple[int, ...]) -> None:
    assert moved.through("crash", call, numbers) == len(numbers)


@pytest.mark.slow
def test_an_io_error_while_an_original_moves_costs_no_photo_and_it_moves_later(moved: Moved) -> None:
    assert moved.through("fail", "linkat", (1,)) == 1
