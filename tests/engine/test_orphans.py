"""Outputs that no photo needs any more: removed when a user asks, and never while it is unsure that they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World
from watcher.core.messages import Gone, RequestsPending, WatchLost
from watcher.core.orphans import Removals
from watcher.core.output_paths import recorded_paths
from watcher.core.records import Phase
from watcher.core.types import PhotoId, Request
from watcher.store import ask


def settle(world: World) -> None:
    for _ in range(3):
        world.wait(301)
        world.scan()
        world.work_all()
        world.take_all_away()
        world.do_file_tasks()


def outputs(world: World) -> list[str]:
    return sorted(output.decode() for output in world.outputs)


def prune(world: World, path: str, *renditions: str) -> None:
    ask(world.store.path, [Request("prune", IN, path.encode(), renditions)])
    world.tell(RequestsPending())
    world.do_file_tasks()


def made(world: World, *paths: str) -> None:
    for path in paths:
        world.drop(path)
    settle(world)


def remove(world: World, path: str, *, told: bool = True) -> PhotoId:
    photo = PhotoId(IN, path.encode())
    del world.files[photo]
    if told:
        world.event(Gone(IN, (photo.path,)))
    return photo


@pytest.mark.parametrize("noticed", [True, False])
def test_the_outputs_of_a_photo_that_is_gone_are_removed_when_a_user_asks(world: World, noticed: bool) -> None:
    made(world, "x/a.jpg", "x/b.jpg")
    photo = remove(world, "x/a.jpg", told=noticed)
    prune(world, "x/a.jpg")
    assert outputs(world) == ["web/x/b.jpg"]
    settle(world)
    assert (world.store.left_versions(photo), world.known("x/a.jpg")) == ([], None)
    made(world, "x/a.jpg")
    assert outputs(world) == ["web/x/a.jpg", "web/x/b.jpg"]
    world.check_settled()


def test_what_is_not_as_it_was_made_stays_and_stays_recorded(world: World) -> None:
    made(world, "a.jpg", "b.jpg")
    photo = remove(world, "a.jpg")
    world.made_of[b"web/a.jpg"] = "edited by hand"
    prune(world, "a.jpg")
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"]
    assert world.store.left_versions(photo)
    assert [entry["output"] for entry in world.log.of("orphan.kept")] == [b"/out/web/a.jpg"]


def test_a_photo_that_is_there_keeps_its_outputs_whatever_is_asked(world: World) -> None:
    made(world, "a.jpg", "b.jpg")
    for path in ("a.jpg", "none.jpg"):
        prune(world, path)
        prune(world, path, "web")
    settle(world)
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"]
    assert world.known("a.jpg") is not None
    world.check_settled()


def test_a_photo_that_arrives_waits_for_its_place_and_then_is_made(world: World) -> None:
    made(world, "a.jpg", "b.jpg")
    remove(world, "a.jpg")
    ask(world.store.path, [Request("prune", IN, b"a.jpg")])
    world.tell(RequestsPending())
    world.drop("a.jpg", content="another")
    world.wait(5)
    assert world.flying() == []
    world.do_file_tasks()
    settle(world)
    assert world.made_of[b"web/a.jpg"] == "another"
    world.check_settled()


# ---- is it the inbox that it was? ----


def test_photos_that_left_with_their_volume_keep_their_outputs(world: World) -> None:
    made(world, "a.jpg", "b.jpg")
    before = dict(world.files)
    world.files.clear()
    world.root = (2, 2)
    world.put("c.jpg")
    settle(world)
    prune(world, "a.jpg")
    assert outputs(world) == ["web/a.jpg", "web/b.jpg", "web/c.jpg"]
    remove(world, "c.jpg", told=False)
    world.put("d.jpg")
    world.put("e.jpg")
    settle(world)
    remove(world, "e.jpg")
    for path in ("a.jpg", "b.jpg", "e.jpg"):
        prune(world, path)
    assert "web/e.jpg" not in outputs(world), "it went from the volume that is there"
    assert {"web/a.jpg", "web/b.jpg"} <= set(outputs(world))
    worked = len(world.worked)
    world.files.update(before)
    world.root = (1, 1)
    settle(world)
    assert len(world.worked) == worked, "they are recognised when it is back"
    world.check_settled()


def test_another_memory_card_in_the_same_reader_is_no_reason_to_remove_anything(world: World) -> None:
    made(world, "a.jpg", "b.jpg")
    world.files.clear()
    world.put("a.jpg", content="of the other card")
    world.put("c.jpg")
    settle(world)
    prune(world, "b.jpg")
    assert "web/b.jpg" in outputs(world), "device and inode are the same, and no photo is"


def test_a_volume_that_has_another_number_after_a_start_is_the_same_one_when_all_is_there(world: World) -> None:
    made(world, "a.jpg", "b.jpg")
    world.root = (7, 1)
    settle(world)
    remove(world, "a.jpg")
    prune(world, "a.jpg")
    assert outputs(world) == ["web/b.jpg"]


@pytest.mark.parametrize("told", [True, False])
def test_an_inbox_that_was_emptied_as_a_whole_keeps_all_outputs(world: World, told: bool) -> None:
    made(world, "a.jpg", "b.jpg")
    for path in ("a.jpg", "b.jpg"):
        remove(world, path, told=told)
    settle(world)
    for path in ("a.jpg", "b.jpg"):
        prune(world, path)
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"]


def test_an_inbox_that_can_not_be_reached_keeps_all_outputs(world: World) -> None:
    made(world, "a.jpg", "b.jpg", "c.jpg")
    remove(world, "a.jpg")
    world.reachable = False
    prune(world, "a.jpg")
    prune(world, "b.jpg")
    assert outputs(world) == ["web/a.jpg", "web/b.jpg", "web/c.jpg"]


# ---- originals that were archived ----


@pytest.mark.parametrize("fmt", ["jpeg", "webp"])
def test_the_outputs_of_archived_originals_are_nobodys_orphans(make_world: MakeWorld, fmt: str) -> None:
    world = make_world()
    world.raw["inbox"][0].update(after="move", originals="/originals")
    world.raw["rendition"]["web"]["format"] = fmt
    world._build()
    world.start()
    for content in ("one", "two"):
        world.drop("a.jpg", content=content)
        settle(world)
    world.drop("stays.jpg", "bad")
    settle(world)
    before = outputs(world)
    assert len(before) == 2
    assert list(world.store.left_photos(IN)) == []
    prune(world, "a.jpg")
    prune(world, "a.jpg", "web")
    assert outputs(world) == before


@pytest.mark.parametrize("after", ["move", "delete"])
@pytest.mark.parametrize("asked", [True, False])
def test_originals_that_a_restored_state_file_does_not_know_to_be_archived_keep_their_outputs(
    make_world: MakeWorld, after: str, asked: bool
) -> None:
    world = make_world().start()
    made(world, *(f"{number}.jpg" for number in range(10)))
    world.drop("stays.jpg", "bad")
    settle(world)
    before = outputs(world)
    world.raw["inbox"][0].update(after=after, originals="/originals", orphans="delete", orphans_max="100%")
    for number in range(4):
        remove(world, f"{number}.jpg", told=False)
    world.restart(kill=True)
    world.start()
    for number in range(4 * asked):
        prune(world, f"{number}.jpg")
    rescans(world, 4)
    assert outputs(world) == before


# ---- renditions that the config no longer has ----


@pytest.fixture
def both(make_world: MakeWorld) -> World:
    world = make_world()
    world.raw["rendition"]["thumb"] = {"width": 50}
    world._build()
    return world.start()


def test_a_rendition_that_the_config_no_longer_has_is_removed_and_made_again_if_it_has_it_again(both: World) -> None:
    made(both, "a.jpg", "b.jpg")
    thumb = both.raw["rendition"].pop("thumb")
    both.reload()
    settle(both)
    prune(both, "a.jpg", "thumb", "web", "nonsense")
    assert outputs(both) == ["thumb/b.jpg", "web/a.jpg", "web/b.jpg"]
    known = both.known("a.jpg")
    assert known is not None
    assert (set(known.made), set(known.recipes)) == ({"web"}, {"web"})
    both.raw["rendition"]["thumb"] = thumb
    both.reload()
    settle(both)
    assert outputs(both) == ["thumb/a.jpg", "thumb/b.jpg", "web/a.jpg", "web/b.jpg"]
    both.check_settled()


def test_a_rendition_off_the_record_that_could_not_be_removed_is_made_again_too(both: World) -> None:
    made(both, "a.jpg", "b.jpg")
    thumb = both.raw["rendition"].pop("thumb")
    both.reload()
    both.made_of[b"thumb/a.jpg"] = "edited"
    prune(both, "a.jpg", "thumb")
    assert "thumb/a.jpg" in outputs(both)
    known = both.known("a.jpg")
    assert known is not None
    assert (set(known.made), set(known.recipes)) == ({"web", "thumb"}, {"web"})
    both.raw["rendition"]["thumb"] = thumb
    both.reload()
    settle(both)
    assert both.made_of[b"thumb/a.jpg"] == both.files[PhotoId(IN, b"a.jpg")].content


def test_a_photo_that_is_about_to_be_made_loses_no_rendition(both: World) -> None:
    made(both, "a.jpg")
    both.raw["rendition"].pop("thumb")
    both.reload()
    settle(both)
    both.drop("a.jpg", complete=False)
    prune(both, "a.jpg", "thumb")
    assert outputs(both) == ["thumb/a.jpg", "web/a.jpg"]


def test_an_archived_original_s_renditions_stay_when_the_config_no_longer_has_them(both: World) -> None:
    both.raw["inbox"][0].update(after="move", originals="/originals")
    both.reload()
    made(both, "a.jpg")
    both.raw["rendition"].pop("thumb")
    both.reload()
    settle(both)
    ((key, known),) = both.store.photos(IN, Phase.DONE)
    assert known.away is not None
    prune(both, key.path.decode(), "thumb")
    assert outputs(both) == ["thumb/a.jpg", "web/a.jpg"]


def test_a_rendition_that_is_wanted_again_when_it_is_asked_for_stays(both: World) -> None:
    made(both, "a.jpg")
    prune(both, "a.jpg", "thumb")
    assert outputs(both) == ["thumb/a.jpg", "web/a.jpg"]


def test_a_kill_between_costs_nothing(both: World) -> None:
    made(both, "a.jpg", "b.jpg")
    both.raw["rendition"].pop("thumb")
    both.reload()
    settle(both)
    remove(both, "b.jpg")
    ask(both.store.path, [Request("prune", IN, b"a.jpg", ("thumb",)), Request("prune", IN, b"b.jpg")])
    both.tell(RequestsPending())
    both.prunings.clear()
    both.restart(kill=True)
    both.start()
    settle(both)
    prune(both, "a.jpg", "thumb")
    prune(both, "b.jpg")
    assert outputs(both) == ["web/a.jpg"]
    both.check_settled()


# ---- without being asked ----


@pytest.fixture
def tidy(make_world: MakeWorld) -> World:
    """Give a daemon that removes the outputs of photos that are gone, with twenty of which none is."""
    world = make_world()
    world.raw["inbox"][0]["orphans"] = "delete"
    world._build()
    world.start()
    made(world, *(f"x/{number:02}.jpg" for number in range(20)))
    return world


def rescans(world: World, times: int = 2) -> None:
    """Let as many scans pass, one each `rescan_seconds`."""
    for _ in range(times):
        world.wait(301)
        world.scan()
        world.work_all()
        world.do_file_tasks()


@pytest.mark.parametrize("told", [True, False])
def test_outputs_go_only_after_two_complete_scans_without_the_photo(tidy: World, told: bool) -> None:
    remove(tidy, "x/00.jpg", told=told)
    rescans(tidy, 1)
    assert "web/x/00.jpg" in outputs(tidy)
    rescans(tidy, 1 if told else 2)
    assert outputs(tidy) == [f"web/x/{number:02}.jpg" for number in range(1, 20)]
    assert tidy.store.left_versions(PhotoId(IN, b"x/00.jpg")) == []
    tidy.check_settled()


def test_scans_that_follow_each_other_sooner_than_rescan_seconds_are_one(tidy: World) -> None:
    remove(tidy, "x/00.jpg")
    rescans(tidy, 1)
    for _ in range(5):
        tidy.wait(20)
        tidy.tell(WatchLost(IN, "overflow", healed=True))
        tidy.scan()
        tidy.do_file_tasks()
    assert "web/x/00.jpg" in outputs(tidy)
    rescans(tidy, 1)
    assert "web/x/00.jpg" not in outputs(tidy)


def test_by_default_and_in_a_single_run_nothing_goes(make_world: MakeWorld) -> None:
    for once, orphans in ((False, "keep"), (True, "delete")):
        world = make_world(once=once)
        world.raw["inbox"][0]["orphans"] = orphans
        world._build()
        world.start()
        made(world, *(f"{number}.jpg" for number in range(20)))
        remove(world, "0.jpg")
        for _ in range(4):
            world.tell(WatchLost(IN, "overflow", healed=True))
            rescans(world, 1)
        assert "web/0.jpg" in outputs(world)


def test_a_photo_that_comes_back_between_the_scans_keeps_its_outputs(tidy: World) -> None:
    photo = PhotoId(IN, b"x/00.jpg")
    file = tidy.files[photo]
    remove(tidy, "x/00.jpg")
    rescans(tidy, 1)
    tidy.files[photo] = file
    worked = len(tidy.worked)
    rescans(tidy, 4)
    assert "web/x/00.jpg" in outputs(tidy)
    assert len(tidy.worked) == worked
    tidy.check_settled()


def test_a_photo_that_is_there_under_another_name_is_no_orphan(tidy: World) -> None:
    tidy.move("x/00.jpg", "y/new.jpg", told=False)
    rescans(tidy, 4)
    assert [tidy.made_of[output.encode()] for output in outputs(tidy)].count(tidy.made_of[b"web/y/new.jpg"]) == 1
    assert tidy.log.of("orphan.removed") == []
    tidy.check_settled()


def test_a_photo_that_is_there_under_another_name_and_date_is_none_either(tidy: World) -> None:
    file = tidy.files[tidy.move("x/00.jpg", "y/new.jpg", told=False)]
    tidy.files[PhotoId(IN, b"y/new.jpg")] = replace(file, stamp=file.stamp._replace(mtime_ns=10**18))
    rescans(tidy, 5)
    assert {"web/x/00.jpg", "web/y/new.jpg"} <= set(outputs(tidy))


def test_while_photos_wait_that_may_be_those_that_went_nothing_goes(tidy: World) -> None:
    remove(tidy, "x/00.jpg")
    rescans(tidy, 1)
    tidy.drop("new.jpg", "truncated")
    tidy.wait(301)
    tidy.scan()
    assert tidy.flying() == ["new.jpg"]
    tidy.do_file_tasks()
    assert "web/x/00.jpg" in outputs(tidy)


@pytest.mark.parametrize("fault", ["unreachable", "half-listed", "unmounted", "stand-in", "another card"])
def test_a_scan_that_proves_nothing_counts_as_none_and_starts_the_wait_anew(tidy: World, fault: str) -> None:
    remove(tidy, "x/00.jpg")
    rescans(tidy, 1)
    before, parts = dict(tidy.files), tidy.inboxes[IN]
    tidy.reachable = fault != "unreachable"
    if fault in {"unmounted", "stand-in", "another card"}:
        tidy.files.clear()
        tidy.root = (1, 1) if fault == "another card" else (2, 2)
    if fault in {"stand-in", "another card"}:
        tidy.put("other.jpg")
    if fault == "half-listed":
        tidy.files = {photo: file for photo, file in before.items() if photo.path > b"x/10.jpg"}
        tidy.half = "a folder can't be read"
    rescans(tidy, 4)
    if fault == "half-listed":
        assert len(outputs(tidy)) == 20
    assert {f"web/x/{number:02}.jpg" for number in range(20)} <= set(outputs(tidy)), fault
    tidy.files, tidy.root, tidy.reachable, tidy.half = before, (1, 1), True, ""
    assert not parts.closed
    worked = len(tidy.worked)
    rescans(tidy, 1)
    assert {f"web/x/{number:02}.jpg" for number in range(20)} <= set(outputs(tidy)), "the wait begins anew"
    rescans(tidy, 6)
    assert {f"web/x/{number:02}.jpg" for number in range(1, 20)} <= set(outputs(tidy))
    assert len(tidy.worked) <= worked + 1, "nothing is decoded again"
    tidy.check_settled()


def test_photos_that_left_with_their_volume_hold_nothing_up(tidy: World) -> None:
    tidy.files.clear()
    made(tidy, *(f"y/{number:02}.jpg" for number in range(20)))
    rescans(tidy, 3)
    remove(tidy, "y/00.jpg")
    rescans(tidy, 3)
    assert tidy.log.of("orphans.held") == []
    every = [f"web/{folder}/{number:02}.jpg" for folder in "xy" for number in range(20)]
    assert outputs(tidy) == [output for output in every if output != "web/y/00.jpg"]


def test_more_than_orphans_max_are_held_until_a_user_asks(tidy: World) -> None:
    for number in range(3):
        remove(tidy, f"x/{number:02}.jpg")
    rescans(tidy, 4)
    assert len(outputs(tidy)) == 20
    assert tidy.log.of("orphans.held") == [{"inbox": IN, "photos": 3}]
    assert tidy.reported().orphans_held == 3
    for number in range(2):
        prune(tidy, f"x/{number:02}.jpg")
    assert len(outputs(tidy)) == 18
    rescans(tidy, 4)
    assert len(outputs(tidy)) == 17, "one of eighteen is less than a tenth"
    assert tidy.reported().orphans_held == 0


def test_a_day_has_one_allowance_whatever_the_number_of_scans_and_starts(tidy: World) -> None:
    for number in range(2):
        remove(tidy, f"x/{number:02}.jpg")
        rescans(tidy, 3)
    assert len(outputs(tidy)) == 18
    remove(tidy, "x/02.jpg")
    rescans(tidy, 3)
    tidy.restart()
    tidy.start()
    rescans(tidy, 3)
    assert len(outputs(tidy)) == 18
    assert tidy.reported().orphans_held == 1
    tidy.wait(86400)
    rescans(tidy, 3)
    assert len(outputs(tidy)) == 17


def test_a_clock_that_is_set_back_gives_no_new_allowance() -> None:
    used = Removals(since=1_000_000.0, photos=2)
    assert used.at(0.0) == used
    assert used.at(1_000_000.0 + 86_399) == used
    assert used.at(1_000_000.0 + 86_400) == Removals(1_000_000.0 + 86_400, 0)


def test_a_photo_restored_with_an_old_date_is_made_from_what_is_there(tidy: World) -> None:
    photo = PhotoId(IN, b"x/00.jpg")
    file = tidy.files[photo]
    remove(tidy, "x/00.jpg")
    rescans(tidy, 1)
    tidy.files[photo] = replace(file, stamp=file.stamp._replace(mtime_ns=10**18))
    rescans(tidy, 4)
    assert "web/x/00.jpg" in outputs(tidy)
    tidy.check_settled()


@pytest.mark.parametrize("same_folder", [True, False])
def test_an_inbox_that_is_restored_bit_by_bit_with_other_dates_keeps_all_outputs(
    tidy: World, same_folder: bool
) -> None:
    tidy.raw["inbox"][0]["orphans_max"] = "100%"
    tidy.reload()
    before = sorted(tidy.files.items())
    tidy.files.clear()
    rescans(tidy, 3)
    tidy.root = tidy.root if same_folder else (2, 2)
    for start in range(0, 20, 5):
        for photo, file in before[start : start + 5]:
            tidy.files[photo] = replace(file, stamp=file.stamp._replace(mtime_ns=10**18))
        rescans(tidy, 4)
        assert len(outputs(tidy)) == 20
    assert tidy.log.of("orphan.removed") == []
    tidy.check_settled()


def test_what_stayed_is_not_examined_again_each_time_nor_counted(tidy: World) -> None:
    remove(tidy, "x/00.jpg")
    tidy.made_of[b"web/x/00.jpg"] = "edited"
    rescans(tidy, 6)
    assert len(tidy.log.of("orphan.kept")) == 1
    remove(tidy, "x/01.jpg")
    tidy.made_of[b"web/x/01.jpg"] = "edited"
    rescans(tidy, 3)
    tidy.wait(86400)
    remove(tidy, "x/02.jpg")
    rescans(tidy, 3)
    assert tidy.log.of("orphans.held") == []
    assert outputs(tidy) == [f"web/x/{number:02}.jpg" for number in (0, 1, *range(3, 20))]


def test_the_outputs_of_archived_originals_stay_with_orphans_delete_too(make_world: MakeWorld) -> None:
    world = make_world()
    world.raw["inbox"][0].update(after="move", originals="/originals", orphans="delete", orphans_max="100%")
    world._build()
    world.start()
    for number in range(4):
        world.drop(f"{number}.jpg")
        settle(world)
    world.drop("stays.jpg", "bad")
    for _ in range(4):
        settle(world)
    assert len(outputs(world)) == 4


def formats(world: World, *found: str) -> None:
    world.raw["rendition"] = {"web": {"width": 9, "format": list(found)}}
    world.reload()
    settle(world)


def test_of_a_format_that_is_no_longer_in_the_list_only_its_own_output_is_removed(make_world: MakeWorld) -> None:
    world = make_world().start()
    made(world, "a.jpg")
    formats(world, "avif", "webp", "jpeg")
    assert outputs(world) == ["web/a.avif", "web/a.jpg", "web/a.webp"]
    known = world.known("a.jpg")
    assert known is not None
    places = [recorded_paths(b"a.jpg", key, fact) for key, fact in known.made.items()]
    assert sorted(places) == [[b"web/a.avif"], [b"web/a.jpg"], [b"web/a.webp"]], "whatever the config says later"
    formats(world, "jpeg")
    world.drop("a.jpg", "another")
    settle(world)
    prune(world, "a.jpg", "web/avif")
    assert outputs(world) == ["web/a.jpg", "web/a.webp"]
    formats(world, "webp", "avif")
    prune(world, "a.jpg", "web")
    assert outputs(world) == ["web/a.avif", "web/a.webp"]
    formats(world, "webp", "avif", "jpeg")
    assert outputs(world) == ["web/a.avif", "web/a.jpg", "web/a.webp"]
    world.check_settled()


def test_an_output_that_stays_when_a_format_becomes_a_list_is_recorded_once(make_world: MakeWorld) -> None:
    world = make_world().start()
    world.raw["rendition"] = {"web": {"width": 9, "format": "webp"}}
    world.reload()
    made(world, "a.jpg")
    formats(world, "webp", "avif")
    known = world.known("a.jpg")
    assert known is not None
    assert set(known.made) == set(known.recipes) == {"web/webp", "web/avif"}
    formats(world, "webp")
    known = world.known("a.jpg")
    assert known is not None
    assert set(known.made) == {"web", "web/avif"}
    prune(world, "a.jpg", "web/webp", "web/avif")
    assert outputs(world) == ["web/a.webp"]
    world.check_settled()
