"""Log lines, as they arrive in files, pipes, a pseudo-terminal and a journal's socket."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import os
import pickle
import pty
import socket
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from watcher import logs
from watcher.logs.sentences import Sentences


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Leave the process's logging as it was."""
    handlers, level = [*logging.root.handlers], logging.root.level
    yield
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def run(code: str, **options: Any) -> subprocess.CompletedProcess[bytes]:  # noqa: ANN401 — subprocess's own options
    program = f"from watcher import logs\n{textwrap.dedent(code)}"
    return subprocess.run([sys.executable, "-c", program], check=False, timeout=30, **options)


def fail(message: str) -> None:
    raise RuntimeError(message)


NASTY = "a\n<0>b\r\x1b[2J\x7f\x85\u2028\udcff\"\\='"


# ---- JSON ----


def test_a_json_line_has_event_level_and_utc_time_first_and_then_the_fields() -> None:
    stream = io.StringIO()
    logs.setup("json", "debug", stream)
    before = dt.datetime.now(dt.UTC)
    logs.log.info("batch.done", inbox="/in", files=3, seconds=0.25, ok=True, nothing=None, timestamp="mine")
    logs.log.debug("photo.done", part="pool")
    first, second = lines(stream)
    assert list(first) == ["event", "level", "timestamp", "inbox", "files", "seconds", "ok", "nothing"]
    assert (first["event"], first["level"]) == ("batch.done", "info")
    assert (first["files"], first["seconds"], first["ok"], first["nothing"]) == (3, 0.25, True, None)
    time = dt.datetime.fromisoformat(first["timestamp"])
    assert time.utcoffset() == dt.timedelta(0)
    assert before <= time <= dt.datetime.now(dt.UTC)
    assert (second["level"], second["part"]) == ("debug", "pool")


def test_no_name_can_break_a_json_line_and_none_is_lost() -> None:
    stream = io.StringIO()
    logs.setup("json", "info", stream)
    logs.log.info("x", path=NASTY, raw=os.fsencode(NASTY), file=Path("/ü"), many=[b"\xff"], some={b"b", b"a"})
    assert stream.getvalue().isascii()
    (line,) = lines(stream)
    assert line["path"] == line["raw"] == NASTY
    assert line["file"] == "/ü"
    assert line["many"] == ["\udcff"]


def test_a_value_that_json_lacks_is_shown_and_leaves_the_others_alone() -> None:
    stream = io.StringIO()
    logs.setup("json", "info", stream)
    circle: list[object] = []
    circle.append(circle)
    logs.log.info("x", nan=float("nan"), circle=circle, keys={b"a": 1}, what=object, seconds=1.5)
    (line,) = lines(stream)
    assert (line["nan"], line["circle"], line["keys"], line["seconds"]) == ("nan", "[[...]]", "{b'a': 1}", 1.5)


def test_an_exception_becomes_a_field_of_the_one_line() -> None:
    stream = io.StringIO()
    logs.setup("json", "info", stream)
    try:
        fail(NASTY)
    except RuntimeError as error:
        logs.log.exception("bug")
        logs.log.error("bug", exc_info=error)
    for line in lines(stream):
        assert line["level"] == "error"
        assert line["exception"].startswith("Traceback (most recent call last)")
        assert "RuntimeError" in line["exception"]


def test_lines_below_the_level_are_dropped_and_a_second_setup_reaches_loggers_that_exist() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.setup("json", "warning", first)
    logger = logs.log
    logger.info("no")
    logger.warning("yes")
    logs.setup("json", "info", second)
    logger.info("now")
    assert [line["event"] for line in lines(first)] == ["yes"]
    assert [line["event"] for line in lines(second)] == ["now"]


# ---- console ----


def test_a_console_line_is_one_line_with_everything_escaped() -> None:
    stream = io.StringIO()
    logs.setup("console", "info", stream)
    logs.log.warning("photo.failed", path=NASTY, raw=os.fsencode(NASTY), seconds=0.123456789, empty="", count=2)
    (line,) = stream.getvalue().split("\n")[:-1]
    assert line.isprintable()
    shown = r'''"a\n<0>b\r\x1b[2J\x7f\x85\u2028\xff"\='"'''
    assert line[20:] == f' warning photo.failed path={shown} raw={shown} seconds=0.123457 empty="" count=2'
    dt.datetime.fromisoformat(line[:20])


def test_a_traceback_stands_below_its_console_line_and_steers_no_terminal() -> None:
    stream = io.StringIO()
    logs.setup("console", "info", stream)
    try:
        fail("\x1b[2J\udcff")
    except RuntimeError:
        logs.log.exception("bug")
    head, first, *_, last = stream.getvalue().rstrip("\n").split("\n")
    assert head.endswith(" error   bug")
    assert first == "Traceback (most recent call last):"
    assert last == r"RuntimeError: \x1b[2J\xff"


PRINT = """
    logs.setup("{format}")
    logs.log.info("scan.done", inbox="/in")
"""


def on_a_terminal(code: str, **environ: str) -> str:
    parent, terminal = pty.openpty()
    try:
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "JOURNAL_STREAM")}
        assert run(code, stderr=terminal, env={**clean, **environ}).returncode == 0
        return os.read(parent, 10_000).decode()
    finally:
        os.close(parent)
        os.close(terminal)


@pytest.mark.parametrize("format_", ["auto", "console"])
def test_a_terminal_gets_sentences_in_local_time_in_colour_and_plain_with_no_color(format_: str) -> None:
    code = f"""
        logs.setup("{format_}")
        logs.log.warning("photo.failed", path=b"/in/a.jpg", reason="not a JPEG")
    """
    assert "\x1b[33mfailed: /in/a.jpg: not a JPEG\x1b[0m" in on_a_terminal(code)
    plain = on_a_terminal(code, NO_COLOR="1", TZ="UTC-3")
    assert plain[8:] == "  failed: /in/a.jpg: not a JPEG\r\n"
    written = dt.datetime.combine(dt.datetime.now(dt.timezone(dt.timedelta(hours=3))), dt.time.fromisoformat(plain[:8]))
    here = dt.datetime.now(dt.timezone(dt.timedelta(hours=3))).replace(tzinfo=None)
    assert abs((here - written).total_seconds()) % 86_400 < 60


class Told:
    """What a person reads of events."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._people = Sentences(colour=False, verbose=verbose)

    def __call__(self, event: str, level: str = "info", **fields: object) -> str:
        head = {"event": event, "level": level, "timestamp": "2026-11-28T12:00:00Z"}
        return self._people({**head, **fields}).partition("  ")[2]

    def photo(self, name: str, moved_from: bytes | None = None) -> str:
        fields = {"path": f"/in/{name}".encode(), "renditions": ["web"], "seconds": 0.25}
        return self("photo.done", "debug", **fields, moved_from=moved_from)

    def batch(self, files: int, failed: int = 0) -> str:
        return self("batch.done", inbox=b"/in", files=files, renditions=files - failed, failed=failed, seconds=4.21)


def test_a_handful_of_photos_get_a_line_each_and_more_of_a_batch_one_line() -> None:
    told = Told()
    assert told("scan.done", inbox=b"/in", origin="start", photos=300, waiting=2, complete=True) == (
        "/in: 300 photos found, 2 to do"
    )
    assert told.photo("trip/a.jpg") == "trip/a.jpg \u2192 web (0.25 s)"
    assert told.photo("b.jpg", moved_from=b"/in/c.jpg") == "b.jpg \u2192 web: renamed from c.jpg"
    assert told.batch(2) == ""
    lines = [told.photo(f"{number}.jpg") for number in range(9)]
    assert [bool(line) for line in lines] == [True] * 5 + [False] * 4
    assert told.batch(12, failed=3) == "9 photos, 9 copies in 4.2 s, 3 failed"
    assert told.photo("d.jpg"), "a new batch begins with a line each"
    assert [bool(Told(verbose=True).photo("a.jpg")) for _ in range(9)] == [True] * 9


def test_of_several_inboxes_a_photo_s_line_names_its_own() -> None:
    told = Told()
    for inbox in (b"/a/in", b"/b/drop"):
        told("watch.started", inbox=inbox)
    assert told("photo.failed", "warning", path=b"/b/drop/x.jpg", reason="damaged") == "failed: drop/x.jpg: damaged"


def test_one_reason_why_an_inbox_is_not_watched_is_told_once() -> None:
    told = Told()
    assert told("watch.started", inbox=b"/in", watch="poll") == ""
    assert told("watch.degraded", "warning", inbox=b"/in", reason="no such folder").endswith("no such folder")
    assert told("watch.lost", "warning", inbox=b"/in", reason="no such folder") == ""
    assert told("watch.lost", "warning", inbox=b"/in", reason="input/output error").endswith("input/output error")


def test_an_inbox_that_is_away_is_told_once_each_time_it_goes() -> None:
    told = Told()
    for _ in range(2):
        assert told("watch.lost", "warning", inbox=b"/in", reason="it is not there").endswith("it is not there")
        for _ in range(2):
            assert told("scan.done", inbox=b"/in", origin="rescan", complete=False, reason="no such folder") == ""
        assert told("watch.back", inbox=b"/in") == "/in is back"


def test_an_event_without_a_sentence_is_shown_whole_and_steers_no_terminal() -> None:
    told = Told()
    assert told("state.busy", "error", reason="locked", unwritten=3) == "error: state busy: locked (unwritten 3)"
    assert told("x", path=NASTY).isprintable()
    assert told("config.rejected", "error", reason="a.toml:\n  workers: found -1").count("\n") == 2


def test_a_line_has_its_date_where_another_day_has_begun() -> None:
    people = Sentences(colour=False, verbose=False)
    lines = [
        people({"event": "stopped", "level": "info", "timestamp": f"2026-11-{day}T12:00:00Z"}) for day in (28, 28, 29)
    ]
    assert [line[:10] == "2026-11-29" for line in lines] == [False, False, True]


def test_auto_is_json_off_a_terminal_and_a_console_there_is_plain() -> None:
    piped = run(PRINT.format(format="auto"), capture_output=True)
    assert json.loads(piped.stderr)["event"] == "scan.done"
    assert piped.stdout == b""
    assert b"\x1b" not in run(PRINT.format(format="console"), capture_output=True).stderr


# ---- the journal ----

JOURNAL = """
    import os, sys
    found = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{{found.st_dev}}:{{found.st_ino + {off}}}"
    logs.setup("{format}", "debug")
    logs.log.debug("d")
    logs.log.info("i", path="a\\n<0>b")
    logs.log.warning("w")
    try:
        1 / 0
    except ZeroDivisionError:
        logs.log.exception("e")
    logs.log.critical("c")
"""


def test_in_the_journal_each_line_has_its_priority_and_no_second_time_stamp() -> None:
    text = run(JOURNAL.format(format="console", off=0), capture_output=True).stderr.decode()
    first, second, third, *trace, last = text.splitlines()
    assert [first, second] == ["<7>debug   d", r"<6>info    i path=a\n<0>b"]
    assert (third, last) == ("<4>warning w", "<2>critical c")
    assert trace[0] == "<3>error   e"
    assert len(trace) > 2
    assert all(line.startswith("<3>") for line in trace)


def test_in_the_journal_json_lines_have_their_priority_too() -> None:
    text = run(JOURNAL.format(format="json", off=0), capture_output=True).stderr.decode()
    assert [line[:3] for line in text.splitlines()] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert {json.loads(line[3:])["timestamp"][-1] for line in text.splitlines()} == {"Z"}


NATIVE = """
    from watcher.logs import journal
    journal._ADDRESS = "{address}"
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Callable[[], dict[str, list[bytes]]]]:
    """Stand in for journald; gives the next entry, taken apart as its protocol says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "journal"))
        receiver.settimeout(10)
        yield lambda: entry(receiver.recv(1_000_000))


def entry(datagram: bytes) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    rest = datagram
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, sign, value = line.partition(b"=")
        if not sign:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        found.setdefault(name.decode(), []).append(value)
    return found


def in_journal(code: str, address: Path, **options: str) -> subprocess.CompletedProcess[bytes]:
    program = textwrap.dedent(NATIVE.format(address=address)) + textwrap.dedent(code)
    return run(program, capture_output=True, **options)


def test_the_journal_gets_entries_whose_fields_can_be_searched_and_no_time(
    journal: Callable[[], dict[str, list[bytes]]], tmp_path: Path
) -> None:
    result = in_journal(JOURNAL.format(format="auto", off=0), tmp_path / "journal")
    assert result.stderr == b""
    assert [journal() for _ in range(3)] == [
        {"MESSAGE": [b"d"], "PRIORITY": [b"7"], "SYSLOG_IDENTIFIER": [b"watcher"], "WATCHER_EVENT": [b"d"]},
        {
            "MESSAGE": [rb"i path=a\n<0>b"],
            "PRIORITY": [b"6"],
            "SYSLOG_IDENTIFIER": [b"watcher"],
            "WATCHER_EVENT": [b"i"],
            "WATCHER_PATH": [b"a\n<0>b"],
        },
        {"MESSAGE": [b"w"], "PRIORITY": [b"4"], "SYSLOG_IDENTIFIER": [b"watcher"], "WATCHER_EVENT": [b"w"]},
    ]
    failure = journal()
    assert failure["PRIORITY"] == [b"3"]
    first, *_, last = failure["MESSAGE"][0].decode().split("\n")
    assert (first, last) == ("e", "ZeroDivisionError: division by zero")
    assert journal()["PRIORITY"] == [b"2"]


def test_no_name_breaks_an_entry_and_each_is_found_as_the_bytes_that_it_has(
    journal: Callable[[], dict[str, list[bytes]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.logs.journal._ADDRESS", str(tmp_path / "journal"))
    with (tmp_path / "log").open("w") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        logs.setup("auto", "info", stream)
        fields = {"path": NASTY, "raw": b"\xff\nPRIORITY=0\n", "odd": "\ud800", "a.b=ü": 1, "n" * 80: 2}
        logs.log.info("x", **fields, file=Path("/ü"), many=["web", b"\xfe"], nothing=None, seconds=0.25, some={"a": 1})
    got = journal()
    assert got["WATCHER_PATH"] == [os.fsencode(NASTY)]
    assert got["WATCHER_RAW"] == [b"\xff\nPRIORITY=0\n"]
    assert got["WATCHER_ODD"] == [rb"\ud800"]
    assert got["WATCHER_A_B__"] == [b"1"]
    assert got["WATCHER_" + "N" * 56] == [b"2"]
    assert got["WATCHER_FILE"] == ["/ü".encode()]
    assert got["WATCHER_MANY"] == [b"web", b"\xfe"]
    assert (got["WATCHER_SECONDS"], got["WATCHER_SOME"]) == ([b"0.25"], [b'{"a": 1}'])
    assert (got["PRIORITY"], "WATCHER_NOTHING" in got) == ([b"6"], False)
    assert b"\n" not in got["MESSAGE"][0]
    assert (tmp_path / "log").read_bytes() == b""


def test_what_the_journal_does_not_take_goes_to_its_stream_as_lines_with_their_priority(tmp_path: Path) -> None:
    away = in_journal(JOURNAL.format(format="auto", off=0), tmp_path / "nobody").stderr.decode()
    assert [line for line in away.splitlines() if not line.startswith("<3>")] == [
        "<7>debug   d",
        r"<6>info    i path=a\n<0>b",
        "<4>warning w",
        "<2>critical c",
    ]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "full"))  # nobody reads
        code = (
            JOURNAL.format(format="auto", off=0)
            + """
    for _ in range(3000):
        logs.log.info("x" * 500)
    logs.log.info("y" * 1_000_000)
"""
        )
        result = in_journal(code, tmp_path / "full")
    assert result.returncode == 0
    assert b"<6>info    " + b"y" * 1_000_000 in result.stderr


def test_a_worker_s_entries_carry_its_pid(journal: Callable[[], dict[str, list[bytes]]], tmp_path: Path) -> None:
    code = JOURNAL.format(format="auto", off=0).replace("logs.setup(", "logs.worker_setup(")
    result = in_journal(code + "    print(os.getpid())\n", tmp_path / "journal")
    assert journal()["WATCHER_PID"] == [result.stdout.strip()]


def test_a_journal_that_is_another_stream_is_none() -> None:
    text = run(JOURNAL.format(format="json", off=1), capture_output=True).stderr.decode()
    assert all(json.loads(line) for line in text.splitlines())


# ---- a log that can't be written ----

GO_ON = """
    import os, sys
    {break_it}
    logs.setup("{format}")
    for _ in range(3):
        logs.log.info("x" * 100_000)
    {break_it}
    logs.log.info("x")
    print("lives")
"""


@pytest.mark.parametrize("format_", ["auto", "console", "json"])
@pytest.mark.parametrize(
    "break_it",
    [
        "sys.stderr.close()",
        "os.closerange(2, 3)",
        "sys.stderr = None",
        "r, w = os.pipe(); os.close(r); os.dup2(w, 2)",
        pytest.param(
            "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)",
            marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a full device"),
        ),
    ],
    ids=["closed stream", "closed descriptor", "none", "broken pipe", "full disk"],
)
def test_a_log_that_cannot_be_written_costs_its_lines_and_nothing_else(break_it: str, format_: str) -> None:
    result = run(GO_ON.format(break_it=break_it, format=format_), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert (result.stdout, result.returncode) == (b"lives\n", 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a full device")
def test_a_log_that_fails_all_the_time_keeps_nothing_in_memory() -> None:
    code = """
        import os, tracemalloc
        os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
        logs.setup("json")
        logs.log.info("x")
        tracemalloc.start()
        for _ in range(200):
            logs.log.info("x" * 10_000)
        print(tracemalloc.get_traced_memory()[0])
    """
    assert int(run(code, stdout=subprocess.PIPE).stdout) < 200_000


def test_each_line_is_one_write_so_that_lines_of_processes_do_not_mix() -> None:
    code = """
        import sys
        logs.setup("json")
        for _ in range(50):
            logs.log.info("x" * 3_000)
    """
    program = f"from watcher import logs\n{textwrap.dedent(code)}"
    reading, writing = os.pipe()
    processes = [subprocess.Popen([sys.executable, "-c", program], stderr=writing) for _ in range(2)]
    os.close(writing)
    with open(reading, encoding="utf-8") as stream:
        found = [json.loads(line)["event"] for line in stream]
    assert [process.wait(30) for process in processes] == [0, 0]
    assert found == ["x" * 3_000] * 100


def test_a_stream_of_another_kind_that_fails_is_survived() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(text)

    logs.setup("json", "info", Broken())
    logs.log.info("x")


# ---- other libraries ----


def test_records_of_other_libraries_come_as_lines_from_warning_up() -> None:
    logging.root.handlers.clear()  # pytest's own stumbles over the broken record
    stream = io.StringIO()
    logs.setup("json", "debug", stream)
    logger = logging.getLogger("some_library")  # `watchdog` goes its own way once our watch is imported
    logger.info("not this")
    logger.warning("lost %s", NASTY)
    logger.error("%d", "no number")
    logger.log(35, "y" * 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    first, second, third, fourth = lines(stream)
    assert (first["event"], first["level"], first["logger"]) == ("library.message", "warning", "some_library")
    assert first["message"] == f"lost {NASTY}"
    assert (second["level"], "%d" in second["message"]) == ("error", True)
    assert (third["level"], len(third["message"])) == ("warning", 2000)
    assert (fourth["logger"], "old" in fourth["message"]) == ("py.warnings", True)


def test_a_second_setup_does_not_double_the_lines_of_other_libraries() -> None:
    stream = io.StringIO()
    logs.setup("json", "info", stream)
    logs.setup("json", "error", stream)
    logging.getLogger("x").error("once")
    logging.getLogger("x").warning("below")
    assert len(lines(stream)) == 1


# ---- workers ----


def test_a_worker_is_set_up_by_a_callable_that_can_be_sent_and_its_lines_carry_its_pid() -> None:
    sent = pickle.dumps(partial(logs.worker_setup, "json", "info"))
    code = f"""
        import os, pickle
        pickle.loads({sent!r})()
        logs.log.info("resizer.fallback", reason="x")
        print(os.getpid())
    """
    result = run(code, capture_output=True)
    line = json.loads(result.stderr)
    assert list(line) == ["event", "level", "timestamp", "pid", "reason"]
    assert line["pid"] == int(result.stdout)
