"""Outputs that others have replaced under another path, and those of renditions that left the config: none is lost."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World
from tests.engine.test_orphans import made, outputs, prune, remove, settle
from watcher.core.types import PhotoId

SIZED: Mapping[str, object] = {"width": 500, "name": "{rendition}/{folder}/{stem}-{width}.{ext}"}
PLAIN: Mapping[str, object] = {"width": 100}


def renditions(world: World, **wanted: Mapping[str, object]) -> None:
    world.raw["rendition"] = wanted
    world.reload()
    settle(world)


def drop(world: World, path: str, width: int) -> None:
    """Write a photo that is so many pixels wide, and have it made."""
    world.width = width
    world.drop(path)
    settle(world)


def on_record(world: World, path: str) -> list[str]:
    """Return the renditions that are recorded of photos of that name which have left or changed."""
    left = world.store.left_versions(PhotoId(IN, path.encode()))
    return sorted(name for version in left for name in version.made)


@pytest.fixture
def wide(world: World) -> World:
    """Give a photo, 400 pixels wide, with the size in the name of its copy."""
    renditions(world, x=SIZED)
    drop(world, "p.jpg", 400)
    assert outputs(world) == ["x/p-400.jpg"]
    return world


# ---- the size is in the path ----


def test_a_copy_of_another_size_takes_the_old_one_away(wide: World) -> None:
    drop(wide, "p.jpg", 200)
    assert outputs(wide) == ["x/p-200.jpg"]
    renditions(wide, x={**SIZED, "width": 150})
    assert outputs(wide) == ["x/p-150.jpg"]
    drop(wide, "p.jpg", 150)
    assert outputs(wide) == ["x/p-150.jpg"], "it is made anew where it was"
    assert on_record(wide, "p.jpg") == []
    wide.check_settled()


@pytest.mark.parametrize("stays", [True, False])
def test_of_a_photo_that_a_scan_finds_changed_only_what_stays_is_on_record(wide: World, stays: bool) -> None:
    wide.cut_off = stays
    wide.width = 200
    wide.put("p.jpg")
    settle(wide)
    assert outputs(wide) == sorted(["x/p-200.jpg", *(["x/p-400.jpg"] if stays else [])])
    assert on_record(wide, "p.jpg") == (["x"] if stays else [])
    wide.cut_off = False
    drop(wide, "p.jpg", 100)
    assert on_record(wide, "p.jpg") == (["x"] if stays else [])


def test_a_copy_that_was_edited_stays_and_stays_on_record(wide: World) -> None:
    wide.made_of[b"x/p-400.jpg"] = "edited by hand"
    drop(wide, "p.jpg", 200)
    assert outputs(wide) == ["x/p-200.jpg", "x/p-400.jpg"]
    assert on_record(wide, "p.jpg") == ["x"]
    prune(wide, "p.jpg", "x")
    assert outputs(wide) == ["x/p-200.jpg", "x/p-400.jpg"]


@pytest.mark.parametrize("removed", [True, False])
def test_cut_off_before_the_new_copy_is_recorded_the_next_run_removes_the_old_one(wide: World, removed: bool) -> None:
    wide.width = 200
    wide.drop("p.jpg")
    wide.wait(1)
    wide.cut_off = not removed
    wide.outcome(wide.job())
    wide.restart(kill=True)
    wide.cut_off = False
    known = wide.known("p.jpg")
    assert known is not None
    assert known.made["x"].width == 400, "it is still on record"
    wide.start()
    settle(wide)
    assert outputs(wide) == ["x/p-200.jpg"]
    wide.check_settled()


@pytest.mark.parametrize("cropped", [True, False])
def test_what_a_worker_could_not_remove_goes_when_a_user_asks(wide: World, cropped: bool) -> None:
    drop(wide, "q.jpg", 50)  # so that a scan knows the inbox by it
    wide.cut_off = True
    if cropped:
        drop(wide, "p.jpg", 200)
    else:
        renditions(wide, x={**SIZED, "width": 200})
    assert outputs(wide) == ["x/p-200.jpg", "x/p-400.jpg", "x/q-50.jpg"]
    prune(wide, "p.jpg", "x")
    assert outputs(wide) == ["x/p-200.jpg", "x/q-50.jpg"]
    known = wide.known("p.jpg")
    assert known is not None
    assert known.made["x"].width == 200
    wide.check_settled()


def test_a_photo_that_comes_in_place_of_one_that_is_gone_leaves_its_copy_to_prune(wide: World) -> None:
    remove(wide, "p.jpg")
    settle(wide)
    drop(wide, "p.jpg", 200)
    assert outputs(wide) == ["x/p-200.jpg", "x/p-400.jpg"]
    prune(wide, "p.jpg", "x")
    assert outputs(wide) == ["x/p-200.jpg"]


def test_with_orphans_delete_all_go_with_their_photo(make_world: MakeWorld) -> None:
    world = make_world().start()
    world.raw["inbox"][0] |= {"orphans": "delete", "orphans_max": "100%"}
    renditions(world, x=SIZED)
    world.cut_off = True
    for path, width in (("p.jpg", 400), ("q.jpg", 10), ("p.jpg", 200)):
        drop(world, path, width)
    remove(world, "p.jpg")
    settle(world)
    assert outputs(world) == ["x/q-10.jpg"]


# ---- a rendition has left the config ----


@pytest.fixture
def less(world: World) -> World:
    """Give a photo with a copy of a rendition that the config no longer has."""
    renditions(world, web=PLAIN, x=PLAIN)
    made(world, "p.jpg", "other.jpg")
    prune(world, "other.jpg")
    renditions(world, web=PLAIN)
    return world


def test_a_photo_that_is_renamed_leaves_copies_of_such_a_rendition_on_record(less: World) -> None:
    for path, to in (("p.jpg", "p2.jpg"), ("p2.jpg", "p3.jpg")):
        less.move(path, to)
        settle(less)
    assert outputs(less) == ["web/other.jpg", "web/p3.jpg", "x/other.jpg", "x/p.jpg"]
    assert (on_record(less, "p.jpg"), on_record(less, "p2.jpg")) == (["x"], [])
    prune(less, "p.jpg")
    assert outputs(less) == ["web/other.jpg", "web/p3.jpg", "x/other.jpg"]
    assert on_record(less, "p.jpg") == []
    less.check_settled()


@pytest.mark.parametrize("back", [True, False])
def test_a_photo_that_gets_the_old_name_is_made_and_the_old_copy_goes_when_a_user_asks(less: World, back: bool) -> None:
    less.move("p.jpg", "p2.jpg")
    settle(less)
    if back:
        less.move("p2.jpg", "p.jpg")
    else:
        less.drop("p.jpg")
    settle(less)
    assert on_record(less, "p.jpg") == ["x"]
    prune(less, "p.jpg", "x")
    assert outputs(less) == sorted(["web/other.jpg", "web/p.jpg", *([] if back else ["web/p2.jpg"]), "x/other.jpg"])
    less.check_settled()


def test_a_rendition_that_the_config_has_again_is_made_for_a_photo_with_the_old_name(less: World) -> None:
    less.move("p.jpg", "p2.jpg")
    settle(less)
    less.drop("p.jpg", content="another")
    settle(less)
    renditions(less, web=PLAIN, x=PLAIN)
    assert less.made_of[b"x/p.jpg"] == "another"
    assert on_record(less, "p.jpg") == []
    less.check_settled()


def test_a_file_of_others_at_the_place_that_a_renamed_photo_has_left_is_not_taken_for_its_copy(less: World) -> None:
    less.move("p.jpg", "p2.jpg")
    settle(less)
    less.drop("p.jpg")
    less.wait(1)
    (rendering,) = less.job("p.jpg").renderings
    assert rendering.spares, "what lies there is not known"


def test_with_orphans_delete_they_stay_as_those_of_any_photo_and_hold_nothing_back(less: World) -> None:
    less.raw["inbox"][0] |= {"orphans": "delete", "orphans_max": "10%"}
    less.reload()
    less.move("p.jpg", "p2.jpg")
    settle(less)
    assert outputs(less) == ["web/other.jpg", "web/p2.jpg", "x/other.jpg", "x/p.jpg"]
    assert less.store.count_gone(IN) == 0
    assert less.log.of("orphans.held") == []
    prune(less, "p.jpg")
    assert outputs(less) == ["web/other.jpg", "web/p2.jpg", "x/other.jpg"]
    less.check_settled()


def test_a_photo_in_place_of_one_that_is_gone_leaves_copies_of_such_a_rendition_on_record(less: World) -> None:
    remove(less, "p.jpg")
    settle(less)
    less.drop("p.jpg")
    settle(less)
    assert on_record(less, "p.jpg") == ["x"]
    prune(less, "p.jpg", "x")
    assert outputs(less) == ["web/other.jpg", "web/p.jpg", "x/other.jpg"]
