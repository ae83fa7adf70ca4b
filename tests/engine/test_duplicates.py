"""The same content under another name: its renditions are copied, and what is left behind is removed at its time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World
from watcher.core.messages import FolderSeen, Gone, Seen
from watcher.core.types import PhotoId


def decoded(world: World) -> list[str]:
    return [photo.path.decode() for photo, _ in world.worked]


def outputs(world: World) -> list[str]:
    return sorted(output.decode() for output in world.outputs)


def counted(world: World, what: str) -> int:
    return sum(batch[what] for batch in world.log.of("batch.done"))


def make(world: World, path: str, content: str = "") -> PhotoId:
    photo = world.drop(path, content=content)
    world.work_all()
    return photo


def settle(world: World) -> None:
    for _ in range(5):
        world.scan()
        world.work_all()
        world.do_file_tasks()
        world.wait(1.0)


def test_a_copy_is_given_copies_of_what_was_made_already(world: World) -> None:
    make(world, "a.jpg", "one")
    make(world, "x/b.jpg", "one")
    settle(world)
    assert decoded(world) == ["a.jpg"]
    assert outputs(world) == ["web/a.jpg", "web/x/b.jpg"]
    assert (counted(world, "files"), counted(world, "copied"), counted(world, "moved")) == (2, 1, 0)
    assert world.file_tasks == []
    world.check_settled()


def test_a_copy_in_another_inbox_with_the_same_recipe_is_not_decoded_either(make_world: MakeWorld) -> None:
    world = make_world()
    world.raw["rendition"]["big"] = {"width": 100}  # the same recipe by another name
    world.raw["rendition"]["web"] = {"width": 50}
    world.raw["inbox"].append({"path": "/other", "output": "/out/other", "renditions": ["big"]})
    world.raw["inbox"][0]["renditions"] = ["big", "web"]
    world._build()
    world.start()
    make(world, "a.jpg", "one")
    photo = world.drop("b.jpg", inbox=b"/other", content="one")
    (duplicate,) = world.job("b.jpg", inbox=b"/other").duplicates
    assert [reusable.output for reusable in duplicate.reusable] == [b"big/a.jpg"]
    world.work_all()
    assert photo not in [made for made, _ in world.worked]


def test_a_photo_that_is_renamed_takes_its_renditions_along(world: World) -> None:
    make(world, "a.jpg")
    world.move("a.jpg", "x/b.jpg")
    world.work_all()
    world.rest()
    assert outputs(world) == ["web/a.jpg", "web/x/b.jpg"]
    assert world.known("x/b.jpg") is not None, "on the books before anything is removed"
    settle(world)
    assert outputs(world) == ["web/x/b.jpg"]
    assert decoded(world) == ["a.jpg"]
    assert (counted(world, "copied"), counted(world, "moved")) == (0, 1)
    assert [line.get("moved_from") for line in world.log.of("photo.done")] == [None, b"/in/a.jpg"]
    world.check_settled()


def test_nothing_is_removed_while_the_books_can_not_be_written(world: World) -> None:
    make(world, "a.jpg")
    world.wait(1)
    world.move("a.jpg", "b.jpg")
    with world.locked():
        world.work_all()
        world.wait(1)
        assert world.file_tasks == []
    settle(world)
    assert outputs(world) == ["web/b.jpg"]


def test_photos_that_moved_while_nobody_watched_take_their_renditions_along(world: World) -> None:
    names = [f"x/{number}.jpg" for number in range(40)]
    for name in names:
        world.put(name)
    world.scan()
    world.work_all()
    settle(world)
    world.stop()
    for name in names:
        world.move(name, name.replace("x/", "y/"), told=False)
    world.restart(kill=True)
    world.start()
    world.work_all()
    settle(world)
    assert len(world.worked) == 40
    assert outputs(world) == sorted(name.replace("x/", "web/y/") for name in names)
    world.check_settled()


def test_a_folder_that_moves_takes_the_renditions_of_its_photos_along(world: World) -> None:
    for number in range(30):
        world.put(f"x/{number}.jpg")
    world.event(FolderSeen(IN, b"x"))
    world.scan()
    world.work_all()
    for number in range(30):
        world.move(f"x/{number}.jpg", f"y/{number}.jpg", told=False)
    world.event(FolderSeen(IN, b"y"))
    world.event(Gone(IN, folders=(b"x",)))
    settle(world)
    assert len(world.worked) == 30
    assert outputs(world) == sorted(f"web/y/{number}.jpg" for number in range(30))
    assert counted(world, "moved") == 30


@pytest.mark.parametrize("to", ["A.jpg", "a.JPG", "X/a.jpg"])
def test_a_name_that_changes_in_case_only_is_a_name_like_any_other(world: World, to: str) -> None:
    make(world, "x/a.jpg")
    world.move("x/a.jpg", to if "/" in to else "x/" + to)
    settle(world)
    assert decoded(world) == ["x/a.jpg"]
    assert outputs(world) == ["web/" + (to if "/" in to else "x/" + to)]


def test_where_the_output_folds_case_a_name_that_changes_in_case_only_keeps_its_renditions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.engine.ports.InboxPlan.same_name", lambda _plan, output: output.lower())
    make(world, "a.jpg")
    world.move("a.jpg", "A.jpg")
    settle(world)
    assert world.file_tasks == []
    assert "web/A.jpg" in outputs(world)


@pytest.mark.parametrize("to", ["x/A.jpg", "X/a.jpg"])
def test_where_the_output_folds_case_a_name_that_changed_in_case_only_unseen_gets_no_other_output(
    world: World, to: str
) -> None:
    world.inbox_state().plan = replace(world.inbox_state().plan, folds_case=True)
    make(world, "x/a.jpg")
    world.move("x/a.jpg", to, told=False)
    world.event(FolderSeen(IN, to.encode().partition(b"/")[0]))
    settle(world)
    assert "web/" + to in outputs(world)
    assert not [output for output in outputs(world) if output.endswith(".jpg.jpg")]
    assert decoded(world) == ["x/a.jpg"]
    world.check_settled()


def test_a_folder_that_is_renamed_again_while_its_photos_get_their_first_new_name_leaves_nothing_behind(
    world: World,
) -> None:
    for number in range(40):
        world.put(f"x/{number}.jpg")
    world.event(FolderSeen(IN, b"x"))
    settle(world)
    world.move_folder("x", "y")
    world.scan()
    for _ in range(3):
        world.work()
    flying = [(job, world.outcome(job)) for job in world.pool.jobs.values()]  # shown as y, and not told of yet
    assert flying
    world.move_folder("y", "z")
    for job, outcome in flying:
        world.pool.finish(job, outcome)
    world.rest()
    settle(world)
    assert len(world.worked) == 40
    assert outputs(world) == sorted(f"web/z/{number}.jpg" for number in range(40))


@pytest.mark.parametrize("found", ["before it goes", "after it went", "at the next start"])
@pytest.mark.parametrize("kind", ["truncated", "bad", "passing"])
def test_a_photo_that_moved_unseen_and_whose_old_name_a_broken_one_had_for_a_while_leaves_nothing_behind(
    world: World, found: str, kind: str
) -> None:
    make(world, "a.jpg", "one")
    world.wait(1.0)
    world.move("a.jpg", "b.jpg", told=False)
    broken = world.drop("a.jpg", kind, content="half")
    world.work_all()
    if found == "before it goes":
        world.event(FolderSeen(IN, b""))
        settle(world)
        assert outputs(world) == ["web/a.jpg", "web/b.jpg"], "what is shown stays until there is something better"
        world.wait(7200)
    del world.files[broken]
    if found == "at the next start":
        world.log.lines.clear()
        world.restart(kill=True)
        world.start()
    else:
        world.event(Gone(IN, (b"a.jpg",)))
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert outputs(world) == ["web/b.jpg"]
    world.check_settled()


@pytest.mark.parametrize("first", ["scan", "removal"])
def test_a_folder_whose_photos_moved_unseen_and_that_broken_ones_lie_in_leaves_nothing_behind(
    world: World, first: str
) -> None:
    make(world, "x/a.jpg", "one")
    world.wait(1.0)
    world.move("x/a.jpg", "b.jpg", told=False)
    world.drop("x/a.jpg", "truncated", content="half")
    world.work_all()
    events: list[FolderSeen | Gone] = [FolderSeen(IN, b""), Gone(IN, folders=(b"x",))]
    del world.files[PhotoId(IN, b"x/a.jpg")]
    for event in events if first == "scan" else reversed(events):
        world.event(event)
        settle(world)
    assert outputs(world) == ["web/b.jpg"]
    world.check_settled()


def test_what_is_shown_of_a_photo_that_is_being_replaced_is_its_own_again_if_it_comes_back(world: World) -> None:
    photo = make(world, "a.jpg", "one")
    old = world.files[photo]
    world.drop("a.jpg", "truncated", content="half")
    world.work_all()
    world.files[photo] = old
    world.event(Seen(IN, b"a.jpg", True, old.stamp))
    settle(world)
    assert decoded(world) == ["a.jpg", "a.jpg"], "the broken one alone was looked at"
    assert outputs(world) == ["web/a.jpg"]
    world.files[PhotoId(IN, b"b.jpg")] = world.files[photo]
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"], "a copy takes nothing away"
    world.check_settled()


def test_what_a_kill_kept_from_being_removed_is_removed_after_the_start(world: World) -> None:
    make(world, "a.jpg")
    world.move("a.jpg", "b.jpg")
    world.work_all()
    world.rest()
    assert world.file_tasks
    world.file_tasks.clear()
    world.restart(kill=True)
    world.start()
    settle(world)
    assert outputs(world) == ["web/b.jpg"]


def test_a_photo_that_left_in_the_midst_of_its_attempt_and_is_tried_once_more_has_moved(world: World) -> None:
    """Its next attempt begins in the same turn: that it left is on record all the same."""
    photo = make(world, "a.jpg")
    world.event(Seen(IN, b"a.jpg", True, world.files[photo].stamp))
    world.move("a.jpg", "b.jpg", told=False)
    world.event(Gone(IN, (b"a.jpg",)))
    assert world.flying() == ["a.jpg"]
    world.work_all()
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert decoded(world) == ["a.jpg"]
    assert outputs(world) == ["web/b.jpg"]
    world.check_settled()


def test_a_photo_that_leaves_in_the_turn_in_which_it_is_done_has_moved(world: World) -> None:
    world.drop("a.jpg")
    job = world.job()
    world.pool.finish(job, world.outcome(job))
    world.move("a.jpg", "b.jpg", told=False)
    world.messages.put(Gone(IN, (b"a.jpg",)))
    world.inboxes[IN].events += 1
    world.rest()
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert decoded(world) == ["a.jpg"]
    assert outputs(world) == ["web/b.jpg"]
    world.check_settled()


def test_a_copy_that_is_deleted_soon_leaves_its_outputs_as_any_photo_does(world: World) -> None:
    """That it has the first one's time does not make it one that has moved back."""
    photo = make(world, "a.jpg", "one")
    world.files[PhotoId(IN, b"b.jpg")] = world.files[photo]
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"]
    del world.files[PhotoId(IN, b"b.jpg")]
    world.event(Gone(IN, (b"b.jpg",)))
    settle(world)
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"]


@pytest.mark.parametrize("told", [True, False])
def test_names_that_are_exchanged_in_one_step_leave_each_with_its_own_and_nothing_is_decoded(
    world: World, told: bool
) -> None:
    make(world, "a.jpg", "one")
    make(world, "b.jpg", "two")
    world.wait(1.0)
    world.exchange("a.jpg", "b.jpg", told=told)
    if not told:
        world.wait(301)
    settle(world)
    assert (world.made_of[b"web/a.jpg"], world.made_of[b"web/b.jpg"]) == ("two", "one")
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"]
    assert decoded(world) == ["a.jpg", "b.jpg"]
    world.check_settled()


def test_folders_whose_names_are_exchanged_leave_each_with_its_own_and_nothing_is_decoded(world: World) -> None:
    for number in range(20):
        make(world, f"x/{number}.jpg", f"one {number}")
        make(world, f"y/{number}.jpg", f"two {number}")
    world.wait(1.0)
    world.move_folder("x", "z", told=False)
    world.move_folder("y", "x", told=False)
    world.move_folder("z", "y", told=False)
    world.event(FolderSeen(IN, b"x"))
    world.event(FolderSeen(IN, b"y"))
    settle(world)
    assert all(world.made_of[b"web/x/%d.jpg" % number] == f"two {number}" for number in range(20))
    assert len(world.worked) == 40
    world.check_settled()


def test_three_names_that_go_round_leave_each_with_its_own_and_nothing_is_decoded(world: World) -> None:
    for name, content in (("a.jpg", "one"), ("b.jpg", "two"), ("c.jpg", "three")):
        make(world, name, content)
    world.wait(1.0)
    for name, to in (("a.jpg", "t.jpg"), ("c.jpg", "a.jpg"), ("b.jpg", "c.jpg"), ("t.jpg", "b.jpg")):
        world.move(name, to, told=False)
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert [world.made_of[b"web/" + name] for name in (b"a.jpg", b"b.jpg", b"c.jpg")] == ["three", "one", "two"]
    assert len(world.worked) == 3
    world.check_settled()


def test_a_photo_that_is_put_over_another_one_waits_a_moment_and_once(world: World) -> None:
    """It could be half of an exchange, and is a copy that keeps its date."""
    make(world, "a.jpg", "one")
    make(world, "b.jpg", "two")
    world.files[PhotoId(IN, b"b.jpg")] = world.files[PhotoId(IN, b"a.jpg")]
    world.event(Seen(IN, b"b.jpg", True, world.files[PhotoId(IN, b"b.jpg")].stamp))
    assert world.flying() == []
    world.wait(0.5)
    assert world.flying() == ["b.jpg"]
    settle(world)
    assert decoded(world) == ["a.jpg", "b.jpg"]
    assert world.made_of[b"web/b.jpg"] == "one"
    world.check_settled()


def test_a_photo_that_moves_on_and_on_leaves_nothing_behind(world: World) -> None:
    make(world, "0.jpg")
    for number in range(6):
        world.move(f"{number}.jpg", f"{number + 1}.jpg", told=number % 2 == 0)
        if number % 2:
            world.wait(301)
        settle(world)
    assert decoded(world) == ["0.jpg"]
    assert outputs(world) == ["web/6.jpg"]
    assert counted(world, "moved") + counted(world, "copied") == 6
    assert world.store.alike(world.files[PhotoId(IN, b"6.jpg")].stamp.size) == [
        claim for claim in world.daemon.records.alike(world.files[PhotoId(IN, b"6.jpg")].stamp.size) if not claim.gone
    ]


@pytest.mark.parametrize("gone", [Gone(IN, (b"y/a.jpg",)), Gone(IN, folders=(b"y",))])
def test_what_is_known_to_have_gone_after_it_was_copied_has_moved(world: World, gone: Gone) -> None:
    make(world, "y/a.jpg")
    world.move("y/a.jpg", "x/b.jpg", told=False)
    world.event(FolderSeen(IN, b"x"))
    world.scan()
    world.work_all()
    world.do_file_tasks()
    assert outputs(world) == ["web/x/b.jpg", "web/y/a.jpg"]
    world.event(gone)
    settle(world)
    assert outputs(world) == ["web/x/b.jpg"]
    world.check_settled()


def test_two_that_are_the_same_and_come_together_are_decoded_once(world: World) -> None:
    for path in ("a.jpg", "b.jpg", "c.jpg"):
        world.put(path, content="one")
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert len(world.worked) == 1
    assert outputs(world) == ["web/a.jpg", "web/b.jpg", "web/c.jpg"]
    world.check_settled()


def test_of_the_same_size_but_not_the_same_each_is_decoded_and_waits_for_another_once_at_most(world: World) -> None:
    world.drop("a.jpg", content="ab", size=100)
    world.drop("b.jpg", content="ba", size=100)
    assert world.flying() == ["a.jpg"]
    world.wait(0.5)
    assert world.flying() == ["a.jpg", "b.jpg"]
    settle(world)
    make(world, "c.jpg", "bb")
    world.drop("c.jpg", content="cc", size=100)  # a change
    assert [duplicate.photo.path for duplicate in world.job("c.jpg").duplicates] == [b"a.jpg", b"b.jpg"]
    world.work_all()
    assert decoded(world) == ["a.jpg", "b.jpg", "c.jpg", "c.jpg"]
    world.check_settled()


def test_names_that_are_swapped_leave_each_with_its_own(world: World) -> None:
    make(world, "a.jpg", "one")
    make(world, "b.jpg", "two")
    world.move("a.jpg", "t.jpg", told=False)
    world.move("b.jpg", "a.jpg", told=False)
    world.move("t.jpg", "b.jpg", told=False)
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert (world.made_of[b"web/a.jpg"], world.made_of[b"web/b.jpg"]) == ("two", "one")
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"]
    world.check_settled()


def test_a_place_that_is_lent_is_given_to_nobody_until_it_was_copied(world: World) -> None:
    make(world, "a.jpg", "one")
    world.drop("b.jpg", content="one")
    world.drop("a.jpg", content="two")
    assert world.flying() == ["b.jpg"]
    world.wait(1.0)
    assert world.flying() == ["b.jpg"]
    world.work()
    settle(world)
    assert (world.made_of[b"web/a.jpg"], world.made_of[b"web/b.jpg"]) == ("two", "one")
    assert decoded(world) == ["a.jpg", "a.jpg"]


def test_a_place_that_is_being_cleared_is_given_to_nobody_meanwhile(world: World) -> None:
    make(world, "a.jpg", "one")
    world.move("a.jpg", "b.jpg")
    world.work_all()
    world.rest()
    assert len(world.file_tasks) == 1
    world.drop("a.jpg", content="two")
    world.wait(1.0)
    assert world.flying() == []
    settle(world)
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"]
    assert world.made_of[b"web/a.jpg"] == "two"


def test_what_another_photo_may_have_taken_the_place_of_is_neither_lent_nor_removed(world: World) -> None:
    make(world, "a.jpg", "one")
    world.files.pop(PhotoId(IN, b"a.jpg"))
    world.event(Gone(IN, (b"a.jpg",)))
    world.drop("a.jpg", "bad", content="two")  # it may write there at any time
    world.drop("b.jpg", content="one")
    assert world.job("b.jpg").duplicates == ()
    settle(world)
    assert "web/a.jpg" in outputs(world)


def test_a_photo_that_comes_back_is_not_decoded_again(world: World) -> None:
    photo = make(world, "a.jpg", "one")
    file = world.files.pop(photo)
    world.event(Gone(IN, (b"a.jpg",)))
    settle(world)
    assert outputs(world) == ["web/a.jpg"]
    world.files[photo] = file
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert decoded(world) == ["a.jpg"]
    assert (counted(world, "copied"), counted(world, "moved")) == (0, 0)


def test_what_lies_there_of_another_photo_is_not_taken_over_though_it_has_the_same_time(world: World) -> None:
    photo = make(world, "a.jpg", "one")
    stamp = world.files.pop(photo).stamp
    world.event(Gone(IN, (b"a.jpg",)))
    world.put("a.jpg", content="two")
    file = world.files[photo]
    world.files[photo] = type(file)(file.stamp._replace(mtime_ns=stamp.mtime_ns), content="two")
    world.event(FolderSeen(IN, b""))
    settle(world)
    assert decoded(world) == ["a.jpg", "a.jpg"]
    assert world.made_of[b"web/a.jpg"] == "two"


def test_a_photo_that_is_touched_is_not_decoded_again(world: World) -> None:
    make(world, "a.jpg", "one")
    make(world, "a.jpg", "one")
    settle(world)
    assert decoded(world) == ["a.jpg"]
    assert world.outputs[b"web/a.jpg"][0] == world.files[PhotoId(IN, b"a.jpg")].stamp


def test_the_outputs_of_a_photo_that_is_deleted_stay_though_it_was_copied_with_another_time(world: World) -> None:
    make(world, "a.jpg", "one")
    make(world, "b.jpg", "one")
    world.files.pop(PhotoId(IN, b"a.jpg"))
    world.event(Gone(IN, (b"a.jpg",)))
    settle(world)
    assert outputs(world) == ["web/a.jpg", "web/b.jpg"]


def test_a_photo_whose_renditions_were_removed_by_hand_is_decoded(world: World) -> None:
    make(world, "a.jpg", "one")
    del world.outputs[b"web/a.jpg"]
    make(world, "b.jpg", "one")
    assert decoded(world) == ["a.jpg", "b.jpg"]


def test_another_recipe_is_no_reason_to_lend(world: World) -> None:
    make(world, "a.jpg", "one")
    world.raw["rendition"]["web"]["quality"] = 1
    world.reload()
    world.drop("b.jpg", content="one")
    assert world.job("b.jpg").duplicates == ()
