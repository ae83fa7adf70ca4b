"""The metrics server on a real socket, asked by a real client; the loop that it asks is played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from watcher.core.counters import Counters
from watcher.core.status import Counts, InboxStatus, Progress, Snapshot, StatusQuery
from watcher.errors import ConfigError
from watcher.http import Address, listen, metrics
from watcher.http.app import make_app
from watcher.http.connections import Connection
from watcher.http.server import Listener, Server

SEEN = time.time() - 60  # when the photo was that waits longest
INBOX = b"/in\xff\n\x1b[1m" + "\u202e\u2028[bold]".encode()
numbers = Counters()
for seconds in (0.004, 0.3, 7.0, 90.0):
    numbers.render.observe(seconds)
numbers.batches.observe(3)
WELL = Snapshot(
    unavailable_reasons=(),
    inboxes=(
        InboxStatus(
            INBOX, b"/", waiting=5, oldest_waiting=SEEN, missed_events=2, counts=Counts(waiting=5, done=4031, failed=1)
        ),
    ),
    progress=Progress(7, 1, 13, 24_000_000),
    results={(INBOX, "done"): 7, (INBOX, "failed"): 1},
    batches=numbers.batches.freeze(),
    render=numbers.render.freeze(),
    visible=numbers.visible.freeze(),
    in_flight=2,
    queued=3,
    messages=9,
    losses=1,
)


class Running(NamedTuple):
    server: Server
    address: Address
    lines: list[tuple[str, str]]


Start = Callable[..., Running]


class Log:
    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.lines = lines

    def info(self, event: str, **_: object) -> None:
        self.lines.append(("info", event))

    def warning(self, event: str, **_: object) -> None:
        self.lines.append(("warning", event))

    def error(self, event: str, **_: object) -> None:
        self.lines.append(("error", event))


@pytest.fixture
def start() -> Iterator[Start]:
    """Give servers whose loop answers at once, unless told otherwise."""
    with ExitStack() as stack:

        def make(
            post: Callable[[StatusQuery], object] = lambda checkup: checkup.answer(WELL),
            at: str = "127.0.0.1:0",
            patience: float = 5.0,
            open_files: int = 1024,
        ) -> Running:
            handlers = metrics.MetricsHandlers(post, "1.2.3", patience)
            address, lines = listen(at, "here", "metrics.listen"), list[tuple[str, str]]()
            app, listeners = make_app(handlers.routes()), [Listener(address, metrics=True)]
            server = Server(app, listeners, Log(lines), token_file="", open_files=open_files)
            stack.callback(server.close)
            server.start()
            return Running(server, address, lines)

        yield make


def get(server: Running, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(server.address.host.strip("[]"), server.address.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


def connected(server: Running) -> socket.socket:
    return socket.create_connection((server.address.host, server.address.port), 10)


def scraped(server: Running) -> dict[tuple[str, str], float]:
    """Give every sample by its name and the values of its labels."""
    status, _, text = get(server, "/metrics")
    assert status == 200
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_everything_that_is_known_is_served_under_its_name(start: Start) -> None:
    asked = time.time()
    found = scraped(start())
    inbox = r"/in\xff\n\x1b[1m\u202e\u2028[bold]"
    expected = {
        ("watcher_build_info", "1.2.3"): 1,
        ("watcher_photos_total", f"{inbox},done"): 7,
        ("watcher_photos_total", f"{inbox},failed"): 1,
        ("watcher_known_photos", f"{inbox},done"): 4031,
        ("watcher_known_photos", f"{inbox},failed"): 1,
        ("watcher_waiting_photos", inbox): 5,
        ("watcher_missed_events_total", inbox): 2,
        ("watcher_in_flight_photos", ""): 2,
        ("watcher_queued_photos", ""): 3,
        ("watcher_queued_messages", ""): 9,
        ("watcher_worker_losses_total", ""): 1,
        ("watcher_decoded_pixels_total", ""): 24_000_000,
        ("watcher_batch_photos_count", ""): 1,
        ("watcher_batch_photos_sum", ""): 3,
        ("watcher_batch_photos_bucket", "2.0"): 0,
        ("watcher_batch_photos_bucket", "5.0"): 1,
        ("watcher_render_seconds_bucket", "0.005"): 1,
        ("watcher_render_seconds_bucket", "0.25"): 1,
        ("watcher_render_seconds_bucket", "0.5"): 2,
        ("watcher_render_seconds_bucket", "60.0"): 3,
        ("watcher_render_seconds_bucket", "+Inf"): 4,
        ("watcher_write_to_visible_seconds_count", ""): 0,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert asked - SEEN <= found["watcher_oldest_waiting_seconds", inbox] <= time.time() - SEEN
    assert found["watcher_output_free_bytes", "/"] > 0
    assert found["process_resident_memory_bytes", ""] > 1_000_000


def test_openmetrics_is_spoken_to_whoever_asks_for_it(start: Start) -> None:
    _, kind, text = get(start(), "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    assert get(start(), "/metrics")[1].startswith("text/plain")


def test_health_is_a_status_and_the_reasons_a_line_each(start: Start) -> None:
    assert get(start(), "/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
    ill = replace(WELL, unavailable_reasons=("the inbox /in\udcff\n is away", "no room"))
    status, _, text = get(start(lambda checkup: checkup.answer(ill)), "/healthz")
    assert (status, text) == (503, "the inbox /in\\xff\\n is away\nno room\n")


def test_other_paths_are_told_where_to_go_and_a_head_has_no_body(start: Start) -> None:
    server = start()
    assert get(server, "/")[0] == 404
    with connected(server) as peer:
        peer.sendall(b"HEAD /metrics?x=1 HTTP/1.0\r\n\r\n")
        said = b"".join(iter(lambda: peer.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert said.endswith(b"\r\n\r\n")
    assert re.search(rb"\r\ndate: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n", said)
    assert get(server, "/metrics", "POST", Origin=f"http://{server.address.name}")[0] == 405


def test_a_loop_that_does_not_answer_is_told_and_asked_no_second_time(start: Start) -> None:
    asked: queue.SimpleQueue[StatusQuery] = queue.SimpleQueue()
    server = start(asked.put, patience=0.1)
    for path in ("/healthz", "/metrics", "/healthz"):
        assert get(server, path)[0::2] == (503, "the loop has not answered for 0.1 s\n")
    assert asked.qsize() == 1
    asked.get(timeout=10).answer(replace(WELL, unavailable_reasons=("late",)))
    threading.Timer(0.02, lambda: asked.get(timeout=10).answer(WELL)).start()
    assert get(start(asked.put), "/healthz")[0] == 200


def test_requests_at_the_same_time_share_one_question_and_a_late_answer_is_of_no_use_to_the_next() -> None:
    asked: list[StatusQuery] = []
    handlers = metrics.MetricsHandlers(asked.append, "1.2.3")

    async def ask() -> None:
        questions = [asyncio.create_task(handlers._ask()) for _ in range(5)]
        await asyncio.sleep(0)
        (question,) = asked
        question.answer(WELL)
        assert await asyncio.gather(*questions) == [WELL] * 5
        question.answer(replace(WELL, losses=7))
        late = asyncio.create_task(handlers._ask())
        await asyncio.sleep(0)
        asked[1].answer(WELL)
        assert await late == WELL

    asyncio.run(ask())
    asked[1].answer(WELL)  # nothing waits any more


def test_a_question_that_was_open_when_the_server_failed_is_asked_once_more() -> None:
    asked: list[StatusQuery] = []
    handlers = metrics.MetricsHandlers(asked.append, "1.2.3", answer_seconds=0.01)
    assert asyncio.run(handlers._ask()) is None

    async def ask() -> None:
        question = asyncio.create_task(handlers._ask())
        await asyncio.sleep(0)
        asked[0].answer(WELL)  # of the event loop that has ended
        asked[1].answer(WELL)
        assert await question == WELL

    asyncio.run(ask())


def test_a_file_system_that_hangs_costs_its_number_and_one_thread(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    looked: list[bytes] = []

    def hangs(folder: bytes) -> None:
        looked.append(folder)
        gate.wait(30)  # stands for a mount that does not answer
        raise OSError

    monkeypatch.setattr("shutil.disk_usage", hangs)
    monkeypatch.setattr(metrics, "_DISK_SECONDS", 0.05)
    server = start()
    try:
        for _ in range(3):
            assert ("watcher_output_free_bytes", "/") not in scraped(server)
        assert looked == [b"/"]
    finally:
        gate.set()


def test_peers_that_say_nothing_are_limited_and_hold_up_neither_others_nor_the_end(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "request_seconds", 1.0)
    with ExitStack() as stack:
        running = start(open_files=64)  # eight connections, and four of each client
        silent = [stack.enter_context(connected(running)) for _ in range(20)]
        for peer in silent[::2]:
            with contextlib.suppress(OSError):  # it had to go
                peer.send(b"GET /healthz HTTP/1.1\r\nX: y\r\n")
        assert get(running, "/healthz")[0] == 200  # who asks is answered
        for peer in silent:
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""  # none may keep its place for ever
        with connected(running) as peer:
            peer.send(b"GET /metrics HTTP/1.0\r\n\r\n")  # and away
        stack.enter_context(connected(running))
        running.server.close()
        assert not running.server._thread.is_alive()


@pytest.mark.parametrize(
    ("path", "hosts", "status"),
    [
        ("/healthz", ["127.0.0.1:9464"], 200),
        ("/healthz", ["LOCALHOST"], 200),
        ("/metrics", ["evil.example"], 403),
        ("/healthz", ["127.0.0.1.evil.example"], 403),
        ("/metrics", ["x/healthz?"], 400),
        ("/metrics", [""], 400),
        ("/metrics", ["127.0.0.1", "evil.example"], 400),
        ("/metrics", ["127.0.0.1", "127.0.0.1"], 400),
        ("http://127.0.0.1/metrics", ["127.0.0.1"], 400),
        ("/METRICS", ["127.0.0.1"], 404),
        ("/metrics/", ["127.0.0.1"], 404),
        ("/%6detrics", ["127.0.0.1"], 404),
        ("*", ["127.0.0.1"], 400),
    ],
)
def test_what_is_served_on_the_loopback_is_for_whoever_asks_by_its_name(
    start: Start, path: str, hosts: list[str], status: int
) -> None:
    with connected(start()) as peer:
        lines = [f"GET {path} HTTP/1.1", *(f"Host: {name}" for name in hosts), "X-Forwarded-Host: localhost", "", ""]
        peer.send("\r\n".join(lines).encode())
        assert int(peer.makefile("rb").readline().split()[1]) == status


def test_on_other_addresses_any_name_will_do(start: Start) -> None:
    server = start(at="0.0.0.0:0")
    assert get(server, "/healthz", Host="nas.example")[0] == 200
    assert get(server, "/healthz", Host="nas.example/")[0] == 400


def test_an_error_in_a_request_ends_neither_the_server_nor_anything_else(start: Start) -> None:
    answers: list[Snapshot] = [replace(WELL, inboxes=None), WELL]  # type: ignore[arg-type]  # what no loop says
    server = start(lambda checkup: checkup.answer(answers.pop(0)))
    assert get(server, "/metrics")[0] == 500
    assert get(server, "/metrics")[0] == 200


def test_it_waits_for_requests_without_waking_up(start: Start) -> None:
    server = start()
    get(server, "/healthz")
    native = server.server._thread.native_id
    looks: list[list[str]] = []
    for _ in range(10):  # on a busy machine it may take a moment to come to rest
        with open(f"/proc/self/task/{native}/status", encoding="ascii") as file:
            looks.append([line for line in file if line.startswith("voluntary_ctxt")])
        if len(looks) > 1 and looks[-1] == looks[-2]:
            return
        time.sleep(0.7)
    pytest.fail(f"it wakes up: {looks}")


def test_where_nobody_can_listen_is_an_error_at_once(start: Start) -> None:
    with pytest.raises(ConfigError, match="another program listens already"):
        start(at=start().address.name)
    with pytest.raises(ConfigError, match=r'metrics\.listen: found "no-such-host.invalid:9464", which is no address'):
        start(at="no-such-host.invalid:9464")


@pytest.mark.parametrize(("at", "level"), [("127.0.0.1:0", "info"), ("[::1]:0", "info"), ("0.0.0.0:0", "warning")])
def test_an_address_that_others_can_reach_is_warned_of(start: Start, at: str, level: str) -> None:
    try:
        running = start(at=at)
    except ConfigError as error:
        pytest.skip(f"no such address here: {error}")
    assert running.lines == [(level, "metrics.listening")]
    assert running.address.name == f"{at.rpartition(':')[0]}:{running.address.port}"
    assert get(running, "/healthz")[0] == 200
