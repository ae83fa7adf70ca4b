"""What a file's bytes say about its completeness."""

from __future__ import annotations

import random

import pytest

from watcher.render.whole import _hole

BLOCK = 4096


@pytest.mark.parametrize("at", [*range(5000, 5000 + BLOCK, 511), 5001, 19_999])
def test_a_block_of_zeros_is_found_wherever_it_begins_and_one_byte_less_is_none(at: int) -> None:
    noise = bytes(random.Random(7).choices(range(1, 256), k=30_000))
    for length, found in ((BLOCK, at), (BLOCK + 700, at), (BLOCK - 1, -1)):
        data = noise[:at] + bytes(length) + noise[at + length :]
        assert _hole(data, 100, len(data)) == found
        assert _hole(data, 100, at + BLOCK - 1) == -1
