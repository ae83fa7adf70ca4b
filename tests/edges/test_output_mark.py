"""Whose an output tree is: the mark in its root, and what lies there that is somebody else's."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.photos import plain
from watcher.core.recipe import Recipe
from watcher.core.types import Done, Failed, FailureKind, Job, PhotoId, Rendering
from watcher.core.volumes import Holder
from watcher.fs.dates import EXACT, NOT_KEPT, SAMPLE_NS
from watcher.fs.output_mark import ATTRIBUTE, NAME, TakenError, Tree, claim, grain_at, look_at
from watcher.render import render

RECIPE = Recipe(60, 60, "inside", "jpeg", 85, "safe", "0123456789abcdef")
SECOND = 1_000_000_000  # ns
OLD_NS = 1_700_000_000_123_456_789


class Root:
    """An output folder, inboxes beside it, and their state files."""

    def __init__(self, folder: Path, *, in_file: bool = False) -> None:
        self.folder = folder
        self.in_file = in_file
        self.out = folder / "out"
        self.out.mkdir()

    def inbox(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def holder(self, name: str, *, state: str = "", known: bool = False) -> Holder:
        inbox = self.inbox(name)
        file = self.folder / (state or f"{name}.db")
        file.write_bytes(b"")
        return Holder(os.fsencode(inbox), inbox.stat().st_ino, os.fsencode(file), known)

    def claim(self, holder: Holder) -> Tree:
        root = os.open(self.out, os.O_RDONLY)
        try:
            return claim(root, os.fsencode(self.out), holder, ["web"])
        finally:
            os.close(root)

    @property
    def file(self) -> Path:
        return self.out / os.fsdecode(NAME)

    @property
    def mark(self) -> bytes:
        return self.file.read_bytes() if self.in_file else os.getxattr(self.out, ATTRIBUTE)

    def write(self, mark: bytes) -> None:
        if self.in_file:
            self.file.write_bytes(mark)
        else:
            os.setxattr(self.out, ATTRIBUTE, mark)

    @property
    def listed(self) -> list[str]:
        """What lies there beside the file that may be the mark."""
        return [path.name for path in self.out.iterdir() if not (self.in_file and path == self.file)]


def _no_attributes(*_: object) -> None:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


@pytest.fixture(params=["attribute", "file"])
def root(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Root:
    """A tree on a file system with attributes, and on one without."""
    if request.param == "file":
        monkeypatch.setattr(os, "setxattr", _no_attributes)
    return Root(tmp_path, in_file=request.param == "file")


@pytest.fixture
def plain_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    """A tree on a file system without attributes."""
    monkeypatch.setattr(os, "setxattr", _no_attributes)
    return Root(tmp_path, in_file=True)


def test_the_first_who_writes_to_an_empty_tree_holds_it_and_every_other_inbox_is_told_whose_it_is(root: Root) -> None:
    assert root.claim(root.holder("one")) == Tree(own=True, grain=EXACT)
    before = root.mark
    with pytest.raises(TakenError) as taken:
        root.claim(root.holder("two"))
    assert f"renditions of another inbox, {root.folder}/one (its state file: {root.folder}/one.db)" in taken.value.found
    how = f"removing {root.file}" if root.in_file else f"setfattr -x user.watcher.output {root.out}"
    assert taken.value.hint.endswith(how)
    assert root.mark == before
    assert root.listed == []
    assert root.file.exists() is root.in_file
    assert not root.in_file or json.loads(before)["about"].startswith("The renditions in this folder")


def _nothing(_: Root) -> None:
    pass


def _state_is_lost(root: Root) -> None:
    (root.folder / "one.db").unlink()


def _tree_is_moved(root: Root) -> None:
    root.out.rename(root.folder / "moved")
    root.out = root.folder / "moved"


def _tree_is_put_back(root: Root) -> None:
    shutil.copytree(root.out, root.folder / "copy")
    shutil.rmtree(root.out)
    (root.folder / "copy").rename(root.out)


@pytest.mark.parametrize("happens", [_nothing, _state_is_lost, _tree_is_moved, _tree_is_put_back])
@pytest.mark.parametrize("state", ["one.db", "another.db"])
def test_the_same_inbox_goes_on_whatever_becomes_of_state_file_and_tree(
    root: Root, happens: Callable[[Root], None], state: str
) -> None:
    root.claim(root.holder("one"))
    happens(root)
    assert root.claim(root.holder("one", state=state)).own


def test_an_inbox_that_was_renamed_or_has_two_names_goes_on(root: Root) -> None:
    root.claim(root.holder("one"))
    (root.folder / "link").symlink_to("one")
    assert root.claim(replace_inbox(root.holder("one"), root.folder / "link")).own
    (root.folder / "link").unlink()
    (root.folder / "one").rename(root.folder / "two")
    assert root.claim(root.holder("two")).own
    with pytest.raises(TakenError):
        root.claim(root.holder("one"))  # another folder that has the old name now


def replace_inbox(holder: Holder, inbox: Path) -> Holder:
    return holder._replace(inbox=os.fsencode(inbox))


def test_another_folder_by_the_same_name_goes_on_and_replaces_nothing_unless_its_outputs_are_recorded(
    root: Root,
) -> None:
    root.claim(root.holder("one"))
    other = root.holder("one")._replace(folder=5)
    assert root.claim(other._replace(known=True)).own, "put back from a backup"
    assert not root.claim(other._replace(folder=6)).own, "as two containers have it"
    assert not root.claim(other).own, "and so it stays for all of them"


@pytest.mark.parametrize("lost", ["both", "ours"])
def test_a_tree_that_nobody_else_can_hold_is_handed_over(root: Root, lost: str) -> None:
    root.claim(root.holder("one"))
    if lost == "both":
        (root.folder / "one").rmdir()
        (root.folder / "one.db").unlink()
    other = root.holder("two", state="" if lost == "both" else "one.db")
    assert not root.claim(other).own, "what lies there is not of this inbox"
    with pytest.raises(TakenError):
        root.claim(root.holder("one", state="new.db"))


@pytest.mark.parametrize(("known", "bare"), [(True, False), (False, True), (False, False)])
def test_a_tree_without_a_mark_is_own_if_it_is_bare_or_recorded(root: Root, known: bool, bare: bool) -> None:
    if not bare:
        (root.out / "web").mkdir()
    assert root.claim(root.holder("one", known=known)).own is (known or bare)
    assert root.claim(root.holder("one")).own is (known or bare), "for good"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\x00", b'{"inbox": 1}', b"[" * 3000])
def test_a_mark_that_is_none_is_written_anew(root: Root, damage: bytes) -> None:
    root.write(damage)
    root.claim(root.holder("one"))
    with pytest.raises(TakenError):
        root.claim(root.holder("two"))


@pytest.mark.parametrize("refused", ["link", "everything"])
def test_a_file_system_without_second_names_gets_its_mark_and_one_that_takes_none_stops_nobody(
    plain_root: Root, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    for name in ("link",) if refused == "link" else ("link", "rename"):
        monkeypatch.setattr(os, name, refuse)
    assert plain_root.claim(plain_root.holder("one")).own
    assert plain_root.file.exists() is (refused == "link")
    assert plain_root.listed == [], "no temporary file stays"


@pytest.mark.parametrize(("grain", "found"), [(SECOND, SECOND), (2 * SECOND, 2 * SECOND), (100, 100), (0, NOT_KEPT)])
def test_the_mark_shows_how_finely_dates_are_kept_there(
    root: Root, monkeypatch: pytest.MonkeyPatch, grain: int, found: int
) -> None:
    real = os.utime

    def coarse(file: int, *, ns: tuple[int, int]) -> None:
        if not grain:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        real(file, ns=(ns[0] // grain * grain,) * 2)

    monkeypatch.setattr(os, "utime", coarse)
    assert root.claim(root.holder("one")).grain == found
    assert grain_at(os.fsencode(root.out)) == found
    assert look_at(os.fsencode(root.out), root.holder("one"), ["web"]).grain == found


@pytest.mark.parametrize("off", [3_600 * SECOND, -3_600 * SECOND, 86_400 * SECOND])
def test_where_the_mark_s_own_time_is_off_by_a_zone_nothing_is_forgiven(plain_root: Root, off: int) -> None:
    plain_root.claim(plain_root.holder("one"))
    os.utime(plain_root.file, ns=(SAMPLE_NS + off,) * 2)
    assert grain_at(os.fsencode(plain_root.out)) == EXACT


# ---- what lies there ----


class Photo:
    """A photo and its job in a tree."""

    def __init__(self, root: Root) -> None:
        self.root = root
        inbox = root.inbox("in")
        (inbox / "a.jpg").write_bytes(plain())
        os.utime(inbox / "a.jpg", ns=(OLD_NS, OLD_NS))
        rendering = Rendering("web", RECIPE, b"web/a.jpg", (b"web/a.jpg.jpg", b"web/a.jpg.2.jpg"))
        photo = PhotoId(os.fsencode(inbox), b"a.jpg")
        self.job = Job(1, photo, os.fsencode(root.out), (rendering,), adopt=True, holder=root.holder("in"))

    def made(self, **changes: object) -> Done:
        outcome = render(replace(self.job, **changes))  # type: ignore[arg-type]  # fields by name
        assert isinstance(outcome, Done), outcome
        return outcome


@pytest.fixture
def photo(root: Root) -> Photo:
    return Photo(root)


def _mine(path: Path) -> None:
    path.write_bytes(b"my own")


def _a_link(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("theirs", [_mine, _a_link])
def test_a_stranger_s_file_in_an_output_s_place_stays_and_the_output_gets_its_second_name(
    photo: Photo, theirs: Callable[[Path], None]
) -> None:
    web = photo.root.out / "web"
    web.mkdir()
    theirs(web / "a.jpg")
    before = os.lstat(web / "a.jpg")
    for again in (False, True):  # the second time as after a lost state file
        (made,) = photo.made().made
        adopted = again and not photo.root.in_file  # where there are no attributes, nothing proves itself
        assert (made.output, made.adopted) == (b"web/a.jpg.jpg", adopted)
    assert os.lstat(web / "a.jpg") == before
    assert sorted(path.name for path in web.iterdir()) == ["a.jpg", "a.jpg.jpg"]
    theirs(web / "a.jpg.2.jpg")
    (made,) = photo.made(adopt=False).made  # as after a crash: it is there, and is not recorded
    assert made.output == b"web/a.jpg.jpg"


def test_where_all_places_are_taken_the_photo_fails_and_says_what_lies_there(photo: Photo) -> None:
    web = photo.root.out / "web"
    web.mkdir()
    for name in ("a.jpg", "a.jpg.jpg", "a.jpg.2.jpg"):
        (web / name).write_bytes(b"my own")
    outcome = render(photo.job)
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PHOTO
    assert "files that watcher did not make lie at web/a.jpg" in outcome.reason


def test_in_a_tree_of_its_own_whatever_lies_there_is_an_earlier_version(photo: Photo) -> None:
    photo.made()
    (photo.root.out / "web/a.jpg").write_bytes(b"older")
    (made,) = photo.made().made
    assert (made.output, made.adopted) == (b"web/a.jpg", False)


def test_what_was_made_there_before_is_replaced_whosever_the_tree_is(photo: Photo) -> None:
    (photo.root.out / "web").mkdir()
    (photo.root.out / "web/a.jpg").write_bytes(b"older")
    recorded = replace(photo.job.renderings[0], spares=())
    (made,) = photo.made(renderings=(recorded,), adopt=False).made
    assert made.output == b"web/a.jpg"


def test_a_tree_of_another_inbox_that_comes_back_later_holds_the_photos_up(photo: Photo) -> None:
    photo.root.claim(photo.root.holder("other"))
    outcome = render(photo.job)
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.OUTPUT
    assert "another inbox" in outcome.reason
    assert photo.root.listed == []


def test_whoever_makes_the_first_photo_there_leaves_the_mark(photo: Photo) -> None:
    photo.root.out.rmdir()
    photo.made()
    assert json.loads(photo.root.mark)["inbox"] == str(photo.root.folder / "in")
    assert look_at(os.fsencode(photo.root.out), photo.root.holder("in"), ["web"]).own
