"""Renditions of the same content are copied from where they lie, if what lies there is what the books mean."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.photos import oriented, plain
from watcher.core.recipe import Recipe
from watcher.core.types import Done, DuplicateCandidate, Job, PhotoId, Rendering, ReusableRendition
from watcher.fs import publish
from watcher.fs.remove import remove
from watcher.render import render, render_all

WEBP = Recipe(80, None, "inside", "webp", 85, "safe", "0000000000000001")
JPEG = Recipe(120, None, "inside", "jpeg", 85, "safe", "0000000000000002")


def job(folder: Path, data: bytes) -> Job:
    (folder / "in").mkdir()
    (folder / "in" / "a.jpg").write_bytes(data)
    os.utime(folder / "in" / "a.jpg", ns=(1_700_000_000_123_456_789,) * 2)
    renderings = Rendering("web", JPEG, b"web/x/a.jpg"), Rendering("small", WEBP, b"small/x/a.webp")
    return Job(1, PhotoId(os.fsencode(folder / "in"), b"a.jpg"), os.fsencode(folder / "out"), renderings)


def made(work: Job) -> Done:
    outcome = render(work)
    assert isinstance(outcome, Done), outcome
    return outcome


def duplicate_of(work: Job, done: Done, **changes: object) -> DuplicateCandidate:
    reusable = tuple(
        ReusableRendition(rendering.recipe.fingerprint, item.output, item.size)
        for rendering, item in zip(work.renderings, done.made, strict=True)
    )
    duplicate = DuplicateCandidate(work.photo, done.digest, done.stamp.mtime_ns, work.output_root, reusable)
    return duplicate._replace(**changes)  # type: ignore[arg-type]


class Pair:
    """A photo that is made, and another one with the same content and another time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        data = oriented(6)
        self.first = job(folder, data)
        self.done = made(self.first)
        self.duplicate = duplicate_of(self.first, self.done)
        name = b"copy.jpg"
        copy = Path(os.fsdecode(self.first.photo.inbox)) / os.fsdecode(name)
        copy.write_bytes(data)
        os.utime(copy, (1_600_000_000, 1_600_000_000))
        renderings = tuple(
            replace(item, output=item.output.replace(b"/a.", b"/copy.")) for item in self.first.renderings
        )
        self.second = replace(
            self.first, number=2, photo=PhotoId(self.first.photo.inbox, name), renderings=renderings, adopt=False
        )

    def path(self, output: bytes) -> Path:
        return Path(os.fsdecode(self.first.output_root + b"/" + output))

    def copied(self, duplicate: DuplicateCandidate | None = None) -> list[bool]:
        done = made(replace(self.second, duplicates=(duplicate or self.duplicate,)))
        for mine, theirs in zip(done.made, self.done.made, strict=True):
            assert (mine.width, mine.height, mine.digest) == (theirs.width, theirs.height, theirs.digest)
            assert self.path(mine.output).stat().st_mtime == 1_600_000_000
        assert not list(self.path(b"").rglob(".*"))
        return [item.copied for item in done.made]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def never(*_: object) -> None:
    raise AssertionError("it was decoded")


def test_a_copy_is_a_file_of_its_own_with_the_same_bytes_its_photos_time_and_the_recipes_label(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.render.pipeline.decode_whole", never)
    assert pair.copied() == [True, True]
    for first, second in zip(pair.first.renderings, pair.second.renderings, strict=True):
        old, new = pair.path(first.output), pair.path(second.output)
        assert old.read_bytes() == new.read_bytes()
        assert old.stat().st_ino != new.stat().st_ino
        assert os.getxattr(new, publish.ATTRIBUTE) == first.recipe.fingerprint.encode()
        assert old.stat().st_mtime_ns == pair.done.stamp.mtime_ns


def test_two_that_have_each_others_names_and_come_together_are_both_copied(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(pair.second, photo=PhotoId(pair.first.photo.inbox, b"copy.jpg"))
    here, there = (Path(os.fsdecode(work.photo.absolute)) for work in (pair.first, other))
    there.write_bytes(plain())
    os.utime(there, (1_600_000_000, 1_600_000_000))
    duplicate = duplicate_of(other, made(other))
    old = {item.output: pair.path(item.output).read_bytes() for work in (pair.first, other) for item in work.renderings}
    aside = here.with_name("aside")
    for source, target in ((here, aside), (there, here), (aside, there)):
        source.rename(target)
    monkeypatch.setattr("watcher.render.pipeline.decode_whole", never)
    outcomes = render_all([replace(pair.first, duplicates=(duplicate,)), replace(other, duplicates=(pair.duplicate,))])
    assert [[item.copied for item in done.made] for done in outcomes if isinstance(done, Done)] == [[True, True]] * 2
    for first, second in zip(pair.first.renderings, other.renderings, strict=True):
        assert pair.path(first.output).read_bytes() == old[second.output]
        assert pair.path(second.output).read_bytes() == old[first.output]


@pytest.mark.parametrize("way", ["in the kernel", "by hand"])
def test_where_the_file_system_has_no_reflinks_it_is_copied(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(publish, "_reflinked", lambda *_: False)
    if way == "by hand":
        monkeypatch.setattr(publish, "_STEP", 1000)

        def refuse(*_: object, **__: object) -> int:
            raise OSError(18, "another file system")

        monkeypatch.setattr(os, "copy_file_range", refuse)
    assert pair.copied() == [True, True]
    for first, second in zip(pair.first.renderings, pair.second.renderings, strict=True):
        assert pair.path(first.output).read_bytes() == pair.path(second.output).read_bytes()


def test_another_content_is_decoded_whatever_its_size_and_time(pair: Pair) -> None:
    assert pair.copied(pair.duplicate._replace(digest=bytes(16))) == [False, False]


def swap_for_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def change_the_time(path: Path) -> None:
    os.utime(path, (5, 5))


def append_to(path: Path) -> None:
    stat = path.stat()
    path.write_bytes(path.read_bytes() + b"\xff\xd9")
    os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))


def label_otherwise(path: Path) -> None:
    os.setxattr(path, publish.ATTRIBUTE, b"another")


def make_another_size(path: Path) -> None:
    stat = path.stat()
    other = path.with_name("other.jpg")
    other.write_bytes(plain(30, 20))
    os.utime(other, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    os.setxattr(other, publish.ATTRIBUTE, JPEG.fingerprint.encode())
    other.rename(path)


@pytest.mark.parametrize(
    "change", [Path.unlink, swap_for_a_link, change_the_time, append_to, label_otherwise, make_another_size]
)
def test_what_is_not_the_file_that_was_lent_is_made_anew_and_the_rest_is_copied(
    pair: Pair, change: Callable[[Path], None]
) -> None:
    change(pair.path(pair.first.renderings[0].output))
    assert pair.copied() == [False, True]


def test_a_file_of_another_length_than_the_books_say_is_not_copied(pair: Pair) -> None:
    first, *rest = pair.duplicate.reusable
    assert pair.copied(pair.duplicate._replace(reusable=(first._replace(size=first.size + 1), *rest))) == [False, True]


def test_what_lies_there_as_it_is_wanted_is_left_alone(pair: Pair) -> None:
    def there() -> list[tuple[int, int]]:
        found = [pair.path(item.output).stat() for item in pair.first.renderings]
        return [(stat.st_ino, stat.st_ctime_ns) for stat in found]

    before = there()
    done = made(replace(pair.first, number=3, adopt=False, duplicates=(pair.duplicate,)))
    assert [(item.adopted, item.copied) for item in done.made] == [(True, False)] * 2
    assert there() == before


def test_a_photo_that_is_replaced_while_it_is_copied_is_shown_by_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = Path(os.fsdecode(pair.second.photo.absolute))
    copy = publish._copy

    def meanwhile(file: int, source: int, size: int) -> None:
        copy(file, source, size)
        photo.write_bytes(plain())

    monkeypatch.setattr(publish, "_copy", meanwhile)
    assert not isinstance(render(replace(pair.second, duplicates=(pair.duplicate,))), Done)
    assert not any(pair.path(item.output).exists() for item in pair.second.renderings)


def test_only_what_was_meant_is_removed_and_empty_folders_with_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = ("web/a/b/x.jpg", "web/a/b/link.jpg", "web/a/longer.jpg", "web/a/later.jpg", "web/c/y.jpg")
    for name in names:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        os.utime(path, (7, 7))
    swap_for_a_link(out / names[1])
    (out / names[1]).with_name("elsewhere").rename(tmp_path / "elsewhere")
    (out / names[1]).unlink()
    (out / "web/a/link.jpg").symlink_to(tmp_path / "elsewhere")
    (out / names[2]).write_bytes(b"123456")
    os.utime(out / names[3], (8, 8))
    (out / "web/d").symlink_to(out / "web/c")
    wanted = [*names, "web/a/link.jpg", "web/d/y.jpg", "web/../web/c/y.jpg", "web/none/x.jpg"]
    reusable = [ReusableRendition("", name.encode(), 5) for name in wanted if name != "web/c/y.jpg"]
    assert remove(os.fsencode(out), reusable, 7 * 10**9) == 1
    assert not (out / "web/a/b").exists()
    assert sorted(path.name for path in (out / "web/a").iterdir()) == ["later.jpg", "link.jpg", "longer.jpg"]
    assert (out / "web/c/y.jpg").exists()
    assert (tmp_path / "elsewhere").exists()
    assert remove(os.fsencode(tmp_path / "none"), reusable, 0) == 0
    assert remove(os.fsencode(out), [ReusableRendition("", b"web/c/y.jpg", 5)], 7 * 10**9) == 1
    assert (out / "web").exists()
