"""Hooks: what they are told, in which order, how often, and what a crash, a reload and a target that is away change."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.fakes import World
from watcher.core.messages import HookAnswered, Stop
from watcher.errors import StateError

Make = Callable[..., World]
HOUR = 3600.0
CLOSED = 1.0  # longer than any burst that is told to be closed takes to end


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    worlds: list[World] = []

    def build(*hooks: dict[str, Any], once: bool = False) -> World:
        world = World(str(tmp_path / "state.db"), once=once)
        world.raw["hook"] = [{"command": ["/bin/tell"], **hook} for hook in hooks]
        world.restart(kill=True)
        worlds.append(world)
        return world

    yield build
    for world in worlds:
        world.close()


def names(document: dict[str, Any]) -> list[str]:
    return [item["path"].rpartition("/")[2] for item in document["photos"] + document["failed"]]


def pending(world: World) -> list[dict[str, Any]]:
    """Return what hooks are being told, in the order of the config."""
    return [document for _, _, document in sorted(world.delivering, key=lambda each: each[0])]


def status(world: World) -> list[tuple[str, int, int, str]]:
    return [(hook.on, hook.waiting, hook.failed, hook.last_error) for hook in world.daemon.hooks.status()]


def next_try(world: World, step: float = 60.0) -> None:
    """Let time pass until a hook is told something."""
    for _ in range(1000):
        if world.delivering:
            return
        world.wait(step)
    raise AssertionError("no hook is told anything")


# ---- what they are told ----


def test_a_photo_is_told_with_its_renditions(make: Make) -> None:
    world = make({"on": "photo"}).start()
    world.drop("trip/a.jpg")
    world.work_all()
    ((_, _, document),) = world.delivering
    assert document.pop("id")
    assert document.pop("at").startswith("2023-")
    assert document == {
        "event": "photo",
        "inbox": "/in",
        "output": "/out",
        "photos": [
            {
                "path": "/in/trip/a.jpg",
                "renditions": [
                    {
                        "name": "web",
                        "path": "/out/web/trip/a.jpg",
                        "width": 10,
                        "height": 10,
                        "bytes": 100,
                    }
                ],
            }
        ],
        "failed": [],
    }


def test_a_photo_that_fails_is_told_with_the_reason(make: Make) -> None:
    world = make({"on": "failed"}).start()
    world.drop("a.jpg")
    world.drop("b.jpg", "bad")
    world.work_all()
    ((_, _, document),) = world.delivering
    assert (document["event"], document["photos"]) == ("failed", [])
    assert [set(item) for item in document["failed"]] == [{"path", "reason"}]
    assert names(document) == ["b.jpg"]


def test_a_batch_is_told_as_a_whole_when_it_has_ended(make: Make) -> None:
    world = make({"on": "batch"}).start()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        world.drop(name, "bad" if name == "b.jpg" else "good", complete=False)
    world.wait(CLOSED)
    world.work_all()
    ((_, _, document),) = world.delivering
    assert document["event"] == "batch"
    assert names(document) == ["a.jpg", "c.jpg", "b.jpg"]
    world.told()
    assert not world.delivering
    assert world.store._db.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def test_only_the_inboxes_that_a_hook_names_are_told(make: Make) -> None:
    world = make()
    world.raw["inbox"].append({"path": "/other", "output": "/out2"})
    world.raw["hook"] = [{"on": "photo", "command": ["x"], "inbox": ["/other"]}]
    world.restart(kill=True)
    world.start()
    world.drop("a.jpg")
    world.drop("b.jpg", inbox=b"/other")
    world.work_all()
    assert [document["inbox"] for _, _, document in world.delivering] == ["/other"]


def test_without_hooks_nothing_is_written_for_them(make: Make) -> None:
    world = make().start()
    world.drop("a.jpg")
    world.work_all()
    assert world.store._db.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


# ---- order, one at a time, at least once ----


def test_photos_are_told_in_order_and_one_at_a_time(make: Make) -> None:
    world = make({"on": "photo"}, {"on": "photo", "command": ["/bin/other"]}).start()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        world.drop(name)
        world.work_all()
    assert len(world.delivering) == 2  # one of each hook: neither waits for the other
    found = [names(world.told()) for _ in range(6)]
    assert found == [["a.jpg"]] * 2 + [["b.jpg"]] * 2 + [["c.jpg"]] * 2
    assert not world.delivering


def test_an_answer_about_a_document_that_is_not_being_delivered_changes_nothing(make: Make) -> None:
    world = make({"on": "photo"}).start()
    for name in ("a.jpg", "b.jpg"):
        world.drop(name)
        world.work_all()
    ((hook, number, _),) = world.delivering
    world.tell(HookAnswered(hook, number + 1))
    assert status(world) == [("photo", 2, 0, "")]
    assert [names(world.told()), names(world.told())] == [["a.jpg"], ["b.jpg"]]


def test_a_hook_that_fails_is_tried_again_with_backoff_before_what_follows(make: Make) -> None:
    world = make({"on": "photo"}).start()
    world.drop("a.jpg")
    world.work_all()
    world.drop("b.jpg")
    world.work_all()
    waits = []
    for _ in range(3):
        assert names(world.told("no route")) == ["a.jpg"]
        began = world.clock.now
        assert not world.delivering
        next_try(world, 0.5)
        waits.append(world.clock.now - began)
    assert [5 <= waits[0] <= 6.75, 10 <= waits[1] <= 13, 20 <= waits[2] <= 25.5] == [True] * 3
    assert status(world) == [("photo", 2, 0, "no route")]
    assert [names(world.told()), names(world.told())] == [["a.jpg"], ["b.jpg"]]
    assert status(world) == [("photo", 0, 0, "")]
    assert len(world.log.of("hook.failed")) == 3


def test_a_success_starts_the_backoff_anew(make: Make) -> None:
    world = make({"on": "photo"}).start()
    world.drop("a.jpg")
    world.work_all()
    for _ in range(4):
        world.told("no route")
        next_try(world)
    world.told()
    world.drop("b.jpg")
    world.work_all()
    world.told("no route")
    began = world.clock.now
    next_try(world, 0.5)
    assert 5 <= world.clock.now - began <= 7


def test_a_hook_that_fails_is_tried_at_most_once_a_second_whatever_the_backoff(make: Make) -> None:
    world = make({"on": "photo"})
    world.raw["retry"] = {"backoff_seconds": 0}
    world.restart(kill=True)
    world.start()
    world.drop("a.jpg")
    world.work_all()
    began = world.clock.now
    for _ in range(3):
        world.told("no route")
        next_try(world, 0.1)
    assert 3.0 <= world.clock.now - began <= 4.0


def test_after_an_hour_of_failures_a_document_is_given_up_and_the_next_is_told(make: Make) -> None:
    world = make({"on": "photo"}).start()
    world.drop("a.jpg")
    world.work_all()
    first = world.clock.now
    for _ in range(100):
        if world.log.of("hook.gave_up"):
            break
        next_try(world)
        if world.clock.now > first + HOUR / 2 and ("b" not in [p.path[:1].decode() for p in world.files]):
            world.drop("b.jpg")
            world.work_all()
        assert names(world.told("no route")) == ["a.jpg"]
    assert first + HOUR <= world.clock.now < first + HOUR + 120, "the last try is at the end of the hour"
    assert status(world) == [("photo", 1, 1, "no route")]
    world.wait(10.0)
    assert names(world.told("no route")) == ["b.jpg"]  # its hour is not over
    assert len(world.log.of("hook.gave_up")) == 1
    next_try(world)
    assert names(world.told()) == ["b.jpg"]
    assert status(world) == [("photo", 0, 1, "")]


def test_what_waits_for_longer_than_an_hour_is_tried_once_before_it_is_given_up(make: Make) -> None:
    world = make({"on": "photo"}).start()
    for name in ("a.jpg", "b.jpg"):
        world.drop(name)
        world.work_all()
    told = []
    for _ in range(100):
        if len(world.log.of("hook.gave_up")) == 2:
            break
        next_try(world)
        told += names(world.told("no route"))
    assert told.count("b.jpg") == 1
    assert told[-1] == "b.jpg"


def test_no_photo_waits_for_a_hook(make: Make) -> None:
    world = make({"on": "photo"}, {"on": "batch"}).start()
    for number in range(20):
        world.drop(f"{number}.jpg")
        world.work_all()
    world.wait(CLOSED)
    assert len(world.outputs) == 20
    assert len(world.delivering) == 2


def test_what_was_not_answered_is_told_again_after_a_kill_with_the_same_id(make: Make) -> None:
    world = make({"on": "photo"}).start()
    for name in ("a.jpg", "b.jpg"):
        world.drop(name)
        world.work_all()
    before = world.delivering[0][2]
    world.restart(kill=True)
    world.start()
    assert world.delivering[0][2] == before
    assert [names(world.told()), names(world.told())] == [["a.jpg"], ["b.jpg"]]
    world.restart(kill=True)
    world.start()
    assert not world.delivering


def test_the_photos_of_a_batch_that_a_kill_cut_off_are_told_after_the_restart(make: Make) -> None:
    world = make({"on": "batch"}).start()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        world.drop(name, complete=False)
    world.wait(CLOSED)
    world.work(world.flying()[0])  # its batch goes on
    assert not world.delivering
    world.restart(kill=True)
    world.start()
    assert names(world.told()) == ["a.jpg"]
    world.work_all()
    assert sorted(names(world.told())) == ["b.jpg", "c.jpg"]


class _Killed(BaseException):
    """What a kill looks like from inside."""


def _run_through(world: World, told: set[tuple[str, str]]) -> None:
    """Start, make all photos, and have all hooks take what they are told."""
    world.start()
    for _ in range(20):
        world.wait(CLOSED)
        world.work_all()
        while world.delivering:
            document = world.delivering[0][2]
            told.update((document["event"], name) for name in names(document))
            world.told()


@pytest.mark.parametrize("written", [False, True])
def test_a_kill_at_any_write_loses_nothing(tmp_path: Path, written: bool) -> None:
    files = {f"{name}.jpg": "bad" if name == "c" else "good" for name in "abcde"}
    expected = {("batch", name) for name in files}
    expected |= {("failed" if kind == "bad" else "photo", name) for name, kind in files.items()}
    for kill_at in range(1, 200):
        world = World(str(tmp_path / f"{kill_at}.db"))
        world.raw["hook"] = [{"on": on, "command": ["x"]} for on in ("photo", "batch", "failed")]
        world.restart(kill=True)
        for name, kind in files.items():
            world.put(name, kind)
        write, count = world.store.write, 0

        def killing(*arguments: Any, at: int = kill_at, write: Any = write, **named: Any) -> None:  # noqa: ANN401  # as they come
            nonlocal count
            count += 1
            if count != at or written:
                write(*arguments, **named)
            if count == at:
                raise _Killed

        world.store.write = killing  # type: ignore[method-assign]
        told: set[tuple[str, str]] = set()
        try:
            _run_through(world, told)
        except _Killed:
            world.restart(kill=True)
            _run_through(world, told)
            assert told == expected, kill_at
        else:
            assert told == expected
            assert kill_at > 5
            world.close()
            return
        world.close()
    raise AssertionError("it never comes to an end")


def test_a_hundred_thousand_that_wait_are_not_read(make: Make) -> None:
    world = make({"on": "photo"}).start()
    query = "SELECT id, at FROM outbox WHERE hook = 1 AND part = '' AND id > 7 ORDER BY id LIMIT 1"
    (plan,) = world.store._db.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert plan[-1].startswith("SEARCH outbox USING INDEX outbox_next (hook=? AND part=? AND ")


def test_what_a_hook_is_told_is_in_the_transaction_of_the_photo(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make({"on": "photo"}, {"on": "batch"}).start()
    world.drop("a.jpg")
    commits: list[tuple[int, int]] = []
    watching = sqlite3.connect(world.store.path)
    write = world.store.write

    def written(*arguments: Any, **names: Any) -> None:  # noqa: ANN401  # as they come
        write(*arguments, **names)
        done = watching.execute("SELECT count(*) FROM photo WHERE phase = 1").fetchone()[0]
        commits.append((done, watching.execute("SELECT count(*) FROM outbox WHERE item <> ''").fetchone()[0]))

    monkeypatch.setattr(world.store, "write", written)
    world.work_all()
    watching.close()
    assert (1, 2) in commits
    assert set(commits) <= {(0, 0), (1, 2)}


def test_what_is_told_waits_while_the_state_file_can_not_be_written(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make({"on": "photo"}).start()
    world.drop("a.jpg")
    write = world.store.write

    def refuse(*_: object, **__: object) -> None:
        raise StateError("disk full")

    monkeypatch.setattr(world.store, "write", refuse)
    world.work_all()
    world.wait(30.0)
    assert not world.delivering
    monkeypatch.setattr(world.store, "write", write)
    world.wait(5.0)
    assert names(world.told()) == ["a.jpg"]


# ---- the config changes ----


def test_a_hook_whose_command_was_changed_gets_what_waited_for_it(make: Make) -> None:
    world = make({"on": "photo"}).start()
    world.drop("a.jpg")
    world.work_all()
    world.told("no such program")
    world.raw["hook"][0]["command"] = ["/bin/right"]
    world.reload()
    assert names(world.told()) == ["a.jpg"]
    assert status(world) == [("photo", 0, 0, "")]
    assert not world.log.of("hook.removed")


def test_what_waits_for_a_hook_that_was_removed_is_dropped_and_said(make: Make) -> None:
    world = make({"on": "photo"}, {"on": "batch"}).start()
    world.drop("a.jpg")
    world.work_all()
    del world.raw["hook"][0]
    world.delivering.sort()
    world.reload()
    world.wait(10.0)
    assert [fields["waiting"] for fields in world.log.of("hook.removed")] == [1]
    hook, number, _ = world.delivering.pop(0)
    world.tell(HookAnswered(hook, number))  # of the removed one, too late
    assert [hook for hook, *_ in status(world)] == ["batch"]


def test_what_waits_goes_to_no_hook_that_is_for_other_inboxes(make: Make) -> None:
    world = make({"on": "photo", "inbox": ["/in"]})
    world.raw["inbox"].append({"path": "/other", "output": "/out2"})
    world.restart(kill=True)
    world.start()
    world.drop("a.jpg")
    world.work_all()
    world.told("no route")
    world.raw["hook"] = [{"on": "photo", "command": ["/bin/other"], "inbox": ["/other"]}]
    world.reload()
    world.wait(10.0)
    assert not world.delivering
    assert [fields["waiting"] for fields in world.log.of("hook.removed")] == [1]


OTHER = b"/other"


def another_config(world: World, *hooks: dict[str, Any], inboxes: tuple[str, ...] = ("/other",)) -> World:
    """Run with another config over the same state file."""
    world.raw["inbox"] = [{"path": path, "output": f"/out of{path}"} for path in inboxes]
    world.raw["hook"] = list(hooks)
    world.restart(kill=True)
    return world.start()


@pytest.mark.parametrize(
    "theirs",
    [[], [{"on": "photo", "command": ["/bin/theirs"]}], [{"on": "failed", "command": ["/bin/tell"]}]],
    ids=["no hook", "another target", "another event"],
)
def test_what_waits_for_hooks_of_a_config_with_other_inboxes_is_left_alone(
    make: Make, theirs: list[dict[str, Any]]
) -> None:
    mine = [{"on": on, "command": ["/bin/tell"]} for on in ("photo", "batch")]
    world = make(*mine).start()
    world.drop("a.jpg")
    world.work_all()
    world.wait(CLOSED)
    expected = dict(zip(("photo", "batch"), pending(world), strict=True))
    another_config(world, *theirs)
    for name, kind in (("b.jpg", "good"), ("c.jpg", "bad")):
        world.drop(name, kind, inbox=OTHER)
        world.work_all()
    theirs_before = pending(world)
    assert [document["inbox"] for document in theirs_before] == ["/other"] * len(theirs)
    assert not world.log.of("hook.removed")
    another_config(world, *mine, inboxes=("/in",))
    assert {document["event"]: document for document in pending(world)} == expected
    assert [(on, waiting) for on, waiting, *_ in status(world)] == [("photo", 1), ("batch", 1)]
    another_config(world, *theirs)
    assert pending(world) == theirs_before


def test_of_a_hook_that_two_configs_had_only_what_is_of_this_one_s_inboxes_is_dropped(make: Make) -> None:
    mine = {"on": "photo", "command": ["/bin/tell"]}
    world = another_config(make(), mine, inboxes=("/in", "/other"))
    for inbox in (b"/in", OTHER, b"/in"):
        world.drop("a.jpg", inbox=inbox)
        world.work_all()
    another_config(world)
    assert [fields["waiting"] for fields in world.log.of("hook.removed")] == [1]
    another_config(world, mine, inboxes=("/in", "/other"))
    assert [(on, waiting) for on, waiting, *_ in status(world)] == [("photo", 2)]
    assert [world.told()["inbox"] for _ in range(2)] == ["/in", "/in"]
    assert not world.delivering


def test_a_batch_that_was_cut_off_waits_for_its_own_config(make: Make) -> None:
    world = make({"on": "batch"}).start()
    for name in ("a.jpg", "b.jpg"):
        world.drop(name, complete=False)
    world.wait(CLOSED)
    world.work(world.flying()[0])
    another_config(world)
    another_config(world, {"on": "batch", "command": ["/bin/tell"]}, inboxes=("/in",))
    assert names(world.told()) == ["a.jpg"]


# ---- ends ----


def test_a_stop_waits_for_what_runs_but_not_for_ever(make: Make) -> None:
    world = make({"on": "photo"}).start()
    world.drop("a.jpg")
    world.work_all()
    world.tell(Stop("SIGTERM"))
    assert not world.daemon.finished()
    world.wait(5.0)
    assert not world.daemon.finished()
    world.clock.move_to(world.clock.now + 6.0)
    assert world.daemon.finished()


def test_once_ends_when_all_is_told(make: Make) -> None:
    world = make({"on": "photo"}, {"on": "batch"}, once=True)
    world.put("a.jpg")
    world.put("b.jpg")
    world.start()
    world.work_all()
    assert not world.daemon.finished()
    found = []
    while world.delivering:
        found.append(world.told()["event"])
    assert sorted(found) == ["batch", "photo", "photo"]
    assert world.daemon.finished()


def test_once_tries_a_hook_that_fails_once_and_leaves_the_rest_to_the_next_run(make: Make) -> None:
    world = make({"on": "photo"}, once=True)
    world.put("a.jpg")
    world.put("b.jpg")
    world.start()
    world.work_all()
    first = names(world.told("no route"))
    assert not world.delivering
    assert world.daemon.finished()
    world.restart(kill=True)
    world.start()
    assert names(world.told()) == first
    world.told()
    assert world.daemon.finished()


# ---- the history ----


def test_the_history_of_each_photo_says_what_was_told_without_arguments_which_may_be_secret(make: Make) -> None:
    world = make({"on": "batch", "command": ["/bin/tell", "--token=secret"]}).start()
    photos = [world.drop(name) for name in ("a.jpg", "b.jpg")]
    world.work_all()
    world.wait(CLOSED)
    world.told()
    for photo in photos:
        assert [(note.what, note.detail) for note in world.store.notes(photo)][-1] == ("hook", {"to": "/bin/tell"})
