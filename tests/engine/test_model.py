"""The loop against a model: whatever happens, once things settle each photo is where it belongs."""

from __future__ import annotations

import os
import tempfile
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.engine.fakes import IN, World, failed
from watcher.core.messages import FolderSeen, Gone, Seen
from watcher.core.records import Phase
from watcher.core.types import Done, Failed, FailureKind, Job, PhotoId, Unready
from watcher.engine.ports import Message

PATHS = st.sampled_from(["a.jpg", "b.jpg", "c.jpg", "x/d.jpg", "x/e.jpg"])
KINDS = st.sampled_from(["good", "good", "good", "truncated", "bad", "crash", "passing"])
WHICH = st.integers(0, 7)
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108  # durable there costs nothing


class Loop(RuleBasedStateMachine):
    """Files, events, listings, results, faults, restarts and new settings in any order."""

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        self.lock = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
        self.world = World(os.path.join(folder, "s.db")).start()
        self.stack.callback(self.world.close)
        self.scanned: deque[Message] = deque()  # what the scanner saw, and has not told yet
        self.unlucky: Counter[PhotoId] = Counter()  # attempts of which nobody knows whose fault they were
        self.pardoned: Counter[PhotoId] = Counter()  # such attempts before the last one, which answered

    # ---- the inbox ----

    @rule(path=PATHS, kind=KINDS, told=st.sampled_from(["closed", "created", "closed", "not"]))
    def write(self, path: str, kind: str, told: str) -> None:
        photo = self.world.put(path, kind)
        known = self.world.store.known(photo)  # what is not written yet may be lost
        if known is not None and known.phase is Phase.FAILED:
            self.unlucky[photo] = 0
            # Nobody saw what killed the workers. Replaced unheard by an older file, it would be taken for that one.
            told = "closed" if known.stamp.size < 0 else told
        if told != "not":
            self.world.event(Seen(IN, photo.path, complete=told == "closed"))

    @rule(path=PATHS, told=st.booleans())
    def remove(self, path: str, told: bool) -> None:
        self.world.files.pop(PhotoId(IN, path.encode()), None)
        if told:
            self.world.event(Gone(IN, (path.encode(),)))

    @rule(path=PATHS, complete=st.booleans())
    def touch(self, path: str, complete: bool) -> None:
        if PhotoId(IN, path.encode()) in self.world.files:
            self.world.event(Seen(IN, path.encode(), complete=complete))

    @rule(moved_in=st.booleans())
    def move_folder(self, moved_in: bool) -> None:
        if moved_in:
            self.world.put("x/d.jpg")
            self.world.event(FolderSeen(IN, b"x"))
        else:
            for photo in [photo for photo in self.world.files if photo.folder == b"x"]:
                del self.world.files[photo]
            self.world.event(Gone(IN, folders=(b"x",)))

    @rule(path=PATHS, to=PATHS, told=st.booleans())
    def move(self, path: str, to: str, told: bool) -> None:
        photo = PhotoId(IN, path.encode())
        if photo in self.world.files and path != to:
            self.forgive(PhotoId(IN, to.encode()))
            self.world.move(path, to, told=told)

    @rule(path=PATHS, to=PATHS, keep_time=st.booleans())
    def copy(self, path: str, to: str, keep_time: bool) -> None:
        file = self.world.files.get(PhotoId(IN, path.encode()))
        if file is not None and path != to:
            photo = PhotoId(IN, to.encode())
            self.forgive(photo)
            self.world.put(to, file.kind, content=file.content, size=file.stamp.size)
            if keep_time:
                inode = self.world.files[photo].stamp.inode
                self.world.files[photo] = replace(file, stamp=file.stamp._replace(inode=inode))
            self.world.event(Seen(IN, photo.path, complete=True, stamp=self.world.files[photo].stamp))

    def forgive(self, photo: PhotoId) -> None:
        known = self.world.store.known(photo)
        if known is not None and known.phase is Phase.FAILED:
            self.unlucky[photo] = 0

    @rule()
    def chore(self) -> None:
        self.world.do_file_tasks()

    # ---- the scanner ----

    @rule()
    def scan(self) -> None:
        parts = self.world.inboxes[IN]
        if not self.scanned:
            self.scanned.extend(parts.answer())

    @precondition(lambda self: self.scanned)
    @rule()
    def tell_of_scan(self) -> None:
        self.world.tell(self.scanned.popleft())

    # ---- the workers ----

    def job(self, which: int) -> Job:
        jobs = list(self.world.pool.jobs.values())
        return jobs[which % len(jobs)]

    @precondition(lambda self: self.world.pool.jobs)
    @rule(which=WHICH)
    def work(self, which: int) -> None:
        job = self.job(which)
        outcome = self.world.outcome(job)
        if isinstance(outcome, Done | Unready) or (isinstance(outcome, Failed) and outcome.kind is FailureKind.PHOTO):
            self.pardoned[job.photo] = self.unlucky.pop(job.photo, 0)
        elif isinstance(outcome, Failed) and outcome.kind is FailureKind.CRASH:
            self.unlucky[job.photo] += 1
        self.world.pool.finish(job, outcome)
        self.world.rest()

    @precondition(lambda self: self.world.pool.jobs)
    @rule(which=WHICH)
    def worker_dies(self, which: int) -> None:
        job = self.job(which)
        self.unlucky[job.photo] += 1
        self.world.pool.finish(job, failed(FailureKind.CRASH))
        self.world.rest()

    @precondition(lambda self: self.world.pool.jobs)
    @rule(which=WHICH)
    def job_is_handed_back(self, which: int) -> None:
        self.world.pool.finish(self.job(which), None)
        self.world.rest()

    # ---- the machine ----

    @rule(seconds=st.sampled_from([0.1, 0.5, 3.0, 20.0, 100.0, 301.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(full=st.sampled_from([None, FailureKind.DISK_FULL, FailureKind.OUTPUT]))
    def fill_disk(self, full: FailureKind | None) -> None:
        self.world.full = full

    @rule(locked=st.booleans())
    def lock_state(self, locked: bool) -> None:
        self.lock.close()
        if locked:
            self.lock.enter_context(self.world.locked())

    @rule(quality=st.integers(1, 3), exclude=st.booleans())
    def new_settings(self, quality: int, exclude: bool) -> None:
        self.world.raw["rendition"]["web"]["quality"] = quality
        self.world.raw["inbox"][0]["exclude"] = ["raw/"] if exclude else []
        self.world.reload()

    @rule()
    def stop_and_start(self) -> None:
        self.lock.close()
        self.world.wait(3)  # what is not written yet
        for job in self.world.pool.jobs.values():
            file = self.world.files.get(job.photo)
            if file is not None and file.kind == "crash":
                self.unlucky[job.photo] += 1
        self.world.stop()
        told = sum(batch["files"] for batch in self.world.log.of("batch.done"))
        assert told == len(self.world.log.of("photo.done")) + len(self.world.log.of("photo.failed"))
        self.begin_again(kill=True)  # it has stopped already

    @rule(published=st.booleans())
    def kill_and_start(self, published: bool) -> None:
        self.lock.close()
        for job in self.world.pool.jobs.values():
            self.unlucky[job.photo] += 1
            if published:
                self.world.outcome(job)
        for photo in self.world.daemon.records._rows:  # what came of the attempt is lost, that it began is not
            self.unlucky[photo] += self.pardoned[photo] + 1
        self.begin_again(kill=True)

    def begin_again(self, *, kill: bool) -> None:
        self.scanned.clear()
        self.world.log.lines.clear()
        self.world.restart(kill=kill)
        self.world.start()

    # ---- what must be true ----

    @invariant()
    def each_photo_is_in_one_place(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.lock.close()
            self.settle()
            self.compare()
        finally:
            self.stack.close()

    def settle(self) -> None:
        """Let everything that is needed happen, for longer than a truncated photo is borne with."""
        self.world.full = None
        while self.scanned:
            self.world.tell(self.scanned.popleft())
        for _ in range(140):
            for job in list(self.world.pool.jobs.values()):
                if job.number in self.world.pool.jobs:
                    self.work_on(job)
            self.world.scan()
            self.world.do_file_tasks()
            self.world.wait(9)
        self.world.work_all()

    def work_on(self, job: Job) -> None:
        file = self.world.files.get(job.photo)
        if file is not None and file.kind == "crash":
            self.unlucky[job.photo] += 1
        self.world.pool.finish(job, self.world.outcome(job))
        self.world.rest()

    def compare(self) -> None:
        world = self.world
        world.check_settled()
        fingerprint = world.settings().config.recipes["web"].fingerprint
        on_the_books = {photo for phase in Phase for photo, _ in world.store.photos(IN, phase)}
        assert on_the_books == set(world.files), on_the_books ^ set(world.files)
        for photo, file in world.files.items():
            known = world.store.known(photo)
            assert known is not None
            if file.kind != "good":
                assert known.phase is Phase.FAILED, (photo, file, known)
            elif known.phase is Phase.FAILED:
                assert self.unlucky[photo] >= 3, (photo, known)
            else:
                assert known.phase is Phase.DONE, (photo, known)
                assert known.stamp.same_content(file.stamp)
                assert known.recipes == {"web": fingerprint}
                stamp, recipe = world.outputs[b"web/" + photo.path]
                assert (stamp.same_content(file.stamp), recipe) == (True, fingerprint)
                assert world.made_of[b"web/" + photo.path] == file.content


SUPPRESSED = (HealthCheck.too_slow, HealthCheck.filter_too_much)


def test_whatever_happens_each_photo_ends_where_it_belongs() -> None:
    run_state_machine_as_test(
        Loop,
        settings=settings(max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=SUPPRESSED),
    )


@pytest.mark.parametrize(
    "examples", [pytest.param(40, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.soak)]
)
def test_whatever_happens_for_long_each_photo_ends_where_it_belongs(examples: int) -> None:
    run_state_machine_as_test(
        Loop,
        settings=settings(
            max_examples=examples, stateful_step_count=60, deadline=None, suppress_health_check=SUPPRESSED
        ),
    )
