"""The handlers of the page: its files, lists, pictures and events."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from watcher.core.naming import called
from watcher.core.records import ListedPhoto
from watcher.core.types import PhotoId, Request
from watcher.errors import WatcherError
from watcher.fs.openat import open_file
from watcher.http import serializers
from watcher.http.events import Broadcaster
from watcher.http.files import chunks, renditions
from watcher.http.ports import Records, Site
from watcher.http.serializers import LastHour
from watcher.text import shown as readable

_PAGE = 120  # photos of a list at a time
_MOST_PAGE = 500
_LONGEST_BODY = 1 << 16  # bytes
_AT_DISKS = 16  # threads that may hang on a dead mount, of the forty that there are
_AT_STATE_FILE = 8  # threads that read the state file, each with three descriptors
_LONGEST_SEARCH = 200  # characters
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOR_GOOD = "private, max-age=31536000, immutable"  # the picture's address changes with the picture

_T = TypeVar("_T")


class RefusedError(Exception):
    """An answer other than what was asked for."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


def make_app(routes: Sequence[Route]) -> Starlette:
    """Return the application, without its guard."""
    app = Starlette(routes=routes, exception_handlers={RefusedError: _refused, WatcherError: _unreadable})
    app.router.redirect_slashes = False  # it would send people to wherever `Host` says
    return app


class PageHandlers:
    """What answers the browsers; each reads the state file on a thread, the event loop goes on meanwhile."""

    def __init__(self, site: Site, events: Broadcaster) -> None:
        self._site = site
        self._events = events
        self._hour = LastHour()
        self._disks = CapacityLimiter(_AT_DISKS)
        self._at_state_file = CapacityLimiter(_AT_STATE_FILE)
        events.describe = lambda rows: serializers.changes(rows, site)
        events.summary = lambda: self._read(lambda records: serializers.summary(records, site, self._hour))

    def routes(self) -> list[Route]:
        """Return the routes of the page."""
        own = [
            Route("/" if name == "page.html" else f"/{name}", _static(text, _TYPES[name.rpartition(".")[2]]))
            for name, text in _statics().items()
        ]
        return [
            *own,
            Route("/api/summary", self.summary),
            Route("/api/newest", self.newest),
            Route("/api/search", self.search),
            Route("/api/failed", self.failed),
            Route("/api/waiting", self.waiting),
            Route("/api/story/{photo}", self.story),
            Route("/api/retry", self.retry, methods=["POST"]),
            Route("/api/events", self.events),
            Route("/picture/{photo}/{rendition}", self.picture),
        ]

    async def _read(self, look: Callable[[Records], _T]) -> _T:
        def on_a_thread() -> _T:
            with self._site.open_records() as records:
                return look(records)

        return await run_sync(on_a_thread, limiter=self._at_state_file)

    def _photo(self, request: HttpRequest) -> PhotoId:
        photo = serializers.photo_of(request.path_params["photo"], self._site.inboxes())
        if photo is None:
            raise RefusedError(404, "no such photo")
        return photo

    # ---- lists ----

    async def summary(self, request: HttpRequest) -> Response:
        """Return the state of the inboxes."""
        del request
        return _json(await self._read(lambda records: serializers.summary(records, self._site, self._hour)))

    async def newest(self, request: HttpRequest) -> Response:
        """List photos with renditions, those made last first."""
        before, limit = _number(request, "before", None), _limit(request)
        found = await self._read(lambda records: records.newest(self._site.inboxes(), before, limit))
        following = found[-1].cursor if len(found) == limit else None
        return _json({"photos": serializers.entries(found, self._site), "next": following})

    async def search(self, request: HttpRequest) -> Response:
        """List photos by a part of their names or folders."""
        text = request.query_params.get("q", "")[:_LONGEST_SEARCH].strip()
        start, limit = _number(request, "start", 0) or 0, _limit(request)
        found = (
            await self._read(lambda records: records.search(self._site.inboxes(), text, start, limit)) if text else []
        )
        following = start + limit if len(found) == limit else None
        return _json({"photos": serializers.entries(found, self._site), "next": following})

    async def failed(self, request: HttpRequest) -> Response:
        """List photos that failed, the latest first."""
        return await self._listed(request, lambda records: records.failed)

    async def waiting(self, request: HttpRequest) -> Response:
        """List photos that wait, the one that has waited longest, first."""
        return await self._listed(request, lambda records: records.waiting)

    async def _listed(
        self, request: HttpRequest, of: Callable[[Records], Callable[..., Sequence[ListedPhoto]]]
    ) -> Response:
        start, limit = _number(request, "start", 0) or 0, _limit(request)
        found = await self._read(lambda records: of(records)(self._site.inboxes(), start, limit))
        following = start + limit if len(found) == limit else None
        return _json({"photos": serializers.entries(found, self._site), "next": following})

    async def story(self, request: HttpRequest) -> Response:
        """Return what happened to one photo, and why."""
        photo = self._photo(request)
        shown = self._site.of(photo.inbox)

        def look(records: Records) -> dict[str, Any] | None:
            known = records.known(photo)
            if known is None or shown is None:
                return None
            return {**serializers.tile(photo, known, shown), "path": readable(called(photo.absolute))}

        told = await self._read(look)
        if told is None:
            raise RefusedError(404, "no such photo")
        return _json({**told, "story": await run_sync(self._site.story, photo, limiter=self._disks)})

    # ---- pictures ----

    async def picture(self, request: HttpRequest) -> Response:
        """Return a rendition that the state file knows; nothing else is ever opened."""
        photo = self._photo(request)
        shown = self._site.of(photo.inbox)
        known = await self._read(lambda records: records.known(photo))
        if known is None or shown is None:
            raise RefusedError(404, "no such photo")
        wanted = request.path_params["rendition"]
        item = next((item for item in renditions(photo, known, shown) if item.name == wanted), None)
        if item is None:
            raise RefusedError(404, "no such rendition")
        try:
            file = await run_sync(open_file, shown.output, item.path, limiter=self._disks)
        except OSError:
            raise RefusedError(404, "the rendition is not there; `watcher verify` finds such") from None
        headers = {"cache-control": _FOR_GOOD} if "v" in request.query_params else None
        return StreamingResponse(chunks(file), media_type=item.media, headers=headers)

    # ---- what changes something ----

    async def retry(self, request: HttpRequest) -> Response:
        """Have photos that failed tried again: `{"photos": [id]}`, or all of them: `{"all": true}`."""
        asked = await _body(request)
        inboxes = self._site.inboxes()
        if asked.get("all") is True:
            await run_sync(self._site.retry, [Request("retry", inbox) for inbox in inboxes])
            return _json({"asked": "all"})
        names = asked.get("photos")
        if not isinstance(names, list) or not names:
            raise RefusedError(400, 'write {"photos": [id]} or {"all": true}')
        photos = [photo for name in names if isinstance(name, str) and (photo := serializers.photo_of(name, inboxes))]
        known = await self._read(lambda records: [photo for photo in photos if records.known(photo) is not None])
        if len(known) != len(names):
            raise RefusedError(404, "no such photo")
        await run_sync(self._site.retry, [Request("retry", photo.inbox, photo.path) for photo in known])
        return _json({"asked": len(known)})

    async def events(self, request: HttpRequest) -> Response:
        """Stream what happens until the client leaves."""
        client = request.client.host if request.client else ""
        if self._events.full(client):
            raise RefusedError(503, "too many pages are open")
        return StreamingResponse(self._events.follow(client), media_type="text/event-stream")


def _statics() -> dict[str, bytes]:
    folder = files("watcher.http") / "static"
    return {item.name: item.read_bytes() for item in folder.iterdir() if item.name.rpartition(".")[2] in _TYPES}


def _static(content: bytes, media: str) -> Callable[[HttpRequest], Response]:
    def give(request: HttpRequest) -> Response:
        del request
        return Response(content, media_type=media, headers={"cache-control": "no-cache"})

    return give


def _json(value: object) -> Response:
    # not Starlette's, which is UTF-8: a reason may quote a name that is none
    return Response(json.dumps(value, separators=(",", ":")), media_type="application/json")


def _refused(request: HttpRequest, error: Exception) -> Response:
    del request
    return PlainTextResponse(f"{error}\n", getattr(error, "status", 500))


def _unreadable(request: HttpRequest, error: Exception) -> Response:
    del request
    return PlainTextResponse(f"{error}\n", 503)


def _number(request: HttpRequest, name: str, default: int | None) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:  # noqa: PLR2004  # SQLite's numbers end there
        raise RefusedError(400, f"`{name}` is no number")
    return int(text)


def _limit(request: HttpRequest) -> int:
    return max(1, min(_number(request, "limit", _PAGE) or _PAGE, _MOST_PAGE))


async def _body(request: HttpRequest) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise RefusedError(415, "write JSON")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            raise RefusedError(413, "too long")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "this is no JSON") from None
    if not isinstance(value, dict):
        raise RefusedError(400, "write an object")
    return value
