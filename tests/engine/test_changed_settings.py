"""What becomes of photos that are done, failed or in the workers when the settings change."""

from __future__ import annotations

from dataclasses import replace

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World
from watcher.core.types import PhotoId

ELSEWHERE = [{"path": "/in", "output": "/elsewhere"}]


def test_photos_are_made_again_where_the_output_folder_is_another_after_a_reload(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.wait(1)
    world.raw["inbox"] = ELSEWHERE
    world.reload()
    world.scan()
    assert world.job("a.jpg").output_root == b"/elsewhere"
    world.work()
    world.wait(1)
    assert world.store.counts(IN).done == 1
    assert world.log.of("output.changed")


def test_a_photo_that_was_in_a_worker_when_the_output_folder_changed_is_made_in_the_new_one(world: World) -> None:
    world.drop("a.jpg")
    assert world.job("a.jpg").output_root == b"/out"
    world.raw["inbox"] = ELSEWHERE
    world.reload()
    world.scan()
    world.work()
    assert world.job("a.jpg").output_root == b"/elsewhere"
    assert world.store.counts(IN).done == 0
    world.work()
    world.wait(1)
    assert world.store.counts(IN).done == 1


def test_photos_are_made_again_where_the_output_folder_is_another_after_a_restart(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.wait(1)
    world.raw["inbox"] = ELSEWHERE
    world.restart()
    world.start()
    assert world.job("a.jpg").output_root == b"/elsewhere"
    world.work()
    world.restart()
    world.start()
    assert not world.flying()


def test_a_state_file_that_is_busy_when_the_output_folder_changes_puts_that_off(make_world: MakeWorld) -> None:
    world = make_world().start()
    world.drop("a.jpg")
    world.work()
    world.wait(1)
    world.raw["inbox"] = ELSEWHERE
    with world.locked():
        world.reload()
        world.wait(5)
        assert not world.log.of("output.changed")
    world.wait(5)
    world.scan()
    assert world.job("a.jpg").output_root == b"/elsewhere"


def test_a_photo_that_failed_is_tried_again_once_the_settings_that_it_failed_for_are_others(world: World) -> None:
    world.drop("a.jpg", "bad")
    world.drop("b.jpg")
    world.work()
    world.wait(1)
    assert world.store.counts(IN).failed == 1
    world.files[PhotoId(IN, b"a.jpg")] = replace(world.files[PhotoId(IN, b"a.jpg")], kind="good")
    world.reload()
    world.scan()
    assert not world.flying()
    world.raw["max_megapixels"] = 1000
    world.reload()
    world.scan()
    assert world.flying() == ["a.jpg"]
    world.work()
    world.wait(1)
    counts = world.store.counts(IN)
    assert (counts.done, counts.failed, counts.waiting) == (2, 0, 0)


def test_a_photo_that_failed_is_tried_again_after_a_restart_with_other_settings_and_only_then(world: World) -> None:
    world.drop("a.jpg", "bad")
    world.work()
    for flying in ([], ["a.jpg"], []):
        if flying:
            world.raw["rendition"]["web"]["width"] = 90
        world.restart()
        world.start()
        assert world.flying() == flying
        world.work()
