"""The keys of a picture, from the config to the files: each is a part of its recipe, and of no other."""

from __future__ import annotations

import signal

import pytest
from PIL import Image

from tests import photos
from tests.e2e.harness import THUMB, WEB, Place, fill, fingerprint, until

POSTER = {
    "width": 200,
    "height": 200,
    "fit": "contain",
    "position": "north",
    "background": "#0000ff",
    "sharpen": "standard",
    "max_kb": 30,
    "watermark": "logo.png",
    "small": "copy",
}


def logo(place: Place, colour: str) -> None:
    (place.root / "logo.png").write_bytes(photos.png(Image.new("RGBA", (40, 20), colour)))


@pytest.mark.slow  # four runs of the command
def test_a_changed_key_makes_again_its_own_rendition_alone_and_a_dry_run_says_so_before(place: Place) -> None:
    fill(place.inbox, 2)
    logo(place, "red")
    place.configure({"poster": POSTER, "thumb": THUMB, "web": WEB})
    assert place.once().code == 0
    with Image.open(place.output / "poster" / "p000.jpg") as image:
        assert image.size == (200, 200)
        blue = image.convert("RGB").getpixel((20, 190))
        assert isinstance(blue, tuple)
        assert blue[0] < 20
        assert blue[2] > 235
    before = fingerprint(place.output)
    logo(place, "lime")
    place.configure({"poster": POSTER, "thumb": {**THUMB, "position": "north"}, "web": WEB})
    told = place.once("--dry-run").out
    assert "poster: 0 new, 2 again" in told, "the watermark's content has changed"
    assert "thumb: 0 new, 2 again" in told
    assert "web: 0 new, 0 again" in told
    assert fingerprint(place.output) == before
    assert place.once().code == 0
    after = fingerprint(place.output)
    assert {name.partition("/")[0] for name in before if after[name] != before[name]} == {"poster", "thumb"}
    story = place.watcher("why", place.inbox / "p000.jpg", "--config", place.config).out
    assert "position north, background #0000ff, sharpen standard" in story
    assert f"watermark {place.root}/logo.png (south-east, 20% wide, opacity 60%)" in story


def test_a_watermark_that_is_missing_is_a_fault_of_the_config_with_its_line(place: Place) -> None:
    place.configure({"web": {**WEB, "watermark": "logo.png"}})
    refused = place.once()
    assert refused.code == 78
    assert "rendition.web.watermark" in refused.err
    assert "can't be read (No such file" in refused.err


@pytest.mark.slow
def test_a_watermark_that_changes_while_the_daemon_runs_is_noticed_at_a_reload(place: Place) -> None:
    logo(place, "red")
    place.configure({"web": {**WEB, "watermark": "logo.png"}, "thumb": THUMB})
    with place.run() as daemon:
        fill(place.inbox, 1)
        daemon.settle(1)
        before = fingerprint(place.output)
        logo(place, "lime")
        fill(place.inbox, 1, 1)
        daemon.settle(2)
        assert {name: item for name, item in fingerprint(place.output).items() if name in before} == before
        (place.root / "logo.png").rename(place.root / "away.png")
        daemon.send(signal.SIGHUP)
        daemon.wait_for("config.rejected")
        assert "rendition.web.watermark" in daemon.events("config.rejected")[0]["reason"]
        (place.root / "away.png").rename(place.root / "logo.png")
        daemon.send(signal.SIGHUP)
        daemon.wait_for("config.reloaded")
        until(lambda: fingerprint(place.output)["web/p000.jpg"] != before["web/p000.jpg"], "it is made again")
        assert fingerprint(place.output)["thumb/p000.jpg"] == before["thumb/p000.jpg"]
