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

from tests import photos
from tests.e2e.harness import Place, camera, fill, until
from tests.e2e.test_page import Site, served

if TYPE_CHECKING:
    from playwright.sync_api import APIResponse, Browser, BrowserContext, Page, Route

pytest.importorskip("playwright", reason="the browser's driver is not installed: pip install playwright")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(os.environ.get("AXE_CORE", "axe.min.js"))
SHEET: dict[str, Any] = {"rendition": {"web": {"width": 1200, "height": 1200}, "thumb": {"width": 400, "height": 400}}}
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 375, "height": 720}
SWIPE = """([from, to]) => {
    const stage = document.querySelector("#stage");
    const touch = (clientX) => new Touch({ identifier: 1, target: stage, clientX, clientY: 100 });
    const send = (kind, x, touches) => stage.dispatchEvent(
        new TouchEvent(kind, { touches, changedTouches: [touch(x)], bubbles: true, cancelable: true }));
    send("touchstart", from, [touch(from)]);
    send("touchmove", to, [touch(to)]);
    send("touchend", to, []);
}"""

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
        assert re.fullmatch(r"in (\d+ ms|[\d.]+ s)", tile.locator(".time").text_content() or "")
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
        holds(page, "document.activeElement.querySelector('.name')?.textContent.startsWith('p00')")


def test_a_photo_is_shown_in_its_actual_size_and_as_a_whole_again(place: Place, page: Page) -> None:
    served(place, **SHEET)
    (place.inbox / "small.jpg").write_bytes(camera(1))
    image, button = "document.querySelector('#viewer-image')", "document.querySelector('#viewer-zoom')"
    with place.run() as running:
        running.settle(1)
        (place.inbox / "large.jpg").write_bytes(photos.jpeg(photos.scene(1200, 900)))
        running.settle(2)
        page.goto(Site(running).url)
        page.locator("#sheet .tile", has_text="large").locator("button").click()
        holds(page, f"{image}.naturalWidth === 1200 && {image}.width < 900 && !{button}.hidden")
        page.mouse.click(300, 300)
        holds(page, f"{image}.width === 1200")
        page.keyboard.press("z")
        holds(page, f"{image}.width < 900")
        page.get_by_role("button", name="Actual size").click()
        holds(page, f"{image}.width === 1200")
        page.keyboard.press("ArrowRight")
        holds(page, f"{image}.naturalWidth === 600 && {button}.hidden")  # there is no more to see


def test_on_a_phone_photos_come_first_back_closes_one_a_swipe_turns_it_and_its_address_can_be_sent(
    place: Place, page: Page
) -> None:
    served(place, **SHEET)
    fill(place.inbox, 3)
    with place.run() as running:
        running.settle(3)
        url = Site(running).url
        page.set_viewport_size(NARROW)  # type: ignore[arg-type]
        page.goto(url)
        page.locator(".tile img").first.wait_for()
        holds(page, f"{all_of('#overview-line')}[0].textContent.startsWith('inbox')")
        assert page.evaluate("document.querySelector('.tile').getBoundingClientRect().top") < NARROW["height"] / 3
        assert page.locator("#inboxes .numbers").is_hidden()
        page.locator("#overview-line").click()
        page.locator("#inboxes .numbers").wait_for()

        first, second, _ = names(page)
        page.locator(".tile button").first.click()
        holds(page, f"document.querySelector('#viewer-name').textContent === '{first}'")
        page.evaluate(SWIPE, [40, 300])
        assert page.locator("#viewer-name").text_content() == first, "there is none before the first"
        page.evaluate(SWIPE, [300, 40])
        assert page.locator("#viewer-name").text_content() == second
        sent = page.evaluate("location.href")
        page.evaluate(SWIPE, [40, 300])
        assert page.locator("#viewer-name").text_content() == first
        page.evaluate("history.back()")
        holds(page, "!document.querySelector('#viewer').open")
        holds(page, f"location.href === '{url}'")

        page.goto(sent)
        holds(page, f"document.querySelector('#viewer-name').textContent === '{second}'")
        page.locator("#viewer-story li").first.wait_for()
        page.get_by_role("button", name="Close").click()
        holds(page, f"location.href === '{url}'")
        other = page.context.new_page()
        other.goto(f"{url}?photo=nothing")
        other.get_by_text("No such photo").wait_for()


def test_the_focus_stays_where_it_was_while_tiles_come_and_go(place: Place, page: Page) -> None:
    served(place, **SHEET)
    fill(place.inbox, 60)
    with place.run() as running:
        running.settle(60)
        page.goto(Site(running).url)
        page.locator(".tile button").nth(1).focus()
        focused = "document.activeElement.closest('.tile')?.dataset.id"
        name = page.evaluate(focused)
        assert name
        page.keyboard.press("End")
        at_end = "scrollY > 500 && scrollY + innerHeight === document.documentElement.scrollHeight"
        holds(page, at_end)  # Chromium drops a key to the other end while it scrolls
        holds(page, f"{all_of('.tile')}.some((tile) => tile.ariaPosInSet === '60')")
        assert page.evaluate(focused) == name
        page.keyboard.press("Home")
        holds(page, f"scrollY === 0 && {all_of('.tile')}.every((tile) => tile.ariaPosInSet !== '60')")
        assert page.evaluate(focused) == name
        page.keyboard.press("ArrowRight")
        assert page.evaluate(f"{focused} === {all_of('.tile')}[2].dataset.id")


def test_where_there_is_no_photo_the_page_says_where_to_put_one(place: Place, page: Page) -> None:
    served(place, **SHEET)
    with place.run() as running:
        page.goto(Site(running).url)
        page.locator("#empty code", has_text=str(place.inbox)).wait_for()
        page.get_by_role("button", name="Copy path of inbox").click()
        assert page.evaluate("getSelection().toString()") == str(place.inbox)
        fill(place.inbox, 1)
        page.locator(".tile img").wait_for()
        page.locator("#empty").wait_for(state="hidden")


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


def test_photos_that_failed_and_that_wait_are_listed_with_reason_and_folder_and_failed_ones_tried_again(
    place: Place, page: Page
) -> None:
    served(place, **SHEET)
    (place.inbox / "trip").mkdir()
    (place.inbox / "trip" / "part.jpg").write_bytes(photos.truncated())
    (place.inbox / "notes.jpg").write_text("no photo")
    with place.run() as running:
        running.wait_for("photo.failed")
        page.goto(Site(running).url)
        page.locator("#failed .reason", has_text="not a JPEG").wait_for()
        assert page.locator("#failed .where").text_content() == "inbox"
        page.locator("#waiting summary").click()
        page.locator("#waiting .reason", has_text="truncated").wait_for()
        assert page.locator("#waiting .where").text_content() == "inbox/trip"
        page.locator("#waiting .name", has_text="part.jpg").click()
        page.locator("#viewer-state", has_text="Waiting since").wait_for()
        page.keyboard.press("Escape")
        holds(page, "document.activeElement.textContent === 'part.jpg'")
        page.get_by_role("button", name="Try again: notes.jpg").click()
        running.wait_for("photo.failed", 2)
        page.locator("#failed .name", has_text="notes.jpg").wait_for()
        (place.inbox / "notes.jpg").write_bytes(camera(3))
        page.locator("#failed").wait_for(state="hidden")
        until(lambda: names(page) == ["notes.jpg"], "it is shown")


def test_an_answer_that_comes_late_does_not_undo_what_was_sent_meanwhile(place: Place, page: Page) -> None:
    served(place, **SHEET)
    late: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        late.append((route, route.fetch()))

    with place.run() as running:
        running.wait_for("scan.done")
        page.route("**/api/summary", hold)
        page.route("**/api/newest", hold)
        page.goto(Site(running).url)
        until(lambda: page.evaluate("1") and len(late) == 2, "both are asked for, before there is any photo")
        (place.inbox / "part.jpg").write_bytes(photos.truncated())
        (place.inbox / "whole.jpg").write_bytes(camera(1))
        holds(page, f"{all_of('#inboxes dd')}.map((item) => item.textContent).join() === '1,1,1,0'")
        for route, answer in late:
            with page.expect_event("requestfinished"):
                route.fulfill(response=answer)
        until(lambda: names(page) == ["whole.jpg"], "it is shown")
        assert page.locator("#waiting-count").text_content() == "1"
        page.locator("#waiting summary").click()


def test_a_search_finds_by_name_and_folder_has_an_address_and_ends_with_escape_or_back(
    place: Place, page: Page
) -> None:
    served(place, **SHEET)
    fill(place.inbox, 12)
    fill(place.inbox / "Rome", 1, first=50)
    with place.run() as running:
        running.settle(13)
        url = Site(running).url
        page.goto(url)
        page.locator(".tile").first.wait_for()
        page.keyboard.press("/")
        page.keyboard.type("P01")
        holds(page, "document.querySelector('#sheet-note').textContent === '2 found'")
        until(lambda: sorted(names(page)) == ["p010.jpg", "p011.jpg"], "those two are shown")
        holds(page, f"location.href === '{url}?q=P01'")
        page.keyboard.press("Escape")
        holds(page, "document.querySelectorAll('.tile').length === 13")
        page.keyboard.type("rome")
        holds(page, "document.querySelector('#sheet-note').textContent === '1 found'")
        until(lambda: names(page) == ["p050.jpg"], "it alone is shown")
        page.reload()
        holds(page, "document.querySelector('#sheet-note').textContent === '1 found'")
        page.locator(".tile button").click()
        page.evaluate("history.back()")
        holds(page, "!document.querySelector('#viewer').open")
        holds(page, f"location.href === '{url}?q=rome'")
        page.evaluate("history.back()")
        holds(page, "document.querySelectorAll('.tile').length === 13")


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
        page.locator(".tile button").first.click()
        sent = page.evaluate("location.href")
        assert "photo=" in sent
        other = page.context.new_page()
        other.goto(f"data:text/html,<a href='{sent}'>in another site</a>")
        other.get_by_role("link").click()
        other.locator("#viewer-story li").first.wait_for()
        holds(other, f"location.href === '{sent}'")
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
        (place.inbox / "part.jpg").write_bytes(photos.truncated())
        told = Path(running.events("web.listening")[0]["token_file"]).read_text().strip()
        url = f"http://127.0.0.1:{Site(running).port}/"
        for size in (WIDE, NARROW):
            context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(url)
            assert _violations(page) == [], "the form that asks for the token"
            page.goto(f"{url}?{told.partition('?')[2]}")
            page.locator(".tile img").first.wait_for()
            if size is NARROW:
                holds(page, "document.querySelector('#overview-line').textContent.includes('failed')")
                assert _violations(page) == []
                page.locator("#overview-line").click()
            page.locator("#failed .name").wait_for()
            page.locator("#waiting summary").click()
            page.locator("#waiting .name").wait_for()
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
