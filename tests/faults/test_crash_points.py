"""A crash at every call that changes a file, and an I/O error at each: the next run makes it good."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.e2e.harness import Place, camera, temporary
from tests.faults.records import Row, contents, rows
from tests.faults.tracing import Traced, needs_strace, trace

pytestmark = needs_strace

IN_WORKER = ("fsync", "renameat", "mkdirat")  # the other calls are the daemon's
AT_ONCE = 2  # runs side by side
# CI tries each call at an early and at a late place, the soak at every one: each photo brings the same ones again
CRASHES = {
    "fsync": (2, 13),
    "renameat": (2, 7),
    "mkdirat": (1, 3),
    "fdatasync": (3, 8),
    "pwrite64": (20, 90),
    "unlink": (3, 12),
    "ftruncate": (2,),
}
ERRORS = {"fsync": (2, 13), "renameat": (4,), "mkdirat": (2,), "fdatasync": (4,)}
QUICK = "renameat"

Expected = tuple[dict[str, tuple[str, int]], list[Row]]


class Trial:
    """Places that all look alike, run after run."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = itertools.count()
        place = self.place()
        assert place.once().code == 0
        self.expected = contents(place.output), rows(place.state)

    def place(self) -> Place:
        """Lay out four photos in two folders; a second run over changed photos is another way to begin."""
        root = self._root / str(next(self._numbers))
        root.mkdir()
        place = Place(root)
        place.configure(workers=1, retry={"backoff_seconds": 0.05})
        (place.inbox / "sub").mkdir()
        for number, path in enumerate(("p0.jpg", "p1.jpg", "sub/p2.jpg", "sub/p3.jpg")):
            photo = place.inbox / path
            photo.write_bytes(camera(number, 60, 40))
            os.utime(photo, (1_700_000_000, 1_700_000_000 + number))
        return place

    def folders(self, place: Place) -> list[Path]:  # noqa: ARG002  # others need it
        """List the folders that the calls are about; none: all are meant."""
        return []

    def crash(self, call: str, number: int) -> bool:
        """Kill everything at the `number`-th such call; whether there was one. The next run must make it good."""
        place = self.place()
        only = [option for folder in self.folders(place) for option in ("-P", str(folder))]
        kill = f"inject={call}:signal=KILL:when={number}"
        traced = trace(place, *only, "-e", f"trace={call}", "-e", kill, crash=True)
        if traced.hit:
            self.check_next(place, traced, f"killed at {call} {number}")
        shutil.rmtree(place.root)
        return traced.hit

    def fail(self, call: str, number: int, error: str = "EIO") -> bool:
        """Let the `number`-th such call fail; whether there was one. That is no reason to give a photo up."""
        place = self.place()
        traced = trace(place, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}")
        what = f"{error} at {call} {number}: {traced.finished}"
        if traced.hit:
            assert "Traceback" not in traced.finished.err, what
            assert not traced.finished.events("photo.failed"), what
            if call in IN_WORKER:
                assert traced.finished.code == 0, what
                assert (contents(place.output), rows(place.state)) == self.expected, what
            self.check_next(place, traced, what)
        shutil.rmtree(place.root)
        return traced.hit

    def check_next(self, place: Place, traced: Traced, what: str) -> None:
        """Run once more, undisturbed: the same outputs and the same books, and nothing left over."""
        finished = place.once()
        assert finished.code == 0, (what, finished, traced.lines[-5:])
        outputs, books = self.expected
        assert contents(place.output) == outputs, (what, traced.lines[-5:])
        assert rows(place.state) == books, (what, traced.lines[-5:])
        assert not temporary(place.output), what
        assert not list(place.root.glob("state.db?damaged*")), what

    def through(self, one: Callable[[str, int], bool], call: str, numbers: Iterable[int]) -> int:
        """Try one number after the other until the program gets through; how many were tried."""
        tried = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting = iter(numbers)
            while some := list(itertools.islice(waiting, AT_ONCE)):
                hits = list(pool.map(lambda number: one(call, number), some))
                tried += sum(hits)
                if not all(hits):
                    break
        return tried


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return Trial(tmp_path_factory.mktemp("trial"))


def some(places: Mapping[str, tuple[int, ...]]) -> list[ParameterSet]:
    return [
        pytest.param(call, numbers, marks=[] if call == QUICK else pytest.mark.slow, id=call)
        for call, numbers in places.items()
    ]


@pytest.mark.parametrize(("call", "numbers"), some(CRASHES))
def test_a_crash_at_some_calls_is_made_good_by_the_next_run(trial: Trial, call: str, numbers: tuple[int, ...]) -> None:
    assert trial.through(trial.crash, call, numbers) == len(numbers)


@pytest.mark.parametrize(("call", "numbers"), some(ERRORS))
def test_an_io_error_at_some_calls_costs_no_photo(trial: Trial, call: str, numbers: tuple[int, ...]) -> None:
    assert trial.through(trial.fail, call, numbers) == len(numbers)


@pytest.mark.soak
@pytest.mark.parametrize("call", CRASHES)
def test_a_crash_at_every_call_is_made_good_by_the_next_run(trial: Trial, call: str) -> None:
    assert trial.through(trial.crash, call, itertools.count(1)) > 0


@pytest.mark.soak
@pytest.mark.parametrize("call", ERRORS)
def test_an_io_error_at_every_call_costs_no_photo(trial: Trial, call: str) -> None:
    assert trial.through(trial.fail, call, itertools.count(1)) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("call", "error"), [("fsync", "ESTALE"), ("renameat", "EBUSY"), ("mkdirat", "EMFILE")])
def test_a_fault_that_can_pass_is_tried_again(trial: Trial, call: str, error: str) -> None:
    assert trial.fail(call, 2, error)


@pytest.mark.slow
def test_a_quota_that_is_used_up_is_a_full_disk(trial: Trial) -> None:
    place = trial.place()
    traced = trace(place, "-e", "trace=renameat", "-e", "inject=renameat:error=EDQUOT:when=2")
    assert traced.hit
    assert traced.finished.code == 1, traced.finished
    assert len(traced.finished.events("disk.full")) == 1
    assert not traced.finished.events("photo.failed")
    trial.check_next(place, traced, "EDQUOT")


def test_a_descriptor_that_cannot_be_had_for_a_photo_is_tried_again(trial: Trial) -> None:
    place = trial.place()
    # of the calls that have to do with the inbox: a worker opens that first, then the photo in it
    traced = trace(place, "-P", str(place.inbox), "-e", "trace=openat", "-e", "inject=openat:error=EMFILE:when=2")
    assert traced.hit
    assert [line["reason"] for line in traced.finished.events("photo.retry")]
    assert all("EMFILE" in line["reason"] for line in traced.finished.events("photo.retry"))
    assert traced.finished.code == 0, traced.finished
    assert (contents(place.output), rows(place.state)) == trial.expected
