"""The page over real HTTP, served by the running command: what it tells, and all that it refuses."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tests.e2e.harness import Place, Running, fill, until

ODD = b"/b\xffd\n.jpg"  # a name that is not UTF-8, with the end of a line in it
ODD_SHOWN = "b\\xffd\\n.jpg"
JSON = {"content-type": "application/json"}


class Site:
    """The page of a running daemon, asked as any program could."""

    def __init__(self, running: Running) -> None:
        self.running = running
        running.wait_for("web.listening")
        self.url = str(running.events("web.listening")[0]["url"])
        self.port = int(re.findall(r":(\d+)/", self.url)[0])
        self.host = f"127.0.0.1:{self.port}"

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", body: str | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {"Host": self.host, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def post(self, path: str, value: object, headers: Mapping[str, str] | None = None) -> Answer:
        own = {"Origin": f"http://{self.host}", **JSON, **(headers or {})}
        return self.ask(path, own, method="POST", body=json.dumps(value))

    def listed(self, path: str) -> dict[str, dict[str, Any]]:
        return {photo["name"]: photo for photo in self.ask(path).json["photos"]}


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers.items()}

    @property
    def json(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.body))


def served(place: Place, listen: str = "127.0.0.1:0", **more: Any) -> None:  # noqa: ANN401 - of `configure`
    place.configure(web={"listen": listen}, **more)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Site]]:
    """A daemon with a page for all tests that change nothing: four photos, one of them in a folder, and one failed."""
    place = Place(tmp_path_factory.mktemp("page"))
    served(place)
    fill(place.inbox, 2)
    fill(place.inbox / "Tür", 1, first=2)
    (place.inbox / "notes.jpg").write_text("no photo")
    fill(place.root / "made", 1, first=3)[0].rename(os.fsdecode(os.fsencode(place.inbox) + ODD))
    (place.root / "secret.jpg").write_bytes((place.inbox / "p000.jpg").read_bytes())
    with place.run() as running:
        running.settle(4)
        yield place, Site(running)


@pytest.fixture
def site(shared: tuple[Place, Site]) -> Site:
    return shared[1]


def test_the_page_and_all_that_it_is_made_of_come_from_here_under_a_strict_policy(site: Site) -> None:
    page = site.ask("/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = page.body.decode()
    parts = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert {"page.css", "page.js"} <= set(parts)
    for part in parts:
        answer = site.ask(f"/{part}")
        assert answer.status == 200, part
        for module in re.findall(r'from "\./([^"]+)"', answer.body.decode()):
            assert site.ask(f"/{module}").status == 200, module
        assert not re.search(rb"https?://(?!www\.w3\.org)", answer.body), part
    assert "http" not in text
    for path in ("/", "/page.js", "/api/summary", "/api/story/x", "/nothing"):
        headers = site.ask(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


def test_lists_tell_what_was_made_what_failed_and_how_long_it_took(shared: tuple[Place, Site]) -> None:
    place, site = shared
    newest = site.listed("/api/newest")
    assert set(newest) == {"p000.jpg", "p001.jpg", "p002.jpg", ODD_SHOWN}
    assert site.ask(f"/picture/{newest[ODD_SHOWN]['id']}/web").status == 200
    photo = newest["p002.jpg"]
    assert (photo["folder"], photo["where"]) == ("Tür", f"{place.inbox.name}/Tür")
    assert 0 < photo["took"] < 60
    assert {item["name"]: item["width"] for item in photo["made"]} == {"web": 300, "thumb": 90}
    assert (photo["small"], photo["large"]) == ("web", "web")  # the thumb is too small to be shown
    failed = site.listed("/api/failed")
    assert set(failed) == {"notes.jpg"}
    assert "not a JPEG" in failed["notes.jpg"]["reason"]

    def inbox() -> dict[str, Any]:
        (found,) = site.ask("/api/summary").json["inboxes"]
        return cast("dict[str, Any]", found)

    until(lambda: inbox()["watch"] == "native", "the daemon's report has come")
    assert inbox()["path"] == str(place.inbox)
    assert (inbox()["done"], inbox()["failed"], inbox()["waiting"]) == (4, 1, 0)
    until(lambda: sum(photos for _, photos in inbox()["minutes"]) == 4, "its minutes are told")


def test_a_list_goes_on_where_the_last_part_of_it_ended(site: Site) -> None:
    first = site.ask("/api/newest?limit=2").json
    rest = site.ask(f"/api/newest?limit=2&before={first['next']}").json
    names = [photo["name"] for photo in first["photos"] + rest["photos"]]
    assert sorted(names) == [ODD_SHOWN, "p000.jpg", "p001.jpg", "p002.jpg"]
    assert site.ask(f"/api/newest?limit=2&before={rest['next']}").json == {"photos": [], "next": None}


def test_photos_are_found_by_a_part_of_their_names_or_folders_in_capitals_or_not(site: Site) -> None:
    assert set(site.listed("/api/search?q=P00")) == {"p000.jpg", "p001.jpg", "p002.jpg"}
    assert set(site.listed("/api/search?q=p001.jpg")) == {"p001.jpg"}
    assert set(site.listed("/api/search?q=notes")) == {"notes.jpg"}
    assert set(site.listed("/api/search?q=t%C3%9C")) == {"p002.jpg"}
    assert site.listed("/api/search?q=%25") == {}
    assert site.listed("/api/search?q=") == {}


def test_a_picture_is_the_rendition_and_a_story_tells_of_its_making(shared: tuple[Place, Site]) -> None:
    place, site = shared
    photo = site.listed("/api/newest")["p002.jpg"]
    answer = site.ask(f"/picture/{photo['id']}/web?v={photo['version']}")
    assert answer.body == (place.output / "web" / "Tür" / "p002.jpg").read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    story = site.ask(f"/api/story/{photo['id']}").json
    assert story["path"] == str(place.inbox / "Tür" / "p002.jpg")
    assert story["story"]["events"]


def id_of(site: Site, path: bytes) -> str:
    key = site.ask("/api/summary").json["inboxes"][0]["key"]
    return f"{key}.{base64.urlsafe_b64encode(path).decode().rstrip('=')}"


REFUSALS = {
    "a name that was made to point here": ("/", {"Host": "evil.example:8424"}, 403),
    "no name": ("/api/summary", {"Host": ""}, 400),
    "an address that only looks like the loopback": ("/", {"Host": "127.0.0.1.evil.example"}, 403),
    "a page of another site": ("/api/newest", {"Origin": "http://evil.example"}, 403),
    "a page without an origin": ("/api/newest", {"Origin": "null"}, 403),
    "a page of another port": ("/api/newest", {"Origin": "http://127.0.0.1:1"}, 403),
    "a picture in another site's page": (
        "/icon.svg",
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        403,
    ),
    "a frame in another site's page": (
        "/",
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        403,
    ),
    "a name that holds a path": ("/api/newest", {"Host": "x/page.css?"}, 400),
    "an id that is none": ("/picture/x/web", {}, 404),
    "an inbox that is none": ("/picture/00000000.cDAwMC5qcGc/web", {}, 404),
    "a number that is none": ("/api/newest?before=x", {}, 400),
    "a number without an end": ("/api/failed?start=" + "9" * 40, {}, 400),
    "what nobody serves": ("/static/page.html", {}, 404),
    "a way out of the page's own files": ("/../watcher/web/app.py", {}, 404),
    "the same, disguised": ("/..%2f..%2fetc%2fpasswd", {}, 404),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refused_is(site: Site, what: str) -> None:
    path, headers, status = REFUSALS[what]
    assert site.ask(path, headers).status == status


def test_a_person_who_comes_by_a_link_is_let_in(site: Site) -> None:
    going = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert site.ask("/", going).status == 200
    for host in (f"localhost:{site.port}", "[::1]:9000", "127.0.0.1"):
        assert site.ask("/", {"Host": host}).status == 200


@pytest.mark.parametrize(
    "path", [b"../secret.jpg", b"/etc/passwd", b"unknown.jpg", b"", b"T\xfcr/p002.jpg", b"./p000.jpg"]
)
def test_only_photos_that_the_state_file_knows_are_served(site: Site, path: bytes) -> None:
    name = id_of(site, path)
    assert site.ask(f"/picture/{name}/web").status == 404
    assert site.ask(f"/api/story/{name}").status == 404
    assert site.post("/api/retry", {"photos": [name]}).status == 404


@pytest.mark.parametrize("rendition", ["original", "..%2fweb", "web%00", "..", "%2e%2e%2fweb", "WEB"])
def test_only_renditions_are_served(site: Site, rendition: str) -> None:
    assert site.ask(f"/picture/{id_of(site, b'p000.jpg')}/{rendition}").status == 404


def test_a_change_must_come_from_the_page_itself(site: Site) -> None:
    name = id_of(site, b"p000.jpg")
    wanted = {"photos": [name]}
    assert site.post("/api/retry", wanted, {"Origin": "http://evil.example"}).status == 403
    assert site.post("/api/retry", wanted, {"Origin": "null"}).status == 403
    assert site.ask("/api/retry", JSON, method="POST", body=json.dumps(wanted)).status == 403  # no Origin
    assert site.post("/api/retry", wanted, {"content-type": "text/plain"}).status == 415
    assert site.post("/api/retry", {"photos": "x"}).status == 400
    assert site.post("/api/retry", [1]).status == 400
    assert site.post("/api/retry", {"photos": ["x" * 100_000]}).status == 413
    assert site.ask("/api/retry").status == 405


def test_no_link_in_the_output_is_followed(shared: tuple[Place, Site]) -> None:
    place, site = shared
    name = f"/picture/{id_of(site, 'Tür/p002.jpg'.encode())}/web"
    folder = place.output / "web" / "Tür"
    kept = folder.rename(place.root / "elsewhere")
    try:
        folder.symlink_to(kept)
        assert site.ask(name).status == 404
        folder.unlink()
        folder.mkdir()
        (folder / "p002.jpg").symlink_to(kept / "p002.jpg")
        assert site.ask(name).status == 404
        (folder / "p002.jpg").unlink()
        os.mkfifo(folder / "p002.jpg")
        assert site.ask(name).status == 404
        (folder / "p002.jpg").unlink()
        folder.rmdir()
    finally:
        kept.rename(folder)
    assert site.ask(name).status == 200


def test_what_happens_is_told_at_once_and_a_photo_is_tried_again_when_asked(place: Place) -> None:
    served(place)
    (place.inbox / "notes.jpg").write_text("no photo")
    with place.run() as running:
        running.wait_for("photo.failed")
        site = Site(running)
        told: list[dict[str, Any]] = []
        listener = threading.Thread(target=_listen, args=(site, told), daemon=True)
        listener.start()
        until(lambda: "hello" in [line["event"] for line in told], "the stream begins")
        fill(place.inbox, 1)
        until(lambda: "p000.jpg" in _told_of(told), "the new photo is told")
        photo = _told_of(told)["p000.jpg"]
        assert photo["state"] == "done"
        assert photo["fresh"]
        assert photo["took"] > 0
        assert site.ask(f"/picture/{photo['id']}/{photo['small']}").status == 200
        until(lambda: any(line["event"] == "summary" for line in told), "the inbox is told")

        assert site.post("/api/retry", {"photos": [id_of(site, b"notes.jpg")]}).json == {"asked": 1}
        running.wait_for("photo.failed", 2)
        until(lambda: _told_of(told).get("notes.jpg", {}).get("state") == "failed", "it is told that it failed again")
        assert site.post("/api/retry", {"all": True}).status == 200
        running.wait_for("photo.failed", 3)
        assert running.stop() == 0
        listener.join(10)
        assert not listener.is_alive()


def _listen(site: Site, told: list[dict[str, Any]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    connection.request("GET", "/api/events", headers={"Host": site.host})
    answer = connection.getresponse()
    event = ""
    for line in answer:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            event = value
        elif name == "data":
            told.append({"event": event, "data": json.loads(value)})
    connection.close()


def _told_of(told: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        photo["name"]: photo for line in list(told) if line["event"] == "photos" for photo in line["data"]["photos"]
    }


# ---- on another address than the loopback ----


def test_from_elsewhere_nobody_gets_in_without_the_token(place: Place) -> None:
    served(place, "0.0.0.0:0")
    fill(place.inbox, 1)
    with place.run() as running:
        running.settle(1)
        site = Site(running)
        file = Path(running.events("web.listening")[0]["token_file"])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        token = file.read_text().strip().partition("?token=")[2]
        assert len(token) > 40
        assert token not in "".join(running.lines)

        asked = site.ask("/")
        assert asked.status == 401
        assert b"asks for a token" in asked.body
        name = f"/picture/{'0' * 8}.cDAwMC5qcGc/web"
        for path in ("/api/summary", "/api/events", "/api/newest", name, "/page.js"):
            assert site.ask(path).status == 401, path
        assert site.ask("/page.css").status == 200
        assert site.post("/api/retry", {"all": True}).status == 401
        cookie = f"watcher-{site.port}"
        for wrong in ("", "x", token[:-1], token + "x", "ü"):
            assert site.ask(f"/?token={wrong.encode().hex() if wrong == 'ü' else wrong}").status == 401
            assert site.ask("/", {"Cookie": f"{cookie}={wrong}".encode().decode("latin-1")}).status == 401

        entered = site.ask(f"/?token={token}")
        assert entered.status == 200
        assert entered.headers["set-cookie"].startswith(f"{cookie}={token};")
        assert {"httponly", "samesite=strict"} <= {
            part.strip().lower() for part in entered.headers["set-cookie"].split(";")
        }
        known = {"Cookie": f"other=a b; {cookie}={token}"}
        assert site.ask("/", known).status == 200
        assert site.ask("/api/summary", known).json["inboxes"][0]["done"] == 1
        assert site.post("/api/retry", {"all": True}, known).status == 200
        assert site.post("/api/retry", {"all": True}, {**known, "Origin": "http://evil.example"}).status == 403

        form = {"Origin": f"http://{site.host}", "content-type": "application/x-www-form-urlencoded"}
        assert site.ask("/enter", form, method="POST", body="token=wrong").status == 401
        opened = site.ask("/enter", form, method="POST", body=f"token={token}")
        assert (opened.status, opened.headers["location"]) == (303, "/")
        assert opened.headers["set-cookie"].startswith(f"{cookie}={token};")
        assert site.ask("/enter", {**form, "Origin": "null"}, method="POST", body=f"token={token}").status == 403
        assert f"max-age={365 * 86400}" in opened.headers["set-cookie"].lower()
        assert running.stop() == 0
    with place.run() as running:
        site = Site(running)
        assert site.ask(f"/?token={token}").status == 200, "a bookmark lasts over restarts"
        assert f"?token={token}\n" in place.watcher("web", "token", "--config", place.config).out
        printed = place.watcher("web", "token", "--new", "--config", place.config).out
        assert token not in printed
        assert site.ask(f"/?token={token}").status == 401, "until there is a new one"
        assert site.ask(f"/?token={printed.strip().partition('?token=')[2]}").status == 200


def test_a_page_that_asks_for_no_token_or_is_not_there_has_none(place: Place) -> None:
    served(place, "127.0.0.1:8424")
    done = place.watcher("web", "token", "--config", place.config)
    assert (done.code, done.out) == (0, "http://127.0.0.1:8424/\n")
    served(place, "0.0.0.0:8424")
    done = place.watcher("web", "token", "--config", place.config, "--state", "never/made.db")
    assert done.code == 78
    assert "`watcher run` makes its folder and the token" in done.err
    place.configure()
    done = place.watcher("web", "token", "--config", place.config)
    assert done.code == 78
    assert "web.listen: found nothing" in done.err


# ---- where nobody can listen ----


def test_a_port_that_is_taken_is_said_at_the_start(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        served(place, listen)
        done = place.watcher("run", "--config", place.config)
    assert done.code == 78, done
    assert f'web.listen: found "{listen}", where another program listens already; write another port' in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_the_page_is_served_by_the_daemon_alone_and_check_tells_of_it(place: Place) -> None:
    served(place, "[::1]:8424" if _has_ipv6() else "127.0.0.1:8424")
    fill(place.inbox, 1)
    done = place.once()
    assert done.code == 0
    assert not done.events("web.listening")
    checked = place.watcher("check", "--config", place.config)
    assert "page: " in checked.out
    assert ":8424" in checked.out


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
