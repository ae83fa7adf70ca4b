"""The page's thread and what goes to it: bounded, never in the way, and refused addresses said clearly."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.e2e.harness import until
from watcher.app.serve import PublishingStore
from watcher.config.parser import parse
from watcher.core.history import HistoryEntry
from watcher.core.hooks import HookId, Outgoing
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.status import InboxStatus
from watcher.core.types import FileSignature, PhotoId
from watcher.errors import ConfigError
from watcher.http import Address, Broadcaster, Shown, Site, listen, serializers
from watcher.http.access_token import AccessToken, read_token, write_token
from watcher.http.events import RESYNC, Browser
from watcher.http.files import renditions
from watcher.http.serializers import LastHour
from watcher.store import Store

if TYPE_CHECKING:
    from watcher.http.server import Server

KNOWN = PhotoRecord(FileSignature(1, 2), Phase.DONE, {}, {}, 3.0)


def row(number: int) -> tuple[PhotoId, PhotoRecord, bool, float]:
    return PhotoId(b"/in", b"%d.jpg" % number), KNOWN, True, 0.5


async def _message(events: AsyncIterator[bytes]) -> str:
    return (await asyncio.wait_for(anext(events), 5)).decode()


# ---- what is told of inboxes ----


def test_the_page_says_why_an_inbox_can_not_be_reached_and_reads_nothing_that_is_not_there(tmp_path: Path) -> None:
    away = InboxStatus(
        b"/in",
        b"/out",
        watch="poll",
        reachable=False,
        watch_reason="it is not mounted",
        left_alone=((".gif", 2),),
        orphans_held=3,
    )
    site = Site("1.2.3", contextlib.nullcontext, lambda _: {}, lambda _: None, (Shown(b"/in", b"/out", {}),))  # type: ignore[arg-type]
    with Store.open(str(tmp_path / "s.db")) as store:
        store.set_reports([away])
        (inbox,) = serializers.summary(store, site, LastHour())["inboxes"]
    assert (inbox["reachable"], inbox["watch_reason"]) == (False, "it is not mounted")
    assert inbox["left_alone"].startswith("2 .gif")
    assert inbox["orphans_held"] == 3
    script = (Path(serializers.__file__).parent / "static" / "inboxes.js").read_text()
    read = set(re.findall(r"\binbox\.(\w+)", script))
    assert {"watch_reason", "orphans_held"} <= read
    assert read <= set(inbox), "the page shows what it is told"


def test_of_a_rendition_in_several_formats_the_page_shows_one_that_every_browser_shows() -> None:
    written = {"web": {"width": 9, "format": ["png", "avif", "jpeg"]}, "old": {"width": 5, "format": ["avif", "webp"]}}
    wanted = parse({"rendition": written}, source="a test", base="/", home="/", require_inbox=False).recipes
    fact = RenditionRecord(900, 600, 5)
    made = dict.fromkeys(("web/avif", "web", "web/png", "old/avif", "old/webp"), fact)
    known = replace(KNOWN, recipes=dict.fromkeys(made, "f"), made=made)
    found = renditions(PhotoId(b"/in", b"x/a.jpg"), known, Shown(b"/in", b"/out", wanted))
    assert [(item.name, item.path, item.media, item.also) for item in found] == [
        ("web", b"web/x/a.jpg", "image/jpeg", ("avif", "png")),
        ("old", b"old/x/a.webp", "image/webp", ("avif",)),
    ]


def test_the_page_is_told_of_hooks_whenever_what_waits_for_them_changes(tmp_path: Path) -> None:
    site = Site("1.2.3", contextlib.nullcontext, lambda _: {}, lambda _: None)  # type: ignore[arg-type]
    told: list[str] = []

    class News(Broadcaster):
        def send_reports(self) -> None:
            told.append("reports")

    with PublishingStore.open(str(tmp_path / "s.db")) as store:
        assert serializers.summary(store, site, LastHour())["hooks"] == []
        (number,), _ = store.adopt_hooks([HookId("batch", '["/bin/publish"]', "[]")], [], fresh=True)
        store.events = News()
        store.write([], hooks=iter([Outgoing(number, "batch", 1.0, b"/in", b"/out")]))
        assert told == ["reports"]
        (hook,) = serializers.summary(store, site, LastHour())["hooks"]
        assert hook == {"on": "batch", "to": "/bin/publish", "waiting": 1, "failed": 0, "last_error": ""}
        store.write([(PhotoId(b"/in", b"a.jpg"), KNOWN)])
        assert told == ["reports"]


def test_the_minutes_of_the_last_hour_are_the_same_after_a_restart_and_each_photo_counts_once(tmp_path: Path) -> None:
    def made(inbox: bytes, name: str, at: float) -> tuple[tuple[PhotoId, PhotoRecord], HistoryEntry]:
        photo = PhotoId(inbox, name.encode())
        return (photo, replace(KNOWN, at=at)), HistoryEntry(photo, at, "made", {})

    def write(store: Store, *photos: tuple[tuple[PhotoId, PhotoRecord], HistoryEntry]) -> None:
        store.write([row for row, _ in photos], [note for _, note in photos])

    now = 60.0 * 10_000
    with Store.open(str(tmp_path / "s.db")) as store:
        write(store, made(b"/in", "old.jpg", now - 3600), made(b"/in", "a.jpg", now - 3000), made(b"/in", "b.jpg", now))
        write(store, made(b"/b", "c.jpg", now + 59))
        hour, inboxes = LastHour(), [b"/in", b"/b"]
        assert hour.minutes(store, [b"/in"], now) == {b"/in": {9950: 1, 10_000: 1}}
        assert hour.minutes(store, inboxes, now) == {b"/in": {9950: 1, 10_000: 1}, b"/b": {10_000: 1}}
        write(store, made(b"/in", "d.jpg", now + 60))
        later = {b"/in": {9950: 1, 10_000: 1, 10_001: 1}, b"/b": {10_000: 1}}
        assert hour.minutes(store, inboxes, now + 60) == later
        assert LastHour().minutes(store, inboxes, now + 60) == later, "as after a restart"
        assert hour.minutes(store, inboxes, now + 3600) == {b"/in": {10_001: 1}, b"/b": {}}


# ---- events ----


def test_what_comes_together_is_told_together_and_a_photo_once() -> None:
    async def follow() -> None:
        events, told = Broadcaster(), []

        def describe(rows: list[Any]) -> dict[str, Any]:
            told.append([(row.photo.path, row.made) for row in rows])
            return {}

        events.describe = describe
        events.open(asyncio.get_running_loop())
        stream = events.follow()
        assert "hello" in await _message(stream)
        events.send([row(1), row(2)])
        photo, known, _, _ = row(1)
        events.send([(photo, known, False, None)])  # its place on the books changed: that it was made is events still
        assert "photos" in await _message(stream)
        assert told == [[(b"2.jpg", True), (b"1.jpg", True)]]
        events.close()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(follow())


@pytest.mark.parametrize("photos", [300, 100_000])
def test_a_flood_is_not_told_singly_and_takes_no_memory(photos: int) -> None:
    async def follow() -> None:
        events = Broadcaster()
        events.open(asyncio.get_running_loop())
        stream = events.follow()
        await _message(stream)
        events.send(row(number) for number in range(photos))
        assert events._rows.qsize() <= 4000
        assert await _message(stream) == RESYNC.decode()
        events.close()

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
    events = Broadcaster()

    async def begin() -> None:
        events.open(asyncio.get_running_loop())
        await _message(events.follow())

    asyncio.run(begin())
    events._browsers.add(Browser())  # as after an end that nobody could clear up after
    for number in range(10_000):
        events.send([row(number)])
    events.send_reports()
    events.resync()


# ---- the thread ----


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    error = warning = info


def _server(
    site: Site, events: Broadcaster, address: Address, folder: Path, log: Log, open_files: int = 1024
) -> Server:
    from watcher.http.app import PageHandlers, make_app  # noqa: PLC0415  # needs the extra
    from watcher.http.server import Listener, Server  # noqa: PLC0415  # the same

    app = make_app(PageHandlers(site, events).routes())
    return Server(
        app, [Listener(address, page=True)], log, token_file=str(folder / "token"), events=events, open_files=open_files
    )


def _nothing(*_: object) -> Any:  # noqa: ANN401 - stands for what is never called here
    raise AssertionError


def test_a_page_that_breaks_says_so_and_nothing_else_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from watcher.http import server  # noqa: PLC0415  # needs the extra

    async def broken(_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(server._Uvicorn, "main_loop", broken)
    log, events = Log(), Broadcaster()
    site = Site("1", contextlib.nullcontext, _nothing, _nothing)  # type: ignore[arg-type]  # nothing is asked of it
    page = _server(site, events, listen("127.0.0.1:0", "here"), tmp_path, log)
    page.start()
    until(lambda: len(log.lines) == 2, "it says that it has ended")
    assert log.lines[1][0] == "web.ended"
    assert "out of luck" in str(log.lines[1][1]["reason"])
    events.send([row(1)])
    page.close()


def test_a_page_that_broke_is_served_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from watcher.http import server  # noqa: PLC0415  # needs the extra

    monkeypatch.setattr(server, "_PAUSE_SECONDS", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(server._Uvicorn, "main_loop", _nothing)
        with _page(tmp_path) as page:
            until(lambda: len(page.lines) > 2, "it ends again and again")
            patch.undo()
            until(lambda: _asked(page, "/page.css").startswith(b"HTTP/1.1 200"), "it is served again")


# ---- who may ask ----

TOKEN = "t" * 43


def test_a_token_is_kept_and_a_new_one_counts_at_once(tmp_path: Path) -> None:
    file = str(tmp_path / "state.db.token")
    address = write_token(file, "http://nas:8424/")
    token = read_token(file)
    assert address == f"http://nas:8424/?token={token}"
    assert len(token) == 43
    known = AccessToken(file)
    assert known() == token
    assert write_token(file, "http://nas:1/", token) == f"http://nas:1/?token={token}", "the address alone is new"
    assert known() == token
    write_token(file, "http://nas:1/")
    assert known() == read_token(file) != token
    (tmp_path / "state.db.token").unlink()
    assert known() != token, "the last one holds where there is none"
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for others")
def test_a_token_that_root_makes_belongs_to_the_daemon_s_user(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    os.chown(tmp_path, 2, 2)
    write_token(f"{state}.token", "http://nas/")
    assert os.stat(f"{state}.token").st_uid == 2, "before there is a state file its folder says whose it will be"
    state.touch()
    os.chown(state, 1, 3)
    write_token(f"{state}.token", "http://nas/")
    found = os.stat(f"{state}.token")
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1, 3, 0o600)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_token_that_others_can_read_or_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text(f"http://nas/?token={TOKEN}\n")
    file.chmod(0o600)
    assert read_token(str(file)) == TOKEN
    file.chmod(mode)
    assert read_token(str(file)) == ""


def test_what_is_no_token_file_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for text in ("", TOKEN, "http://nas/?token=short", f"http://nas/?token={TOKEN}&x", f"?token={TOKEN}\nmore"):
        file.write_text(text)
        file.chmod(0o600)
        assert read_token(str(file)) == "", text
    (tmp_path / "real").write_text(f"http://nas/?token={TOKEN}\n")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_token(str(tmp_path / "link")) == ""
    assert read_token(str(tmp_path)) == ""


@pytest.mark.parametrize("headers", [{}, {"cookie": "watcher-8424="}, {"cookie": "watcher-8424"}])
def test_without_a_token_that_is_known_nobody_gets_in(headers: dict[str, str]) -> None:
    assert guarded("", path="/api/newest", headers=headers) == 401


class Answer(NamedTuple):
    status: int  # 0: the guard let the request through; -1: no answer
    headers: dict[str, str] = {}  # noqa: RUF012  # never changed
    body: str = ""


async def _answered(
    token: str | None, headers: list[tuple[bytes, bytes]], *, metrics: bool = False, **scope: object
) -> Answer:
    from watcher.http.auth import AccessControl  # noqa: PLC0415  # needs the extra

    answers: list[Answer] = []

    async def handlers(*_: object) -> None:
        answers.append(Answer(0))

    async def send(message: Any) -> None:  # noqa: ANN401
        if "status" in message:
            found = {name.decode(): value.decode() for name, value in message["headers"]}
            answers.append(Answer(message["status"], found))
        else:
            answers[-1] = answers[-1]._replace(body=message["body"].decode())

    sent = scope.pop("body", b"")

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": sent}

    path = str(scope.get("path", "/"))
    whole = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", **scope}
    whole |= {"headers": headers, "scheme": "http", "server": ("127.0.0.1", 8424), "root_path": ""}
    known = None if token is None else lambda: token
    await AccessControl(handlers, token=known, port=8424, loopback=token is None, metrics=metrics)(whole, receive, send)
    return answers[0] if answers else Answer(-1)


def guarded(
    token: str | None = TOKEN, hosts: tuple[str, ...] = ("nas.example",), *, metrics: bool = False, **scope: object
) -> int:
    """Give the status of the guard's answer; 0: it let the request through."""
    return answered(token, hosts, metrics=metrics, **scope).status


def answered(
    token: str | None = TOKEN, hosts: tuple[str, ...] = ("nas.example",), *, metrics: bool = False, **scope: object
) -> Answer:
    more = scope.pop("headers", {})
    assert isinstance(more, dict)
    headers = [(b"host", host.encode("latin-1")) for host in hosts]
    headers += [(name.encode(), value.encode()) for name, value in more.items()]
    return asyncio.run(_answered(token, headers, metrics=metrics, **scope))


@pytest.mark.parametrize(
    "host", ["x/page.css?", "x/page.css", "x/page.css#", "x?", "/page.css", "@/page.css", "", "a b"]
)
@pytest.mark.parametrize("token", [TOKEN, None])
def test_a_host_that_is_none_is_refused_whatever_is_asked_for(host: str, token: str | None) -> None:
    for path in ("/api/newest", "/", "/page.css", "/enter"):
        assert guarded(token, (host,), path=path) == 400


def test_one_host_is_named() -> None:
    assert guarded(hosts=(), path="/page.css") == 400
    assert guarded(hosts=("nas.example", "nas.example"), path="/page.css") == 400
    assert guarded(None, ("127.0.0.1", "evil.example")) == 400
    assert guarded(None, ("evil.example",)) == 403
    assert guarded(None, ("127.0.0.1",)) == 0


@pytest.mark.parametrize(
    "raw",
    [
        "//page.css",
        "/page.css/",
        "/page.css/..",
        "/page.css/../api/newest",
        "/page.css;/api/newest",
        "/..;/page.css",
        "/%70age.css",
        "/page%2ecss",
        "/PAGE.CSS",
        "/page.css.",
        "/page.css%00",
        "/page.css%3f",
        "/page.css%2f..%2fapi%2fnewest",
        "/enter",
        "/enter/",
        "/page.js",
        "/api/newest",
        "/healthz",
    ],
)
def test_what_is_not_public_letter_by_letter_asks_for_the_token(raw: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "CONNECT", "X"):
        path = raw.replace("%2f", "/").replace("%2e", ".").replace("%70", "p").replace("%3f", "?")
        status = guarded(path=path, raw_path=raw.encode(), method=method, headers={"origin": "http://nas.example"})
        assert status == 401, method


@pytest.mark.parametrize("target", ["http://nas.example/page.css", "nas.example:80", "*", "", "page.css", "\\page.css"])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    assert guarded(path=target, raw_path=target.encode()) == 400
    assert guarded(path="/page.css", raw_path=target.encode()) == 400


def test_a_server_that_tells_no_raw_path_is_asked_for_the_other() -> None:
    assert guarded(path="/page.css", raw_path=None) == 0
    assert guarded(path="/api/newest", raw_path=None) == 401


def test_what_a_proxy_may_say_of_the_request_changes_nothing() -> None:
    said = {
        "x-forwarded-host": "localhost",
        "x-forwarded-for": "127.0.0.1",
        "forwarded": "for=127.0.0.1;host=localhost",
        "x-original-url": "/page.css",
        "x-rewrite-url": "/page.css",
        "x-forwarded-prefix": "/page.css",
        "x-http-method-override": "GET",
    }
    assert guarded(path="/api/newest", headers=said) == 401
    assert guarded(None, ("evil.example",), headers=said) == 403


def test_nothing_but_requests_gets_an_answer() -> None:
    for kind in ("websocket", "lifespan"):
        assert guarded(type=kind, path="/page.css") == -1


def test_numbers_ask_for_no_token_where_they_are_served_and_the_page_still_does() -> None:
    for path in ("/metrics", "/healthz"):
        assert guarded(path=path, metrics=True) == 0
        assert guarded(path=path, metrics=True, headers={"sec-fetch-site": "cross-site"}) == 403
        for raw in (path, path.replace("m", "%6d").replace("h", "%68")):
            assert guarded(path=path, raw_path=raw.encode()) == 401
            assert guarded(None, ("localhost",), path=path, raw_path=raw.encode()) == 404
            assert guarded(path=path, raw_path=raw.encode(), headers={"cookie": f"watcher-8424={TOKEN}"}) == 404
    assert guarded(path="/api/summary", metrics=True) == 401
    assert guarded(path="/metrics/", metrics=True) == 401


def test_the_public_files_and_the_form_are_there_without_a_token_and_the_rest_with_it() -> None:
    assert guarded(path="/page.css") == guarded(path="/icon.svg", method="HEAD") == 0
    assert guarded(path="/page.css", method="POST", headers={"origin": "http://nas.example"}) == 401
    assert guarded(path="/") == 401
    for cookie, status in ((TOKEN, 0), (TOKEN[:-1], 401), (TOKEN.upper(), 401), ("", 401)):
        assert guarded(path="/api/newest", headers={"cookie": f"watcher-8424={cookie}"}) == status
    assert guarded(path="/api/newest", query_string=f"token={TOKEN}".encode()) == 401  # opens the page alone


def test_an_address_that_was_sent_leads_to_its_photo_by_the_cookie_by_the_token_and_by_the_form() -> None:
    photo = "photo=ab.cd&q=%22%3E%3Cb+%C3%BC"
    where = "/?q=%22%3E%3Cb+%C3%BC&amp;photo=ab.cd"
    known = {"cookie": f"watcher-8424={TOKEN}"}
    assert guarded(query_string=photo.encode(), headers=known) == 0
    # after a click in another site the cookie is left out: the page itself asks once more
    again = answered(query_string=photo.encode())
    assert (again.status, f'content="0;url={where}&amp;again=1"' in again.body) == (401, True)
    assert "asks for a token" not in again.body
    asks = answered(query_string=f"{photo}&again=1".encode())
    assert (asks.status, f'action="/enter{where[1:]}"' in asks.body) == (401, True)
    opened = answered(query_string=f"{photo}&token={TOKEN}".encode())
    assert (opened.status, f'content="0;url={where}"' in opened.body) == (200, True)
    form: dict[str, Any] = {"path": "/enter", "method": "POST", "headers": {"origin": "http://nas.example"}}
    for token, status in ((TOKEN, 303), ("wrong", 401)):
        entered = answered(query_string=f"{photo}&next=//evil.example".encode(), body=f"token={token}".encode(), **form)
        assert entered.status == status
        assert entered.headers.get("location", where.replace("&amp;", "&")) == where.replace("&amp;", "&")
        assert "evil" not in entered.body
    assert f'action="/enter{where[1:]}"' in entered.body


# ---- connections ----


class Running(NamedTuple):
    port: int
    lines: list[tuple[str, dict[str, object]]]


@contextlib.contextmanager
def _page(tmp_path: Path, open_files: int = 1024) -> Iterator[Running]:
    """A page about nothing at all."""
    log = Log()
    site = Site("1", contextlib.nullcontext, _nothing, _nothing)  # type: ignore[arg-type]  # nothing is asked of it
    address = listen("127.0.0.1:0", "here")
    page = _server(site, Broadcaster(), address, tmp_path, log, open_files)
    page.start()
    try:
        yield Running(address.port, log.lines)
    finally:
        page.close()


def _asked(page: Running, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", page.port), 10) as peer:
        return _ask(peer, path)


def _ask(peer: socket.socket, path: str) -> bytes:
    peer.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return peer.recv(1 << 16)


def test_connections_that_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    with _page(tmp_path, open_files=64) as page, contextlib.ExitStack() as stack:  # 8 connections, 4 of each client
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", page.port), 10)) for _ in range(20)]
        for peer in silent[1::2]:
            with contextlib.suppress(OSError):  # it had to go
                peer.send(b"GET / HTTP/1.1\r\nHost: ")
        assert _asked(page, "/page.css").startswith(b"HTTP/1.1 200")
        for peer in silent[:16]:
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""


def test_a_browser_that_is_told_the_news_is_not_cut_off_for_who_comes(tmp_path: Path) -> None:
    with _page(tmp_path, open_files=64) as page, contextlib.ExitStack() as stack:
        told = [stack.enter_context(socket.create_connection(("127.0.0.1", page.port), 10)) for _ in range(4)]
        assert all(_ask(peer, "/api/events").startswith(b"HTTP/1.1 200") for peer in told)
        with socket.create_connection(("127.0.0.1", page.port), 10) as late, contextlib.suppress(ConnectionResetError):
            assert _ask(late, "/page.css") == b""
        told.pop().close()
        until(lambda: _tries(page).startswith(b"HTTP/1.1 200"), "there is room again")


def _tries(page: Running) -> bytes:
    try:
        return _asked(page, "/page.css")
    except OSError:
        return b""


@pytest.mark.parametrize("part", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"])
def test_a_request_has_its_time_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: bytes) -> None:
    from watcher.http.connections import Connection  # noqa: PLC0415  # needs the extra

    assert 0 < Connection.request_seconds <= 30
    monkeypatch.setattr(Connection, "request_seconds", 0.2)
    with _page(tmp_path) as page, socket.create_connection(("127.0.0.1", page.port), 10) as peer:
        peer.settimeout(10)
        peer.send(part)
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(1 << 16):  # the answer to what it did say, perhaps
                pass
        assert _asked(page, "/page.css").startswith(b"HTTP/1.1 200")


def test_whoever_asks_again_on_the_same_connection_has_that_time_again_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watcher.http.connections import Connection  # noqa: PLC0415  # needs the extra

    monkeypatch.setattr(Connection, "request_seconds", 0.5)
    with _page(tmp_path) as page, socket.create_connection(("127.0.0.1", page.port), 10) as peer:
        peer.settimeout(10)
        assert _ask(peer, "/page.css").startswith(b"HTTP/1.1 200")
        peer.send(b"GET ")
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(1 << 16):
                pass


def test_a_client_that_takes_no_answer_is_let_go() -> None:
    from watcher.http.connections import limited  # noqa: PLC0415  # needs the extra

    class Transport:
        aborted = 0

        def abort(self) -> None:
            self.aborted += 1

    async def stall() -> None:
        made = limited(8, stall_seconds=0.01)
        connection = made.__new__(made)
        connection.loop = asyncio.get_running_loop()
        transport = connection.transport = Transport()  # type: ignore[assignment]
        connection.flow = FlowControl(transport)  # type: ignore[arg-type]
        connection.pause_writing()
        connection.resume_writing()
        await asyncio.sleep(0.05)
        assert not transport.aborted
        connection.pause_writing()
        await asyncio.sleep(0.05)
        assert transport.aborted

    from uvicorn.protocols.http.flow_control import FlowControl  # noqa: PLC0415  # needs the extra

    asyncio.run(stall())


def test_garbage_is_answered_and_makes_no_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with _page(tmp_path) as page:
        for said in (
            b"garbage\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", page.port), 10) as peer:
                peer.send(said)
                assert peer.recv(1 << 16).startswith(b"HTTP/1.1 ")
    assert not caplog.records
    assert [event for event, _ in page.lines] == ["web.listening"]


def test_news_are_told_to_so_many_of_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def follow() -> None:
        from watcher.http import events as module  # noqa: PLC0415

        monkeypatch.setattr(module, "MOST_BROWSERS", 3)
        monkeypatch.setattr(module, "_MOST_OF_ONE", 2)
        events = Broadcaster()
        events.open(asyncio.get_running_loop())
        streams = []
        for number, client in enumerate(("a", "a", "b")):
            assert not events.full(client), number
            streams.append(events.follow(client))
            await _message(streams[-1])
            assert events.full("a") is (number > 0)
        assert events.full("b")
        events.close()

    asyncio.run(follow())


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


@pytest.mark.parametrize("key", ["web.listen", "metrics.listen"])
def test_a_service_whose_unit_allows_no_network_is_to_be_installed_again(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    def refused(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr("watcher.http.address._open", refused)
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    with pytest.raises(ConfigError, match=f"{key}: found .* where no program can listen"):
        listen("127.0.0.1:8424", "here", key)
    monkeypatch.setenv("INVOCATION_ID", "of a service of systemd")
    with pytest.raises(ConfigError, match=f"{key}: found .* allows no network; type `watcher service install` again"):
        listen("127.0.0.1:8424", "here", key)


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
