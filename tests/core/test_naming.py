"""What a photo still needs, and what its outputs are called."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from watcher.core.formats import Format, misnamed
from watcher.core.naming import aside, aside_number, could_meet, free_names, natural_name, number_of, stem_of
from watcher.core.output_paths import renderings
from watcher.core.recipe import Recipe
from watcher.core.records import Phase, PhotoRecord, RenditionRecord, needs_work
from watcher.core.types import FileSignature, PhotoId

SEEN = FileSignature(100, 5, 7)


def recipe(fingerprint: str = "f1", fmt: Format = "jpeg") -> Recipe:
    return Recipe(100, 100, "inside", fmt, 85, "safe", fingerprint)


def known(phase: Phase, *, stamp: FileSignature = SEEN, recipes: dict[str, str] | None = None) -> PhotoRecord:
    return PhotoRecord(stamp._replace(inode=0), phase, recipes or {}, {}, at=0.0)


def test_an_unknown_photo_needs_work() -> None:
    assert needs_work(None, SEEN, {"web": recipe()})


def test_a_photo_is_done_once_while_it_and_its_recipes_stay() -> None:
    done = known(Phase.DONE, recipes={"web": "f1", "old": "f0"})
    assert not needs_work(done, SEEN, {"web": recipe()})
    assert not needs_work(done, SEEN._replace(inode=8), {"web": recipe()})  # a copy that kept size and time
    assert needs_work(done, SEEN, {"web": recipe("f2")})
    assert needs_work(done, SEEN, {"web": recipe(), "thumb": recipe()})


@pytest.mark.parametrize("phase", list(Phase))
def test_any_change_starts_over(phase: Phase) -> None:
    books = known(phase, recipes={"web": "f1"})
    assert needs_work(books, SEEN._replace(size=101), {"web": recipe()})
    assert needs_work(books, SEEN._replace(mtime_ns=4), {"web": recipe()})


def test_a_failed_photo_is_left_alone_even_under_another_recipe() -> None:
    assert not needs_work(known(Phase.FAILED), SEEN, {"web": recipe("f2")})


def test_a_waiting_photo_needs_work() -> None:
    assert needs_work(known(Phase.WAITING), SEEN, {"web": recipe()})


# ---- names ----


def output_name(
    name: bytes, rendition: str, fmt: Format, others: Mapping[bytes, Mapping[str, RenditionRecord]], *, folds_case: bool
) -> bytes:
    return next(free_names(name, rendition, fmt, others, folds_case=folds_case))


def test_a_jpeg_keeps_its_name_and_another_format_swaps_the_extension() -> None:
    assert natural_name(b"A.b.JPEG", "jpeg") == b"A.b.JPEG"
    assert natural_name(b"A.b.JPEG", "webp") == b"A.b.webp"
    assert natural_name(b"\xff.jpg", "avif") == b"\xff.avif"
    assert natural_name(b".jpg", "png") == b".jpg.png"
    assert natural_name(b"photo", "png") == b"photo.png"


@pytest.mark.parametrize(
    ("name", "jpeg", "webp"),
    [(b"x.png", b"x.jpg", b"x.webp"), (b"IMG_1.PNG", b"IMG_1.jpg", b"IMG_1.webp"), (b"x.jpe", b"x.jpe", b"x.webp")],
)
def test_a_photo_with_the_extension_of_another_format_has_its_extension_swapped_for_a_jpeg_too(
    name: bytes, jpeg: bytes, webp: bytes
) -> None:
    assert natural_name(name, "jpeg") == jpeg
    assert natural_name(name, "webp") == webp


def test_a_photo_in_another_format_beside_a_jpeg_of_its_name_gets_its_whole_name_and_the_extension() -> None:
    others: dict[bytes, dict[str, RenditionRecord]] = {b"IMG_1.jpg": {}}
    assert could_meet(b"IMG_1.png", b"IMG_1.jpg")
    assert output_name(b"IMG_1.png", "web", "jpeg", others, folds_case=False) == b"IMG_1.png.jpg"
    assert output_name(b"IMG_1.PNG", "web", "jpeg", {b"IMG_1.JPG": {}}, folds_case=True) == b"IMG_1.PNG.jpg"


@pytest.mark.parametrize(
    ("name", "kind", "label"),
    [(b"a.jpg", "png", "a PNG"), (b"a.PNG", "jpeg", "a JPEG"), (b"a.png", "png", ""), (b"a.jpe", "jpeg", "")],
)
def test_a_photo_is_misnamed_only_where_its_extension_is_that_of_another_format(
    name: bytes, kind: str, label: str
) -> None:
    assert misnamed(name, kind) == label


def test_the_later_of_two_photos_that_would_meet_gets_its_whole_name_and_the_extension() -> None:
    assert output_name(b"a.jpeg", "web", "webp", {b"a.jpg": {}}, folds_case=False) == b"a.jpeg.webp"
    assert output_name(b"A.JPG", "web", "jpeg", {b"a.jpg": {}}, folds_case=True) == b"A.JPG.jpg"
    assert output_name(b"A.JPG", "web", "jpeg", {b"a.jpg": {}}, folds_case=False) == b"A.JPG"


def test_a_third_one_gets_a_number() -> None:
    others: dict[bytes, dict[str, RenditionRecord]] = {b"a.jpg": {}, b"a.jpeg.jpg": {}}
    assert output_name(b"a.jpeg", "web", "webp", others, folds_case=False) == b"a.jpeg.2.webp"


def test_a_name_once_given_is_kept_after_its_rival_is_gone() -> None:
    books = PhotoRecord(SEEN, Phase.DONE, {}, {"web": RenditionRecord(1, 1, 1, b"a.jpeg.webp")}, at=0.0)
    (made,) = renderings(b"x/a.jpeg", {"web": recipe(fmt="webp")}, books, {}, folds_case=False)
    assert made.output == b"web/x/a.jpeg.webp"


def test_a_name_that_was_given_for_another_format_is_given_anew() -> None:
    books = PhotoRecord(SEEN, Phase.DONE, {}, {"web": RenditionRecord(1, 1, 1, b"a.jpeg.webp")}, at=0.0)
    (made,) = renderings(b"a.jpeg", {"web": recipe(fmt="avif")}, books, {}, folds_case=False)
    assert made.output == b"web/a.avif"


def test_who_could_meet_whom() -> None:
    assert could_meet(b"a.jpg", b"A.jpeg")
    assert could_meet(b"a.jpeg", b"a.jpeg.jpg")  # the first may become a.jpeg.webp, the second is
    assert could_meet(b"a.jpeg.jpg", b"a.jpeg")
    assert could_meet(b"a.jpeg", b"a.jpeg.2.jpg")
    assert not could_meet(b"a.jpg", b"ab.jpg")
    assert not could_meet(b"a.jpg", b"a-b.jpg")


def test_stems_fold_what_a_file_system_could_fold() -> None:
    assert stem_of(b"IMG.JPG") == stem_of(b"img.jpeg")
    assert stem_of(b"STRASSE.jpg") == stem_of("straße.jpg".encode())
    assert stem_of(b"\xffA.jpg") == b"\xffa"


@pytest.mark.parametrize(
    ("one", "other"), [("A", "a"), ("\u00e9", "e\u0301"), ("\u00c9", "e\u0301"), ("\uac00", "\u1100\u1161")]
)
def test_names_that_differ_in_case_or_in_how_an_accent_is_written_meet_where_they_are_one(one: str, other: str) -> None:
    name, rival = f"{one}.jpg".encode(), f"{other}.jpg".encode()
    assert could_meet(name, rival)
    others = {rival: {"web": RenditionRecord(1, 1, 1)}}
    assert output_name(name, "web", "jpeg", others, folds_case=True) == name + b".jpg"
    assert output_name(name, "web", "jpeg", others, folds_case=False) == name


def test_of_those_of_one_name_that_went_the_last_one_tells_which_names_are_taken() -> None:
    photo = PhotoId(b"/in", b"x/a.jpg")
    made: dict[bytes, dict[str, RenditionRecord]] = {}
    for number in range(1, 30):
        before = dict(list(made.items())[-1:])
        names = {
            "web": output_name(b"a.jpg", "web", "jpeg", before, folds_case=False),
            "thumb": output_name(b"a.jpg", "thumb", "webp", before, folds_case=False),
        }
        taken = {fact.name for facts in made.values() for fact in facts.values()}
        assert taken.isdisjoint(names.values())
        facts = {rendition: RenditionRecord(1, 1, 1, name) for rendition, name in names.items()}
        last = max(map(number_of, made), default=0)
        key = aside(photo, aside_number(photo, facts, last))
        assert number_of(key.name) == number
        made[key.name] = facts
    last_one = {aside(photo, 29).name: made[aside(photo, 29).name]}
    assert names["web"] == b"a.jpg.28.jpg"
    assert output_name(b"a.jpeg", "thumb", "webp", last_one, folds_case=False) == b"a.jpeg.webp"
    assert output_name(b"a.jpg.28.jpg", "web", "jpeg", last_one, folds_case=False) == b"a.jpg.28.jpg.jpg"
    assert output_name(b"a.jpg.7.jpg", "web", "jpeg", last_one, folds_case=False) == b"a.jpg.7.jpg.jpg"
    assert output_name(b"a.jpg.29.jpg", "web", "jpeg", last_one, folds_case=False) == b"a.jpg.29.jpg"


def test_a_name_that_others_hold_puts_the_next_number_above_it() -> None:
    photo = PhotoId(b"/in", b"a.jpg")
    others: dict[bytes, dict[str, RenditionRecord]] = {aside(photo, 3).name: {}, b"a.jpg.3.jpg": {}}
    name = output_name(b"a.jpg", "web", "jpeg", others, folds_case=False)
    assert name == b"a.jpg.4.jpg"
    assert aside_number(photo, {"web": RenditionRecord(1, 1, 1, name)}, 3) == 5
