"""Who may ask: decided before any handler runs, and what every answer says about its own use.

Rules:
- What is asked for is the path as it was sent (`raw_path`), never an address put together from it and `Host`: a
  `Host` of `x/page.css?` would make any path look public. What is not named as public here asks for the token.
- There is one `Host`, and it names a host; the target is a path. All else is answered with 400.
- `/metrics` and `/healthz` ask for no token. They are served where `[metrics] listen` says so, the page elsewhere.
- On a loopback address the `Host` must be a name of the loopback: a page from elsewhere whose name was made to point
  here (DNS rebinding) sends its own.
- On any other address a client must know the token: once in the address of the page or in the form, from then on
  in a cookie that scripts can't read and other sites can't make a browser send. Compared in constant time.
- Such a cookie is also left out after a click on an address of the page in another site (a mail, a chat). There the
  browser is first sent to that address once more, by the page itself, before the token is asked for.
- `Origin` must be the page's own where it is sent, and it must be sent with what changes anything (CSRF). What another
  site makes a browser ask for, other than to go to the page, is refused.
"""

from __future__ import annotations

import html
import ipaddress
import re
import secrets
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_ALWAYS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with "no-referrer" a form would be sent with `Origin: null`
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_SAFE = frozenset({"GET", "HEAD"})
_PUBLIC = frozenset({b"/page.css", b"/icon.svg"})  # what the form that asks for the token is made of
_LONGEST_FORM = 4096  # bytes
_YEAR = 365 * 86400  # seconds that a browser keeps the token

_FORM = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>watcher: token</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/page.css">
<link rel="icon" href="/icon.svg"></head>
<body class="asks"><main><h1>watcher</h1>
<p>This page asks for a token, since it can be reached from other machines. On the machine that it runs on,
<code>watcher web token</code> prints its address with the token; for the system's service put <code>sudo</code> in
front.</p>
<form method="post" action="/enter{}"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required autofocus>
<button>Open</button></form>
<p class="wrong" role="alert">{}</p></main></body></html>
"""
# Not a redirect: after a click in another site's page it would count as that site's request, and go without the cookie.
_ON = (
    '<!doctype html><meta charset="utf-8"><title>watcher</title><link rel="icon" href="/icon.svg">'
    '<meta http-equiv="refresh" content="0;url=/{}">'
)
_ADDRESSED = ("q", "photo")  # the search and the photo that an address of the page may name
_AGAIN = "again"  # in the address that `_ON` leads to where the cookie may have been left out
_NO_TRACE = {"referrer-policy": "no-referrer"}  # the address holds the token
_WRONG = "This is not the token."


METRICS = frozenset({b"/metrics", b"/healthz"})
_HOST = re.compile(r"(?P<name>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?", re.IGNORECASE)


class AccessControl:
    """The ASGI application around the handlers, one for each address that is listened on.

    `page`, `metrics`: what is served there. `loopback`: only this machine can reach it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: Callable[[], str] | None,
        port: int,
        loopback: bool,
        page: bool = True,
        metrics: bool = False,
    ) -> None:
        self._app = app
        self._token = token
        self._loopback = loopback
        self._page = page
        self._metrics = metrics
        self._cookie = f"watcher-{port}"  # cookies know no ports, and there may be another daemon on this machine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                headers.setdefault("date", formatdate(usegmt=True))
            await send(message)

        answer = await self._answer(Request(scope, receive))
        await (answer or self._app)(scope, receive, with_headers)

    async def _answer(self, request: Request) -> Response | None:
        """Return the answer in place of the handlers'; None: they may answer."""
        headers = request.headers
        path = _path(request.scope)
        numbers = self._metrics and path in METRICS
        # a request without any Host is one of HTTP/1.0: a probe, and no browser
        host, *more = headers.getlist("host") or ["localhost" if numbers else ""]
        name = host_name(host)
        if name is None or more or path is None:
            return _no("a request is for a path, and its Host names one host", 400)
        if self._loopback and not is_loopback(name):
            return _no("this is not a name of this machine's loopback address", 403)
        if not _is_own(headers, host, changes=request.method not in _SAFE):
            return _no("asked for by a page of another site", 403)
        if numbers:
            return None
        if not self._page:
            return _no("there are /metrics and /healthz", 404)
        return await self._page_answer(request, path)

    async def _page_answer(self, request: Request, path: bytes) -> Response | None:
        if request.scope["path"].encode("utf-8", "surrogatepass") in METRICS and self._may_enter(request):
            return _no("there is no such page", 404)  # not at this address, or not by this name
        if self._token is None:
            return None
        if path == b"/enter" and request.method == "POST":
            return await self._enter(request)
        if path == b"/" and (given := request.query_params.get("token")):
            if not self._is_token(given):
                return _form(_WRONG, _query(request))
            return self._opened(HTMLResponse(_on(_query(request)), headers=_NO_TRACE))
        if self._may_enter(request):
            return None
        if path in _PUBLIC and request.method in _SAFE:
            return None
        if path != b"/":
            return _no("a token is asked for: open the page", 401)
        if (query := _query(request)) and _AGAIN not in request.query_params:  # a link that was sent
            return HTMLResponse(_on(f"{query}&{_AGAIN}=1"), 401)
        return _form("", query)

    async def _enter(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LONGEST_FORM:
                return _no("too long", 413)
        given = parse_qs(body.decode("ascii", "replace")).get("token", [""])[0].strip()
        if not self._is_token(given):
            return _form(_WRONG, _query(request))
        return self._opened(RedirectResponse(f"/{_query(request)}", 303))

    def _may_enter(self, request: Request) -> bool:
        return self._token is None or self._is_token(request.cookies.get(self._cookie, ""))

    def _is_token(self, given: str) -> bool:
        token = self._token() if self._token else ""
        return bool(token) and secrets.compare_digest(given.encode(), token.encode())

    def _opened(self, answer: Response) -> Response:
        token = self._token() if self._token else ""
        answer.set_cookie(self._cookie, token, max_age=_YEAR, httponly=True, samesite="strict", path="/")
        return answer


def host_name(header: str) -> str | None:
    """Return the host that a `Host` header names, in small letters and without its port; None: it names none."""
    found = _HOST.fullmatch(header)
    return found["name"].strip("[]").lower() if found else None


def is_loopback(name: str) -> bool:
    """Return whether a host is called as only this machine calls itself."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _no(why: str, status: int) -> Response:
    return PlainTextResponse(f"{why}\n", status)


def _form(wrong: str, query: str) -> Response:
    return HTMLResponse(_FORM.format(html.escape(query), html.escape(wrong)), 401)


def _on(query: str) -> str:
    return _ON.format(html.escape(query))


def _query(request: Request) -> str:
    """Return the part of the page's address that says what it shows; empty: the newest photos."""
    named = {name: value for name in _ADDRESSED if (value := request.query_params.get(name))}
    return f"?{urlencode(named)}" if named else ""


def _path(scope: Scope) -> bytes | None:
    """Return the path as it was asked for; None: it is none, or the handlers would be asked for another one.

    Where it says the same in other characters (`%2e`), the handlers may know it, but it is not public.
    """
    asked, routed = scope.get("raw_path"), scope["path"]
    path = routed.encode("utf-8", "surrogatepass") if asked is None else bytes(asked)
    if not path.startswith(b"/") or not routed.startswith("/") or scope.get("root_path"):
        return None
    return path


def _is_own(headers: Headers, host: str, *, changes: bool) -> bool:
    """Return whether a request comes from the page itself, or from a person who goes there."""
    origins = headers.getlist("origin")
    if origins:
        return len(origins) == 1 and origins[0].lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}
    if changes:
        return False
    going = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return going or headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
