"""What people ask by way of the state file, and what is remembered of each photo's way."""

from __future__ import annotations

from typing import Any

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World, failed
from watcher.core.messages import Gone, RequestsPending, Seen
from watcher.core.records import Phase
from watcher.core.types import FailureKind, PhotoId, Request, Unready
from watcher.store import ask

A = PhotoId(IN, b"a.jpg")


def phase(world: World, path: str = "a.jpg") -> Phase:
    known = world.known(path)
    assert known is not None
    return known.phase


def story(world: World, photo: PhotoId = A) -> list[tuple[str, dict[str, Any]]]:
    return [(note.what, dict(note.detail)) for note in world.store.notes(photo)]


def asked(world: World, *requests: Request) -> None:
    ask(world.store.path, requests)
    world.tell(RequestsPending())


def test_a_failed_photo_that_somebody_asks_for_is_tried_again_at_once(world: World) -> None:
    for name in ("a.jpg", "b.jpg"):
        world.drop(name, "bad")
        world.work()
    asked(world, Request("retry", IN, b"a.jpg"))
    assert world.flying() == ["a.jpg"]
    assert world.job().attempt == 1
    assert world.job().current == frozenset(), "it would be found unchanged, and not tried"
    world.end(world.done())
    assert (phase(world), phase(world, "b.jpg")) == (Phase.DONE, Phase.FAILED)
    assert [what for what, _ in story(world)] == ["failed", "asked", "made"]
    assert world.store.requests() == []
    world.check_settled()


def test_all_that_failed_is_tried_again_when_no_photo_is_named(world: World) -> None:
    for name in ("a.jpg", "b.jpg"):
        world.drop(name, "bad")
    world.drop("c.jpg")
    world.work_all()
    asked(world, Request("retry", IN))
    world.scan()
    assert sorted(world.flying()) == ["a.jpg", "b.jpg"]
    world.work_all()
    world.check_settled()


def test_a_photo_that_waits_for_its_next_try_is_tried_at_once(world: World) -> None:
    world.drop("a.jpg", "passing")
    world.work()
    assert not world.flying()
    asked(world, Request("retry", IN, b"a.jpg"))
    assert world.flying() == ["a.jpg"]
    world.check()
    world.work()
    world.wait(1.0)
    world.check()


def test_what_is_asked_while_no_daemon_runs_is_done_by_the_next_one(world: World) -> None:
    world.drop("a.jpg", "bad")
    world.work()
    world.stop()
    ask(world.store.path, [Request("retry", IN, b"a.jpg")])
    world.store = type(world.store).open(world.store.path)
    world._build()
    world.daemon.start()
    assert world.store.requests() == [], "it was looked for at once"
    assert phase(world) is Phase.WAITING
    world.daemon.turn(None)
    assert world.flying() == ["a.jpg"]


def test_a_request_outlives_a_kill_right_after_it_was_read(world: World) -> None:
    world.drop("a.jpg", "bad")
    world.work()
    ask(world.store.path, [Request("retry", IN)])
    world.daemon.handle(RequestsPending())  # and dies before its turn ends
    world.restart(kill=True)
    world.start()
    assert world.flying() == ["a.jpg"]


def test_only_the_renditions_that_somebody_asks_for_are_made_again(make_world: MakeWorld) -> None:
    world = make_world()
    world.raw["rendition"]["thumb"] = {"width": 10}
    world.reload()
    world.scan()
    world.drop("a.jpg")
    world.work_all()
    asked(world, Request("remake", IN, b"a.jpg", ("thumb",)))
    job = world.job()
    assert {item.name for item in job.renderings} - job.current == {"thumb"}
    assert not job.adopt, "what lies there is to be replaced"
    world.work()
    assert phase(world) is Phase.DONE
    asked(world, Request("remake", IN, b"nobody.jpg", ("thumb",)), Request("remake", b"/nowhere", b"a.jpg", ("thumb",)))
    assert not world.flying()
    assert world.store.requests() == []
    world.check_settled()


def test_a_photo_that_is_done_is_not_tried_again_for_the_asking(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    asked(world, Request("retry", IN, b"a.jpg"))
    assert not world.flying()
    assert phase(world) is Phase.DONE


def test_the_history_tells_how_a_photo_came_what_it_waited_for_and_what_became_of_it(world: World) -> None:
    photo = world.put("a.jpg")
    world.event(Seen(IN, photo.path, complete=False))
    world.wait(1.0)
    world.end(Unready(world.files[photo].stamp, "truncated", settling=True))
    world.wait(0.5)
    world.end(failed(FailureKind.PASSING, "I/O error", world.files[photo].stamp))
    world.wait(10.0)
    world.work()
    waited, retried, made = story(world)
    assert waited[0] == "waiting"
    assert (waited[1]["how"], waited[1]["burst"], waited[1]["reason"]) == ("event", 0.5, "truncated")
    assert waited[1]["next"] > world.store.notes(A)[0].at
    assert (retried[0], retried[1]["how"], retried[1]["reason"]) == ("retry", "retry", "I/O error")
    assert made == ("made", {"how": "retry", "attempt": 2, "renditions": ["web"]})
    world.event(Gone(IN, (b"a.jpg",)))
    assert story(world)[-1] == ("gone", {}), "it outlives the photo's place on the books"


def test_history_costs_no_write_of_its_own(world: World) -> None:
    statements: list[str] = []
    world.store._db.set_trace_callback(statements.append)
    world.drop("a.jpg")
    world.work()
    world.store._db.set_trace_callback(None)
    transactions = "\n".join(statements).split("COMMIT")
    with_result = [text for text in transactions if "INSERT INTO photo" in text]
    assert len(with_result) == 2, "the attempt, and its result"
    assert ["INSERT INTO event" in text for text in with_result] == [False, True]
    assert sum("INSERT INTO event" in text for text in transactions) == 1
