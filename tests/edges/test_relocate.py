"""Outputs whose template has changed are moved, or made anew at their new places; nothing is lost on the way."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.photos import plain
from watcher.core.layout import OldOutput
from watcher.core.recipe import Recipe
from watcher.core.types import Done, Failed, Job, Outcome, PhotoId, Rendering
from watcher.fs import relocate
from watcher.fs.openat import sync_folder
from watcher.render import render_all

WEB = Recipe(80, None, "inside", "jpeg", 85, "safe", "0000000000000001")
THUMB = Recipe(40, None, "inside", "webp", 85, "safe", "0000000000000002")
SIZED = "{folder}/{stem}-{width}.{ext}"


class Moving:
    """A photo with two renditions, and the job after both got a new place."""

    def __init__(self, folder: Path) -> None:
        self.photo = folder / "in" / "a.jpg"
        self.out = folder / "out"
        self.photo.parent.mkdir()
        self.photo.write_bytes(plain())
        os.utime(self.photo, ns=(1_700_000_000_123_456_789,) * 2)
        renderings = Rendering("web", WEB, b"web/x/a.jpg"), Rendering("thumb", THUMB, b"thumb/x/a.webp")
        photo = PhotoId(os.fsencode(self.photo.parent), b"a.jpg")
        job = Job(1, photo, os.fsencode(self.out), renderings)
        (made,) = render_all([job])
        assert isinstance(made, Done)
        self.before = {item.name: self.path(item.output).stat().st_ino for item in made.made}
        layouts = {"web": SIZED, "thumb": "small/{folder}/{stem}.{ext}"}
        outputs = {"web": (b"x/a-\0w.jpg", b"x/a.jpg-\0w.jpg"), "thumb": (b"small/x/a.webp", b"small/x/a.jpg.webp")}
        self.job = replace(
            job,
            done=made.stamp._replace(inode=0),
            renderings=tuple(
                replace(
                    item,
                    recipe=replace(item.recipe, layout=layouts[item.name]),
                    output=outputs[item.name][0],
                    spares=outputs[item.name][1:],
                    old=OldOutput((now.output,), now.width, now.height, now.size, now.digest, current=True),
                )
                for item, now in zip(renderings, made.made, strict=True)
            ),
        )

    def path(self, output: bytes | str) -> Path:
        return self.out / os.fsdecode(output)

    def run(self, job: Job | None = None) -> list[str]:
        """Take the job; return what is there then."""
        self.outcome: Outcome = render_all([job or self.job])[0]
        return sorted(str(path.relative_to(self.out)) for path in self.out.rglob("*") if path.is_file())

    def inodes(self) -> dict[str, int]:
        assert isinstance(self.outcome, Done), self.outcome
        return {item.name: self.path(item.output).stat().st_ino for item in self.outcome.made}


@pytest.fixture
def moving(tmp_path: Path) -> Moving:
    return Moving(tmp_path)


BOTH = ["small/x/a.webp", "x/a-80.jpg"]


def test_a_new_place_is_a_move_of_the_same_file_and_leaves_no_folder(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.render.pipeline._read", None)  # not even the photo is read
    assert moving.run() == BOTH
    assert moving.inodes() == moving.before
    assert {path.name for path in moving.out.iterdir()} >= {"small", "x"}
    assert not moving.path("web").exists()
    assert isinstance(moving.outcome, Done)
    assert all(item.adopted and item.digest for item in moving.outcome.made)


@pytest.mark.parametrize("refuse", [PermissionError, NotImplementedError])
def test_where_there_are_no_links_files_are_renamed(
    moving: Moving, monkeypatch: pytest.MonkeyPatch, refuse: type[Exception]
) -> None:
    def link(*_: object, **__: object) -> None:
        raise refuse

    monkeypatch.setattr(os, "link", link)
    assert moving.run() == BOTH
    assert moving.inodes() == moving.before


def test_what_was_cut_off_at_any_step_is_taken_up_where_it_was(moving: Moving) -> None:
    moving.path("x").mkdir()
    os.link(moving.path("web/x/a.jpg"), moving.path("x/a-80.jpg"))  # made, and the old name is still there
    moving.path("small/x").mkdir(parents=True)
    moving.path("thumb/x/a.webp").rename(moving.path("small/x/a.webp"))  # gone from there, and not recorded
    assert moving.run() == BOTH
    assert moving.inodes() == moving.before


def test_a_file_of_others_at_the_new_place_stays_and_the_output_is_called_otherwise(moving: Moving) -> None:
    moving.path("x").mkdir()
    moving.path("x/a-80.jpg").write_bytes(b"mine")
    assert moving.run() == ["small/x/a.webp", "x/a-80.jpg", "x/a.jpg-80.jpg"]
    assert moving.inodes() == moving.before
    assert moving.path("x/a-80.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_an_output_that_is_not_there_as_recorded_is_made_anew(moving: Moving, what: str) -> None:
    old = moving.path("web/x/a.jpg")
    data = old.read_bytes()
    old.unlink()
    if what == "changed":
        old.write_bytes(b"mine")
    assert moving.run() == sorted([*BOTH, *(["web/x/a.jpg"] if what == "changed" else [])]), "what is not ours stays"
    assert moving.path("x/a-80.jpg").read_bytes() == data
    assert moving.inodes()["thumb"] == moving.before["thumb"]


def test_a_changed_photo_is_made_anew_at_its_new_places_and_the_old_outputs_go(moving: Moving) -> None:
    moving.photo.write_bytes(plain(90, 50))
    os.utime(moving.photo, (1_700_000_001, 1_700_000_001))
    assert moving.run() == BOTH
    assert not set(moving.inodes().values()) & set(moving.before.values())


def test_another_recipe_is_made_anew_at_its_new_place_and_the_other_rendition_is_moved(moving: Moving) -> None:
    web, thumb = moving.job.renderings
    assert web.old is not None
    changed = replace(
        web,
        recipe=replace(web.recipe, width=60, fingerprint="0000000000000003"),
        old=web.old._replace(outputs=(b"web/x/a.jpg", b"web/x/a.webp"), current=False),
    )
    assert moving.run(replace(moving.job, renderings=(changed, thumb))) == ["small/x/a.webp", "x/a-60.jpg"]
    assert moving.inodes()["thumb"] == moving.before["thumb"]


def sized(moving: Moving, width: int, fingerprint: str = "0000000000000003") -> Job:
    """Return the job for another size of what was made with the size in its path."""
    web, thumb = moving.job.renderings
    assert isinstance(moving.outcome, Done)
    now = next(item for item in moving.outcome.made if item.name == "web")
    recipe = replace(web.recipe, width=width, fingerprint=fingerprint)
    old = OldOutput((now.output, b"x/a-80.webp"), now.width, now.height, now.size, now.digest, current=False)
    return replace(moving.job, renderings=(replace(web, recipe=recipe, old=old), replace(thumb, old=None)))


def test_another_size_in_the_path_takes_the_old_output_away_unless_it_was_edited(moving: Moving) -> None:
    moving.run()
    assert moving.run(sized(moving, 60)) == ["small/x/a.webp", "x/a-60.jpg"]
    assert isinstance(moving.outcome, Done)
    assert not moving.outcome.old_stays
    job = sized(moving, 50)
    moving.path("x/a-60.jpg").write_bytes(b"mine")
    assert moving.run(job) == ["small/x/a.webp", "x/a-50.jpg", "x/a-60.jpg"]
    assert moving.outcome.old_stays


def test_an_output_that_is_made_anew_where_it_was_stays(moving: Moving) -> None:
    moving.run()
    data = moving.path("x/a-80.jpg").read_bytes()
    assert moving.run(sized(moving, 80)) == BOTH
    assert moving.path("x/a-80.jpg").read_bytes() == data


def test_a_file_of_others_where_the_new_size_belongs_stays(moving: Moving) -> None:
    moving.run()
    moving.path("x/a-60.jpg").write_bytes(b"mine")
    assert moving.run(sized(moving, 60)) == ["small/x/a.webp", "x/a-60.jpg", "x/a.jpg-60.jpg"]
    assert moving.path("x/a-60.jpg").read_bytes() == b"mine"


def test_a_larger_size_replaces_the_old_output_only_when_it_is_durable(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    moving.run()
    monkeypatch.setattr("watcher.fs.publish.sync_folder", fails)
    assert moving.run(sized(moving, 60)) == sorted([*BOTH, "x/a-60.jpg"])
    assert isinstance(moving.outcome, Failed)


def test_renditions_that_exchange_their_places_are_made_anew(moving: Moving) -> None:
    web, thumb = moving.job.renderings
    pair = replace(web, output=b"thumb/x/a.webp", spares=()), replace(thumb, output=b"web/x/a.jpg", spares=())
    assert moving.run(replace(moving.job, renderings=pair)) == ["thumb/x/a.webp", "web/x/a.jpg"]
    assert isinstance(moving.outcome, Done)
    assert [(item.width, item.adopted) for item in moving.outcome.made] == [(80, False), (40, False)]


def test_a_photo_that_fails_has_its_outputs_where_they_were(moving: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    web, thumb = moving.job.renderings
    assert thumb.old is not None
    bad = replace(thumb, recipe=replace(thumb.recipe, fingerprint="3"), old=thumb.old._replace(current=False))

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("watcher.fs.publish._write", fails)
    assert moving.run(replace(moving.job, renderings=(web, bad))) == ["thumb/x/a.webp", "web/x/a.jpg"]
    assert isinstance(moving.outcome, Failed)
    assert moving.path("web/x/a.jpg").stat().st_ino == moving.before["web"]


def test_an_old_name_goes_only_when_the_new_one_is_durable(moving: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    unlink = os.unlink

    def synced(folder: int) -> None:
        steps.append("sync " + os.readlink(f"/proc/self/fd/{folder}").removeprefix(f"{moving.out}/"))
        sync_folder(folder)

    def unlinked(name: bytes, *, dir_fd: int | None = None) -> None:
        steps.append(f"unlink {os.fsdecode(name)}")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr("watcher.fs.publish.sync_folder", synced)
    monkeypatch.setattr(relocate, "sync_folder", synced)
    monkeypatch.setattr(os, "unlink", unlinked)
    assert moving.run() == BOTH
    assert _before(steps, "sync x", "unlink a.jpg")
    assert _before(steps, "sync small/x", "unlink a.webp")


def _before(steps: Sequence[str], first: str, then: str) -> bool:
    return steps.index(first) < steps.index(then)
