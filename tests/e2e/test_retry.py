"""`watcher retry`: failed photos are tried again, by the daemon that runs or by the next one."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.harness import Finished, Place, Running, camera, fill, until
from watcher.app.commands import check_access, hand_over
from watcher.core.types import Request
from watcher.errors import StateError
from watcher.service import process as service
from watcher.store import Store, schema

LONG_AGO = (1_000_000_000, 1_000_000_000)


def spoil(place: Place, path: Path) -> None:
    """Put something there that fails at once, and is as large as the photo that `mend` writes into it."""
    aside = place.root / "aside"
    aside.write_bytes(b"no photo".ljust(len(camera(1))))
    os.utime(aside, LONG_AGO)
    aside.rename(path)


def mend(place: Place, path: Path) -> None:
    """Make it a good photo that looks the same from outside, by a link of which there are no events."""
    aside = place.root / "aside"
    os.link(path, aside)
    with open(aside, "r+b") as file:
        file.write(camera(1))
    os.utime(aside, LONG_AGO)
    aside.unlink()


def retry(place: Place, *args: str | Path) -> Finished:
    return place.watcher("retry", "--config", place.config, *args)


def failed(place: Place) -> list[str]:
    return sorted(Path(item["path"]).name for item in place.status()["failed"])


def test_the_running_daemon_tries_what_failed_again_at_once_when_it_is_told(place: Place) -> None:
    photos = [place.inbox / "a.jpg", place.inbox / "sub" / "b.jpg"]
    photos[1].parent.mkdir()
    for photo in photos:
        spoil(place, photo)
    fill(place.inbox, 1)
    with place.run() as daemon:
        daemon.wait_for("photo.failed", 2)
        daemon.wait_for("photo.done")
        until(lambda: len(failed(place)) == 2, "both are on the books")
        for photo in photos:
            mend(place, photo)
        done = retry(place, photos[0])
        assert (done.code, done.out) == (0, f"1 photo is tried again by process {daemon.process.pid}\n")
        daemon.wait_for("photo.done", 2)
        assert retry(place, photos[1].parent).code == 0
        daemon.wait_for("photo.done", 3)
        until(lambda: not failed(place), "nothing is left")
        assert retry(place).out == "nothing has failed\n"
        told = retry(place, place.inbox / "p000.jpg", place.inbox / "notes.txt")
        assert told.code == 1, "one of them can't be tried"
        assert "p000.jpg: not failed but done" in told.out
        assert "notes.txt: not failed but excluded" in told.out
        assert daemon.made() == {"a.jpg": 1, "sub/b.jpg": 1, "p000.jpg": 1}
        assert daemon.stop() == 0


@pytest.mark.slow
def test_what_is_asked_without_a_daemon_is_done_by_the_next_run(place: Place) -> None:
    photo = place.inbox / "a.jpg"
    spoil(place, photo)
    assert _tries(place) == 1
    assert _tries(place) == 0, "it is as it was: nobody tries it again by himself"
    assert "next `watcher run` or `watcher once`" in retry(place).out
    assert "another try is asked for" in place.watcher("why", photo, "--config", place.config).out
    assert _tries(place) == 1


def test_a_config_that_is_named_has_its_own_photos_tried_again_and_without_one_each_inbox_is_named(
    place: Place,
) -> None:
    pairs = [place.root / "one", place.root / "two"]
    spoil(place, place.inbox / "a.jpg")
    for inbox in pairs:
        inbox.mkdir()
        spoil(place, inbox / "b.jpg")
        assert place.watcher("once", inbox, f"{inbox}-out").code == 1
    assert place.once().code == 1
    told = "1 photo is tried again by the next `watcher run` or `watcher once`\n"
    assert retry(place).out == told
    place.env["WATCHER_CONFIG"] = str(place.config)
    assert place.watcher("retry").out == told
    del place.env["WATCHER_CONFIG"]
    done = place.watcher("retry")
    assert (done.code, sorted(done.out.splitlines(keepends=True))) == (0, [f"{inbox}: {told}" for inbox in pairs])
    assert place.watcher("retry", pairs[0] / "b.jpg", "--config", place.config).out == told, "a path is found anywhere"


def _tries(place: Place) -> int:
    """Return how often a run tried a photo that fails."""
    done = place.once()
    assert done.code == 1, done
    return len(done.events("photo.failed"))


@pytest.mark.slow
def test_a_failed_photo_that_is_sent_again_with_the_same_size_and_date_is_made_by_the_next_run(place: Place) -> None:
    photo = place.inbox / "a.jpg"
    spoil(place, photo)
    assert place.once().code == 1
    assert "failed: not a JPEG" in place.watcher("why", photo, "--config", place.config).out
    mend(place, photo)
    assert "waiting: it has changed since it failed" in place.watcher("why", photo, "--config", place.config).out
    told = place.watcher("once", "--dry-run", "--config", place.config)
    assert "web: 1 new" in told.out, told
    assert place.once().code == 0
    assert all(path.exists() for path in place.outputs("a.jpg"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else for a while")
def test_the_state_file_of_another_user_is_refused_with_the_remedy(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    Store.open(str(state)).close()
    os.seteuid(65534)
    try:
        for write in (False, True):
            with pytest.raises(StateError, match=r"belongs to the user root.*sudo -u root watcher") as refused:
                check_access(str(state), write=write)
            assert refused.value.exit_code == 78
    finally:
        os.seteuid(0)
    check_access(str(state), write=True)
    check_access(str(tmp_path / "none.db"), write=True)


def test_a_state_file_of_an_older_version_that_nobody_uses_is_brought_up_to_date_to_hold_what_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "state.db")
    Store.open(path).close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE fresh (x);"))
    asked = Request("retry", b"/in")
    with service.Lock(path), pytest.raises(StateError, match="restart the daemon"):
        hand_over(path, [asked])
    assert hand_over(path, [asked]) == "the next `watcher run` or `watcher once`"
    with Store.open(path) as state:
        assert [request for _, request in state.requests()] == [asked]
    with pytest.raises(StateError, match="nothing in the state file"):
        hand_over(str(tmp_path / "none.db"), [asked])


def test_a_nudge_ends_nobody_who_is_not_ready_for_it(place: Place) -> None:
    """SIGUSR1 ends a process that has no handler for it yet: from when its pid is to be read it must do no harm."""
    fill(place.inbox, 1)
    Store.open(str(place.state)).close()
    other = sqlite3.connect(place.state, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with Running(place, "run", "--config", str(place.config), ready=False) as daemon:
        until(lambda: service.holder(str(place.state)) == daemon.process.pid, "its pid is told")
        for _ in range(5):
            daemon.send(signal.SIGUSR1)
        other.execute("ROLLBACK")
        other.close()
        daemon.wait_for("photo.done")
        assert daemon.stop() == 0
