"""Events that stop or never come: said once with the remedy, scans take over, and they come back by themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import Place, Running, fill, until
from tests.faults.processes import without_privilege
from tests.faults.records import standing
from tests.transports import mounts
from tests.transports.road import Ground

pytestmark = [
    pytest.mark.slow,  # a watch is looked after every five seconds
    pytest.mark.skipif(sys.platform != "linux", reason="the traps are inotify's"),
]


def _watch(place: Place) -> tuple[str, str]:
    """Return how `status` says that the inbox is watched, and why not by events."""
    (found,) = place.status()["inboxes"]
    return found["watch"], found["watch_reason"]


def _kill_the_reader(place: Place, daemon: Running) -> None:
    """Take watchdog's reader down by five commands, each of which it must have read before the next."""
    inbox, outside = place.inbox, place.root / "outside"
    outside.mkdir()
    names = ("a", "b")  # the one whose removal is the last straw, and one that stays in watchdog's books
    for step in (Path.mkdir, lambda path: path.rename(outside / path.name), Path.mkdir, Path.rmdir):
        for name in names:
            step(inbox / name)
        seen = len(daemon.events("photo.done"))
        (place.root / "barrier").write_bytes((inbox / "p000.jpg").read_bytes())
        (place.root / "barrier").rename(inbox / f"{step.__name__}{seen}.jpg")
        daemon.wait_for("photo.done", seen + 1)  # what came before this photo has been read too
    (outside / names[0]).rmdir()


def test_a_dead_reader_thread_is_replaced_within_seconds_and_no_photo_is_missed(place: Place) -> None:
    with place.run() as daemon:
        fill(place.inbox, 1)
        daemon.settle(1)
        _kill_the_reader(place, daemon)
        daemon.wait_for("watch.lost")
        assert "watchdog's thread" in daemon.events("watch.lost")[0]["reason"]
        fill(place.inbox / "meanwhile", 2, 1)
        daemon.wait_for("watch.back")
        fill(place.inbox, 2, 3)
        until(lambda: standing(place) == (True, 9, 0, 0), "what came meanwhile and what comes now is made", 30)
        until(lambda: _watch(place) == ("native", ""), "status says that events come again")
        assert daemon.stop() == 0


def _limited(what: str, limit: int) -> list[str]:
    """Give what starts a command where the kernel gives it no more than `limit` watches or instances of inotify."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Ur", "true"], check=False).returncode:
        pytest.skip("no user namespaces here")
    script = f'echo {limit} > /proc/sys/user/max_inotify_{what}; exec "$0" "$@"'
    return ["unshare", "-Ur", "sh", "-c", script]


@pytest.mark.parametrize(
    ("what", "limit", "event"),
    [("watches", 3, "watch.lost"), ("watches", 0, "watch.degraded"), ("instances", 0, "watch.degraded")],
)
def test_where_the_kernel_refuses_to_watch_scans_take_over_until_it_may(
    place: Place, what: str, limit: int, event: str
) -> None:
    for number in range(5):
        fill(place.inbox / f"{number}", 1, number)
    place.configure(inbox={"poll_seconds": 1})
    with place.run(via=_limited(what, limit)) as daemon:
        daemon.wait_for(event)
        assert f"user.max_inotify_{what} is {limit}; type: sudo sysctl -w" in daemon.events(event)[0]["reason"]
        daemon.settle(5)
        for number in range(5):
            fill(place.inbox / f"{number}", 1, 5 + number)
        until(lambda: standing(place) == (True, 10, 0, 0), "scans find what comes where nobody watches")
        (found,) = place.status()["inboxes"]
        assert found["watch"] == "poll"
        assert f"max_inotify_{what}" in found["watch_reason"]
        assert len(daemon.events("watch.lost")) + len(daemon.events("watch.degraded")) == 1, "it is said once"
        if limit == 0:  # else it is tried again after a minute only; see tests/edges/test_watch.py
            more = f"echo 1000 > /proc/sys/user/max_inotify_{what}"
            pid = str(daemon.process.pid)
            subprocess.run(["nsenter", "-U", "--preserve-credentials", "-t", pid, "sh", "-c", more], check=True)
            daemon.wait_for("watch.back")
            until(lambda: place.status()["inboxes"][0]["watch"] == "native", "status says so")
        assert daemon.stop() == 0


@pytest.mark.skipif(bool(mounts.Bindfs.missing()), reason=mounts.Bindfs.missing())
@pytest.mark.parametrize("point", ["", "nas"], ids=["over the inbox", "below it"])
def test_a_share_that_is_mounted_later_is_scanned_and_without_it_the_inbox_is_watched_again(
    place: Place, tmp_path: Path, point: str
) -> None:
    ground = Ground(tmp_path / "ground")
    served, share = ground.root / "served", place.inbox / point
    served.mkdir()
    share.mkdir(exist_ok=True)
    place.configure(inbox={"poll_seconds": 1})
    with place.run() as daemon:
        with ground.stack:
            mounts.mount(ground, share, "bindfs", "-f", "--no-allow-other", served, share)
            daemon.wait_for("watch.degraded")
            reason = f"fuse on {share} does not announce what others change there"
            fill(served, 1)  # behind the mount
            daemon.settle(1)
            found = place.status()["inboxes"][0]
            assert (found["watch"], found["watch_reason"]) == ("poll", reason)
        fill(place.inbox, 1, 1)
        daemon.settle(2)
        daemon.wait_for("watch.back")
        until(lambda: place.status()["inboxes"][0]["watch"] == "native", "status says so")
        assert [line["reason"] for line in daemon.events("watch.degraded")] == [reason], "it is said once"
        assert daemon.stop() == 0


@pytest.mark.parametrize("folder", ["", "trip"])
def test_a_folder_that_may_not_be_read_is_told_with_the_remedy_and_made_once_it_may(place: Place, folder: str) -> None:
    fill(place.inbox, 1)
    fill(place.inbox / "trip", 1, 1)
    closed = place.inbox / folder
    closed.chmod(0)
    place.configure(inbox={"poll_seconds": 1})
    try:
        with place.run(via=without_privilege()) as daemon:
            event = "watch.lost" if folder else "watch.degraded"
            daemon.wait_for(event)
            reason = f"{closed} can't be watched: permission denied; let this user read and enter it"
            assert reason in daemon.events(event)[0]["reason"]
            daemon.settle(1 if folder else 0)
            assert not daemon.events("watch.back")
            until(lambda: "permission denied" in place.status()["inboxes"][0]["watch_reason"], "status says so")
            closed.chmod(0o700)
            until(lambda: standing(place) == (True, 2, 0, 0), "what lies there is made")
            daemon.wait_for("watch.back")
            fill(closed, 1, 2)
            until(lambda: standing(place) == (True, 3, 0, 0), "and what comes")
            assert len(daemon.events(event)) == 1, "it is said once"
            assert daemon.stop() == 0
    finally:
        closed.chmod(0o700)
