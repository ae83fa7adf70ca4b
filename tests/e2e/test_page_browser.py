"""The page in a real Chromium: photos appear while it is open, and people can use it with hand, keyboard and ear.

Needs Chromium and the Python package playwright; the check for accessibility needs axe-core too, whose `axe.min.js`
the environment names: `AXE_CORE`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import Place, camera, fill, until
from tests.e2e.test_page import Site, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytest.importorskip("playwright", reason="the browser's driver is not installed: pip install playwright")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(os.environ.get("AXE_CORE", "axe.min.js"))
SHEET: dict[str, Any] = {"rendition": {"web": {"width": 1200, "height": 1200}, "thumb": {"width": 400, "height": 400}}}
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 375, "height": 720}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # not everywhere

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # root has none
        yield browser
        browser.close()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A window, in which no script may fail and nothing may be refused by the policy."""
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "console",
        lambda message: said.append(f"{message.text} {message.location}") if message.type == "error" else None,
    )
    yield page
    assert not said


def holds(page: Page, expression: str) -> None:
    """Wait until an expression is true; Playwright's own wait wants to evaluate text, which the policy forbids."""
    until(lambda: page.evaluate(expression), expression)


def all_of(selector: str) -> str:
    return f"[...document.querySelectorAll('{selector}')]"


def names(page: Page) -> list[str]:
    return page.locator("#sheet .name").all_text_contents()


def test_photos_appear_while_the_page_is_open_and_open_large_with_their_story(place: Place, page: Page) -> None:
    served(place, **SHEET)
    fill(place.inbox, 2)
    with place.run() as running:
        running.settle(2)
        page.goto(Site(running).url)
        holds(page, "document.querySelectorAll('#sheet .tile').length === 2")
        before = page.evaluate("performance.timeOrigin")

        (place.inbox / "new <i>one &amp.jpg").write_bytes(camera(9))
        tile = page.locator("#sheet .tile").first
        holds(page, "document.querySelectorAll('#sheet .tile').length === 3")
        assert tile.locator(".name").text_content() == "new <i>one &amp.jpg"
        assert re.fullmatch(r"\d+ ms|[\d.]+ s", tile.locator(".time").text_content() or "")
        holds(page, f"{all_of('#sheet img')}.every((image) => image.naturalWidth === 400)")
        holds(page, f"{all_of('#inboxes dd')}[2].textContent === '3'")
        holds(page, "document.querySelector('#inboxes svg').ariaLabel.includes('3 in all')")
        assert page.evaluate("performance.timeOrigin") == before, "it was not loaded again"

        tile.locator("button").click()
        holds(page, "document.querySelector('#viewer-image').naturalWidth === 600")
        assert page.locator("#viewer-name").text_content() == "new <i>one &amp.jpg"
        page.locator("#viewer-story li").first.wait_for()
        assert page.locator("#viewer-path").text_content() == str(place.inbox / "new <i>one &amp.jpg")
        page.keyboard.press("ArrowRight")
        holds(page, "document.querySelector('#viewer-name').textContent.startsWith('p00')")
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.closest('.tile') !== null"), "the focus is back in the sheet"


def test_a_burst_streams_in_and_a_reader_further_down_is_not_disturbed(place: Place, page: Page) -> None:
    served(place, **SHEET)
    fill(place.inbox, 120)
    with place.run() as running:
        running.settle(120)
        page.goto(Site(running).url)
        page.locator(".tile").first.wait_for()
        assert page.locator(".tile").count() < 80, "only what is near the window is there"
        page.mouse.move(800, 500)
        page.mouse.wheel(0, 3000)
        holds(page, "scrollY > 1000")
        holds(page, "document.querySelectorAll('.tile').length > 10")
        seen = page.evaluate("document.elementFromPoint(800, 500).closest('.tile')?.dataset.id ?? scrollY")
        fill(place.inbox / "burst", 200, first=200)
        page.locator("#fresh", has_text="200 new photos").wait_for()
        assert seen == page.evaluate("document.elementFromPoint(800, 500).closest('.tile')?.dataset.id ?? scrollY")
        page.locator("#fresh").click()
        holds(page, "document.querySelector('.tile .name')?.textContent.match(/^p3/)")
        assert page.evaluate("scrollY") == 0
        assert page.locator(".tile").count() < 80
        for _ in range(12):
            page.mouse.wheel(0, 4000)
            page.wait_for_timeout(60)  # as a person scrolls
        last = f"{all_of('.tile')}.at(-1)"
        holds(page, f"{last}.ariaPosInSet === '320' && {last}.ariaSetSize === '320'")


def test_a_failed_photo_is_named_with_its_reason_and_tried_again(place: Place, page: Page) -> None:
    served(place, **SHEET)
    (place.inbox / "notes.jpg").write_text("no photo")
    with place.run() as running:
        running.wait_for("photo.failed")
        page.goto(Site(running).url)
        page.locator("#failed .reason", has_text="not a JPEG").wait_for()
        page.get_by_role("button", name="Try again: notes.jpg").click()
        running.wait_for("photo.failed", 2)
        page.locator("#failed .name", has_text="notes.jpg").wait_for()
        (place.inbox / "notes.jpg").write_bytes(camera(3))
        page.locator("#failed").wait_for(state="hidden")
        assert names(page) == ["notes.jpg"]


def test_a_search_finds_by_name_and_ends_with_escape(place: Place, page: Page) -> None:
    served(place, **SHEET)
    fill(place.inbox, 12)
    with place.run() as running:
        running.settle(12)
        page.goto(Site(running).url)
        page.locator(".tile").first.wait_for()
        page.keyboard.press("/")
        page.keyboard.type("P01")
        holds(page, "document.querySelector('#sheet-note').textContent === '2 found'")
        assert sorted(names(page)) == ["p010.jpg", "p011.jpg"]
        page.keyboard.press("Escape")
        holds(page, "document.querySelectorAll('.tile').length === 12")


def test_a_token_is_asked_for_on_another_address_and_then_known(place: Place, page: Page, browser: Browser) -> None:
    served(place, "0.0.0.0:0", **SHEET)
    fill(place.inbox, 1)
    with place.run() as running:
        running.settle(1)
        site = Site(running)
        told = Path(running.events("web.listening")[0]["token_file"]).read_text().strip()
        token = told.partition("?token=")[2]
        url = f"http://127.0.0.1:{site.port}/"
        other = browser.new_context().new_page()
        answer = other.goto(url)
        assert answer is not None
        assert answer.status == 401
        other.get_by_label("Token").fill("wrong")
        other.get_by_role("button", name="Open").click()
        other.get_by_text("This is not the token.").wait_for()
        other.get_by_label("Token").fill(token)
        other.get_by_role("button", name="Open").click()
        other.locator(".tile").first.wait_for()
        other.context.close()

        page.goto(f"{url}?token={token}")
        page.locator(".tile").first.wait_for()
        assert token not in page.url
        assert page.evaluate("document.cookie") == ""


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed, or AXE_CORE does not name it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(place: Place, browser: Browser, scheme: str) -> None:
    served(place, "0.0.0.0:0", **SHEET)
    fill(place.inbox, 30)
    (place.inbox / "notes.jpg").write_text("no photo")
    with place.run() as running:
        running.settle(30)
        running.wait_for("photo.failed")
        told = Path(running.events("web.listening")[0]["token_file"]).read_text().strip()
        url = f"http://127.0.0.1:{Site(running).port}/"
        for size in (WIDE, NARROW):
            context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(url)
            assert _violations(page) == [], "the form that asks for the token"
            page.goto(f"{url}?{told.partition('?')[2]}")
            page.locator(".tile img").first.wait_for()
            page.locator("#failed .name").wait_for()
            assert _violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], "nothing sticks out"
            page.locator("#find").fill("p01")
            holds(page, "document.querySelector('#sheet-note').textContent.endsWith('found')")
            assert _violations(page) == []
            page.locator(".tile button").first.click()
            page.locator("#viewer-story li").first.wait_for()
            assert _violations(page) == []
            context.close()


def _violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    return [
        f"{item['id']}: {node['html']} {node['failureSummary']}"
        for item in found["violations"]
        for node in item["nodes"]
    ]


def test_nothing_is_asked_of_another_machine(place: Place, context: BrowserContext) -> None:
    served(place, **SHEET)
    fill(place.inbox, 1)
    with place.run() as running:
        running.settle(1)
        asked: list[str] = []
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        url = Site(running).url
        page.goto(url)
        page.locator(".tile img").first.wait_for()
        page.locator(".tile button").first.click()
        page.locator("#viewer-story li").first.wait_for()
        assert asked
        assert all(each.startswith(url) for each in asked)
