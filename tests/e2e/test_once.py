"""`watcher once`: what lies there is made, once, and again only where something changed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from tests import photos
from tests.e2e.harness import BOTH, COMMAND, THUMB, WEB, Place, fill, fingerprint, shows, temporary, tree

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"


def _pixel(path: Path, across: float, down: float) -> tuple[int, ...]:
    with Image.open(path) as image:
        found = image.convert("RGB").getpixel((int(image.width * across), int(image.height * down)))
    assert isinstance(found, tuple)
    return tuple(map(int, found))


def test_two_folders_and_no_config_are_enough(place: Place) -> None:
    (place.inbox / "trip").mkdir()
    (place.inbox / "trip" / "a.JPG").write_bytes(photos.plain(3000, 2000))
    done = place.watcher("once", place.inbox, place.output)
    assert done.code == 0, done
    assert f"1 photo, 1 copy made in {place.output.name}/web \u00b7 " in done.out
    with Image.open(place.output / "web" / "trip" / "a.JPG") as image:
        assert image.size == (2048, 1365)
    assert list(tree(place.root / "home" / "state")), "the state lies in the user's state folder"
    told = place.watcher("once", place.inbox, place.output).out
    verify = told.split("`")[1].split()
    assert told.startswith("nothing to do")
    assert "1 rendition checked: 0 missing" in place.watcher(*verify[1:]).out, "what it says can be typed"


def test_every_output_is_upright_srgb_dated_and_of_its_size_however_its_photo_was_held(place: Place) -> None:
    names = [f"{orientation}.jpg" for orientation in range(1, 9)]
    date = 1_600_000_000_123_456_789
    for orientation, name in enumerate(names, 1):
        (place.inbox / name).write_bytes(photos.oriented(orientation))
        os.utime(place.inbox / name, ns=(date, date))
    assert place.once().code == 0
    for name in names:
        for path, size in zip(place.outputs(name), ((300, 200), (90, 90)), strict=True):
            assert path.stat().st_mtime_ns == (place.inbox / name).stat().st_mtime_ns
            with Image.open(path) as image:
                assert image.size == size, path
                assert image.getexif().get(0x0112, 1) == 1, path
                profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
                assert "sRGB" in ImageCms.getProfileDescription(profile), path
        web = place.outputs(name)[0]
        corners = [_pixel(web, *at) for at in ((0.05, 0.05), (0.95, 0.05), (0.05, 0.95))]
        assert [max(range(3), key=corner.__getitem__) for corner in corners] == [0, 1, 2], f"red, green, blue of {name}"


def test_a_second_run_decodes_nothing(place: Place) -> None:
    fill(place.inbox, 4)
    assert place.once().code == 0
    before = fingerprint(place.output)
    again = place.once()
    assert again.code == 0
    assert not again.events("photo.done")
    assert fingerprint(place.output) == before


def test_after_touch_of_one_photo_exactly_that_one_is_made_again(place: Place) -> None:
    paths = fill(place.inbox, 4)
    place.once()
    before = fingerprint(place.output)
    os.utime(paths[2])
    again = place.once()
    assert [line["path"] for line in again.events("photo.done")] == [str(paths[2])]
    after = fingerprint(place.output)
    changed = {name for name, found in after.items() if before[name][:2] != found[:2]}
    assert changed == {"web/p002.jpg", "thumb/p002.jpg"}


def test_another_quality_of_one_rendition_changes_exactly_its_files(place: Place) -> None:
    fill(place.inbox, 4)
    place.once()
    before = fingerprint(place.output)
    place.configure({"web": WEB, "thumb": {**THUMB, "quality": 60}})
    assert place.once().code == 0
    after = fingerprint(place.output)
    assert {name for name, found in after.items() if before[name] != found} == {f"thumb/p00{n}.jpg" for n in range(4)}


def test_a_new_rendition_makes_only_itself(place: Place) -> None:
    fill(place.inbox, 3)
    place.once()
    before = fingerprint(place.output)
    place.configure({**BOTH, "small": {"width": 150, "format": "webp"}})
    again = place.once()
    assert again.code == 0
    assert all(line["renditions"] == ["small"] for line in again.events("photo.done"))
    after = fingerprint(place.output)
    assert after.keys() - before.keys() == {f"small/p00{n}.webp" for n in range(3)}
    assert {name: after[name] for name in before} == before


def test_a_removed_rendition_stays_on_disk_and_status_says_so(place: Place) -> None:
    fill(place.inbox, 3)
    place.once()
    before = fingerprint(place.output)
    place.configure({"web": WEB})
    again = place.once()
    assert again.code == 0
    assert not again.events("photo.done")
    assert fingerprint(place.output) == before
    told = place.watcher("status", "--config", place.config).out
    assert "rendition 'thumb' is no longer in the config; its 3 files are left on disk" in told


def test_a_deleted_rendition_on_disk_is_made_again_when_its_photo_changes_only(place: Place) -> None:
    """Outputs are looked after by `verify`, not by every run."""
    paths = fill(place.inbox, 2)
    place.once()
    place.outputs("p000.jpg")[0].unlink()
    os.utime(paths[0])
    place.once()
    assert all(path.exists() for path in place.outputs("p000.jpg"))


def test_copies_that_are_gone_with_their_folder_are_told_with_the_command_that_makes_them_again(place: Place) -> None:
    fill(place.inbox, 2)
    assert "missing" not in place.once().out
    shutil.rmtree(place.output)
    told = place.once("-q").out
    assert told.startswith(f"missing: the copies of 2 photos in {place.output.name}/web and {place.output.name}/thumb:")
    command = told.split("`")[1].split()
    assert command[0] == "watcher"
    assert place.watcher(*command[1:]).code == 0
    assert len(fingerprint(place.output)) == 4
    assert "missing" not in place.once().out


def test_a_photo_deleted_from_the_inbox_keeps_its_outputs_and_is_forgotten(place: Place) -> None:
    paths = [*fill(place.inbox, 3), *fill(place.inbox / "trip", 2, 3)]
    place.once()
    paths[0].unlink()
    shutil.rmtree(place.inbox / "trip")
    place.once()
    assert all(path.exists() for path in place.outputs("p000.jpg", "trip/p003.jpg", "trip/p004.jpg"))
    assert place.status()["inboxes"][0]["done"] == 2


def test_a_dry_run_says_what_would_be_made_and_changes_nothing(place: Place) -> None:
    fill(place.inbox, 3)
    told = place.once("--dry-run")
    assert told.code == 0
    assert "web: 3 new, 0 again" in told.out
    assert "p000" not in told.out, "photos are named with -v"
    assert not place.output.exists()
    assert not place.state.exists()
    place.once()
    before, state = fingerprint(place.output), place.state.read_bytes()
    place.configure({"web": WEB, "thumb": {**THUMB, "quality": 60}})
    told = place.once("--dry-run")
    assert "web: 0 new, 0 again" in told.out
    assert "thumb: 0 new, 3 again" in told.out
    assert fingerprint(place.output) == before
    assert place.state.read_bytes() == state


def test_a_dry_run_names_each_photo_and_its_outputs_where_asked_to(place: Place) -> None:
    fill(place.inbox, 1)
    place.once()
    fill(place.inbox / "trip", 1, first=1)
    place.configure({"web": WEB, "thumb": {**THUMB, "quality": 60}})
    lines = place.once("-n", "-v").out.splitlines()
    assert {
        "  p000.jpg \u2192 thumb/p000.jpg (again)",
        "  trip/p001.jpg \u2192 web/trip/p001.jpg, thumb/trip/p001.jpg",
    } < set(lines)


@pytest.mark.slow
def test_a_dry_run_forecasts_about_what_photos_come_to(place: Place) -> None:
    for photo in EXAMPLES.glob("*.jpg"):
        shutil.copy(photo, place.inbox)
    sides, forms = (480,), ("jpeg", "webp", "avif")
    renditions = {f"{side}-{form}": {"width": side, "format": form} for side in sides for form in forms}
    place.configure(renditions)
    told = place.once("-n").out
    assert place.once().code == 0
    for name in renditions:
        made = sum(path.stat().st_size for path in (place.output / name).iterdir())
        found = re.search(rf"{name}: 4 new, 0 again, about (.+) kB", told)
        assert found, told
        assert 0.85 < float(found[1]) * 1000 / made < 1.15, name


def test_a_damaged_state_file_is_set_aside_and_nothing_is_made_again(place: Place) -> None:
    fill(place.inbox, 4)
    place.once()
    before = fingerprint(place.output)
    place.state.write_bytes(b"this is no database" * 300)
    for beside in ("-wal", "-shm"):
        Path(f"{place.state}{beside}").unlink(missing_ok=True)
    again = place.once()
    assert again.code == 0
    (said,) = again.events("state.damaged")
    assert Path(said["set_aside"]).read_bytes().startswith(b"this is no database")
    assert fingerprint(place.output) == before
    assert place.status()["inboxes"][0]["done"] == 4
    assert not place.once().events("photo.done")


def test_a_lost_state_file_renders_only_outputs_that_are_not_current(place: Place) -> None:
    paths = fill(place.inbox, 3)
    place.once()
    before = fingerprint(place.output)
    place.state.unlink()
    paths[1].write_bytes(paths[2].read_bytes())
    assert place.once().code == 0
    after = fingerprint(place.output)
    assert {name for name in after if after[name] != before[name]} == {"web/p001.jpg", "thumb/p001.jpg"}
    assert shows(place.outputs("p001.jpg")[0], 2)


def test_photos_that_would_share_an_output_both_get_one(place: Place) -> None:
    place.configure({"web": {**WEB, "format": "webp"}})
    for number, name in enumerate(("a.jpg", "a.jpeg")):
        (place.inbox / name).write_bytes(fill(place.root / "x", 1, number)[0].read_bytes())
    assert place.once().code == 0
    found = tree(place.output)
    assert len(found) == 2
    assert "web/a.webp" in found
    place.once()
    assert tree(place.output).keys() == found.keys()


def test_names_of_every_kind_keep_their_name(place: Place) -> None:
    names = [
        b"line\nbreak.jpg",
        b"\xff\xfe not utf-8.jpg",
        b"n" * 251 + b".jpg",
        "Größe 👋.jpg".encode(),
        b"a'\"$(x).jpg",
    ]
    for number, name in enumerate(names):
        path = os.fsencode(place.inbox) + b"/" + name
        with open(path, "wb") as file:
            file.write(fill(place.root / "x", 1, number)[0].read_bytes())
    done = place.once()
    assert done.code == 0, done
    for number, name in enumerate(names):
        for rendition in (b"web", b"thumb"):
            output = os.fsencode(place.output) + b"/" + rendition + b"/" + name
            assert os.path.isfile(output), name
        assert shows(Path(os.fsdecode(os.fsencode(place.output) + b"/web/" + name)), number)
    assert not place.once().events("photo.done")
    assert place.status()["inboxes"][0]["done"] == len(names)
    assert place.watcher("status", "--config", place.config).code == 0


def test_links_are_not_followed_out_of_the_inbox(place: Place) -> None:
    outside = fill(place.root / "outside", 1)[0]
    (place.inbox / "file.jpg").symlink_to(outside)
    (place.inbox / "folder").symlink_to(outside.parent, target_is_directory=True)
    (place.inbox / "loop").symlink_to(place.inbox, target_is_directory=True)
    (place.inbox / "dangling.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(place.inbox / "pipe.jpg")
    fill(place.inbox, 1)
    done = place.once()
    assert done.code == 0, done
    assert tree(place.output).keys() == {"web/p000.jpg", "thumb/p000.jpg"}


def test_junk_and_excluded_folders_are_left_alone(place: Place) -> None:
    place.configure(inbox={"exclude": ["private/", "*draft*"]})
    for folder in ("ok", "private/deep", "@eaDir", ".hidden"):
        fill(place.inbox / folder, 1)
    for name in ("ok/._p000.jpg", "ok/draft1.jpg", "ok/.p.jpg.a1B2c3", "ok/notes.txt"):
        (place.inbox / name).write_bytes((place.inbox / "ok/p000.jpg").read_bytes())
    assert place.once().code == 0
    assert tree(place.output).keys() == {"web/ok/p000.jpg", "thumb/ok/p000.jpg"}


def test_temporary_files_of_a_dead_run_are_swept(place: Place) -> None:
    fill(place.inbox, 1)
    place.once()
    stale = place.output / "web" / f".watcher-{socket.gethostname()}-999999999-1-0.tmp"
    stale.write_bytes(b"half")
    place.once()
    assert not temporary(place.output)


def test_the_last_line_tells_a_rename_and_what_was_up_to_date_from_what_was_made(place: Place) -> None:
    def last_line() -> str:
        return place.once().out.splitlines()[-1].rpartition(" \u00b7 ")[0]

    assert last_line() == f"no photos found in {place.inbox.name}"
    paths = fill(place.inbox, 3)
    assert last_line() == f"3 photos, 6 copies made in {place.output.name}/web and {place.output.name}/thumb"
    verify = f"watcher verify --config={place.config}"
    assert last_line() == f"nothing to do \u00b7 3 up to date by the state file (`{verify}` checks the copies)"
    paths[0].rename(place.inbox / "renamed.jpg")
    (place.inbox / "text.jpg").write_text("no photo\n" * 60)
    assert last_line() == (
        "1 renamed, moved, alike or made before: existing copies used in "
        f"{place.output.name}/web and {place.output.name}/thumb"
        " \u00b7 2 up to date \u00b7 1 not made"
    )


def test_ctrl_c_is_answered_at_once_on_a_terminal(place: Place) -> None:
    fill(place.inbox, 300)
    leader, follower = pty.openpty()
    command = [COMMAND, "once", "--config", str(place.config)]
    env = place.env | {"TERM": "xterm-256color", "COLUMNS": "120"}
    with subprocess.Popen(command, env=env, stdout=follower, stderr=follower, stdin=follower) as running:
        os.close(follower)
        shown = b""
        while b" elapsed" not in shown:
            shown += os.read(leader, 65536)
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # Linux says EIO where no one writes any more
            while more := os.read(leader, 65536):
                shown += more
        assert running.wait(20) == 1, shown
    os.close(leader)
    assert b"Stopping" in shown
    assert b"stopped by SIGINT before the end" in shown
    assert b"up to date" not in shown, "it has not looked at all of them"


def test_status_and_once_speak_json_and_text_on_standard_output_alone(place: Place) -> None:
    fill(place.inbox, 2)
    done = place.once()
    assert done.out.startswith(f"2 photos, 4 copies made in {place.output.name}/web and {place.output.name}/thumb")
    assert all(json.loads(line) for line in done.err.splitlines())
    status = place.watcher("status", "--config", place.config, "--json")
    assert status.err == ""
    found = json.loads(status.out)
    assert found.keys() == {
        *("version", "running", "pid", "since", "workers", "inboxes", "waiting", "failed", "decoder", "hooks"),
    }
    assert found["inboxes"][0].keys() == {
        "path", "output", "watch", "watch_reason", "reachable", "done", "failed", "waiting", "missed_events",
        "oldest_waiting_seconds", "left_alone",
    }  # fmt: skip


def test_files_that_are_no_photos_are_told_at_the_end_and_by_status(place: Place) -> None:
    fill(place.inbox, 1)
    for name in ("a.mov", "b.mov", "c.png", ".DS_Store", "d.jpg.part"):
        (place.inbox / name).write_bytes(b"x")
    text = '2 .mov, 1 .png (add "*.png")'
    assert f"left alone: {text}\n" in place.once().out
    assert f"  left alone  {text}" in place.watcher("status", "--config", place.config).out.splitlines()


def test_another_output_folder_in_the_config_gets_its_renditions(place: Place) -> None:
    fill(place.inbox, 3)
    assert place.once().code == 0
    made = tree(place.output).keys()
    elsewhere = place.root / "elsewhere"
    place.configure(inbox={"output": str(elsewhere)})
    assert "web: 3 new, 0 again" in place.once("--dry-run").out
    assert place.once().out.startswith("3 photos, 6 copies made in ")
    assert tree(elsewhere).keys() == made
    assert place.once().out.startswith("nothing to do \u00b7 3 up to date")


def test_a_photo_that_was_too_large_is_made_once_the_config_allows_it(place: Place) -> None:
    (place.inbox / "large.jpg").write_bytes(photos.jpeg(photos.scene(1500, 1000)))
    place.configure(max_megapixels=1)
    assert "max_megapixels" in place.once().out
    assert place.once().out.startswith("failed: ")
    assert "web: 0 new" in place.once("--dry-run").out
    place.configure(max_megapixels=2)
    assert "web: 1 new" in place.once("--dry-run").out
    assert place.once().code == 0
    assert len(tree(place.output)) == 2
