"""Renames of every kind and in any order: in the end each name shows its own content, and no other name shows any."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack

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

from tests.engine.fakes import IN, World
from watcher.core.messages import Gone
from watcher.core.output_paths import recorded_paths
from watcher.core.records import Phase
from watcher.core.types import Job, Outcome, PhotoId
from watcher.engine.ports import Message

NAMES = ["a.jpg", "A.jpg", "b.jpg", "b.jpeg", "x/a.jpg", "x/c.jpg", "y/a.jpg", "X/a.jpg"]
PATHS = st.sampled_from(NAMES)
FOLDERS = st.sampled_from(["x", "y", "X", "z"])
WHICH = st.integers(0, 7)
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108  # durable there costs nothing


class Busy(World):
    """Work takes time here, so that of two photos one was made before the other."""

    def outcomes(self, jobs: Sequence[Job]) -> list[Outcome]:
        self.clock.move_to(self.clock.now + 0.001)
        return super().outcomes(jobs)


def photo(path: str) -> PhotoId:
    return PhotoId(IN, path.encode())


def folder_of(path: PhotoId) -> bytes:
    return path.path.rpartition(b"/")[0]


def settle(world: World) -> None:
    for _ in range(4):
        world.wait(301)
        world.scan()
        world.work_all()
        world.do_file_tasks()
    world.wait(3)


def on_record(world: World) -> set[bytes]:
    """Return the places of all outputs that are on record, of photos that are there or have left."""
    places = set[bytes]()
    for known in (known for phase in Phase for known in world.store.photos(IN, phase)):
        places.update(
            path for name, fact in known[1].made.items() for path in recorded_paths(known[0].path, name, fact)
        )
    for gone in world.store.left_photos(IN):
        made = [item for version in world.store.left_versions(gone) for item in version.made.items()]
        places.update(path for name, fact in made for path in recorded_paths(gone.path, name, fact))
    return places


def check(world: World) -> None:
    """Hold what lies in the output tree against what the names in the inbox call for."""
    world.check_settled()
    assert world.outputs.keys() <= on_record(world), world.outputs.keys() - on_record(world)
    if "x" in world.raw["rendition"]:
        for found, file in world.files.items():
            if file.kind == "good":
                known = world.known(found.path)
                assert known is not None
                (place,) = recorded_paths(
                    found.path, "x", known.made["x"], known.recipes, world.settings().config.recipes
                )
                assert world.made_of[place] == file.content
    good = {b"web/" + found.path: file.content for found, file in world.files.items() if file.kind == "good"}
    # Of photos that were replaced the outputs may stay; and any at the name of a broken one, until that is mended.
    may_stay = {b"web/" + found.path for found in world.files} - set(good)
    web = (output for output in world.outputs if output.startswith(b"web/"))
    shown = {output: world.made_of[output] for output in web if output not in may_stay}
    assert {output: content for output, content in shown.items() if content in good.values()} == good


class Renames(RuleBasedStateMachine):
    """Photos get each other's names while the daemon watches, works, and is away."""

    @initialize(names=st.sets(PATHS, min_size=1), worked=st.booleans())
    def begin(self, names: set[str], worked: bool) -> None:
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
        self.world = Busy(os.path.join(folder, "s.db")).start()
        self.stack.callback(self.world.close)
        self.scanned: deque[Message] = deque()  # what the scanner saw, and has not told yet
        self.leave_or_return()
        for width, name in enumerate(sorted(names), 10):
            self.world.width = width
            self.world.drop(name)
        if worked:
            self.world.work_all()

    @rule(path=PATHS, to=PATHS, told=st.booleans())
    def rename(self, path: str, to: str, told: bool) -> None:
        if photo(path) in self.world.files and path != to:
            self.world.move(path, to, told=told)

    @rule(one=PATHS, other=PATHS, told=st.booleans())
    def exchange(self, one: str, other: str, told: bool) -> None:
        if {photo(one), photo(other)} <= set(self.world.files) and one != other:
            self.world.exchange(one, other, told=told)

    @rule(folder=FOLDERS, to=FOLDERS, told=st.booleans())
    def rename_folder(self, folder: str, to: str, told: bool) -> None:
        folders = {folder_of(found) for found in self.world.files}
        if folder.encode() in folders and to.encode() not in folders:
            self.world.move_folder(folder, to, told=told)

    @rule(path=PATHS, kind=st.sampled_from(["truncated", "bad", "passing"]), told=st.booleans())
    def break_in(self, path: str, kind: str, told: bool) -> None:
        """Put a broken file where there is none; its name may be known as that of a photo."""
        if photo(path) not in self.world.files:
            if told:
                self.world.drop(path, kind)
            else:
                self.world.put(path, kind)

    @rule(path=PATHS, told=st.booleans())
    def remove_broken(self, path: str, told: bool) -> None:
        if (file := self.world.files.get(photo(path))) and file.kind != "good":
            del self.world.files[photo(path)]
            if told:
                self.world.event(Gone(IN, (path.encode(),)))

    @precondition(lambda self: self.world.pool.jobs)
    @rule(which=WHICH)
    def work(self, which: int) -> None:
        jobs = list(self.world.pool.jobs.values())
        job = jobs[which % len(jobs)]
        self.world.work_bundle(next(bundle for bundle in self.world.pool.bundles if job in bundle))
        self.world.rest()

    @rule()
    def work_all(self) -> None:
        self.world.work_all()

    @rule()
    def scan(self) -> None:
        if not self.scanned:
            self.scanned.extend(self.world.inboxes[IN].answer())

    @precondition(lambda self: self.scanned)
    @rule()
    def tell_of_scan(self) -> None:
        self.world.tell(self.scanned.popleft())

    @rule()
    def chore(self) -> None:
        self.world.do_file_tasks()

    @rule(seconds=st.sampled_from([0.1, 0.5, 3.0, 301.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule()
    def stop_and_start(self) -> None:
        self.world.stop()
        self.do_last_file_tasks()
        self.begin_again()

    @precondition(lambda self: not self.world.pool.jobs)
    @rule()
    def kill_and_start(self) -> None:
        self.world.wait(1)
        self.world.do_file_tasks()
        if not self.world.pool.jobs:  # what is shown and not on record when we are killed, nobody knows of
            self.begin_again()

    def do_last_file_tasks(self) -> None:
        """Do what was asked for at the end; nobody hears of it any more."""
        for _, outputs, mtime_ns in self.world.file_tasks:
            self.world.remove_outputs(outputs, mtime_ns)

    def begin_again(self) -> None:
        self.scanned.clear()
        self.world.log.lines.clear()
        self.world.file_tasks.clear()
        self.world.restart(kill=True)
        self.world.start()

    @rule()
    def leave_or_return(self) -> None:
        """Take a rendition with the size in its path out of the config, or put it into it again."""
        if self.world.raw["rendition"].pop("x", None) is None:
            self.world.raw["rendition"]["x"] = {"width": 100, "name": "x/{folder}/{stem}-{width}.{ext}"}
        self.world.reload()

    @invariant()
    def each_photo_is_in_one_place(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            while self.scanned:
                self.world.tell(self.scanned.popleft())
            settle(self.world)
            check(self.world)
        finally:
            self.stack.close()


SUPPRESSED = (HealthCheck.too_slow, HealthCheck.filter_too_much)


def test_whatever_is_renamed_each_name_shows_its_own_and_no_other_shows_any() -> None:
    run_state_machine_as_test(
        Renames,
        settings=settings(
            max_examples=6,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=SUPPRESSED,
        ),
    )


def test_a_name_that_another_photo_had_for_a_moment_while_its_own_went_unseen_shows_nothing() -> None:
    """Found by the model: the photo that has left is tried again in the turn in which that is found."""
    state = Renames()
    state.begin(worked=True, names={"x/a.jpg", "x/c.jpg", "y/a.jpg"})
    state.exchange(one="x/a.jpg", other="x/c.jpg", told=False)
    state.rename(path="y/a.jpg", to="x/a.jpg", told=True)
    state.rename(path="x/a.jpg", to="y/a.jpg", told=True)
    state.work_all()
    state.teardown()


def test_a_photo_that_left_and_whose_new_name_is_made_in_the_same_turn_leaves_nothing_behind() -> None:
    """Found by the model: that it left is not written yet, and is looked up all the same."""
    state = Renames()
    state.begin(names={"x/a.jpg", "X/a.jpg", "a.jpg", "b.jpg", "b.jpeg", "A.jpg", "x/c.jpg"}, worked=True)
    state.exchange(one="a.jpg", other="b.jpg", told=False)
    state.kill_and_start()
    state.exchange(one="x/c.jpg", other="b.jpg", told=True)
    state.exchange(one="x/a.jpg", other="b.jpg", told=True)
    state.exchange(one="x/c.jpg", other="b.jpg", told=True)
    state.rename(path="x/c.jpg", to="b.jpg", told=False)
    state.teardown()
