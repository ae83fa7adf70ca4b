"""Outputs are removed only if they certainly are what is recorded, and their photo is certainly gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from tests.faults.mounting import needs_mounts, volume
from watcher.core.orphans import LeftPhoto, Orphan, places_of
from watcher.core.output_paths import taken_paths
from watcher.core.records import RenditionRecord
from watcher.core.types import PhotoId
from watcher.core.volumes import Holder
from watcher.fs.output_mark import claim
from watcher.fs.prune import Pruning, prune
from watcher.render import digest_of_output
from watcher.render.source import open_photo

DATA = b"a rendition"
FACT = RenditionRecord(1, 1, len(DATA), digest=blake3(DATA).digest(8))
RECIPES = {"web": "f1"}


class Trees:
    """An inbox with one photo that stayed and one that is gone, and the output of the one that is gone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox, self.out = root / "in", root / "out"
        self.web = self.out / "web" / "x" / "a.jpg"
        (self.inbox / "x").mkdir(parents=True)
        (self.inbox / "x" / "stays.jpg").write_bytes(b"photo")
        self.web.parent.mkdir(parents=True)
        self.web.write_bytes(DATA)
        (self.out / "web" / "b.jpg").write_bytes(DATA)
        self.photo = PhotoId(os.fsencode(self.inbox), b"x/a.jpg")
        found = self.inbox.stat()
        places = places_of(self.photo, [LeftPhoto(RECIPES, {"web": FACT._replace(name=b"a.jpg")})], {}, (), bytes)
        self.orphan = Orphan(self.photo, os.fsencode(self.out), places, gone=True, root=(found.st_dev, found.st_ino))

    def prune(self, **changes: object) -> Pruning:
        return prune(replace(self.orphan, **changes), digest_of_output, remove=True)  # type: ignore[arg-type]


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


def test_an_output_whose_photo_is_gone_is_removed_with_its_empty_folder(trees: Trees) -> None:
    os.utime(trees.web, (5, 5))  # of a photo that was given another date since
    assert prune(trees.orphan, digest_of_output, remove=False).found == (os.fsencode(trees.web),)
    assert trees.web.exists()
    assert trees.prune() == Pruning(found=(os.fsencode(trees.web),))
    assert not trees.web.parent.exists()
    assert (trees.out / "web" / "b.jpg").exists()
    assert trees.prune() == Pruning(), "there is nothing any more"


def test_a_rendition_that_the_config_no_longer_has_goes_with_its_folder_while_the_photo_is_there(trees: Trees) -> None:
    (trees.inbox / "x" / "a.jpg").write_bytes(b"photo")
    (trees.out / "other").mkdir()
    (trees.out / "web" / "b.jpg").unlink()
    assert trees.prune(gone=False).found == (os.fsencode(trees.web),)
    assert os.listdir(trees.out) == ["other"]


def swap_in_place(trees: Trees) -> None:
    """Write other bytes of the same number and date."""
    found = trees.web.stat()
    with trees.web.open("r+b") as file:
        file.write(DATA.swapcase())
    os.utime(trees.web, ns=(found.st_mtime_ns, found.st_mtime_ns))


def make_it_a_link(trees: Trees) -> None:
    trees.web.rename(trees.root / "elsewhere")
    trees.web.symlink_to(trees.root / "elsewhere")


def make_its_folder_a_link(trees: Trees) -> None:
    trees.web.parent.rename(trees.root / "elsewhere")
    trees.web.parent.symlink_to(trees.root / "elsewhere")


def make_it_a_folder(trees: Trees) -> None:
    trees.web.unlink()
    trees.web.mkdir()


@pytest.mark.parametrize(
    "change",
    [
        swap_in_place,
        make_it_a_link,
        make_its_folder_a_link,
        make_it_a_folder,
        lambda trees: trees.web.write_bytes(DATA + b"!"),
    ],
)
def test_what_is_not_the_file_that_was_made_stays(trees: Trees, change: Callable[[Trees], object]) -> None:
    change(trees)
    found = trees.prune()
    assert (found.found, [path for path, _ in found.kept]) == ((), [os.fsencode(trees.web)])
    assert os.path.lexists(trees.web)


def test_what_has_no_recorded_content_stays(trees: Trees) -> None:
    places = places_of(trees.photo, [LeftPhoto({}, {"web": FACT._replace(digest=b"", name=b"a.jpg")})], {}, (), bytes)
    (kept,) = trees.prune(places=places).kept
    assert kept == (os.fsencode(trees.web), "its content is not recorded: it was made by an earlier version")


# ---- is the photo gone? ----


def unmounted(trees: Trees) -> None:
    """Leave the empty folder of a mount point."""
    trees.inbox.rename(trees.root / "away")
    trees.inbox.mkdir()


def a_stand_in(trees: Trees) -> None:
    trees.inbox.rename(trees.root / "away")
    shutil.copytree(trees.root / "away", trees.inbox)


def a_file_in_place_of_a_folder(trees: Trees) -> None:
    shutil.rmtree(trees.inbox / "x")
    (trees.inbox / "x").write_bytes(b"")


def a_link_in_place_of_a_folder(trees: Trees) -> None:
    (trees.inbox / "x").rename(trees.root / "x")
    (trees.inbox / "x").symlink_to(trees.root / "x")


def emptied(trees: Trees) -> None:
    """Leave the folder of a photo as a mount point without its volume."""
    (trees.inbox / "x" / "stays.jpg").unlink()


def put(trees: Trees, name: str) -> None:
    (trees.inbox / "x" / name).write_bytes(b"photo")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (unmounted, "is not the folder that was scanned"),
        (a_stand_in, "is not the folder that was scanned"),
        (lambda trees: trees.inbox.rename(trees.root / "away"), "can't be read: No such file"),
        (emptied, "/in/x is empty: mount its volume, or remove it"),
        (a_file_in_place_of_a_folder, "is no folder"),
        (a_link_in_place_of_a_folder, "is no folder"),
        (lambda trees: put(trees, "a.jpg"), "its photo is there again"),
        (lambda trees: (trees.inbox / "x" / "a.jpg").symlink_to("nothing"), "something is at"),
        pytest.param(lambda trees: (trees.inbox / "x" / "a.jpg").mkdir(), "something is at", id="folder"),
        (lambda trees: put(trees, f".a.jpg.{'0' * 16}.watcher-leaving"), "is being archived"),
    ],
)
def test_nothing_is_removed_unless_the_photo_is_certainly_gone(
    trees: Trees, change: Callable[[Trees], object], reason: str
) -> None:
    change(trees)
    found = trees.prune()
    assert found.found == ()
    assert [(path, reason in why) for path, why in found.kept] == [(os.fsencode(trees.web), True)], found.kept
    assert trees.web.read_bytes() == DATA


def test_where_originals_are_archived_one_that_is_gone_may_be(trees: Trees) -> None:
    ((_, why),) = trees.prune(archives=True).kept
    assert why == "its original may have been archived: the inbox has `after`"
    assert trees.prune(archives=True, gone=False).found == (os.fsencode(trees.web),), "a rendition is another matter"


def test_the_photos_of_a_volume_that_is_mounted_in_the_inbox_no_more_are_not_gone(trees: Trees) -> None:
    for path in ("x/a.jpg", "away/y/a.jpg"):
        (_, why), *_ = trees.prune(photo=trees.photo._replace(path=path.encode()), nested=True).kept
        assert "another volume is mounted" in why
    assert trees.web.exists()


@needs_mounts
def test_a_folder_of_the_same_disk_that_is_mounted_in_the_inbox_is_a_volume_too(trees: Trees) -> None:
    """As folders of a container are: their device is that of the inbox."""
    (trees.root / "elsewhere").mkdir()
    photo = trees.root / "elsewhere" / "photo.jpg"
    photo.write_bytes(b"photo")
    with volume(photo.parent, trees.inbox / "x"):
        with open_photo(PhotoId(trees.photo.inbox, b"x/photo.jpg")) as source:
            assert source.is_nested()
        assert "another volume is mounted" in trees.prune().kept[0][1]
    with open_photo(PhotoId(trees.photo.inbox, b"x/stays.jpg")) as source:
        assert not source.is_nested()
    assert "another volume is mounted" in trees.prune(nested=True).kept[0][1], "it was made while that was mounted"
    with volume(photo.parent, trees.inbox / "x"):
        assert trees.prune(nested=True).found == (os.fsencode(trees.web),)


def test_a_folder_that_can_not_be_read_hides_its_photos(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.lstat

    def refused(path: bytes) -> os.stat_result:
        if os.fsencode(path).endswith(b"/a.jpg"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "lstat", refused)
    ((_, why),) = trees.prune().kept
    assert why.endswith("can't be read: Permission denied")


def test_a_photo_that_comes_back_while_its_output_is_read_keeps_it(trees: Trees) -> None:
    def digest(file: int) -> bytes:
        put(trees, "a.jpg")
        return digest_of_output(file)

    found = prune(trees.orphan, digest, remove=True)
    assert found.kept == ((os.fsencode(trees.web), "its photo is there again"),)
    assert trees.web.exists()


def test_a_photo_that_comes_back_while_its_folder_is_listed_keeps_its_output(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, folder, times = os.listdir, (trees.inbox / "x").stat().st_ino, 0

    def listing(at: int) -> list[str]:
        nonlocal times
        found = listed(at)
        times += os.stat(at).st_ino == folder
        if times == 2:  # the look after the output was read
            put(trees, "a.jpg")
        return found

    monkeypatch.setattr(os, "listdir", listing)
    assert trees.prune().kept == ((os.fsencode(trees.web), "its photo is there again"),)


def test_an_output_that_is_replaced_while_it_is_read_stays(trees: Trees) -> None:
    def digest(file: int) -> bytes:
        (trees.root / "new").write_bytes(DATA)
        (trees.root / "new").rename(trees.web)
        return digest_of_output(file)

    assert prune(trees.orphan, digest, remove=True).found == ()
    assert trees.web.exists()


# ---- the output tree ----


def test_an_output_tree_that_is_away_is_not_taken_for_one_in_which_nothing_is_left(trees: Trees) -> None:
    trees.out.rename(trees.root / "away")
    assert "can't be opened" in trees.prune().kept[0][1]
    trees.out.mkdir()
    assert "is its volume mounted?" in trees.prune().kept[0][1]


def test_nothing_is_removed_from_the_tree_of_another_inbox(trees: Trees) -> None:
    theirs = Holder(os.fsencode(trees.root), 1, os.fsencode(trees.web), known=True)
    root = os.open(trees.out, os.O_RDONLY)
    claim(root, os.fsencode(trees.out), theirs, ["web"])
    os.close(root)
    mine = Holder(trees.photo.inbox, 2, b"/mine.db", known=True)
    assert trees.prune(holder=mine).kept == ((os.fsencode(trees.web), "its output folder belongs to another inbox"),)
    assert trees.prune(holder=theirs).found == (os.fsencode(trees.web),)


def test_of_the_names_that_an_output_may_have_those_are_named_that_exist(trees: Trees) -> None:
    places = places_of(trees.photo, [LeftPhoto({}, {"web": FACT})], {}, (), bytes)
    assert len(places) > 1
    assert [path for path, _ in trees.prune(places=places, root=(0, 0)).kept] == [os.fsencode(trees.web)]
    trees.web.unlink()
    assert len(trees.prune(places=places, root=(0, 0)).kept) == 1, "nothing is known to be removed"
    assert trees.prune(places=places) == Pruning()


# ---- which places are its own ----


def test_a_place_that_another_photo_has_or_may_get_is_none_of_them() -> None:
    photo = PhotoId(b"/in", b"x/a.jpg")
    left = [LeftPhoto({}, {"web": FACT, "old": FACT})]
    conflicts = {
        b"a.jpeg": {"web": FACT._replace(name=b"a.webp")},
        b"a.jpg\x00000000001": {"web": FACT._replace(name=b"a.avif")},
        b"X/A.jpg": {"old": FACT},
    }
    taken = taken_paths(photo, conflicts, {})
    places = [place.output for place in places_of(photo, left, {}, taken, bytes.lower)]
    assert places == [b"web/x/a.jpg", b"web/x/a.png"]


def test_of_several_versions_of_a_photo_each_content_counts_as_its_own() -> None:
    photo = PhotoId(b"/in", b"a.jpg")
    left = [LeftPhoto({}, {"web": FACT._replace(name=b"a.jpg", digest=digest)}) for digest in (b"1", b"2", b"")]
    (place,) = places_of(photo, left, {}, (), bytes)
    assert place.contents == {(len(DATA), b"1"), (len(DATA), b"2")}
