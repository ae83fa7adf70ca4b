"""Pillow's decoder, fed in pieces, gives the pixels that Pillow's own `load` gives, and tells what is not whole."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from PIL import Image

from tests import photos
from watcher.render.decoders import describe
from watcher.render.decoders.base import EndsEarlyError, NotWholeError, UndecodableError
from watcher.render.decoders.jpeg import feed

SAMPLES = {
    "plain": photos.plain(),
    "progressive": photos.progressive(),
    "grey": photos.grey(),
    "cmyk": photos.cmyk(),
    "ycck": photos.ycck(),
    "restarts": photos.jpeg(restart_marker_blocks=3),
    "whole chroma": photos.jpeg(subsampling=0),
    "odd": photos.jpeg(photos.scene(333, 77)),
    "talkative": photos.talkative(),
    "trailer": photos.with_trailer(),
}


@pytest.fixture(autouse=True)
def _tested_anew() -> Iterator[None]:
    feed.at_once.cache_clear()
    yield
    feed.at_once.cache_clear()


def decoded(data: bytes, scale: int) -> tuple[str, bytes] | str:
    try:
        image = describe(data).decode(scale).image
    except (UndecodableError, EndsEarlyError):
        return "refused"
    except NotWholeError:
        return "not whole"
    except (OSError, ValueError) as error:
        return type(error).__name__
    return image.mode, image.tobytes()


def both(data: bytes, scale: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes] | str]:
    """Give what comes of it, in pieces and by `load`."""
    found = [decoded(data, scale)]
    with monkeypatch.context() as patch:
        patch.setattr(feed, "at_once", lambda: False)
        found.append(decoded(data, scale))
    return found


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("scale", [1, 2, 8])
def test_the_pixels_are_the_same(name: str, scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = both(SAMPLES[name], scale, monkeypatch)
    assert not isinstance(theirs, str)
    assert ours == theirs


def test_of_what_is_cut_off_or_broken_only_that_is_decoded_which_pillow_decodes_too_and_to_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(7)
    found: Counter[str] = Counter()
    for _ in range(200):
        data = bytearray(SAMPLES[rng.choice(list(SAMPLES))])
        for _ in range(rng.randrange(3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        broken = bytes(data[: rng.randrange(len(data)) if rng.random() < 0.4 else len(data)])
        ours, theirs = both(broken, rng.choice((1, 4)), monkeypatch)
        if isinstance(ours, str) or isinstance(theirs, str):
            assert ours in (theirs, "not whole")
        else:
            other = sum(a != b for a, b in zip(ours[1], theirs[1], strict=True))
            assert other < len(ours[1]) / 50, "no more than a block, of which some bits are missing"
        found[ours if isinstance(ours, str) else "whole"] += 1
    assert found["whole"] > 40
    assert found["not whole"] > 60


def test_a_whole_photo_is_decoded_without_pillows_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    assert feed.at_once()
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("by Pillow's reader"))
    data = photos.plain()
    image = describe(data).decode(2).image
    assert image.size == (300, 200)
    assert getattr(image, "fp", None) is None, "the photo's bytes stay in memory"


@pytest.mark.parametrize("fault", [AttributeError, TypeError])
def test_where_pillow_has_changed_it_decodes_its_own_way(
    fault: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Image._getdecoder, 0

    def changed(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise fault
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "_getdecoder", changed)
    assert not feed.at_once()
    data = photos.plain()
    assert describe(data).decode(1).image.size == (600, 400)
