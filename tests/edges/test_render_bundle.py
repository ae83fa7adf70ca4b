"""Several photos in one go: made one by one, published together, and none pays for another."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import photos
from watcher.core.recipe import Recipe
from watcher.core.types import Done, Failed, FailureKind, Job, Outcome, PhotoId, Rendering, Unready
from watcher.render import render_all

RECIPE = Recipe(256, 256, "inside", "jpeg", 85, "safe", "0123456789abcdef")


class Bundle:
    """Jobs for photos of one folder, and what lies in the output meanwhile."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / "in"
        self.inbox.mkdir()
        self.seen: list[set[str]] = []  # outputs, when each job was taken up and after the last

    def put(self, name: str, data: bytes) -> None:
        (self.inbox / name).write_bytes(data)
        os.utime(self.inbox / name, ns=(10**18, 10**18))

    def outputs(self) -> set[str]:
        return {p.name for p in (self.root / "out").rglob("*.jpg")}

    def leftovers(self) -> list[Path]:
        return list((self.root / "out").rglob("*.tmp"))

    def jobs(self) -> Iterator[Job]:
        for number, name in enumerate(sorted(os.listdir(self.inbox))):
            self.seen.append(self.outputs())
            rendering = Rendering("web", RECIPE, b"web/" + os.fsencode(name))
            photo = PhotoId(os.fsencode(self.inbox), os.fsencode(name))
            yield Job(number, photo, os.fsencode(self.root / "out"), (rendering,))
        self.seen.append(self.outputs())


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    found = Bundle(tmp_path)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        found.put(name, photos.plain())
    return found


def kinds(outcomes: list[Outcome]) -> list[type[Outcome]]:
    return [type(outcome) for outcome in outcomes]


def test_nothing_shows_before_the_last_photo_is_made_and_then_all_do(bundle: Bundle) -> None:
    outcomes = render_all(bundle.jobs())
    assert kinds(outcomes) == [Done, Done, Done]
    assert bundle.seen == [set()] * 4
    assert bundle.outputs() == {"a.jpg", "b.jpg", "c.jpg"}
    assert not bundle.leftovers()


def test_a_bad_photo_among_good_ones_fails_alone(bundle: Bundle) -> None:
    bundle.put("b.jpg", b"no photo at all")
    bundle.put("c.jpg", photos.truncated())
    outcomes = render_all(bundle.jobs())
    assert kinds(outcomes) == [Done, Failed, Unready]
    assert bundle.outputs() == {"a.jpg"}
    assert not bundle.leftovers()


def test_a_photo_that_changes_while_the_others_are_made_is_looked_at_again(bundle: Bundle) -> None:
    def jobs() -> Iterator[Job]:
        for job in bundle.jobs():
            if job.photo.name == b"c.jpg":
                bundle.put("a.jpg", photos.noisy())
            yield job

    outcomes = render_all(jobs())
    assert kinds(outcomes) == [Unready, Done, Done]
    assert bundle.outputs() == {"b.jpg", "c.jpg"}
    assert not bundle.leftovers()


def test_every_output_is_durable_before_its_rename_and_the_folder_once_after_the_last(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def spy(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object, **more: object) -> object:
            done.append(name)
            return real(*arguments, **more)

        monkeypatch.setattr(os, name, call)

    (bundle.root / "out" / "web").mkdir(parents=True)
    spy("fsync")
    spy("rename")
    assert kinds(render_all(bundle.jobs())) == [Done, Done, Done]
    assert done == ["fsync"] * 3 + ["rename"] * 3 + ["fsync"]


def test_a_folder_that_cannot_be_made_durable_fails_all_that_went_there(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, 0

    def fail_at_the_last(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(file)

    (bundle.root / "out" / "web").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", fail_at_the_last)
    outcomes = render_all(bundle.jobs())
    assert [outcome.kind for outcome in outcomes if isinstance(outcome, Failed)] == [FailureKind.PASSING] * 3


def test_one_file_without_room_does_not_cost_the_others(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, 0

    def fail_at_the_second(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    (bundle.root / "out" / "web").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", fail_at_the_second)
    outcomes = render_all(bundle.jobs())
    assert kinds(outcomes) == [Done, Failed, Done]
    assert bundle.outputs() == {"a.jpg", "c.jpg"}
    assert not bundle.leftovers()
