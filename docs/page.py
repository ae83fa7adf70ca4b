"""Take the README's picture of the page anew: the real daemon at work, seen by a real Chromium.

    python docs/page.py PHOTOS [FOLDER]     a folder of photos, which are dropped over some minutes; needs `watcher` on
                                            the path, Chromium, and the packages playwright and pillow

Writes `page.webp` beside this file; with FOLDER, views in light and dark, wide and narrow there too, for whoever wants
to look at them. Everything happens in a new home folder that is removed again.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, ViewportSize, sync_playwright

CONFIG = """[web]
listen = "127.0.0.1:0"
[batch]
quiet_seconds = 0.1
[rendition.web]
width = 2048
height = 2048
[rendition.thumb]
width = 480
height = 480
[[inbox]]
path = "Pictures/Camera"
output = "Pictures/Resized/Camera"
[[inbox]]
path = "Pictures/Scans"
output = "Pictures/Resized/Scans"
watch = "poll"
poll_seconds = 2
"""
SECONDS = 100.0
SIZE = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=390, height=844)
SHARP = 1.5  # pixels a pixel of the page


def drop(photo: Path, inbox: Path) -> None:
    """Rename a copy into place, as a good program does."""
    copy = shutil.copy(photo, inbox / f".{photo.name}.part")
    Path(copy).rename(inbox / photo.name)


def feed(photos: list[Path], home: Path) -> None:
    """Drop photos now and then, in small bursts, and what is none."""
    camera, scans = home / "Pictures/Camera", home / "Pictures/Scans"
    (camera / "IMG_0417.jpg").write_text("Not found\n")
    ends = time.monotonic() + SECONDS
    while photos:
        for photo in photos[: random.randint(1, 4)]:  # noqa: S311  # a picture needs no cryptography
            photos.remove(photo)
            drop(photo, scans if len(photos) % 5 == 0 else camera)
        time.sleep(max(0.0, ends - time.monotonic()) / (len(photos) + 1))
    time.sleep(4.0)


def look(
    browser: Browser,
    url: str,
    size: ViewportSize,
    scheme: Literal["light", "dark"],
    target: Path,
    *,
    large: bool = False,
) -> None:
    """Save a view of the page, or of one photo."""
    context = browser.new_context(viewport=size, color_scheme=scheme, device_scale_factor=SHARP)
    page = context.new_page()
    page.goto(url)
    page.locator(".tile img").first.wait_for()
    page.wait_for_timeout(1500)
    if large:
        page.locator(".tile button").nth(2).click()
        page.locator("#viewer-story li").first.wait_for()
        page.wait_for_timeout(1500)
    page.screenshot(path=target)
    context.close()


def main() -> None:
    """Take the picture."""
    photos = sorted(Path(sys.argv[1]).glob("*.jpg"))
    random.Random(7).shuffle(photos)  # noqa: S311  # the same
    views = next((Path(name) for name in sys.argv[2:]), None)
    target = Path(__file__).with_name("page.webp")
    home = Path(tempfile.gettempdir()) / "anna"
    for name in ("Camera", "Scans"):
        (home / "Pictures" / name).mkdir(parents=True)
    (home / "photos.toml").write_text(CONFIG)
    with (home / "log").open("w") as log:
        env = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        command = ["watcher", "run", "--config", "photos.toml"]
        daemon = subprocess.Popen(command, cwd=home, env=env, stderr=log)
    try:
        while not (found := re.search(r'"url": "([^"]+)"', (home / "log").read_text())):
            time.sleep(0.1)
        feed(photos, home)
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            look(browser, found[1], SIZE, "light", home / "page.png")
            schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
            for scheme in schemes:
                for size in (SIZE, NARROW) if views else ():
                    stem = (views or home) / f"{size['width']}-{scheme}"
                    look(browser, found[1], size, scheme, stem.with_suffix(".png"))
                    look(browser, found[1], size, scheme, stem.with_name(f"{stem.name}-large.png"), large=True)
            browser.close()
        with Image.open(home / "page.png") as image:
            image.convert("RGB").save(target, quality=80, method=6)
    finally:
        daemon.send_signal(signal.SIGINT)
        daemon.wait(30)
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
