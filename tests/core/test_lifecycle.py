"""The table of a photo's life, driven by any sequence of events that its state admits."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.engine.fakes import check_indexes
from watcher.core.retry import Commit, Decision, Delete, Fail, Pause, Recheck, RetryLater
from watcher.core.task import (
    IN_BATCH,
    ArchivingBegun,
    ArchivingEnded,
    Attempt,
    Changed,
    Decided,
    Deferred,
    Dropped,
    Effect,
    Event,
    Forget,
    Join,
    Lane,
    Leased,
    Leave,
    Listed,
    PhotoTask,
    Rechecked,
    Record,
    Released,
    Removed,
    Render,
    Restore,
    RetryAsked,
    Returned,
    Settle,
    State,
    Submitted,
    TimerDue,
    Touched,
    Unsettle,
)
from watcher.core.tracker import Tracker
from watcher.core.types import (
    Done,
    Failed,
    FailureKind,
    FileSignature,
    Job,
    NeedsMoreMemory,
    Outcome,
    PhotoId,
    Unready,
    Vanished,
)

PHOTOS = st.sampled_from([PhotoId(b"/a", b"1"), PhotoId(b"/a", b"2"), PhotoId(b"/b", b"1")])
SIGNATURES = st.builds(FileSignature, st.integers(0, 2), st.integers(0, 2), st.integers(1, 2))
STAMP = FileSignature(1, 1, 1)
OUTCOMES: list[tuple[Outcome, Decision]] = [
    (Done(STAMP, (), 1, 1, 0.1, 1), Commit()),
    (Vanished(), Delete()),
    (Failed("no photo", FailureKind.PHOTO, STAMP), Fail("no photo")),
    (Failed("no room", FailureKind.DISK_FULL, STAMP), Pause("no room", FailureKind.DISK_FULL)),
    (Failed("died", FailureKind.CRASH), RetryLater(0.0, "died", alone=True)),
    (Failed("I/O error", FailureKind.PASSING, STAMP), RetryLater(5.0, "I/O error")),
    (NeedsMoreMemory(10), RetryLater(0.0, "memory", counts=False, memory_bytes=10)),
    (Unready(STAMP, "young", settling=True), Recheck(0.5, "young", until_changed=False)),
    (Unready(STAMP, "truncated"), Recheck(0.5, "truncated", until_changed=True)),
    (Unready(None, "unreadable"), Recheck(0.5, "unreadable", until_changed=True)),
]


class Life(RuleBasedStateMachine):
    """Photos, all that can happen to them, and an engine that performs the effects and does nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker()
        self.number = 0
        self.now = 1000.0
        self.settling: set[PhotoId] = set()  # the debouncer
        self.batches: dict[PhotoId, int] = {}
        self.begun: dict[int, PhotoId] = {}  # attempts that are recorded, and not answered
        self.rendering: dict[int, PhotoId] = {}
        self.due: set[PhotoId] = set()  # something happened to them, and no attempt has begun since

    def apply(self, photo: PhotoId, event: Event) -> None:
        for effect in self.tracker.apply(photo, event):
            self.perform(photo, effect)

    def perform(self, photo: PhotoId, effect: Effect) -> None:
        match effect:
            case Settle():
                self.settling.add(photo)
            case Unsettle():
                self.settling.remove(photo)
            case Join(batch):
                assert photo not in self.batches
                self.batches[photo] = batch
            case Leave(batch):
                assert self.batches.pop(photo) == batch
            case Render(job):
                assert self.begun[job.number] == photo, "rendered before its attempt was recorded"
                assert photo not in self.rendering.values(), "in two workers"
                self.rendering[job.number] = photo
            case Record(attempt):
                assert self.rendering.pop(attempt.job.number) == photo, "recorded, and not rendered"
                del self.begun[attempt.job.number]
            case Restore():
                task = self.tracker.get(photo)
                assert task is not None
                number = next(number for number, begun in self.begun.items() if begun == photo)
                self.rendering.pop(number, None)
                del self.begun[number]
            case Forget():
                self.due.discard(photo)

    def pick(self, which: int, *states: State) -> PhotoTask:
        tasks = [task for task in self.tracker if task.state in states]
        return tasks[which % len(tasks)]

    def any(self, *states: State) -> bool:
        return any(task.state in states for task in self.tracker)

    # ---- the inbox ----

    @rule(photo=PHOTOS, closed=st.booleans(), signature=st.none() | SIGNATURES, created=st.integers(0, 1))
    def change(self, photo: PhotoId, closed: bool, signature: FileSignature | None, created: int) -> None:
        self.due.add(photo)
        self.apply(photo, Changed(self.now, closed, signature, created))

    @rule(photo=PHOTOS, signature=SIGNATURES, recorded=st.none() | SIGNATURES)
    def touch(self, photo: PhotoId, signature: FileSignature, recorded: FileSignature | None) -> None:
        self.apply(photo, Touched(self.now, signature, recorded))

    @rule(photo=PHOTOS, signature=SIGNATURES, flags=st.tuples(st.booleans(), st.booleans(), st.booleans()))
    def list(self, photo: PhotoId, signature: FileSignature, flags: tuple[bool, bool, bool]) -> None:
        live, outdated, crashed = flags
        if self.tracker.get(photo) is None:
            self.due.add(photo)
        listed = Listed(self.now, signature, batch=1, live=live, outdated=outdated, crashes=crashed)
        self.apply(photo, listed)

    @rule(photo=PHOTOS)
    def remove(self, photo: PhotoId) -> None:
        self.apply(photo, Removed())

    @rule(photo=PHOTOS)
    def ask(self, photo: PhotoId) -> None:
        self.apply(photo, RetryAsked(self.now, 2))

    # ---- the engine ----

    @precondition(lambda self: self.settling)
    @rule(which=st.integers(0, 9))
    def release(self, which: int) -> None:
        photo = sorted(self.settling)[which % len(self.settling)]
        self.settling.remove(photo)
        self.apply(photo, Released(self.now, 3))

    @precondition(lambda self: self.any(State.QUEUED))
    @rule(which=st.integers(0, 9), ready=st.sampled_from(["leased", "leased", "deferred", "returned", "dropped"]))
    def lease(self, which: int, ready: str) -> None:
        task = self.pick(which, State.QUEUED)
        match ready:
            case "leased":
                self.begin(task)
            case "deferred":
                self.apply(task.photo, Deferred(self.now + 0.2))
            case "returned":
                self.apply(task.photo, Returned(self.now))
            case _:
                self.due.discard(task.photo)
                self.apply(task.photo, Dropped())

    def begin(self, task: PhotoTask) -> None:
        self.number += 1
        self.begun[self.number] = task.photo
        self.due.discard(task.photo)
        job = Job(self.number, task.photo, b"/out", (), evidence=task.evidence)
        self.apply(task.photo, Leased(Attempt(job, None), task.lane))

    @rule(photo=PHOTOS, crashes=st.integers(0, 1))
    def begin_at_once(self, photo: PhotoId, crashes: int) -> None:
        if self.tracker.get(photo) is None:
            self.apply(photo, Listed(self.now, STAMP, batch=5, crashes=crashes))
            self.begin(self.task(photo))
            self.apply(photo, Submitted())

    def task(self, photo: PhotoId) -> PhotoTask:
        task = self.tracker.get(photo)
        assert task is not None
        return task

    @precondition(lambda self: self.any(State.LEASED))
    @rule(which=st.integers(0, 9))
    def submit(self, which: int) -> None:
        self.apply(self.pick(which, State.LEASED).photo, Submitted())

    @precondition(lambda self: self.any(State.LEASED, State.RENDERING))
    @rule(which=st.integers(0, 9))
    def hand_back(self, which: int) -> None:
        self.apply(self.pick(which, State.LEASED, State.RENDERING).photo, Returned(self.now))

    @precondition(lambda self: self.any(State.RENDERING))
    @rule(which=st.integers(0, 9), found=st.sampled_from(OUTCOMES), denied=st.booleans())
    def decide(self, which: int, found: tuple[Outcome, Decision], denied: bool) -> None:
        task, (outcome, decision) = self.pick(which, State.RENDERING), found
        pending, crashes = task.pending is not None, task.crashes
        decided = Decided(decision, outcome, self.now, due=self.now + 1.0, denied=denied)
        self.apply(task.photo, decided)
        if pending:
            assert task.state is State.SETTLING, "what happened meanwhile is not forgotten"
        elif isinstance(decision, Recheck | RetryLater | Pause):
            assert self.tracker.get(task.photo) is task
        if isinstance(decision, RetryLater | Pause | Recheck):
            assert task.crashes >= crashes, "a suspect stays one"

    @rule(seconds=st.floats(0.1, 2.0), again=st.booleans())
    def wait(self, seconds: float, again: bool) -> None:
        self.now += seconds
        for task in self.tracker.due(self.now):
            if again and task.lane is Lane.RECHECK and task.state is State.COOLING:
                self.apply(task.photo, Rechecked(self.now + 1.0))
            else:
                self.apply(task.photo, TimerDue(4))

    @rule(photo=PHOTOS)
    def archive(self, photo: PhotoId) -> None:
        if self.tracker.get(photo) is None:
            self.apply(photo, ArchivingBegun(STAMP))

    @precondition(lambda self: self.any(State.ARCHIVING))
    @rule(which=st.integers(0, 9))
    def archived(self, which: int) -> None:
        self.apply(self.pick(which, State.ARCHIVING).photo, ArchivingEnded(self.now))

    # ---- what must be true ----

    @invariant()
    def each_photo_is_in_one_state_and_in_the_indexes_of_that_state(self) -> None:
        check_indexes(self.tracker)
        by_photo = {task.photo: task for task in self.tracker}
        assert self.settling == {photo for photo, task in by_photo.items() if task.state is State.SETTLING}
        assert self.batches == {photo: task.batch for photo, task in by_photo.items() if task.state in IN_BATCH}
        flying = {task.tried.job.number: task.photo for task in self.tracker.in_flight}
        assert self.begun == flying
        assert self.rendering == {task.tried.job.number: task.photo for task in self.tracker.of(State.RENDERING)}
        for task in by_photo.values():
            in_flight = task.state in {State.LEASED, State.RENDERING}
            assert (task.attempt is not None) == in_flight
            assert task.pending is None or in_flight or task.state is State.ARCHIVING
            if task.state is State.QUEUED and task.crashes and not task.memory_bytes:
                assert task.lane is Lane.QUARANTINE

    @invariant()
    def none_is_forgotten(self) -> None:
        assert self.due <= {task.photo for task in self.tracker}
        waiting = {task.photo for task in self.tracker.cooling}
        assert bool(waiting) == (self.tracker.deadline() is not None)


def test_whatever_happens_each_photo_is_in_one_state_and_what_follows_comes_in_order() -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=30, stateful_step_count=30, deadline=None))


@pytest.mark.parametrize(
    "examples", [pytest.param(100, marks=pytest.mark.slow), pytest.param(3000, marks=pytest.mark.soak)]
)
def test_whatever_happens_for_long_each_photo_is_in_one_state_and_what_follows_comes_in_order(examples: int) -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=examples, stateful_step_count=60, deadline=None))
