"""Which quality is chosen under a limit of bytes, for any file sizes that grow with the quality."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from watcher.core.recipe import Recipe, most_bytes
from watcher.render.encode import LOWEST, encode
from watcher.render.metadata import Kept

SIZES = st.lists(st.integers(0, 5000), min_size=101, max_size=101).map(sorted)


@given(SIZES, st.integers(1, 100), st.integers(0, 5))
def test_the_best_quality_that_fits_is_found_in_few_tries_and_else_the_lowest(
    sizes: list[int], quality: int, max_kb: int
) -> None:
    tried = []

    def encoded(_image: object, _form: object, wanted: int, _kept: object) -> bytes:
        tried.append(wanted)
        return bytes(sizes[wanted])

    recipe = Recipe(9, 9, "inside", "jpeg", quality, "none", "f", max_kb=max_kb)
    with mock.patch("watcher.render.encode._encoded", encoded):
        data = encode(Image.new("L", (9, 9)), recipe, Kept())
    allowed = range(min(LOWEST, quality), quality + 1)
    fitting = [sizes[step] for step in allowed if sizes[step] <= most_bytes(max_kb)]
    assert len(data) == max(fitting, default=sizes[allowed[0]])
    assert len(tried) <= (7 if max_kb else 1)
