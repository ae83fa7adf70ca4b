"""What is on disk at every moment of a run, told from the system calls of the real program."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.harness import Place, camera, tree
from tests.faults.tracing import needs_strace, trace

pytestmark = needs_strace

PHOTOS = ("p0.jpg", "sub/p1.jpg", "sub/p2.jpg")
_CALLS = "openat,write,pwrite64,fsync,fdatasync,renameat,ftruncate"
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")
_WHOLE = re.compile(r"(?P<pid>\d+)\s+(?P<call>\w+)\((?P<args>.*)\) += (?P<result>-?\d+).*")
_BEGUN = re.compile(r"(?P<pid>\d+)\s+(?P<call>\w+)\((?P<args>.*) <unfinished \.\.\.>")
_ENDED = re.compile(r"(?P<pid>\d+)\s+<\.\.\. (?P<call>\w+) resumed>.*\) += (?P<result>-?\d+).*")


@dataclass
class Call:
    """One system call; `begun` and `ended` are places in the order of events."""

    name: str
    file: str  # the path behind its first file descriptor
    strings: list[bytes]  # its other arguments that are text
    numbers: list[int]  # and those that are numbers
    begun: int
    ended: int = -1
    ok: bool = False


def _call(name: str, args: str, at: int) -> Call:
    def text(found: str) -> bytes:
        return bytes.fromhex(found.replace("\\x", ""))

    first, _, rest = args.partition(">, ") if re.match(r"\d+<|AT_FDCWD", args) else ("", "", args)
    if not _:
        first, rest = args, ""
    path = _HEX.search(first)
    strings = [text(found) for found in _HEX.findall(rest)]
    numbers = [int(found) for found in re.findall(r", (\d+)(?=,|$)", ", " + _HEX.sub("", rest))]
    return Call(name, text(path[0]).decode("utf-8", "surrogateescape") if path else "", strings, numbers, at)


def parse(lines: list[str]) -> list[Call]:
    """Turn strace's lines into calls, in the order in which they began; those that failed are left out."""
    calls: list[Call] = []
    open_calls: dict[str, Call] = {}
    for at, line in enumerate(lines):
        if found := _ENDED.fullmatch(line):
            call = open_calls.pop(found["pid"], None)
            if call is not None:
                call.ended, call.ok = at, int(found["result"]) >= 0
        elif found := _BEGUN.fullmatch(line):
            calls.append(_call(found["call"], found["args"], at))
            open_calls[found["pid"]] = calls[-1]
        elif found := _WHOLE.fullmatch(line):
            calls.append(_call(found["call"], found["args"], at))
            calls[-1].ended, calls[-1].ok = at, int(found["result"]) >= 0
    return [call for call in calls if call.ok]


@dataclass
class Disk:
    """The state file as its calls leave it: what was written, and what of that would survive a power cut."""

    prefix: str
    written: dict[str, bytearray] = field(default_factory=dict)
    durable: dict[str, bytes] = field(default_factory=dict)

    def apply(self, call: Call) -> None:
        if not call.file.startswith(self.prefix) or call.file.endswith(("-shm", "-journal", ".lock")):
            return
        file = self.written.setdefault(call.file.removeprefix(self.prefix), bytearray())
        match call.name:
            case "pwrite64":
                data, at = call.strings[0], call.numbers[-1]
                file.extend(bytes(max(0, at - len(file))))
                file[at : at + len(data)] = data
            case "ftruncate":
                size = call.numbers[0]
                file[size:] = bytes(max(0, size - len(file)))
            case "fdatasync" | "fsync":
                self.durable[call.file.removeprefix(self.prefix)] = bytes(file)

    def rows(self, scratch: Path, *, durable: bool) -> dict[str, tuple[int, int, int]]:
        """Read phase, leased and attempts of every photo, as SQLite would find them after a crash."""
        for path in scratch.glob("state*"):
            path.unlink()
        for suffix, data in (self.durable if durable else self.written).items():
            (scratch / f"state{suffix}").write_bytes(data)
        if not (scratch / "state").exists():
            return {}
        with closing(sqlite3.connect(scratch / "state")) as db:
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                return {}
            return {
                (path + b"/" if path else b"").decode() + name.decode(): (phase, leased, attempts)
                for path, name, phase, leased, attempts in db.execute(
                    "SELECT path, name, phase, leased, attempts FROM photo JOIN folder ON folder.id = photo.folder"
                )
            }


@dataclass
class Run:
    place: Place
    calls: list[Call]

    def moments(self) -> Iterator[tuple[Call, Disk]]:
        """Give each call with the state file as it is when that call begins."""
        disk = Disk(str(self.place.state))
        for call in self.calls:
            yield call, disk
            disk.apply(call)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = Place(tmp_path_factory.mktemp("traced"))
    place.configure(workers=1)
    (place.inbox / "sub").mkdir()
    for number, path in enumerate(PHOTOS):
        (place.inbox / path).write_bytes(camera(number, 60, 40))
    traced = trace(place, "-xx", "-s", "5000", "-e", f"trace={_CALLS}")
    assert traced.finished.code == 0, traced.finished
    return Run(place, parse(traced.lines))


def test_every_output_is_written_and_synced_before_its_rename_and_its_folder_after_it(run: Run) -> None:  # invariant 3
    output = str(run.place.output)
    renames = [call for call in run.calls if call.name == "renameat" and call.file.startswith(output)]
    assert {f"{call.file}/{call.strings[-1].decode()}" for call in renames} == {
        str(path) for path in tree(run.place.output).values()
    }
    for rename in renames:
        temporary = f"{rename.file}/{rename.strings[0].decode()}"
        assert rename.strings[0].startswith(b".")
        writes = [call for call in run.calls if call.name == "write" and call.file == temporary]
        syncs = [call for call in run.calls if call.name == "fsync" and call.file == temporary]
        folders = [call for call in run.calls if call.name == "fsync" and call.file == rename.file]
        assert writes
        assert max(call.ended for call in writes) < syncs[-1].begun
        assert syncs[-1].ended < rename.begun
        assert any(rename.ended < call.begun for call in folders)


def test_a_photo_is_on_record_as_done_only_when_its_outputs_are_safe(run: Run, tmp_path: Path) -> None:  # invariant 4
    safe_at = {}
    for photo in PHOTOS:
        outputs = [str(path) for path in run.place.outputs(photo)]
        renames = [c for c in run.calls if c.name == "renameat" and f"{c.file}/{c.strings[-1].decode()}" in outputs]
        assert len(renames) == len(outputs)
        safe_at[photo] = max(
            min(c.ended for c in run.calls if c.name == "fsync" and c.file == rename.file and c.begun > rename.ended)
            for rename in renames
        )
    for call, disk in run.moments():
        if call.name == "pwrite64" and call.file.startswith(disk.prefix) and call.begun < max(safe_at.values()):
            disk_after = Disk(disk.prefix, {key: bytearray(file) for key, file in disk.written.items()})
            disk_after.apply(call)
            for photo, (phase, _, _) in disk_after.rows(tmp_path, durable=False).items():
                assert phase != 1 or safe_at[photo] < call.begun, photo
    *_, (_, disk) = run.moments()
    assert disk.rows(tmp_path, durable=False) == dict.fromkeys(PHOTOS, (1, 0, 0))


def test_an_attempt_would_survive_a_power_cut_before_the_photo_is_opened(
    run: Run, tmp_path: Path
) -> None:  # invariant 4
    opened = []
    for call, disk in run.moments():
        folder = call.file.removeprefix(str(run.place.inbox)).strip("/")
        name = call.strings[0].decode("utf-8", "replace") if call.strings else ""
        photo = f"{folder}/{name}" if folder else name
        if call.name == "openat" and call.file.startswith(str(run.place.inbox)) and photo in PHOTOS:
            opened.append(photo)
            assert disk.rows(tmp_path, durable=True)[photo] == (0, 1, 1)
    assert sorted(opened) == sorted(PHOTOS)
