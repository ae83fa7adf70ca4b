"""A look at a photo for a forecast: what its renditions would take, and nothing of what can't be read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests import photos
from tests.rendering import job, recipe
from watcher.core.formats import OUTPUTS
from watcher.core.types import Done
from watcher.render import render
from watcher.render.look import weigh


def test_a_jpeg_is_weighed_as_it_is_made(tmp_path: Path) -> None:
    recipes = [
        recipe(metadata="none"),
        recipe(90, 90, "cover", metadata="none"),
        replace(recipe(400, 300, metadata="none"), sharpen="high"),
        replace(recipe(200, 200, "contain", metadata="none"), max_kb=5),
        recipe(250, 250),
    ]
    outcome = render(job(tmp_path, photos.talkative(6), *recipes))
    weights = weigh(os.fsencode(tmp_path / "in"), b"a.jpg", {f"r{number}": one for number, one in enumerate(recipes)})
    assert isinstance(outcome, Done), outcome
    assert weights is not None
    exact, limited, described = (
        [(weights[one.name], one.size) for one in outcome.made[part]] for part in (slice(3), slice(3, 4), slice(4, 5))
    )
    assert all(weight == size for weight, size in exact), exact
    assert limited[0][0] == 5000 >= limited[0][1]
    assert abs(described[0][0] - described[0][1]) < 30, "segments have heads"


def test_what_other_formats_take_follows_from_the_jpeg(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photos.plain())
    weights = weigh(os.fsencode(tmp_path), b"a.jpg", {form: recipe(form=form) for form in OUTPUTS})
    assert weights is not None
    assert weights["avif"] < weights["webp"] < weights["jpeg"] < weights["png"]


@pytest.mark.parametrize("data", [b"", b"no photo", photos.plain(600, 400)[:3000]])
def test_what_cannot_be_read_is_passed_over(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert weigh(os.fsencode(tmp_path), b"a.jpg", {"web": recipe()}) is None
    assert weigh(os.fsencode(tmp_path), b"gone.jpg", {"web": recipe()}) is None
