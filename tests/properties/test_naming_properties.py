"""No two photos of a folder ever share an output, in whatever order they come, and however formats change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watcher.core.formats import Format
from watcher.core.naming import could_meet, head_of, natural_name
from watcher.core.output_paths import renderings
from watcher.core.recipe import Recipe
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.types import FileSignature

PARTS = st.sampled_from(["a", "A", "jpg", "JPG", "jpeg", "2", "ß", "ss", ""])
NEAR = [
    b"a.jpg",
    b"a.jpeg",
    b"A.jpg",
    b"a.JPG",
    b"a.jpeg.jpg",
    b"a.jpeg.2.jpg",
    b"a.jpg.jpg",
    b"a",
    b"\xff.jpg",
    b"\xff",
]
NAMES = st.sampled_from(NEAR) | st.lists(PARTS, min_size=1, max_size=4).map(".".join).map(str.encode)
FORMATS: st.SearchStrategy[Format] = st.sampled_from(["jpeg", "webp", "avif"])


LEAVES = st.integers(0, 4).map(lambda number: number == 4)


@given(st.lists(st.tuples(NAMES, FORMATS, LEAVES), max_size=14), st.booleans())
def test_no_two_photos_share_an_output(steps: list[tuple[bytes, Format, bool]], folds_case: bool) -> None:
    books: dict[bytes, PhotoRecord] = {}
    outputs: dict[bytes, bytes] = {}  # photo → its output, as the file system tells them apart
    for name, fmt, leaves in steps:
        if leaves:
            books.pop(name, None)
            outputs.pop(name, None)
            continue
        others = {other: known.made for other, known in books.items() if other != name and could_meet(name, other)}
        wanted = {"web": Recipe(9, 9, "inside", fmt, 85, "safe", fmt)}
        (made,) = renderings(name, wanted, books.get(name), others, folds_case=folds_case)
        output = made.output.rpartition(b"/")[2]
        kept = None if output == natural_name(name, fmt) else output
        books[name] = PhotoRecord(
            FileSignature(1, 1), Phase.DONE, {"web": fmt}, {"web": RenditionRecord(1, 1, 1, kept)}, at=0.0
        )
        outputs.pop(name, None)
        assert (output.decode("utf-8", "replace").casefold().encode() if folds_case else output) not in outputs.values()
        outputs[name] = output.decode("utf-8", "replace").casefold().encode() if folds_case else output


@given(NAMES, NAMES)
def test_meeting_is_mutual(one: bytes, other: bytes) -> None:
    assert could_meet(one, other) == could_meet(other, one)
    assert head_of(one) == head_of(other) or not could_meet(one, other)
