"""An inbox that goes away and comes back: nothing is deleted, nothing forgotten, and what comes after is made."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import Place, Running, fill, fingerprint, tree, until
from tests.faults.mounting import mounted, needs_mounts, volume
from tests.faults.processes import without_privilege
from tests.faults.records import standing, told

Away = Callable[[Path], AbstractContextManager[None]]


@contextmanager
def _renamed_away(inbox: Path) -> Iterator[None]:
    away = inbox.with_name("away")
    inbox.rename(away)
    yield
    away.rename(inbox)


@contextmanager
def _renamed_away_and_replaced(inbox: Path) -> Iterator[None]:
    """As an unplugged disk leaves its mount point behind, empty."""
    away = inbox.with_name("away")
    inbox.rename(away)
    inbox.mkdir()
    yield
    inbox.rmdir()
    away.rename(inbox)


@contextmanager
def _removed_and_restored(inbox: Path) -> Iterator[None]:
    """As a restored backup: another folder, the same photos."""
    copy = inbox.with_name("backup")
    shutil.copytree(inbox, copy)
    shutil.rmtree(inbox)
    yield
    copy.rename(inbox)


@contextmanager
def _mounted_over(inbox: Path) -> Iterator[None]:
    with mounted(inbox):
        yield


def _said(daemon: Running) -> str:
    """Give what the log said last of the watch."""
    return [event for line in daemon.log if (event := str(line["event"])) in {"watch.lost", "watch.back"}][-1]


slow = pytest.mark.slow  # a native watch is looked after every five seconds
WAYS = [
    pytest.param("native", _renamed_away, marks=pytest.mark.soak),
    pytest.param("native", _renamed_away_and_replaced, marks=slow),
    pytest.param("native", _mounted_over, marks=[needs_mounts, slow]),
    pytest.param("poll", _renamed_away, marks=pytest.mark.soak),
    pytest.param("poll", _renamed_away_and_replaced, marks=pytest.mark.soak),
    pytest.param("poll", _removed_and_restored, marks=slow),
    pytest.param("poll", _mounted_over, marks=needs_mounts),
]


@pytest.mark.parametrize(("watch", "away"), WAYS)
def test_an_inbox_that_was_away_is_as_it_was_and_goes_on(place: Place, watch: str, away: Away) -> None:
    place.configure(inbox={"watch": watch, "poll_seconds": 1})
    with place.run() as daemon:
        fill(place.inbox, 2)
        fill(place.inbox / "trip", 2, 2)
        daemon.settle(4)
        until(lambda: standing(place) == (True, 4, 0, 0), "all is on the books")
        before = fingerprint(place.output)
        with away(place.inbox):
            until(lambda: not standing(place).reachable, "status says that it is away")
            assert told(place) == (False, 4, 0, 0), "nothing is forgotten"
            until(lambda: _said(daemon) == "watch.lost", "watch.lost is told")
        until(lambda: standing(place) == (True, 4, 0, 0), "it is back, with all that was known of it")
        fill(place.inbox, 1, 4)
        fill(place.inbox / "new", 1, 5)
        daemon.settle(6)
        until(lambda: standing(place) == (True, 6, 0, 0), "what came after is made")
        after = fingerprint(place.output)
        assert told(place) == (True, 6, 0, 0)
        assert {name: after[name] for name in before} == before, "nothing is made again"
        until(lambda: _said(daemon) == "watch.back", "it is logged")
        assert daemon.stop() == 0


@needs_mounts
@pytest.mark.parametrize("watch", [pytest.param("native", marks=slow), pytest.param("poll", marks=pytest.mark.soak)])
def test_whatever_volume_lies_on_the_inbox_no_photo_is_decoded_twice(place: Place, watch: str) -> None:
    place.configure(inbox={"watch": watch, "poll_seconds": 1, "rescan_seconds": 2})
    right, other = place.root / "right", place.root / "other"
    fill(right, 3)
    fill(right / "trip", 1, 3)
    fill(other, 1, 7)
    with ExitStack() as disks:
        disks.enter_context(volume(right, place.inbox))
        with place.run() as daemon:
            daemon.settle(4)
            before = fingerprint(place.output)
            disks.close()
            until(lambda: not standing(place).reachable, "the mount point is not taken for the inbox")
            assert told(place) == (False, 4, 0, 0), "nothing is forgotten"
            until(lambda: _said(daemon) == "watch.lost", "watch.lost is told")
            with volume(other, place.inbox):
                until(lambda: standing(place) == (True, 1, 0, 0), "what lies there is made, and nothing else is known")
                until(lambda: _said(daemon) == "watch.back", "watch.back is told")
            until(lambda: not standing(place).reachable, "the mount point is not taken for the inbox")
            disks.enter_context(volume(right, place.inbox))
            until(lambda: standing(place) == (True, 4, 0, 0), "the first ones are known again")
            until(lambda: _said(daemon) == "watch.back", "watch.back is told")
            after = fingerprint(place.output)
            assert {name: after[name] for name in before} == before, "by their outputs, not by making them"
            assert daemon.stop() == 0


@pytest.mark.slow
def test_photos_that_were_deleted_and_put_back_are_known_again_and_not_made_again(place: Place) -> None:
    with place.run() as daemon:
        fill(place.inbox / "trip", 4)
        daemon.settle(4)
        before = fingerprint(place.output)
        with _removed_and_restored(place.inbox):
            # one by one they were deleted, and are forgotten as far as that was seen before the inbox itself was gone
            until(lambda: not standing(place).reachable, "status says that it is away")
            assert fingerprint(place.output) == before, "their outputs stay"
        until(lambda: standing(place) == (True, 4, 0, 0), "they are known again")
        assert fingerprint(place.output) == before
        assert daemon.stop() == 0


def _check_kept(place: Place, daemon: Running) -> None:
    until(lambda: standing(place).done == 2, "the new photos are known")
    assert len(tree(place.output)) == 12, "outputs stay, whatever became of their photos"
    assert not daemon.events("photo.failed")
    assert daemon.stop() == 0


@pytest.mark.slow
def test_an_inbox_that_is_emptied_and_filled_with_others_while_it_is_watched(place: Place) -> None:
    place.configure(inbox={"rescan_seconds": 2})  # what is gone is deleted by a scan that finds the inbox in order
    with place.run() as daemon:
        fill(place.inbox, 4)
        daemon.settle(4)
        shutil.rmtree(place.inbox)
        place.inbox.mkdir()
        fill(place.inbox, 2, 4)
        daemon.settle(6)
        _check_kept(place, daemon)


def test_an_inbox_that_is_away_at_the_start_is_waited_for_and_nothing_is_forgotten(place: Place) -> None:
    fill(place.inbox, 3)
    assert place.once().code == 0
    place.configure(inbox={"poll_seconds": 1})
    away = place.root / "away"
    place.inbox.rename(away)
    place.inbox.mkdir()  # the mount point
    with place.run() as daemon:
        until(lambda: not standing(place).reachable, "an empty folder is not taken for the inbox")
        assert told(place) == (False, 3, 0, 0)
        place.inbox.rmdir()
        away.rename(place.inbox)
        until(lambda: standing(place) == (True, 3, 0, 0), "it is back")
        fill(place.inbox, 1, 3)
        daemon.settle(1)
        assert daemon.made() == {"p003.jpg": 1}
        assert daemon.stop() == 0


@slow
def test_photos_of_an_inbox_that_may_not_be_read_wait_until_it_may_and_none_has_failed(place: Place) -> None:
    place.configure(retry={"backoff_seconds": 0.02})
    with place.run(via=without_privilege()) as daemon:
        fill(place.inbox, 1)
        daemon.settle(1)
        place.inbox.chmod(0o300)  # events still come
        try:
            fill(place.inbox, 5, 1)
            daemon.wait_for("inbox.unreadable")
            assert "let the user of watcher read and enter it" in daemon.events("inbox.unreadable")[0]["reason"]
        finally:
            place.inbox.chmod(0o700)
        daemon.settle(6)
        daemon.wait_for("inbox.back")
        assert len(daemon.events("inbox.unreadable")) == 1
        assert not daemon.events("photo.failed")
        assert told(place) == (True, 6, 0, 0)
        assert daemon.stop() == 0


@needs_mounts
def test_an_output_that_is_mounted_in_its_inbox_later_is_waited_out(place: Place) -> None:  # invariant 7
    seen = place.inbox / "seen"
    seen.mkdir()  # a folder made later may be looked into when it is a mount already
    with place.run() as daemon:
        fill(place.inbox, 1)
        daemon.settle(1)
        with volume(place.output, seen):
            daemon.wait_for("folders.meet")
            (said,) = daemon.events("folders.meet")
            assert "is another name for a folder inside the inbox" in said["reason"]
            fill(place.inbox, 1, 1)
            until(lambda: standing(place).waiting, "it waits")
            assert "held up" in place.watcher("status", "--config", place.config).out
            assert place.watcher("check", "--config", place.config).code == 78
            daemon.send(signal.SIGHUP)
            daemon.wait_for("config.rejected")
        daemon.wait_for("folders.apart")
        daemon.settle(2)
        assert tree(place.output).keys() == {f"{name}/p00{n}.jpg" for name in ("web", "thumb") for n in (0, 1)}
        assert daemon.stop() == 0


def _not_writable(output: Path) -> None:
    output.parent.mkdir()


def _a_mount_point(output: Path) -> None:
    output.mkdir(parents=True)


@pytest.mark.parametrize("there", [pytest.param(_not_writable, marks=slow), _a_mount_point])
def test_an_output_that_nobody_may_write_at_the_start_is_waited_for_and_config_and_check_say_so(
    place: Place, there: Callable[[Path], None]
) -> None:
    place.output = place.root / "disk" / "out"
    place.configure()
    there(place.output)
    closed = place.output if place.output.exists() else place.output.parent
    closed.chmod(0o555)
    place.within = without_privilege()
    fill(place.inbox, 1)
    done = place.once()
    assert done.code == 1
    assert "p000.jpg" in done.out
    assert "mount its disk" in done.events("output.unwritable")[0]["reason"]
    checked = place.watcher("check", "--config", place.config)
    assert checked.code == 78
    assert "mount the disk" in checked.out
    with place.run(via=without_privilege()) as daemon:
        daemon.wait_for("output.unwritable", 2)
        until(
            lambda: place.watcher("status", "--config", place.config).out.count("held up") == 1, "status says it once"
        )
        closed.chmod(0o755)
        daemon.settle(1)
        assert not daemon.events("photo.failed")
        assert len(daemon.events("output.back")) == 1
        assert daemon.stop() == 0


@pytest.mark.parametrize("output", ["a-file", "a-file/below", "a-link", "n" * 300])
def test_an_output_that_can_never_be_a_folder_is_a_fault_of_the_config(place: Place, output: str) -> None:
    (place.root / "a-file").touch()
    (place.root / "a-link").symlink_to("a-link")
    place.configure(inbox={"output": str(place.root / output)})
    done = place.once()
    assert done.code == 78
    assert "inbox[0].output" in done.err
