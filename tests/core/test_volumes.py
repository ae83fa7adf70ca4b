"""Has an output lost its volume? By mount points and what lies there."""

from __future__ import annotations

import pytest

from watcher.core.volumes import belongs_on


@pytest.mark.parametrize(
    ("before", "now", "bare", "belongs"),
    [
        (b"", b"/mnt/disk", True, b"/mnt/disk"),  # the first start
        (b"/mnt/disk", b"/mnt/disk", True, b"/mnt/disk"),  # emptied on purpose
        (b"/mnt/disk", b"/", True, b"/mnt/disk"),  # away
        (b"/mnt/disk/inner", b"/mnt/disk", True, b"/mnt/disk/inner"),
        (b"/mnt/disk", b"/", False, b"/"),  # moved for good, with what lies there
        (b"/", b"/mnt/disk", True, b"/mnt/disk"),  # a disk of its own, from now on
        (b"/mnt/disk", b"/mnt/disk2", True, b"/mnt/disk2"),
        (b"/mnt/disk2", b"/mnt/disk", True, b"/mnt/disk"),  # no part of that path
        (b"/mnt/disk", b"", True, b""),  # not known
    ],
)
def test_an_output_that_is_bare_belongs_on_the_volume_that_is_gone(
    before: bytes, now: bytes, bare: bool, belongs: bytes
) -> None:
    assert belongs_on(before, now, bare=bare) == belongs
