"""The page's thread and what goes to it: bounded, never in the way, and refused addresses said clearly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import until
from watcher.errors import ConfigError
from watcher.model import PhotoId, Stamp
from watcher.plan import Known, Phase
from watcher.web import News, Site, listen
from watcher.web.news import RESYNC, Browser

KNOWN = Known(Stamp(1, 2), Phase.DONE, {}, {}, 3.0)


def row(number: int) -> tuple[PhotoId, Known, bool, float]:
    return PhotoId(b"/in", b"%d.jpg" % number), KNOWN, True, 0.5


async def _message(news: AsyncIterator[bytes]) -> str:
    return (await asyncio.wait_for(anext(news), 5)).decode()


# ---- news ----


def test_what_comes_together_is_told_together_and_a_photo_once() -> None:
    async def follow() -> None:
        news, told = News(), []

        def describe(rows: list[Any]) -> dict[str, Any]:
            told.append([(row.photo.path, row.made) for row in rows])
            return {}

        news.describe = describe
        news.open(asyncio.get_running_loop())
        stream = news.follow()
        assert "hello" in await _message(stream)
        news.tell([row(1), row(2)])
        photo, known, _, _ = row(1)
        news.tell([(photo, known, False, None)])  # its place on the books changed: that it was made is news still
        assert "photos" in await _message(stream)
        assert told == [[(b"2.jpg", True), (b"1.jpg", True)]]
        news.close()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(follow())


@pytest.mark.parametrize("photos", [300, 100_000])
def test_a_flood_is_not_told_singly_and_takes_no_memory(photos: int) -> None:
    async def follow() -> None:
        news = News()
        news.open(asyncio.get_running_loop())
        stream = news.follow()
        await _message(stream)
        news.tell(row(number) for number in range(photos))
        assert news._box.qsize() <= 4000
        assert await _message(stream) == RESYNC.decode()
        news.close()

    asyncio.run(follow())


def test_a_browser_that_does_not_keep_up_is_told_to_ask_anew() -> None:
    async def fall_behind() -> None:
        browser = Browser()
        for number in range(1000):
            browser.put(b"%d" % number)
            assert browser.queue.qsize() <= 40
        browser.end()
        assert await browser.queue.get() is None
        for number in range(41):
            browser.put(b"%d" % number)
        assert await browser.queue.get() == RESYNC

    asyncio.run(fall_behind())


def test_news_for_a_thread_that_has_ended_are_dropped() -> None:
    news = News()

    async def begin() -> None:
        news.open(asyncio.get_running_loop())
        await _message(news.follow())

    asyncio.run(begin())
    news._browsers.add(Browser())  # as after an end that nobody could clear up after
    for number in range(10_000):
        news.tell([row(number)])
    news.tell_reports()
    news.tell_much()


# ---- the thread ----


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    error = info


def _nothing(*_: object) -> Any:  # noqa: ANN401 - stands for what is never called here
    raise AssertionError


def test_a_page_that_breaks_says_so_and_nothing_else_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from watcher.web import server  # noqa: PLC0415  # needs the extra

    async def broken(_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(server._Server, "main_loop", broken)
    log, news = Log(), News()
    site = Site("1", contextlib.nullcontext, _nothing, _nothing)  # type: ignore[arg-type]  # nothing is asked of it
    page = server.Page(site, news, listen("127.0.0.1:0", "here"), str(tmp_path / "token"), log)
    page.start()
    until(lambda: len(log.lines) == 2, "it says that it has ended")
    assert log.lines[1][0] == "web.ended"
    assert "out of luck" in str(log.lines[1][1]["reason"])
    news.tell([row(1)])
    page.close()


# ---- addresses ----


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_where_nobody_can_listen_the_fault_says_why(taken: int) -> None:
    for text, why in {
        f"127.0.0.1:{taken}": "where another program listens already; write another port",
        "192.0.2.1:0": "which is no address of this machine",
        "nobody.invalid:8424": "which is no address (",
    }.items():
        with pytest.raises(ConfigError, match=r"web\.listen: found ") as caught:
            listen(text, "config.toml")
        assert f'"{text}", {why}' in str(caught.value)


@pytest.mark.parametrize(("text", "loopback"), [("127.0.0.1:0", True), ("localhost:0", True), ("0.0.0.0:0", False)])
def test_an_address_is_open_and_known_for_what_it_is(text: str, loopback: bool) -> None:
    found = listen(text, "here")
    try:
        assert found.loopback is loopback
        assert found.port > 0
        socket.create_connection(("127.0.0.1", found.port), 5).close()
        assert found.url.endswith(f":{found.port}/")
    finally:
        found.close()


def test_an_address_of_version_6_is_written_in_brackets() -> None:
    try:
        found = listen("[::1]:0", "here")
    except ConfigError:
        pytest.skip("this machine has no IPv6")
    assert found.url == f"http://[::1]:{found.port}/"
    assert found.loopback
    found.close()
