"""Where a photo stands, what is told of its way, and what happens next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from watcher.core.formats import OUTPUTS
from watcher.core.history import Explanation, FileState, HistoryEntry, Place, explain
from watcher.core.recipe import Recipe
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.stability import INCOMPLETE_SECONDS
from watcher.core.status import InboxStatus
from watcher.core.types import FileSignature, PhotoId
from watcher.text import moment

A = PhotoId(b"/in", b"x/a.jpg")
STAMP = FileSignature(100, 5)
WEB = Recipe(10, 10, "inside", "webp", 85, "safe", "f1")
HERE = FileState("file", STAMP)
NOWHERE = FileState("nothing")
NOW = 1000.0

PLACE = Place(A, b"/out", "", {"web": WEB}, running=True)
DONE = PhotoRecord(
    STAMP, Phase.DONE, {"web": "f1"}, {"web": RenditionRecord(10, 7, 300)}, at=900.0, first_seen=899.0, origin="event"
)
FAILED = replace(DONE, phase=Phase.FAILED, recipes={}, made={}, reason="no JPEG", attempts=1)
WAITING = replace(FAILED, phase=Phase.WAITING, reason="truncated", attempts=0)

FIRST = HistoryEntry(A, 900.0, "made", {"how": "event", "burst": 0.5, "line": 0.2, "worker": 7, "seconds": 0.3})


def told(
    known: PhotoRecord | None = None, lies: FileState = HERE, notes: tuple[HistoryEntry, ...] = (), place: Place = PLACE
) -> Explanation:
    return explain(place, lies, known, notes, NOW)


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        (FileState("folder"), "folder"),
        (FileState("link", detail=" to /etc"), "symbolic link to /etc"),
        (FileState("special", detail="a named pipe"), "named pipe"),
    ],
)
def test_what_is_no_regular_file_is_excluded_with_what_it_is(lies: FileState, words: str) -> None:
    story = told(lies=lies)
    assert story.state == "excluded"
    assert words in story.reason


def test_what_the_rules_leave_alone_is_excluded_even_when_it_was_made_before() -> None:
    story = told(DONE, place=replace(PLACE, excluded="excluded by the pattern `x/`"))
    assert (story.state, story.reason) == ("excluded", "excluded by the pattern `x/`")
    assert story.renditions


def reported(**values: Any) -> InboxStatus:  # noqa: ANN401  # fields of it
    return InboxStatus(b"/in", b"/out", **values)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (replace(PLACE, running=False), "not running"),
        (replace(PLACE, report=reported(reachable=False, watch_reason="it is not mounted")), "it is not mounted"),
        (replace(PLACE, report=reported(held_up="no room", waiting=5)), "no room"),
        (replace(PLACE, report=reported(waiting=5)), "5 photos wait"),
        (PLACE, "not been noticed"),
    ],
)
def test_a_photo_that_nobody_has_tried_yet_waits_for_a_reason(place: Place, words: str) -> None:
    story = told(place=place)
    assert story.state == "waiting"
    assert words in story.reason
    assert story.next


def test_what_is_not_there_is_unknown_and_what_was_there_is_said_to_be_gone() -> None:
    assert "none was ever seen" in told(lies=NOWHERE).reason
    story = told(lies=NOWHERE, notes=(FIRST, HistoryEntry(A, 950.0, "gone", {})))
    assert story.state == "unknown"
    assert "no longer" in story.reason
    assert [event.what for event in story.events][-2:] == ["made", "gone"]


def test_renditions_stand_in_the_config_s_order_and_those_that_it_no_longer_has_at_the_end() -> None:
    names = ["1024", "1920", "480", "old"]
    known = replace(DONE, recipes=dict.fromkeys(names, "f1"), made=dict.fromkeys(names, DONE.made["web"]))
    story = told(known, place=replace(PLACE, wanted=dict.fromkeys(["480", "1024", "1920"], WEB)))
    assert [item.key for item in story.renditions] == ["480", "1024", "1920", "old"]


def test_a_photo_that_is_done_is_done_until_it_or_its_recipe_changes() -> None:
    assert told(DONE).state == "done"
    assert told(DONE, lies=NOWHERE).state == "done"
    changed = told(DONE, lies=FileState("file", FileSignature(101, 5)))
    assert (changed.state, changed.reason) == ("waiting", "it has changed since its renditions were made")
    more = replace(PLACE, wanted={"web": WEB, "thumb": WEB, "new": WEB})
    stale = told(DONE, place=more)
    assert (stale.state, stale.reason) == ("waiting", "thumb and new are still to be made")


def test_a_photo_that_failed_is_failed_until_it_changes() -> None:
    story = told(FAILED)
    assert (story.state, story.reason) == ("failed", "no JPEG")
    assert "watcher retry" in story.next
    assert told(FAILED, lies=FileState("file", FileSignature(100, 6))).state == "waiting"


def test_a_wait_says_when_it_is_over_and_never_a_time_that_has_passed() -> None:
    story = told(WAITING, notes=(HistoryEntry(A, 990.0, "waiting", {"reason": "truncated", "next": NOW + 3}),))
    assert (story.state, story.reason, story.next_at) == ("waiting", "truncated", NOW + 3)
    given_up = moment(WAITING.at + INCOMPLETE_SECONDS, NOW)
    assert f"given up at {given_up} if it does not change" in story.next, "which is not when it is looked at next"
    late = told(WAITING, notes=(HistoryEntry(A, 990.0, "retry", {"reason": "I/O error", "next": NOW - 3}),))
    assert late.next_at == NOW
    overdue = told(WAITING, notes=(HistoryEntry(A, 990.0, "waiting", {"reason": "truncated", "next": NOW - 3}),))
    assert overdue.next_at == NOW
    assert overdue.next.endswith("it is looked at again"), "any moment now"
    down = told(WAITING, notes=(FIRST,), place=replace(PLACE, running=False))
    assert down.next_at is None
    assert "watcher run" in down.next


def test_a_photo_in_a_worker_is_said_to_be_there_and_one_left_by_a_dead_daemon_too() -> None:
    assert told(replace(WAITING, leased=True)).reason == "a worker is at it"
    down = told(replace(WAITING, leased=True), place=replace(PLACE, running=False))
    assert down.reason == "watcher ended while it worked on this photo"


def test_an_attempt_is_told_as_when_it_was_seen_what_it_waited_for_and_what_it_came_to() -> None:
    events = told(DONE, notes=(FIRST,)).events
    assert [(event.at, event.what) for event in events] == [
        (pytest.approx(899.0), "seen"),
        (pytest.approx(899.0), "waited"),
        (pytest.approx(899.5), "waited"),
        (900.0, "made"),
    ]
    assert [event.detail["seconds"] for event in events[1:]] == [0.5, 0.2, 0.3]
    assert events[3].detail["worker"] == 7


def test_a_beginning_that_was_pushed_out_is_told_from_the_books() -> None:
    story = told(DONE, notes=(replace_time(FIRST, 5000.0),))
    assert (story.events[0].at, story.events[0].what) == (899.0, "seen")
    assert not story.forgotten
    bare = told(DONE)
    assert bare.forgotten
    assert [(event.at, event.what) for event in bare.events] == [(899.0, "seen"), (900.0, "made")]
    assert bare.seen == (899.0, "event")


def replace_time(note: HistoryEntry, at: float) -> HistoryEntry:
    return note._replace(at=at)


def test_renditions_have_their_place_and_recipe_and_several_names_where_the_format_is_not_known() -> None:
    (web,) = told(DONE).renditions
    assert (web.paths, web.recipe) == ((b"/out/web/x/a.webp",), WEB)
    other = replace(PLACE, wanted={"web": replace(WEB, fingerprint="f2")})
    (old,) = told(DONE, place=other).renditions
    assert old.recipe is None
    assert set(old.paths) == {b"/out/web/x/a" + kind.extension for kind in OUTPUTS.values()}
    named = replace(DONE, made={"web": RenditionRecord(10, 7, 300, b"a.jpeg.webp")})
    assert told(named).renditions[0].paths == (b"/out/web/x/a.jpeg.webp",)
