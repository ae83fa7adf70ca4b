"""Whatever happens to the state file: no traceback, nothing lost, and nothing made again that proves to be current."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.harness import Finished, Place, Running, fill, fingerprint, tree, until
from tests.faults.mounting import Filler, mounted, needs_mounts, read_only
from tests.faults.processes import without_privilege
from tests.faults.records import rows
from tests.faults.tracing import injected, needs_strace
from tests.photos import TEXT

PHOTOS = 5


@pytest.fixture
def done(place: Place) -> Place:
    """A place where all is made but one photo, which never can be."""
    fill(place.inbox, PHOTOS)
    (place.inbox / "notes.jpg").write_bytes(TEXT)
    os.utime(place.inbox / "notes.jpg", (1, 1))
    assert place.once().code == 1
    return place


def check_nothing_lost(place: Place, before: dict[str, tuple[int, int, str]], finished: Finished) -> None:
    """Tell that a run went on as if nothing had happened: the same files, the same failure, no rendering."""
    assert finished.code == 1, finished
    assert "Traceback" not in finished.err, finished
    assert fingerprint(place.output) == before
    assert sum(line["adopted"] < len(line["renditions"]) for line in finished.events("photo.done")) == 0
    found = place.status()
    assert (found["inboxes"][0]["done"], found["inboxes"][0]["failed"]) == (PHOTOS, 1)
    assert [Path(item["path"]).name for item in found["failed"]] == ["notes.jpg"]


def _truncate(part: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * part))


def _overwrite(at: float, length: int, byte: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(int(path.stat().st_size * at))
            file.write(bytes((byte,)) * length)

    return damage


DAMAGES = {
    "half a page is left": lambda path: os.truncate(path, 2048),
    "nearly all is left": _truncate(0.9),
    "garbage": lambda path: path.write_bytes(b"\xa5" * 40_000),
    "a page of garbage": _overwrite(0.4, 4096, 0xA5),
}
MORE_DAMAGES = {
    "a header is left": lambda path: os.truncate(path, 100),
    "half is left": _truncate(0.5),
    "zeros": lambda path: path.write_bytes(bytes(40_000)),
    "another version of SQLite's format": _overwrite(0, 19, 0xFF),
}


@pytest.mark.parametrize("how", ["removed with its folder", "replaced"])
def test_a_state_file_that_goes_while_the_daemon_runs_is_begun_anew_from_the_outputs(place: Place, how: str) -> None:
    place.state = place.root / "books" / "state.db"
    place.configure()
    with place.run() as daemon:
        fill(place.inbox, 2)
        daemon.settle(2)
        before = fingerprint(place.output)
        if how == "replaced":
            copy = place.root / "copy.db"
            shutil.copy(place.state, copy)
            os.replace(copy, place.state)
        else:
            shutil.rmtree(place.state.parent)
        fill(place.inbox, 1, 2)
        daemon.wait_for("state.gone")
        until(lambda: place.status()["inboxes"][0]["done"] == 3, "all is on the books")
        assert not daemon.events("state.damaged")
        assert before.items() <= fingerprint(place.output).items(), "nothing was made again"
        shutil.rmtree(place.state.parent)
        assert daemon.stop() == 0  # asked to stop, it stops
        assert daemon.events("stopped")


def test_damage_that_shows_while_the_daemon_runs_has_it_go_on_by_the_config_that_it_works_by(place: Place) -> None:
    with place.run() as daemon:
        place.configure({"small": {"width": 100}})
        daemon.send(signal.SIGHUP)
        daemon.wait_for("config.reloaded")
        place.config.unlink()  # nobody is to read it once more
        with closing(sqlite3.connect(place.state)) as other, other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            other.execute("INSERT INTO meta VALUES ('another', 'writer')")  # so that the daemon reads everything anew
        _overwrite(0.02, place.state.stat().st_size, 0xA5)(place.state)
        fill(place.inbox, 1)
        daemon.wait_for("photo.done")
        assert [bool(line.get("set_aside")) for line in daemon.events("state.damaged")] == [False, True]
        assert daemon.stop() == 0
    assert tree(place.output).keys() == {"small/p000.jpg"}


@pytest.mark.parametrize("damages", [DAMAGES, pytest.param(MORE_DAMAGES, marks=pytest.mark.slow)], ids=["some", "more"])
def test_a_damaged_state_file_is_set_aside_and_found_out_again_from_the_outputs(
    done: Place, damages: dict[str, Callable[[Path], None]]
) -> None:
    before, books = fingerprint(done.output), rows(done.state)
    for number, damage in enumerate(damages.values(), 1):
        damage(done.state)
        finished = done.once()
        check_nothing_lost(done, before, finished)
        assert len(finished.events("state.damaged")) == 1
        assert len(list(done.root.glob("state.db.damaged-*"))) == number
        assert [row[:2] for row in rows(done.state)] == [row[:2] for row in books]


def test_an_empty_or_missing_state_file_costs_no_rendering(done: Place) -> None:
    before = fingerprint(done.output)
    for size in (0, 1):  # SQLite takes both for a new file
        os.truncate(done.state, size)
        check_nothing_lost(done, before, done.once())
    done.state.unlink()
    check_nothing_lost(done, before, done.once())


def test_a_state_file_left_by_a_kill_and_damaged_in_its_log_costs_no_rendering(place: Place) -> None:
    fill(place.inbox, PHOTOS)
    (place.inbox / "notes.jpg").write_bytes(TEXT)
    os.utime(place.inbox / "notes.jpg", (1, 1))
    with place.run() as daemon:
        daemon.settle(PHOTOS)
        daemon.process.kill()
        daemon.process.wait()
    before = fingerprint(place.output)
    wal = place.root / "state.db-wal"
    assert wal.stat().st_size
    _overwrite(0.3, 5000, 0xA5)(wal)
    check_nothing_lost(place, before, place.once())


@pytest.mark.slow
@needs_strace
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may trace what it has not started")
def test_a_state_file_that_becomes_read_only_under_the_daemon_costs_no_photo(place: Place) -> None:
    with place.run() as daemon:
        fill(place.inbox, 1)
        daemon.settle(1)
        # what the kernel answers once it has found errors on a disk
        with injected(daemon.process.pid, "pwrite64:error=EROFS"):
            fill(place.inbox, PHOTOS, 1)
            daemon.wait_for("state.busy")
            assert sum(daemon.made().values()) == 1, "nothing is begun that could not be put on record"
            assert daemon.process.poll() is None
        daemon.settle(1 + PHOTOS)
        assert daemon.made() == {f"p{number:03}.jpg": 1 for number in range(1 + PHOTOS)}
        assert (len(daemon.events("state.busy")), len(daemon.events("state.back"))) == (1, 1)
        assert daemon.stop() == 0
        assert not any("Traceback" in line for line in daemon.lines)


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("mount") is None, reason="root may write everywhere")
def test_in_a_folder_that_cannot_be_written_work_is_refused_and_status_still_told(done: Place) -> None:
    folder = done.root / "books"
    folder.mkdir()
    shutil.copy(done.state, folder)
    done.state = folder / "state.db"
    done.configure()
    with read_only(folder):
        for command in ("once", "run"):
            finished = done.watcher(command, "--config", done.config)
            assert finished.code == 78, finished
            assert "state" in finished.err
            assert "Traceback" not in finished.err
        assert done.status()["inboxes"][0]["done"] == PHOTOS


@pytest.mark.parametrize(
    ("ends", "commands"), [([""], ("once", "run", "retry", "check")), (["-wal", "-shm"], ("once", "run"))]
)
def test_a_state_file_that_may_only_be_read_is_left_as_it_is_and_what_to_type_makes_it_usable(
    done: Place, ends: list[str], commands: tuple[str, ...]
) -> None:
    done.within = without_privilege()
    closed = [Path(f"{done.state}{end}") for end in ends]
    for path in closed:
        path.touch()
        path.chmod(0o444)
    if closed == [done.state]:
        assert done.status()["inboxes"][0]["done"] == PHOTOS
        assert not any(Path(f"{done.state}{end}").exists() for end in ("-wal", "-shm"))
    typed = f"chmod u+w {' '.join(map(str, closed))}"
    for command in commands:
        finished = done.watcher(command, "--config", done.config)
        assert (finished.code, typed in finished.out + finished.err) == (78, True), finished
    subprocess.run(typed.split(), check=True)
    assert done.watcher("retry", "--config", done.config).code == 0
    assert done.once().code == 1, "as before: one photo can't be made"


def test_while_another_program_locks_the_state_file_work_waits_and_goes_on_by_itself(place: Place) -> None:
    place.configure(inbox={"rescan_seconds": 600})
    with place.run() as daemon:
        with closing(sqlite3.connect(place.state, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            fill(place.inbox, PHOTOS)
            daemon.wait_for("state.busy", seconds=20)
            assert not daemon.made(), "nothing is begun that could not be put on record"
            other.execute("ROLLBACK")
        daemon.settle(PHOTOS)
        assert daemon.made() == {f"p{number:03}.jpg": 1 for number in range(PHOTOS)}
        assert place.status()["inboxes"][0]["failed"] == 0
        assert daemon.stop() == 0
    assert not any("Traceback" in line for line in daemon.lines)


@pytest.mark.slow  # SQLite waits for five seconds
def test_a_daemon_that_finds_its_state_file_locked_waits_for_it_and_a_single_run_says_who_is_to_end(
    done: Place,
) -> None:
    with closing(sqlite3.connect(done.state, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with Running(done, "run", "--config", str(done.config), ready=False) as daemon:
            daemon.wait_for("state.busy")
            other.execute("ROLLBACK")
            daemon.wait_for("scan.done")
            assert len(daemon.events("state.back")) == 1
            assert daemon.stop() == 0
        other.execute("BEGIN EXCLUSIVE")
        finished = done.once()
        assert finished.code == 78, finished
        assert "close the other program that uses it" in finished.err
        assert "Traceback" not in finished.err


@pytest.mark.slow
@needs_mounts
def test_when_the_disk_of_the_state_file_is_full_work_waits_and_goes_on_by_itself(place: Place) -> None:
    folder = place.root / "books"
    place.state = folder / "state.db"
    place.configure()
    with mounted(folder, "-t", "tmpfs", "-o", "size=2m"), place.run() as daemon:
        fill(place.inbox, 2)
        daemon.settle(2)
        filler = Filler(folder)
        fill(place.inbox, 40, 2)
        daemon.wait_for("state.busy")
        time.sleep(2.5)  # it has to stay that way for a while: after two seconds it is tried again
        assert daemon.process.poll() is None
        assert len(daemon.events("state.busy")) == 1, "said once"
        assert daemon.events("state.back") == []
        filler.remove()
        daemon.wait_for("state.back")
        daemon.settle(42)
        found = place.status()["inboxes"][0]
        assert (found["done"], found["failed"]) == (42, 0)
        until(lambda: len(rows(place.state)) == 43, "all is on the books")
        assert daemon.stop() == 0
        assert not any("Traceback" in line for line in daemon.lines)
