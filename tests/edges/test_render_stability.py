"""A photo that somebody may still write to: how long it is waited for, and that it is never waited for for ever."""

from __future__ import annotations

import errno
import mmap
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import photos
from watcher.core.recipe import Recipe
from watcher.core.stability import OVERWRITE_SECONDS
from watcher.core.types import (
    Done,
    DuplicateCandidate,
    Evidence,
    Failed,
    FailureKind,
    FileSignature,
    Job,
    PhotoId,
    PublishedVersion,
    Rendering,
    ReusableRendition,
    StabilitySettings,
    Unchanged,
    Unready,
)
from watcher.render import render
from watcher.render.content import digest_of
from watcher.render.writers import has_writer

WEB = Rendering("web", Recipe(120, None, "inside", "jpeg", 85, "safe", "0000000000000002"), b"web/a.jpg")
needs_leases = pytest.mark.skipif(sys.platform != "linux", reason="nobody else tells of writers")


class InboxState:
    """A photo in an inbox, and the job that is about it."""

    def __init__(self, root: Path, data: bytes, age: float) -> None:
        (root / "in").mkdir()
        self.photo = root / "in" / "a.jpg"
        self.output = root / "out" / "web" / "a.jpg"
        self.now = time.time()
        self.photo.write_bytes(data)
        self.age(age)
        self.job = Job(1, PhotoId(os.fsencode(root / "in"), b"a.jpg"), os.fsencode(root / "out"), (WEB,))

    @property
    def inode(self) -> int:
        return self.photo.stat().st_ino

    def age(self, seconds: float) -> None:
        """Let it be `seconds` since the photo was written or dated last."""
        found = self.photo.stat()
        self.now = max(found.st_mtime, found.st_ctime) + seconds

    def date(self, seconds: float) -> None:
        """Give the photo a date that is `seconds` in the past."""
        os.utime(self.photo, (self.now - seconds, self.now - seconds))

    def waits(self, **terms: Any) -> Unready | None:  # noqa: ANN401  # fields by name
        """Return what it waits for on these terms; None: it is made."""
        settings = StabilitySettings(terms.pop("quiet", 0.0), terms.pop("longest", 0.0))
        evidence = Evidence(published=terms.pop("shown", None), **terms)
        outcome = render(replace(self.job, evidence=evidence, stability=settings))
        assert isinstance(outcome, Unready | Done), outcome
        assert self.output.exists() == isinstance(outcome, Done)
        self.output.unlink(missing_ok=True)
        return outcome if isinstance(outcome, Unready) else None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InboxState:
    """A photo that is three seconds old; the clock stands, since a busy machine may take seconds over a line."""
    state = InboxState(tmp_path, photos.plain(), 3.0)
    monkeypatch.setattr(time, "time", lambda: state.now)
    return state


# ---- is somebody writing? ----


@needs_leases
def test_a_writer_is_told_from_nobody_and_from_a_reader(desk: InboxState) -> None:
    file = os.open(desk.photo, os.O_RDONLY)
    try:
        assert has_writer(file) is False
        with open(desk.photo, "rb"):
            assert has_writer(file) is False
        with open(desk.photo, "r+b") as writer:
            assert has_writer(file) is True
            mapped = mmap.mmap(writer.fileno(), 0)
        assert has_writer(file) is True, "it is closed, and still mapped"
        mapped.close()
        assert has_writer(file) is False
    finally:
        os.close(file)


@needs_leases
def test_of_what_can_not_be_asked_nothing_is_claimed(tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)  # a folder has no leases
    try:
        assert has_writer(other) is None
    finally:
        os.close(other)


@needs_leases
def test_who_opens_it_while_it_is_asked_neither_waits_nor_ends_us(desk: InboxState) -> None:
    """SIGIO, which a lease is broken by, would end a process that does not expect it."""
    code = "import os, sys\nfor _ in range(1000):\n    os.close(os.open(sys.argv[1], os.O_WRONLY))\n"
    before = signal.getsignal(signal.SIGIO)
    assert before is signal.SIG_DFL
    file = os.open(desk.photo, os.O_RDONLY)
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", code, desk.photo]) as writer:
        answers = set()
        while writer.poll() is None:
            answers.add(has_writer(file))
    os.close(file)
    assert writer.returncode == 0
    assert answers <= {True, False}
    assert time.monotonic() - began < 40, "a lease that is not given back is taken away after 45 s"


# ---- how long it is waited for ----


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernel not tell of writers, as it is with files of other users, shares and macOS."""
    monkeypatch.setattr("watcher.render.writers.has_writer", lambda _file: None)


@pytest.mark.usefixtures("unasked")
def test_a_photo_that_was_closed_or_has_been_still_is_made(desk: InboxState) -> None:
    assert desk.waits(closed=True) is None
    assert desk.waits(quiet=2.0) is None
    young = desk.waits(quiet=5.0)
    assert young is not None
    assert young.seconds == pytest.approx(2.0, abs=0.001), "when it can be still enough"


@needs_leases
def test_a_photo_that_nobody_has_open_need_not_be_still_unless_it_comes_in_pieces(desk: InboxState) -> None:
    desk.age(0.1)
    assert desk.waits(quiet=5.0) is None
    assert desk.waits(quiet=5.0, shown=PublishedVersion(-1)) is None
    held = desk.waits(quiet=5.0, reopened=True)
    assert held is not None
    assert held.seconds == pytest.approx(4.9, abs=0.001)


@needs_leases
@pytest.mark.parametrize("terms", [{"closed": True}, {"reopened": True}])
def test_a_photo_that_another_writer_has_open_is_waited_for_after_one_has_closed_it(
    desk: InboxState, terms: dict[str, bool]
) -> None:
    with open(desk.photo, "r+b"):
        held = desk.waits(**terms, created=desk.inode, quiet=0.5, longest=5.0)
        assert held is not None
        assert "another process" in held.reason
        assert held.seconds == pytest.approx(2.0, abs=0.001)
        desk.age(5.5)
        assert desk.waits(**terms, created=desk.inode, quiet=0.5, longest=5.0) is None, "not for ever"
    desk.age(0.6)
    assert desk.waits(**terms, quiet=0.5, longest=5.0) is None


@needs_leases
def test_a_new_photo_whose_writer_keeps_it_open_is_made_when_it_has_been_still(desk: InboxState) -> None:
    with open(desk.photo, "r+b"):
        assert desk.waits(created=desk.inode, quiet=5.0, longest=5.0) is not None
        assert desk.waits(created=desk.inode, quiet=0.5, longest=5.0) is None


@needs_leases
@pytest.mark.parametrize("terms", [{}, {"closed": True}, {"quiet": 0.5, "longest": 5.0}, {"created": 1}])
def test_a_photo_that_nothing_is_known_of_and_that_somebody_has_open_may_be_of_two_versions(
    desk: InboxState, terms: dict[str, float]
) -> None:
    """As at a first start, in a folder that was renamed, or in a single run."""
    desk.age(30)
    with open(desk.photo, "r+b"):
        held = desk.waits(**terms)
        assert held is not None
        assert held.settling
        assert "another process has it open" in held.reason
        desk.age(OVERWRITE_SECONDS + 1)
        assert desk.waits(**terms) is None, "not for ever"
    desk.age(30)
    assert desk.waits(**terms) is None


@needs_leases
def test_a_photo_that_is_written_anew_in_its_place_is_waited_for_until_it_is_closed(desk: InboxState) -> None:
    desk.age(30)
    with open(desk.photo, "r+b"):
        for closed in (False, True):
            held = desk.waits(shown=PublishedVersion(-1), closed=closed, quiet=0.5)
            assert held is not None
            assert held.reason == "it is being written anew"
        desk.age(OVERWRITE_SECONDS + 1)
        assert desk.waits(shown=PublishedVersion(-1), quiet=0.5) is None, "not for ever"
    desk.age(0.6)
    assert desk.waits(shown=PublishedVersion(-1), quiet=0.5) is None


@pytest.mark.usefixtures("unasked")
def test_where_writers_can_not_be_asked_what_was_written_anew_must_be_still_for_longer(desk: InboxState) -> None:
    assert desk.waits(shown=PublishedVersion(-1), quiet=0.5, longest=5.0) is not None
    assert desk.waits(shown=PublishedVersion(-1), closed=True, longest=5.0) is None
    assert desk.waits(quiet=0.5, longest=5.0) is None
    assert desk.waits(shown=PublishedVersion(-1)) is None, "a single run waits for nobody"
    desk.age(6)
    assert desk.waits(shown=PublishedVersion(-1), quiet=0.5, longest=5.0) is None


@pytest.mark.usefixtures("unasked")
def test_where_dates_can_not_be_relied_on_it_counts_how_long_it_was_seen_still(desk: InboxState) -> None:
    """As on a share whose clock is behind, or where a date was set before the content came."""
    desk.date(7200)
    seen = os.stat(desk.photo)
    held = desk.waits(stable_since=time.time() - 0.1, quiet=0.5)
    assert held is not None
    assert held.seconds == pytest.approx(0.4, abs=0.001)
    assert desk.waits(stable_since=time.time() - 0.6, quiet=0.5) is None
    assert desk.waits(stable_since=time.time() - 4.0, shown=PublishedVersion(-1), quiet=0.5, longest=5.0) is not None
    os.utime(desk.photo, (seen.st_atime, time.time() + 7200))
    assert desk.waits(stable_since=time.time() - 0.1, quiet=0.5) is not None, "a clock that is ahead"
    assert desk.waits(stable_since=time.time() - 0.6, quiet=0.5) is None


@pytest.mark.parametrize("data", [bytes(8192) + photos.noisy()[8192:], photos.with_hole()])
def test_an_old_date_does_not_prove_that_what_an_event_is_about_was_written_then(desk: InboxState, data: bytes) -> None:
    desk.photo.write_bytes(data)
    desk.date(7200)
    desk.age(9)
    held = desk.waits()
    assert held is not None
    assert held.settling
    assert isinstance(render(replace(desk.job, evidence=Evidence(listed=True))), Failed), "as a scan finds it"
    desk.age(11)
    assert isinstance(render(desk.job), Failed)


@needs_leases
@pytest.mark.parametrize("on_a_disk", [True, False])
def test_of_what_is_scanned_on_a_disk_of_this_machine_writers_are_asked_too(
    desk: InboxState, monkeypatch: pytest.MonkeyPatch, *, on_a_disk: bool
) -> None:
    monkeypatch.setattr("watcher.render.writers._is_on_a_disk", lambda _file: on_a_disk)
    seen_still = {"stable_since": time.time() - 4.0, "quiet": 0.5, "longest": 5.0}
    with open(desk.photo, "r+b"):
        assert (desk.waits(**seen_still) is not None) == on_a_disk


@needs_leases
@pytest.mark.parametrize(("data", "then"), [(photos.without_end(), Done), (photos.with_hole(), Failed)])
def test_a_photo_that_looks_unfinished_is_waited_for_longer_while_somebody_has_it_open(
    desk: InboxState, data: bytes, then: type
) -> None:
    desk.photo.write_bytes(data)
    desk.age(30)
    with open(desk.photo, "r+b"):
        assert desk.waits(created=desk.inode) is not None
        desk.age(OVERWRITE_SECONDS + 1)
        assert isinstance(render(desk.job), then)
    desk.age(30)
    assert isinstance(render(desk.job), then)


def test_room_that_nobody_has_written_to_is_told_from_zeros_that_were_written(desk: InboxState) -> None:
    data = photos.with_hole()
    at = data.index(bytes(4096)) // 4096 * 4096 + 4096
    desk.photo.unlink()
    with open(desk.photo, "wb") as file:
        file.write(data[:at])
        file.seek(at + 4096)
        file.write(data[at + 4096 :])
    if os.stat(desk.photo).st_blocks * 512 >= len(data):
        pytest.skip("this file system keeps no holes")
    assert desk.photo.read_bytes() == data
    desk.age(30)
    held = desk.waits()
    assert held is not None
    assert held.settling
    desk.age(OVERWRITE_SECONDS + 1)
    held = desk.waits()
    assert held is not None
    assert held.reason.startswith("truncated: a part of it was never written")
    desk.photo.write_bytes(data)
    desk.age(30)
    assert isinstance(render(desk.job), Failed), "zeros that were written are damage"


def test_a_flat_photo_that_was_copied_with_holes_in_place_of_its_zeros_is_whole(desk: InboxState) -> None:
    flat = photos.jpeg(Image.new("RGB", (6000, 6000), (255, 255, 255)), optimize=True)
    at = flat.index(bytes(8192)) // 4096 * 4096 + 4096
    with open(desk.photo, "wb") as file:
        file.write(flat[:at])
        file.seek(at + 4096)
        file.write(flat[at + 4096 :])
    assert desk.photo.read_bytes() == flat
    desk.age(OVERWRITE_SECONDS + 1)
    assert desk.waits() is None


@needs_leases
@pytest.mark.parametrize("data", [photos.with_trailer(), photos.mpo()])
def test_of_a_photo_that_more_is_coming_behind_a_second_making_is_spared(desk: InboxState, data: bytes) -> None:
    desk.photo.write_bytes(data[:-40])
    desk.age(1)
    with open(desk.photo, "r+b"):
        assert desk.waits(created=desk.inode, quiet=0.5, longest=5.0) is not None
        desk.age(6)
        assert desk.waits(created=desk.inode, quiet=0.5, longest=5.0) is None
    desk.age(1)
    assert desk.waits(quiet=0.5, longest=5.0) is None


@needs_leases
def test_a_photo_that_somebody_opens_for_writing_while_it_is_read_is_not_shown(
    desk: InboxState, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = []
    monkeypatch.setattr("watcher.fs.publish.Publication.settle", lambda _self: writers.append(desk.photo.open("r+b")))
    for terms in ({"closed": True}, {"quiet": 0.5}, {}):
        held = desk.waits(**terms)
        writers.pop().close()
        assert held is not None, terms
        assert held.settling
    desk.age(OVERWRITE_SECONDS + 1)
    with desk.photo.open("r+b"):
        assert desk.waits() is None, "who keeps it open is not waited for"
    writers.pop().close()


# ---- what is said of one that ended early ----


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (photos.truncated(0.5, photos.noisy()), "truncated: it ends early, after (4[5-9]|5.) % of the picture, 1.. kB"),
        (photos.truncated(0.5, photos.progressive()), r"truncated: it ends early, after [\d.]+ kB$"),
        (
            photos.preallocated(0.5, photos.noisy()),
            "truncated: it ends in zeros after 50 % of 2.. kB, its copy",
        ),
        (photos.plain()[:300], "truncated: it ends inside its header, after 300 bytes$"),
    ],
)
def test_it_is_said_how_much_of_an_upload_came(desk: InboxState, data: bytes, reason: str) -> None:
    desk.photo.write_bytes(data)
    desk.age(30)
    held = desk.waits()
    assert held is not None
    assert re.match(reason, held.reason), held.reason
    assert not held.settling


# ---- another date is no other photo, and the same date may be one ----


@pytest.mark.parametrize(("ago", "again"), [(5.0, False), (0.5, True), (-5.0, True)])
def test_a_failed_photo_of_the_same_size_and_date_is_tried_again_if_it_was_written_since(
    desk: InboxState, ago: float, *, again: bool
) -> None:
    """`ago`: seconds between the last write and the record of the failure."""
    found = desk.photo.stat()
    stamp = FileSignature(found.st_size, found.st_mtime_ns, 0)
    failed = replace(desk.job, done=stamp, current=frozenset({"web"}), failed_at=found.st_ctime + ago)
    assert isinstance(render(failed), Done if again else Unchanged)


def test_a_photo_that_is_only_dated_anew_keeps_its_renditions_which_get_the_date(desk: InboxState) -> None:
    first = render(desk.job)
    assert isinstance(first, Done)
    inode = desk.output.stat().st_ino
    reusable = (ReusableRendition(WEB.recipe.fingerprint, WEB.output, first.made[0].size),)
    duplicate = DuplicateCandidate(desk.job.photo, first.digest, first.stamp.mtime_ns, desk.job.output_root, reusable)
    for again in range(2):  # the second: as if we had been cut off before it was on record
        os.utime(desk.photo, ns=(1, 1_600_000_000_123_456_789))
        outcome = render(replace(desk.job, done=first.stamp, duplicates=(duplicate,)))
        assert isinstance(outcome, Done)
        assert [(item.adopted, item.copied) for item in outcome.made] == [(True, False)], again
        found = desk.output.stat()
        assert (found.st_ino, found.st_mtime_ns) == (inode, 1_600_000_000_123_456_789)


def test_a_date_in_the_past_that_is_set_while_it_is_read_is_looked_at_again_at_once(
    desk: InboxState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.fs.publish.Publication.settle", lambda _self: desk.date(1000))
    dated = desk.waits()
    assert dated is not None
    assert 0 < dated.seconds < 0.1
    monkeypatch.setattr("watcher.fs.publish.Publication.settle", lambda _self: desk.date(0))
    written = desk.waits()
    assert written is not None
    assert written.seconds == 0


# ---- the head of one photo before the tail of another ----


def _mixed(part: float, *, first: bytes = b"", second: bytes = b"") -> bytes:
    """Give what an overwrite leaves that was broken off, by a program that does not empty the file first."""
    first, second = first or photos.noisy(), second or photos.jpeg(photos.scene().resize((900, 600)), quality=98)
    at = int(len(first) * part)
    return first[:at] + second[at:]


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_the_head_of_one_photo_before_the_tail_of_another_is_not_taken_for_a_whole_one(
    desk: InboxState, part: float
) -> None:
    data = _mixed(part, second=photos.noisy(700, 500))
    desk.photo.write_bytes(data)
    desk.age(30)
    for terms in ({"reopened": True}, {"shown": PublishedVersion(len(data)), "closed": True}):
        held = desk.waits(**terms)
        assert held is not None
        assert "overwrite" in held.reason
    alone = render(replace(desk.job, evidence=Evidence(closed=True, published=PublishedVersion(len(data) - 1))))
    assert isinstance(alone, Failed), "no overwrite leaves another size"


@pytest.mark.parametrize("surplus", [False, True])
def test_what_may_be_of_two_photos_is_waited_for_and_then_has_failed(desk: InboxState, surplus: bool) -> None:
    noise = photos.noisy()
    at = len(noise) // 2
    desk.photo.write_bytes(noise[:at] + noise[at - 9000 if surplus else at + 9000 :])
    desk.age(30)
    held = desk.waits(reopened=True)
    assert held is not None
    assert held.settling
    assert 0 < held.seconds <= OVERWRITE_SECONDS - 29
    assert "an overwrite that is not over?" in held.reason
    desk.age(OVERWRITE_SECONDS + 1)
    outcome = render(replace(desk.job, evidence=Evidence(reopened=True)))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PHOTO
    assert outcome.reason.startswith("damaged")


@pytest.mark.parametrize(
    "data",
    [
        photos.plain(),
        photos.noisy(),
        photos.grey(),
        photos.cmyk(),
        photos.progressive(),
        photos.mpo(),
        photos.with_trailer(),
        photos.jpeg(Image.new("RGB", (900, 600), (255, 255, 255))),
        photos.noisy()[:-2] + bytes(100) + b"\xff\xd9",
        photos.ending_in_ones()[:-2] + bytes(100) + b"\xff\xd9",
    ],
)
def test_a_photo_that_was_incomplete_before_and_is_whole_now_is_made(desk: InboxState, data: bytes) -> None:
    desk.photo.write_bytes(data)
    desk.age(3)
    assert desk.waits(reopened=True) is None


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("data", [photos.plain(), photos.progressive()])
def test_of_a_photo_that_nobody_has_closed_and_that_may_be_of_two_only_stillness_can_tell(
    desk: InboxState, data: bytes
) -> None:
    desk.photo.write_bytes(data)
    size = desk.photo.stat().st_size
    desk.age(30)
    assert desk.waits(shown=PublishedVersion(size), quiet=0.5, longest=5.0) is not None
    assert desk.waits(shown=PublishedVersion(size + 1), quiet=0.5, longest=5.0) is None
    assert desk.waits(shown=PublishedVersion(size), closed=True) is None
    assert desk.waits(shown=PublishedVersion(size)) is None, "a single run waits for nobody"
    desk.age(OVERWRITE_SECONDS + 1)
    assert desk.waits(shown=PublishedVersion(size), quiet=0.5, longest=5.0) is None


@pytest.mark.usefixtures("unasked")
def test_a_photo_whose_recipe_alone_has_changed_or_whose_content_has_not_is_no_overwrite(desk: InboxState) -> None:
    desk.age(30)
    seen = desk.photo.stat()
    shown, terms = PublishedVersion(seen.st_size), {"quiet": 0.5, "longest": 5.0}
    same_content = shown._replace(digest=digest_of(desk.photo.read_bytes()))
    assert desk.waits(shown=shown, **terms) is not None
    assert desk.waits(shown=shown._replace(mtime_ns=seen.st_mtime_ns), **terms) is None
    assert desk.waits(shown=same_content, **terms) is None
    desk.age(3)
    assert desk.waits(shown=same_content, **terms) is not None, "it may go on changing"


@needs_leases
def test_a_progressive_photo_that_was_overwritten_is_made_at_once_where_nobody_has_it_open(desk: InboxState) -> None:
    data = photos.progressive()
    desk.photo.write_bytes(data)
    for closed in (False, True):
        assert desk.waits(shown=PublishedVersion(len(data)), closed=closed, quiet=0.5, longest=5.0) is None


def test_a_photo_that_may_not_be_read_while_it_comes_is_waited_for_and_only_then_tried(
    desk: InboxState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `rsync --inplace` keeps it until it is closed. To root nothing is forbidden, hence the patch."""
    real = os.open

    def closed_to_us(path: bytes | str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == b"a.jpg":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr("watcher.render.source.os.open", closed_to_us)
    desk.age(2)
    held = desk.waits()
    assert held is not None
    assert held.settling
    assert "may not be read yet" in held.reason
    desk.age(20)
    outcome = render(desk.job)
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PASSING
