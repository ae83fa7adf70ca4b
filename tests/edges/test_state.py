"""The state file: real SQLite, damaged in every way that we know."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from watcher.core.history import HistoryEntry
from watcher.core.naming import could_meet
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.status import BatchStatus, Counts, ExecutorStatus, InboxStatus
from watcher.core.types import FileSignature, PhotoId
from watcher.errors import EXIT_CONFIG, StateError
from watcher.store import Queries, StateBusyError, StateCorruptError, Store, refuse_other_file
from watcher.store import queries as queries_module
from watcher.store import schema as schema_module
from watcher.store import store as store_module

IN, OTHER = b"/in", b"/other"


def known(phase: Phase = Phase.DONE, *, at: float = 10.0, recipes: dict[str, str] | None = None) -> PhotoRecord:
    return PhotoRecord(
        FileSignature(100, 5),
        phase,
        {"web": "f1"} if recipes is None else recipes,
        {"web": RenditionRecord(10, 20, 300)},
        at=at,
        first_seen=1.0,
        origin="event",
    )


def photo(path: bytes | str, inbox: bytes = IN) -> PhotoId:
    return PhotoId(inbox, path.encode() if isinstance(path, str) else path)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "s.db")


@pytest.fixture
def state(path: str) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


# ---- what is written is read ----


def test_photos_that_failed_wait_again_once_they_are_reopened_and_others_stay_as_they_are(state: Store) -> None:
    failed = replace(known(Phase.FAILED), attempts=3, reason="because")
    state.write([(photo("a.jpg"), failed), (photo("x/b.jpg"), failed), (photo("c.jpg"), known())])
    state.write([(photo("a.jpg", OTHER), failed)])
    assert state.reopen_failed(IN) == 2
    assert state.known(photo("x/b.jpg")) == replace(failed, phase=Phase.WAITING, attempts=0)
    assert state.counts(IN) == Counts(waiting=2, done=1, failed=0)
    assert state.counts(OTHER).failed == 1
    assert state.reopen_failed(IN) == 0


def test_all_that_is_known_comes_back_as_it_was(state: Store) -> None:
    full = PhotoRecord(
        FileSignature(2**40, -5),
        Phase.FAILED,
        {"web": "f1", "thumb": "f2"},
        {
            "web": RenditionRecord(1, 2, 3, digest=b"\0" * 8),
            "thumb": RenditionRecord(4, 5, 6, b"a.jpeg\xff.webp", b"8 bytes!"),
        },
        at=12.5,
        attempts=2,
        reason='it is "odd"',
        leased=True,
        first_seen=3.25,
        origin="scan",
    )
    state.write([(photo("x/a.jpg"), full)])
    assert state.known(photo("x/a.jpg")) == full
    assert state.known(photo("x/b.jpg")) is None
    assert state.known(photo("a.jpg")) is None
    assert state.known(photo("x/a.jpg", OTHER)) is None


def test_it_is_there_after_closing_and_opening(path: str) -> None:
    with Store.open(path) as state:
        state.write([(photo("a.jpg"), known())])
        state.set_meta({"pid": 5})
    with Store.open(path) as state:
        assert state.known(photo("a.jpg")) == known()
        assert state.meta("pid") == 5
        assert state.set_aside is None


def test_the_first_sighting_stays_whatever_is_written_later(state: Store) -> None:
    state.write([(photo("a.jpg"), known())])
    state.write([(photo("a.jpg"), replace(known(), first_seen=99.0, origin="scan", at=50.0))])
    found = state.known(photo("a.jpg"))
    assert found is not None
    assert (found.first_seen, found.origin, found.at) == (1.0, "event", 50.0)


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.jpg",
        b"n\nl.jpg",
        b"'; DROP TABLE photo; --.jpg",
        b"x" * 251 + b".jpg",
        b"\xff" * 255,
        b"%",
        b"0",
        b".",
    ],
)
def test_a_name_is_bytes_and_need_not_be_utf_8(state: Store, name: bytes) -> None:  # invariant 9
    for path in (name, b"\xff\xfe/" + name):
        state.write([(photo(path), known())])
        assert state.known(photo(path)) == known()
        assert [found for found, _ in state.photos(IN, Phase.DONE)].count(photo(path)) == 1
        folder = path.rpartition(b"/")[0]
        scan_rows, total = state.scan_rows(IN, folder, [name])
        assert list(scan_rows) == [name]
        assert total == 1
        state.write([(photo(path), None)])
        assert state.known(photo(path)) is None


def test_an_inbox_whose_name_is_not_utf_8_is_kept_as_it_is(state: Store) -> None:
    inbox = b"/mnt/\xff"
    state.write([(photo("a.jpg", inbox), known())])
    state.set_reports([InboxStatus(inbox, b"/out/\xff", originals=(b"/old/\xff", b"/"))])
    assert state.inboxes() == [inbox]
    assert state.report(inbox) == InboxStatus(inbox, b"/out/\xff", originals=(b"/old/\xff", b"/"))


def test_what_the_daemon_reports_comes_back_as_it_was_without_what_the_file_counts_itself(state: Store) -> None:
    report = InboxStatus(
        IN,
        b"/out",
        b"/mnt",
        terms="200",
        watch="poll",
        watch_reason="nfs",
        reachable=False,
        missed_events=1,
        left_alone=((".mov", 3), ("", 1)),
        held_up="no room",
        waiting=3,
        oldest_waiting=2.5,
        minutes=((1, 2), (3, 4)),
        last_batch=BatchStatus(5, 6, 1, 0.5),
        executor=ExecutorStatus("dask", "tcp://h:1", 1, 2, 3.5, "gone", fallback=True, unfit={"w": "old"}),
        decoder="pillow",
        config_fault="wrong",
    )
    state.set_reports([replace(report, counts=Counts(done=7))])
    assert state.report(IN) == report


def test_a_report_of_another_version_is_read_as_far_as_it_is_known(state: Store) -> None:
    state.write([(photo("a.jpg"), known())])
    assert state.report(IN) is None
    state._db.execute("UPDATE inbox SET report = ?", ('{"output": "/out", "novel": [], "executor": {}}',))
    assert state.report(IN) == InboxStatus(IN, b"/out")


def test_a_reason_that_quotes_a_name_which_is_not_utf_8_is_no_bug(state: Store) -> None:  # invariant 8
    reason = "can't write " + os.fsdecode(b"caf\xe9.jpg")
    state.write([(photo("a.jpg"), replace(known(Phase.FAILED), reason=reason))])
    found = state.known(photo("a.jpg"))
    assert found is not None
    assert found.reason.startswith("can't write caf")
    found.reason.encode()


@pytest.mark.parametrize("mtime_ns", [-(2**62), 2**63 - 1, 2**63, 13_569_465_600 * 10**9])
def test_a_photo_of_the_year_2400_is_kept_and_recognised(state: Store, mtime_ns: int) -> None:
    state.write([(photo("a.jpg"), replace(known(), stamp=FileSignature(1, mtime_ns)))])
    found = state.known(photo("a.jpg"))
    assert found is not None
    assert found.stamp == FileSignature(1, mtime_ns)
    scan_rows, _ = state.scan_rows(IN, b"", [b"a.jpg"])
    assert scan_rows[b"a.jpg"].mtime_ns == mtime_ns


def test_a_listing_is_compared_with_few_or_with_many_of_a_large_folder(state: Store) -> None:
    names = [b"%d.jpg" % number for number in range(600)]
    state.write([(photo(b"x/" + name), known()) for name in names])
    scan_rows, total = state.scan_rows(IN, b"x", [b"5.jpg", b"no.jpg"])
    assert (list(scan_rows), total) == ([b"5.jpg"], 600)
    scan_rows, total = state.scan_rows(IN, b"x", names[:300])
    assert set(names[:300]) <= set(scan_rows)
    assert state.recipes_of(scan_rows[b"5.jpg"].recipes) == {"web": "f1"}
    assert state.scan_rows(IN, b"y", [b"5.jpg"]) == ({}, 0)


def test_rivals_are_those_whose_outputs_could_meet(state: Store) -> None:
    names = [
        b"a.jpg",
        b"a.jpeg",
        b"A.JPG",
        b"a.jpeg.jpg",
        b"a.jpeg.2.jpg",
        b"ab.jpg",
        b"a-b.jpg",
        b"b.jpg",
        b"a",
        b"\xff.jpg",
    ]
    state.write([(photo(b"x/" + name), known()) for name in names])
    state.write([(photo(b"y/a.jpg"), known()), (photo(b"x/a.jpg", OTHER), known())])
    for name in [*names, b"a.png", b"a.jpeg.2.3.jpg", b"b"]:
        expected = {other for other in names if other != name and could_meet(name, other)}
        assert set(state.name_conflicts(photo(b"x/" + name))) == expected
    assert state.name_conflicts(photo(b"z/a.jpg")) == {}


# ---- forgetting ----


def test_a_folder_is_forgotten_with_all_below_and_with_nothing_beside(state: Store) -> None:
    below = [b"a/1.jpg", b"a/b/1.jpg", b"a/\xff/1.jpg", b"a/0/1.jpg"]
    beside = [b"1.jpg", b"a.jpg", b"a0/1.jpg", b"a./1.jpg", b"a-/1.jpg", b"ab/1.jpg", b"A/1.jpg", b"b/a/1.jpg"]
    state.write([(photo(path), known()) for path in below + beside])
    state.write([(photo(b"a/1.jpg", OTHER), known())])
    state.forget_folder(IN, b"a")
    assert {found.path for found, _ in state.photos(IN, Phase.DONE)} == set(beside)
    assert state.counts(IN) == Counts(done=len(beside))
    assert state.counts(OTHER) == Counts(done=1)
    state.forget_folder(IN, b"")
    assert state.counts(IN) == Counts()
    assert state.folders(IN) == []
    assert state.counts(OTHER) == Counts(done=1)


def test_folders_that_come_and_go_leave_nothing_behind(state: Store) -> None:  # invariant 10
    for day in range(5):
        state.write([(photo(f"{day}/a.jpg"), known())])
        state.forget_folder(IN, b"%d" % day)
        state.write([(photo(f"{day}/a.jpg"), None)])  # a worker found it gone, later
    assert state._db.execute("SELECT count(*) FROM folder").fetchone() == (0,)


# ---- counting and listing ----


def test_waiting_failed_and_leased_photos_are_listed_each_with_its_inbox(state: Store) -> None:
    state.write(
        [
            (photo("a.jpg"), replace(known(Phase.WAITING), first_seen=7.0)),
            (photo("x/b.jpg"), replace(known(Phase.FAILED), leased=True)),
            (photo("c.jpg"), known()),
            (photo("a.jpg", OTHER), replace(known(Phase.WAITING), first_seen=2.0)),
        ]
    )
    assert [found for found, _ in state.photos(IN, Phase.WAITING)] == [photo("a.jpg")]
    assert [found for found, _ in state.photos(IN, Phase.FAILED)] == [photo("x/b.jpg")]
    assert [found for phase in Phase for found, row in state.photos(IN, phase) if row.leased] == [photo("x/b.jpg")]
    assert state.counts(IN) == Counts(1, 1, 1)
    assert state.oldest_waiting(IN) == 7.0
    assert state.oldest_waiting(b"/nowhere") is None
    assert sorted(state.names(IN, b"")) == [b"a.jpg", b"c.jpg"]


def test_renditions_that_are_no_longer_wanted_are_counted(state: Store) -> None:
    state.write(
        [
            (photo("a.jpg"), known(recipes={"web": "f1", "old": "f0"})),
            (photo("b.jpg"), known(recipes={"web": "f2", "old": "f0"})),
            (photo("c.jpg"), known(recipes={"web": "f2"})),
        ]
    )
    assert state.superseded(IN, ["web"]) == {"old": 2}
    state.write([(photo("b.jpg"), known(recipes={"web": "f2"}))])
    assert state.superseded(IN, ["web"]) == {"old": 1}


def test_an_inbox_has_an_identity_once_it_was_scanned(state: Store) -> None:
    state.write([(photo("a.jpg"), known())])
    assert state.identity(IN) is None
    state.set_identity(IN, (5, 6))
    assert state.identity(IN) == (5, 6)


# ---- who else uses the file ----


def test_reading_goes_on_beside_a_writer_in_the_midst_of_a_transaction(state: Store, path: str) -> None:
    state.write([(photo("a.jpg"), known())])
    reader = Queries.open_to_read(path)
    assert reader is not None
    with reader:
        state._db.execute("BEGIN IMMEDIATE")
        state._db.execute("DELETE FROM photo")
        assert reader.known(photo("a.jpg")) == known()
        state._db.execute("ROLLBACK")
        state.write([(photo("b.jpg"), known())])
        assert reader.counts(IN) == Counts(done=2)


def test_without_a_state_file_there_is_nothing_to_read_and_none_is_made(path: str) -> None:
    assert Queries.open_to_read(path) is None
    assert not os.path.exists(path)


@contextmanager
def sealed(folder: str) -> Iterator[None]:
    """Take the right to write in `folder` away, from root too."""
    os.chmod(folder, 0o555)  # noqa: S103  # everybody may read it
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        os.chmod(folder, 0o755)  # noqa: S103  # as it was


@pytest.fixture
def open_folder() -> Iterator[str]:
    """Make a folder that everybody can reach; pytest's own are their owner's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103  # see above
        yield folder


def test_reading_from_a_folder_that_cannot_be_written(open_folder: str) -> None:
    path = os.path.join(open_folder, "s.db")
    with Store.open(path) as state:
        state.write([(photo("a.jpg"), known())])
    os.chmod(path, 0o444)
    with sealed(open_folder):
        reader = Queries.open_to_read(path)
        assert reader is not None
        with reader:
            assert reader.known(photo("a.jpg")) == known()
    assert os.listdir(open_folder) == ["s.db"]


def test_while_another_program_locks_the_file_writing_says_so_and_nothing_is_lost(
    state: Store, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.0)
    state.write([(photo("a.jpg"), known())])
    state._db.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateBusyError, match="locked"):
        state.write([(photo("b.jpg"), known())])
    with pytest.raises(StateBusyError):
        state.write([(photo("b.jpg"), known())], durable=True)
    assert state.known(photo("a.jpg")) == known()
    other.execute("ROLLBACK")
    other.close()
    state.write([(photo("b.jpg"), known())])
    assert state.counts(IN) == Counts(done=2)


def test_a_file_that_is_locked_for_good_cannot_be_opened(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(path).close()
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StateBusyError, match="can't be used just now") as raised:
        Store.open(path)
    assert raised.value.exit_code == EXIT_CONFIG
    other.close()


def test_a_transaction_that_fails_half_way_leaves_no_trace(state: Store) -> None:
    state.write([(photo("new/a.jpg"), known(recipes={"first": "f"}))])

    def rows() -> Iterator[tuple[PhotoId, PhotoRecord | None]]:
        yield photo("fresh/a.jpg", OTHER), known(recipes={"second": "f"})
        raise InterruptedError("half way")

    with pytest.raises(InterruptedError, match="half way"):
        state.write(rows())
    assert state.inboxes() == [IN]
    state.write([(photo("fresh/a.jpg", OTHER), known(recipes={"third": "f"}))])
    found = state.known(photo("fresh/a.jpg", OTHER))
    assert found is not None
    assert found.recipes == {"third": "f"}


# ---- the file as a whole ----


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_only_its_owner_may_read_it(path: str) -> None:
    mask = os.umask(0o022)
    try:
        with Store.open(path) as state:
            state.write([(photo("a.jpg"), known())], durable=True)
            assert {mode(path + suffix) for suffix in ("", "-wal", "-shm")} == {0o600}
            assert mode(os.path.dirname(path)) == 0o700
    finally:
        os.umask(mask)


@pytest.mark.parametrize("version", [len(schema_module.MIGRATIONS) + 1, 99])
def test_a_newer_schema_is_refused_and_left_alone(path: str, version: int) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    before = Path(path).read_bytes()
    for opening in (Store.open, Queries.open_to_read):
        with pytest.raises(StateError, match=r"newer version of watcher.*upgrade") as raised:
            opening(path)
        assert raised.value.exit_code == EXIT_CONFIG
        assert not isinstance(raised.value, StateCorruptError | StateBusyError)
    assert Path(path).read_bytes() == before


def one_step_newer(monkeypatch: pytest.MonkeyPatch, step: str) -> int:
    """Add a migration to those that the program knows; return the version that it makes."""
    monkeypatch.setattr(schema_module, "MIGRATIONS", (*schema_module.MIGRATIONS, step))
    return len(schema_module.MIGRATIONS)


STEP = "ALTER TABLE inbox ADD COLUMN fresh INTEGER NOT NULL DEFAULT 7; UPDATE photo SET reason = 'migrated'"


def test_an_older_schema_is_brought_up_to_date_and_a_copy_kept(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(path) as state:
        state.write([(photo("a.jpg"), known())])
    version = one_step_newer(monkeypatch, STEP)
    for _ in range(2):  # and that once
        with Store.open(path) as state:
            assert state.known(photo("a.jpg")) == replace(known(), reason="migrated")
            assert state._db.execute("PRAGMA user_version").fetchone() == (version,)
            assert state._db.execute("SELECT fresh FROM inbox").fetchall() == [(7,)]
            state._db.execute("UPDATE inbox SET fresh = 7")
    monkeypatch.undo()
    kept = f"{path}.v{version - 1}"
    assert mode(kept) == 0o600
    with Store.open(kept) as copy:
        assert copy.known(photo("a.jpg")) == known()


def test_an_older_schema_is_read_as_if_it_were_brought_up_to_date_and_left_as_it_is(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(path) as state:
        state.write([(photo("a.jpg"), known())])
    one_step_newer(monkeypatch, STEP)
    before = Path(path).read_bytes()
    reader = Queries.open_to_read(path)
    assert reader is not None
    with reader:
        assert not reader.current
        assert reader.known(photo("a.jpg")) == replace(known(), reason="migrated")
    assert Path(path).read_bytes() == before


PREVIEW = Path(__file__).parents[1] / "e2e" / "state_preview.sql"  # as the version before the first release left it
BEFORE = b"/before/inbox"


SIX = """
    ALTER TABLE ghost ADD COLUMN at REAL NOT NULL DEFAULT 0;
    CREATE TRIGGER photo_replaced AFTER DELETE ON photo BEGIN DELETE FROM ghost; END;
    CREATE TRIGGER photo_never_made AFTER DELETE ON photo BEGIN DELETE FROM ghost; END;
    PRAGMA user_version = 6;
"""  # what the last version before the release added


def preview(path: str, *, version: int = 5) -> None:
    os.makedirs(os.path.dirname(path))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA journal_mode = WAL;" + PREVIEW.read_text() + (SIX if version == 6 else ""))


def shape(db: sqlite3.Connection) -> dict[str, object]:
    """Return each table's columns, and each index and trigger in words."""
    found: dict[str, object] = {}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master WHERE sql NOT NULL").fetchall():
        found[name] = db.execute(f"PRAGMA table_info({name})").fetchall() if kind == "table" else sql.split()
    return found


@pytest.mark.parametrize("version", [5, 6])
def test_a_file_from_before_the_first_release_is_brought_over_with_all_that_it_knows(
    tmp_path: Path, path: str, version: int
) -> None:
    preview(path, version=version)
    with Store.open(path) as state, Store.open(str(tmp_path / "new.db")) as new:
        assert shape(state._db) == shape(new._db)
        for pragma in ("user_version", "application_id"):
            assert state._db.execute(f"PRAGMA {pragma}").fetchone() == new._db.execute(f"PRAGMA {pragma}").fetchone()
        assert state.counts(BEFORE) == Counts(done=3, failed=1)
        (_, bad), *_ = state.photos(BEFORE, Phase.FAILED)
        assert (bad.attempts, bad.reason) == (1, 'not a JPEG: it is text ("no photo")')
        made = state.known(photo("p000.jpg", BEFORE))
        assert made is not None
        assert (made.made, made.recipes) == ({"web": RenditionRecord(300, 200, 6020)}, {"web": "64aa3e5685b17caa"})
        assert [entry.what for entry in state.notes(photo("p002.jpg", BEFORE))] == ["made", "gone"]
        ((gone,), (moved,)) = state.alike(15517), state.alike(14957)
        assert (gone.photo, gone.gone, gone.made) == (
            photo("p002.jpg", BEFORE),
            True,
            {"web": RenditionRecord(300, 200, 5995)},
        )
        assert (moved.photo.name, moved.gone) == (b"p009.jpg\x00000000001", False)
        assert state.any_away(BEFORE)
        state.write([(photo("p000.jpg", BEFORE), None)])
        assert [found.photo.name for found in state.alike(made.stamp.size)] == [b"p000.jpg"]
    with Store.open(path) as state:
        assert state.counts(BEFORE) == Counts(done=2, failed=1)


def test_a_file_from_before_the_first_release_is_read_as_it_is(path: str) -> None:
    preview(path)
    before = Path(path).read_bytes()
    refuse_other_file(path)
    reader = Queries.open_to_read(path)
    assert reader is not None
    with reader:
        assert reader.counts(BEFORE) == Counts(done=3, failed=1)
        assert [name for name, _ in reader.left(BEFORE, b"")] == [b"p002.jpg"]
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("application", [0, 0x77617463])
def test_a_still_older_file_is_refused_and_left_alone(path: str, application: int) -> None:
    preview(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(f"PRAGMA application_id = {application}; PRAGMA user_version = 4;")
    before = Path(path).read_bytes()
    for opening in (Store.open, Queries.open_to_read):
        with pytest.raises(StateError, match="no longer supported; move it away"):
            opening(path)
    assert Path(path).read_bytes() == before


def test_a_migration_that_fails_changes_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(path) as state:
        state.write([(photo("a.jpg"), known())])
    one_step_newer(monkeypatch, "CREATE TABLE fresh (x); CREATE TABLE fresh (x);")
    with pytest.raises(StateError):
        Store.open(path)
    monkeypatch.undo()
    with Store.open(path) as state:
        assert state.known(photo("a.jpg")) == known()
        assert state.set_aside is None


def fill(path: str, photos: int = 400) -> None:
    with Store.open(path) as state:
        state.write([(photo(f"{number}.jpg"), known()) for number in range(photos)])


Damage = Callable[[str], None]


def garbage(path: str) -> None:
    Path(path).write_bytes(b"this is no database, whatever its name says" * 100)


def truncated(path: str) -> None:
    fill(path)
    os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096)


def truncated_within_a_page(path: str) -> None:
    fill(path)
    os.truncate(path, 5000)


def overwritten(path: str) -> None:
    fill(path)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8 * 4096))


@pytest.mark.parametrize("damage", [garbage, truncated, truncated_within_a_page, overwritten])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(path: str, damage: Damage) -> None:
    os.makedirs(os.path.dirname(path))
    damage(path)
    before = Path(path).read_bytes()
    with Store.open(path) as state:
        assert state.set_aside is not None
        assert state.set_aside.startswith(path + ".damaged-")
        assert Path(state.set_aside).read_bytes() == before
        state.write([(photo("a.jpg"), known())])
        assert state.counts(IN) == Counts(done=1)
    with Store.open(path) as state:
        assert state.set_aside is None


def test_a_second_damaged_file_takes_no_name_from_the_first(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    names = set()
    for _ in range(3):
        garbage(path)
        with Store.open(path) as state:
            names.add(state.set_aside)
    assert len(names) == 3
    assert all(name is not None and os.path.exists(name) for name in names)


def test_reading_a_damaged_file_says_so_and_changes_nothing(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    garbage(path)
    with pytest.raises(StateCorruptError, match="damaged") as raised:
        Queries.open_to_read(path)
    assert raised.value.exit_code == EXIT_CONFIG
    assert os.listdir(os.path.dirname(path)) == ["s.db"]


def test_damage_that_comes_to_light_later_is_told_from_a_file_that_is_busy(state: Store, path: str) -> None:
    state.write([(photo(f"{number}.jpg"), known()) for number in range(400)])
    state._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    state._db.execute("PRAGMA cache_size = 0")
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xaa" * (os.path.getsize(path) - 4096))
    with pytest.raises(StateCorruptError) as raised:
        state.write([(photo("new.jpg"), known())])
    assert not isinstance(raised.value, StateError)  # the loop bears with a StateError and goes on


def test_an_empty_file_is_a_new_state_file(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).touch()
    assert Queries.open_to_read(path) is None
    with Store.open(path) as state:
        assert state.set_aside is None
        assert state.counts(IN) == Counts()


def test_what_is_read_without_a_trace_is_not_trusted_once_another_program_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "state.db")
    with Store.open(path) as state:
        state.write([(photo("a.jpg"), known())])
    monkeypatch.setattr(queries_module, "unwritable", lambda _: "somebody else's")
    for _ in range(2):
        reader = Queries.open_to_read(path)
        assert reader is not None
        with reader:
            assert reader.known(photo("a.jpg")) == known()
            assert os.listdir(tmp_path) == ["state.db"]
            with Store.open(path) as state:
                beside = Queries.open_to_read(path)  # the log of the one that writes is there now
                assert beside is not None
                with beside:
                    state.write([(photo("b.jpg"), known())])
                    assert beside.known(photo("b.jpg")) == known()
                    with pytest.raises(StateBusyError, match="has begun to write to it; do this again"):
                        reader.known(photo("a.jpg"))
            with pytest.raises(StateBusyError):
                reader.known(photo("a.jpg"))


def test_a_place_where_no_file_can_be_made_is_named_with_what_to_do(open_folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with sealed(open_folder):
        for bad in (os.path.join(open_folder, "s.db"), str(tmp_path / "file" / "s.db"), str(tmp_path)):
            with pytest.raises(StateError, match=r"can't be opened for writing: .*--state") as raised:
                Store.open(bad)
            assert raised.value.exit_code == EXIT_CONFIG


@pytest.mark.parametrize("name", ["a?b#c%20.db", os.fsdecode(b"\xff.db"), "with space.db"])
def test_the_file_may_be_called_anything(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    with Store.open(path) as state:
        state.write([(photo("a.jpg"), known())])
        reader = Queries.open_to_read(path)
        assert reader is not None
        with reader:
            assert reader.known(photo("a.jpg")) == known()
    assert os.listdir(tmp_path) == [name]


def test_a_file_found_damaged_in_use_is_set_aside_though_it_opens_without_complaint(tmp_path: Path) -> None:
    path = str(tmp_path / "state.db")
    Store.open(path).close()
    with Store.open(path, damaged=True) as state:
        assert state.set_aside is not None
        assert os.path.exists(state.set_aside)
        assert not state.inboxes()
    with Store.open(str(tmp_path / "new.db"), damaged=True) as state:
        assert state.set_aside is None


def test_what_is_open_is_found_by_an_index_and_not_by_a_look_at_everything(tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "state.db")) as state:
        seen: list[str] = []
        state._db.set_trace_callback(seen.append)
        list(state.photos(b"/in", Phase.FAILED))
        list(state.photos(b"/in", Phase.WAITING))
        state.oldest_waiting(b"/in")
        Queries(state.path, state._db).failed([b"/in"], 0, 10)
        state.reopen_failed(b"/in")
        state._db.set_trace_callback(None)
        texts = [text for text in seen if "JOIN" in text or text.startswith("UPDATE photo")]
        plans = [str([row[3] for row in state._db.execute(f"EXPLAIN QUERY PLAN {text}")]) for text in texts]
    assert len(plans) == 5
    assert all("photo_open" in plan for plan in plans), plans


def test_the_newest_lists_each_photo_once_as_it_was_made_last_and_a_search_knows_no_capitals(tmp_path: Path) -> None:
    def made(name: str, at: float) -> tuple[tuple[PhotoId, PhotoRecord], HistoryEntry]:
        photo = PhotoId(b"/in", name.encode())
        known = PhotoRecord(FileSignature(1, 2), Phase.DONE, {}, {}, at)
        return (photo, known), HistoryEntry(photo, at, "made", {"burst": 0.5, "line": 0.25, "seconds": 1.0})

    with Store.open(str(tmp_path / "state.db")) as state:
        for number, name in enumerate(["a/Übung 1.jpg", "b.jpg", "c.jpg", "b.jpg", "gone.jpg"]):
            row, note = made(name, 100.0 + number)
            state.write([row], [note])
        state.write([(PhotoId(b"/in", b"gone.jpg"), None)])
        gallery = Queries(state.path, state._db)
        inboxes = [b"/in", b"/elsewhere"]
        first = gallery.newest(inboxes, None, 2)
        assert [(entry.photo.path, entry.took) for entry in first] == [(b"b.jpg", 1.75), (b"c.jpg", 1.75)]
        assert [entry.photo.name.decode() for entry in gallery.newest(inboxes, first[-1].cursor, 2)] == ["Übung 1.jpg"]
        for text in ("üBUNG", "ng 1", "übung 1.JPG", "A"):
            assert [entry.photo.path.decode() for entry in gallery.search(inboxes, text, 0, 9)] == ["a/Übung 1.jpg"]
        assert [entry.photo.name for entry in gallery.search(inboxes, "", 1, 1)] == [b"c.jpg"]
        assert gallery.search([b"/elsewhere"], "b", 0, 9) == []


def test_a_search_finds_folders_and_knows_neither_their_capitals_nor_how_accents_are_written(tmp_path: Path) -> None:
    names = ["2026/Rom und \u00dcbung/a.jpg", "2026/Paris/b.jpg", "rome.jpg", "c.jpg"]
    with Store.open(str(tmp_path / "state.db")) as state:
        state.write([(photo(name), known(at=100.0 + number)) for number, name in enumerate(names)])
        state.write([(PhotoId(b"/other", b"rom/d.jpg"), known())])

        def found(text: str) -> list[str]:
            return [entry.photo.path.decode() for entry in Queries(state.path, state._db).search([b"/in"], text, 0, 9)]

        assert found("ROM") == [names[2], names[0]]
        assert found("und u\u0308bung") == [names[0]]
        assert found("2026/p") == [names[1]]
        assert found("2026") == [names[1], names[0]]
        assert found("in/") == []


def test_what_waits_is_listed_from_what_has_waited_longest_and_in_parts(tmp_path: Path) -> None:
    waits = replace(known(), phase=Phase.WAITING)
    with Store.open(str(tmp_path / "state.db")) as state:
        rows = [(photo(f"{seen:g}.jpg"), replace(waits, first_seen=seen, at=100 - seen)) for seen in (3.0, 1.0, 2.0)]
        state.write([*rows, (photo("done.jpg"), known()), (photo("failed.jpg"), replace(known(), phase=Phase.FAILED))])
        queries = Queries(state.path, state._db)
        assert [entry.photo.name for entry in queries.waiting([b"/in"], 0, 2)] == [b"1.jpg", b"2.jpg"]
        assert [entry.photo.name for entry in queries.waiting([b"/in"], 2, 2)] == [b"3.jpg"]
        assert queries.waiting([b"/other"], 0, 9) == []


# ---- what is no state file ----


@pytest.mark.parametrize("kind", ["photo", "config", "other", "folder", "fifo", "link", "damaged"])
def test_a_file_that_never_was_a_state_file_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    path, what = tmp_path / "file", "no database"
    match kind:
        case "photo" | "link":
            path.write_bytes(b"\xff\xd8\xff" + bytes(5000))
        case "config":
            path.write_text("[[inbox]]\n")
        case "other" | "damaged":
            what = "a database of another program"
            with contextlib.closing(sqlite3.connect(path)) as db:
                db.execute("CREATE TABLE photo (x)")
                db.commit()
            if kind == "damaged":
                with path.open("r+b") as file:
                    file.seek(100)
                    file.write(b"\xff" * 3000)
        case "folder":
            path.mkdir()
            what = "a folder"
        case "fifo":
            os.mkfifo(path)
            what = "a named pipe"
    if kind == "link":
        path.rename(tmp_path / "real")
        path.symlink_to("real")
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StateError, match=f"is {what}, and no state file") as raised:
        refuse_other_file(str(path))
    assert raised.value.exit_code == EXIT_CONFIG
    assert sorted(item.name for item in tmp_path.iterdir()) == (["file", "real"] if kind == "link" else ["file"])
    assert not path.is_file() or path.read_bytes() == before


def test_a_state_file_is_known_by_its_header_its_tables_or_its_lock_however_damaged_it_is(
    tmp_path: Path, path: str
) -> None:
    refuse_other_file(path)  # there is none yet
    with Store.open(path) as state:
        state.write([(photo("a.jpg"), known())])
        refuse_other_file(path)  # with all of it in the log that belongs to it
    refuse_other_file(path)
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    refuse_other_file(path)
    for content in (b"\0" * 4096, b"garbage"):
        Path(path).write_bytes(content)
        with pytest.raises(StateError):
            refuse_other_file(path)
        Path(path + ".lock").write_text(f"1234\n{'{}'}\n")
        refuse_other_file(path)
        Path(path + ".lock").unlink()
    (tmp_path / "empty").touch()
    refuse_other_file(str(tmp_path / "empty"))
