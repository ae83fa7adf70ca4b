"""Templates of outputs' paths: which are refused, and what can meet."""

from __future__ import annotations

import pytest

from watcher.core.layout import DEFAULT, Layout, fault, layout_of, meeting, sized, unsized, without_digits
from watcher.core.orphans import LeftPhoto, places_of
from watcher.core.output_paths import name_of, recorded_paths, renderings, taken_paths, top_folders
from watcher.core.recipe import Recipe, label_of
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.types import FileSignature, PhotoId

FLAT = "{folder}/{stem}-{rendition}.{ext}"
SIZED = "{folder}/{stem}-{width}x{height}.{ext}"
MADE = RenditionRecord(300, 200, 5000, None, b"12345678")


def recipe(layout: str, fingerprint: str = "f1") -> Recipe:
    return Recipe(300, 300, "inside", "jpeg", 85, "safe", fingerprint, layout=layout)


def done(fact: RenditionRecord, key: str) -> PhotoRecord:
    return PhotoRecord(FileSignature(100, 5), Phase.DONE, {"web": key}, {"web": fact}, at=0.0)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("", b"web/2024/x/a.b.JPG"),
        (DEFAULT, b"web/2024/x/a.b.JPG"),
        (FLAT, b"2024/x/a.b-web.JPG"),
        ("p/{rendition}/{folder}/q/{stem}.{ext}", b"p/web/2024/x/q/a.b.JPG"),
        ("{folder}/{rendition}-{width}-{stem}.{ext}", b"2024/x/web-300-a.b.JPG"),
        (SIZED, b"2024/x/a.b-300x200.JPG"),
    ],
)
def test_a_template_gives_a_path_and_the_path_gives_folder_and_name(template: str, path: bytes) -> None:
    assert not fault(template or DEFAULT)
    layout = layout_of("web", template)
    assert sized(layout.output_path(b"2024/x", b"a.b.JPG"), 300, 200) == path
    assert layout.split(path) == (b"2024/x", b"a.b.JPG")
    assert layout.split(b"elsewhere") is None
    top = sized(layout.output_path(b"", b"a"), 300, 200)
    assert b"//" not in top
    assert layout.split(top) == (b"", b"a"), "neither folder nor extension"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("", "with an empty part"),
        ("{stem}.{ext}", "`1/a.jpg` and `2/a.jpg` would both be `a.jpg`"),
        ("web/{stem}.{ext}", "`1/a.jpg` and `2/a.jpg` would both be `web/a.jpg`"),
        ("{rendition}/b/{stem}.{ext}", "`1/a.jpg` and `2/a.jpg` would both be `web/b/a.jpg`"),
        ("{folder}-{stem}.{ext}", "without one `{folder}` between `/`"),
        ("{folder}/{folder}/{stem}.{ext}", "without one `{folder}` between `/`"),
        ("{folder}/{rendition}.{ext}", "`a.jpg` and `b.jpg` would have one name"),
        ("{folder}/{stem}/{rendition}.{ext}", "without one `{stem}` in the file name"),
        ("{folder}/{stem}", "does not end in `.{ext}`"),
        ("{folder}/{stem}.{ext}.bak", "does not end in `.{ext}`"),
        ("/srv/{folder}/{stem}.{ext}", "an absolute path"),
        ("../{folder}/{stem}.{ext}", "leads out of its folder"),
        ("{folder}/./{stem}.{ext}", "leads out of its folder"),
        ("{folder}//{stem}.{ext}", "an empty part"),
        ("{folder}/.{stem}.{ext}", "a dot in front"),
        ("{folder}/ {stem}.{ext}", "a space at the end"),
        ("{folder}/a\x07{stem}.{ext}", "with a character"),
        ("{folder}/a\n{stem}.{ext}", "with a character"),
        ("{folder}/a\\{stem}.{ext}", "with a character"),
        ("{folder}/" + "a" * 101 + "{stem}.{ext}", "over 100 bytes"),
        ("{folder}/{stem}-{name}.{ext}", "with `{name}`, which is none of {rendition}, {folder}, {stem}, {ext}, "),
        ("{folder}/{stem}-{.{ext}", "with a brace that belongs to no word"),
        ("{folder}/{width}/{stem}.{ext}", "the size in the name of a folder"),
        ("{folder}/{stem}{width}.{ext}", "digits next to the stem"),
        ("{folder}/{height}0{stem}.{ext}", "digits next to the stem"),
    ],
)
def test_a_template_that_can_be_none_is_refused_with_the_reason(template: str, why: str) -> None:
    assert why in fault(template)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("web", FLAT), ("thumb", FLAT)),
        (("web", ""), ("thumb", "")),
        (("web", "full/{folder}/{stem}.{ext}"), ("thumb", "")),
        (("web", "{folder}/w-{width}-{stem}.{ext}"), ("thumb", "{folder}/t-{width}-{stem}.{ext}")),
    ],
)
def test_renditions_with_names_of_their_own_never_meet(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert meeting(layout_of(*one), layout_of(*other)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("web", FLAT), ("b-web", FLAT)),
        (("Web", FLAT), ("wEB", FLAT)),
        (("web", "{folder}/{stem}.{ext}"), ("thumb", "")),
        (("web", "{folder}/{stem}.{ext}"), ("thumb", "{folder}/thumb/{stem}.{ext}")),
        (("web", SIZED), ("thumb", SIZED)),
        (("web", "{folder}/{stem}-{width}.{ext}"), ("thumb", "{folder}/{stem}.{ext}")),
    ],
)
def test_of_renditions_that_can_meet_two_photos_and_their_path_are_found(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    layouts = [layout_of(*each) for each in (one, other)]
    met = meeting(*layouts)
    assert met is not None
    for layout, photo in zip(layouts, met[:2], strict=True):
        folder, _, name = photo.rpartition("/")
        lower = Layout(*(part.lower() for part in (layout.before, layout.after, layout.head, layout.tail)))
        assert lower.split(met[2].encode()) == (folder.encode(), name.encode())


def test_a_path_whose_size_is_not_known_yet_is_like_any_that_it_may_become() -> None:
    path = layout_of("web", SIZED).output_path(b"7", b"a1.jpg")
    assert without_digits(path) == without_digits(sized(path, 12, 3456))
    assert unsized(path) == b"7/a1-{width}x{height}.jpg"
    assert name_of(path, "web", recipe(SIZED)) == b"a1.jpg"


def test_an_output_is_where_the_template_of_its_record_placed_it_whatever_the_config_says_now() -> None:
    wanted = {"web": recipe("{rendition}/x/{folder}/{stem}.{ext}")}
    assert recorded_paths(b"x/a.jpg", "web", MADE, {"web": "f1"}, wanted) == [b"web/x/a.jpg"]
    assert recorded_paths(b"x/a.jpg", "web", MADE._replace(layout=SIZED), {}, wanted)[0] == b"x/a-300x200.jpg"


@pytest.mark.parametrize(("key", "current"), [("f1", True), ("f0", False)])
def test_a_changed_template_has_the_output_leave_its_place(key: str, current: bool) -> None:
    (item,) = renderings(b"x/a.jpg", {"web": recipe(FLAT)}, done(MADE, key), {}, folds_case=False, unseen={"web"})
    assert item.output == b"x/a-web.jpg"
    assert item.spares[0] == b"x/a.jpg-web.jpg", "what lies at the new place is not known"
    assert item.old is not None
    assert (b"web/x/a.jpg" in item.old.outputs, item.old.current) == (True, current)
    moved = done(MADE._replace(layout=FLAT), f"{key}:{FLAT}")
    (item,) = renderings(b"x/a.jpg", {"web": recipe(FLAT)}, moved, {}, folds_case=False, unseen={"web"})
    assert (item.old, item.spares) == (None, ())


@pytest.mark.parametrize("key", ["f1", "f0"])
def test_an_output_with_its_size_in_its_path_may_get_another_place_with_every_version(key: str) -> None:
    sized_before = done(MADE._replace(layout=SIZED), f"{key}:{SIZED}")
    (item,) = renderings(b"x/a.jpg", {"web": recipe(SIZED)}, sized_before, {}, folds_case=False, unseen={"web"})
    assert item.old is not None
    assert (b"x/a-300x200.jpg" in item.old.outputs, item.old.current) == (True, False), "it is not moved, but made"
    assert item.spares, "what lies where the new size belongs is not known"


def test_the_old_place_and_the_new_one_of_another_photo_are_both_taken() -> None:
    taken = taken_paths(PhotoId(b"/in", b"x/a.jpeg"), {b"a.jpg": {"web": MADE}}, {"web": recipe(FLAT)})
    assert taken >= {b"web/x/a.jpg", b"x/a-web.jpg"}


def test_two_photos_that_would_meet_get_two_names_in_every_layout() -> None:
    wanted = {"web": Recipe(300, 300, "inside", "webp", 85, "safe", "f1", layout=FLAT)}
    (item,) = renderings(b"x/a.jpeg", wanted, None, {b"a.jpg": {}}, folds_case=False)
    assert item.output == b"x/a.jpeg-web.webp"


def test_the_place_of_a_rendition_that_was_called_otherwise_is_known() -> None:
    template = "img/{folder}/{stem}.{ext}"
    before = done(MADE._replace(layout=template), f"f1:{template}")
    (item,) = renderings(b"x/a.jpg", {"large": recipe(template)}, before, {}, folds_case=False, unseen={"large"})
    assert (item.output, item.spares) == (b"img/x/a.jpg", ())


def test_what_a_rendition_has_taken_over_is_no_place_of_one_that_is_given_up() -> None:
    template, photo = "img/{folder}/{stem}.{ext}", PhotoId(b"/in", b"x/a.jpg")
    fact, wanted = MADE._replace(layout=template), {"large": recipe(template)}
    left = [LeftPhoto({}, {"web": fact, "old": MADE})]
    taken = taken_paths(photo, {photo.name: {"large": fact}}, wanted)
    assert [place.output for place in places_of(photo, left, wanted, taken, bytes)] == [
        b"old/x/a.jpg",
        b"old/x/a.webp",
        b"old/x/a.avif",
        b"old/x/a.png",
    ]


def test_a_rendition_s_formats_lie_beside_each_other_and_each_is_known_by_its_key() -> None:
    made = {"web": MADE._replace(name=b"a.jpg"), "web/avif": MADE, "thumb/png": MADE}
    places = {key: recorded_paths(b"x/a.jpg", key, fact, {}, {}) for key, fact in made.items()}
    assert places == {"web": [b"web/x/a.jpg"], "web/avif": [b"web/x/a.avif"], "thumb/png": [b"thumb/x/a.png"]}
    assert layout_of("web/avif", FLAT) == layout_of("web", FLAT)
    assert top_folders({"web": recipe(""), "web/avif": recipe("")}) == ["web"]
    assert [label_of(key, made) for key in (*made, "thumb")] == [
        "web (another format)",
        "web (avif)",
        "thumb (png)",
        "thumb (another format)",
    ]
