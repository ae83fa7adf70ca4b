"""`watcher list`: what was made of each photo, a line each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from tests.e2e.harness import THUMB, WEB, Place, fill
from watcher.cli.list_photos import list_photos
from watcher.core.naming import aside
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.status import InboxStatus
from watcher.core.types import FileSignature, PhotoId
from watcher.store import Store, queries

MADE = {"web": RenditionRecord(300, 200, 6000), "thumb": RenditionRecord(90, 90, 900)}


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with Store.open(str(place.state)) as opened:
        yield opened


def record(**changes: Any) -> PhotoRecord:  # noqa: ANN401  # any field's value
    recipes = {"web": "by an earlier recipe", "thumb": "by an earlier recipe"}
    return replace(PhotoRecord(FileSignature(7, 10**18), Phase.DONE, recipes, MADE, at=5.0), **changes)


def photo(place: Place, path: bytes) -> PhotoId:
    return PhotoId(os.fsencode(place.inbox), path)


def listed(place: Place, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert list_photos(None, str(place.config), None, as_json=True) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
def test_each_photo_that_is_done_has_a_line_with_what_lies_on_disk(place: Place) -> None:
    place.configure({"web": {**WEB, "format": "webp"}, "thumb": THUMB})
    fill(place.inbox / "2024", 2)
    (place.inbox / "bad.jpg").write_bytes(b"no picture")
    os.utime(place.inbox / "bad.jpg", (1, 1))
    with place.run() as daemon:
        daemon.settle(2)
        done = place.watcher("list", "--config", place.config, "--json")
        plain = place.watcher("list", "--config", place.config)
        assert daemon.stop() == 0
    assert (done.code, done.err, plain.code) == (0, "", 0)
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [item["path"] for item in found] == [str(place.inbox / "2024" / f"p00{number}.jpg") for number in (0, 1)]
    for item in found:
        assert set(item) == {"path", "size", "modified", "renditions"}
        assert item["size"] == os.path.getsize(item["path"])
        assert [each["name"] for each in item["renditions"]] == ["web", "thumb"]
        for each in item["renditions"]:
            assert set(each) == {"name", "format", "path", "width", "height", "bytes"}
            with Image.open(each["path"]) as image:
                assert (image.format, image.size) == (each["format"].upper(), (each["width"], each["height"]))
            assert os.path.getsize(each["path"]) == each["bytes"]
            assert each["path"] in plain.out


def test_a_state_file_that_is_not_there_yet_lists_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(place, capsys) == []
    assert not place.state.exists()


def test_only_what_is_done_and_what_the_config_has_is_listed(
    place: Place, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    place.configure({"web": WEB})
    gone = aside(photo(place, b"x/taken.jpg"), 1)
    store.write(
        [
            (photo(place, b"x/done.jpg"), record()),
            (photo(place, b"x/waits.jpg"), record(phase=Phase.WAITING)),
            (photo(place, b"x/failed.jpg"), record(phase=Phase.FAILED)),
            (photo(place, b"x/begun.jpg"), record(made={"web": RenditionRecord(0, 0, 0, b"begun.jpg.jpg")})),
            (photo(place, b"x/dropped.jpg"), record(made={"thumb": MADE["thumb"]})),
            (gone, record(away=b"/originals/taken.jpg", made={"web": MADE["web"]._replace(name=b"taken.jpg")})),
        ]
    )
    found = {item["path"]: [each["name"] for each in item["renditions"]] for item in listed(place, capsys)}
    assert found == {str(place.inbox / "x" / "done.jpg"): ["web"], str(place.inbox / "x" / "taken.jpg"): ["web"]}


def test_the_format_of_an_earlier_recipe_is_read_from_the_name(
    place: Place, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    place.configure({"web": {**WEB, "format": "avif"}})
    second = {"web": MADE["web"]._replace(name=b"b.jpeg.webp")}
    store.write([(photo(place, b"a.jpg"), record()), (photo(place, b"b.jpeg"), record(made=second))])
    (place.output / "web").mkdir(parents=True)
    (place.output / "web" / "a.png").write_bytes(b"")
    found = [(each["format"], each["path"]) for item in listed(place, capsys) for each in item["renditions"]]
    assert found == [("png", str(place.output / "web/a.png")), ("webp", str(place.output / "web/b.jpeg.webp"))]


def test_names_that_are_not_utf_8_and_dates_beyond_the_calendar_are_listed(
    place: Place, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write([(photo(place, b"\xff\n.jpg"), record(stamp=FileSignature(7, 10**21)))])
    (item,) = listed(place, capsys)
    assert os.fsencode(item["path"]).endswith(b"/\xff\n.jpg")
    assert item["modified"] is None
    assert list_photos(None, str(place.config), None, as_json=False) == 0
    assert capsys.readouterr().out.count("\n") == 3


def test_all_pages_of_all_folders_are_listed_each_photo_once(
    place: Place, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 2)
    paths = [f"{folder}p{number}.jpg" for folder in ("", "a/", "a/b/", "c/") for number in range(5)]
    store.write([(photo(place, path.encode()), record()) for path in paths])
    assert [item["path"] for item in listed(place, capsys)] == [str(place.inbox / path) for path in paths]


def test_what_was_made_in_another_output_is_not_listed(
    place: Place, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write([(photo(place, b"a.jpg"), record())])
    store.set_reports([InboxStatus(os.fsencode(place.inbox), b"/elsewhere")])
    assert listed(place, capsys) == []
    assert list_photos(None, str(place.config), None, as_json=True) == 0
    assert "was made in /elsewhere" in capsys.readouterr().err
