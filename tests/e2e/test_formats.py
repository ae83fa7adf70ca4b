"""`format` as a list: one size, encoded in each format."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.e2e.harness import THUMB, WEB, Place, fill, tree
from watcher.app.estimate import dry_run
from watcher.app.explain import why
from watcher.app.settings import Source
from watcher.cli.list_photos import list_photos
from watcher.cli.verify import verify


def config(*formats: str) -> dict[str, dict[str, object]]:
    return {"web": {**WEB, "format": list(formats)}, "thumb": dict(THUMB)}


@pytest.mark.slow
def test_a_list_of_formats_makes_only_what_is_new_and_a_shorter_one_leaves_the_others_to_prune(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.configure({**config(), "web": WEB})
    fill(place.inbox / "2024", 1)
    assert place.once().code == 0
    jpeg = place.output / "web" / "2024" / "p000.jpg"
    before = jpeg.stat().st_ino
    place.configure(config("avif", "webp", "jpeg"))
    file, shown = str(place.config), capsys.readouterr
    dry_run(Source(None, file, str(place.state)))
    assert [line.split(", about")[0] for line in shown().out.splitlines()[1:]] == [
        "  web (avif): 1 new, 0 again",
        "  web (webp): 1 new, 0 again",
        "  web (jpeg): 0 new, 0 again",
        "  thumb: 0 new, 0 again",
    ]
    assert place.once().code == 0
    assert set(tree(place.output)) == {
        *(f"web/2024/p000.{ending}" for ending in ("avif", "webp", "jpg")),
        "thumb/2024/p000.jpg",
    }
    assert jpeg.stat().st_ino == before, "it was not made again"

    list_photos(None, file, None, as_json=True)
    made = json.loads(shown().out)["renditions"]
    assert [(item["name"], item["format"]) for item in made] == [
        ("web", "avif"),
        ("web", "webp"),
        ("web", "jpeg"),
        ("thumb", "jpeg"),
    ]
    for item in made:
        with Image.open(item["path"]) as image:
            assert (image.format, image.size) == (item["format"].upper(), (item["width"], item["height"]))
    why(str(jpeg.with_suffix(".avif")), file, None, as_json=False)
    story = shown().out
    assert f"the rendition web (avif) of {place.inbox}/2024/p000.jpg" in story
    assert "made web (" in story

    place.configure(config("webp", "avif"))
    assert verify(None, file, None, repair=False, deep=True, as_json=False) == 0
    assert "3 renditions checked: 0 missing, 0 different, 0 unknown" in shown().out
    pruned = place.watcher("verify", "--prune", "--yes", "--config", place.config).out
    assert f"orphan: {jpeg}: the config has no rendition web (another format) for it" in pruned
    assert "1 of 1 output removed" in pruned
    assert not jpeg.exists()
    assert len(tree(place.output)) == 3

    place.configure(config("webp"))
    dry_run(Source(None, file, str(place.state)))
    assert [line.split(", about")[0] for line in shown().out.splitlines()[1:]] == [
        "  web: 0 new, 0 again",
        "  thumb: 0 new, 0 again",
    ]
