"""`watcher why`: the story of any path, beside the running daemon and without it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from PIL import Image

from tests import pictures
from tests.e2e.harness import Place, camera, fill, until
from watcher.app.explain import gather
from watcher.core.history import Explanation

KEYS = {"path", "state", "reason", "seen", "events", "renditions"}


def why(place: Place, path: Path, *args: str | Path) -> dict[str, Any]:
    told = place.watcher("why", path, "--json", *(args or ("--config", place.config)))
    assert told.code == 0, told
    found = cast("dict[str, Any]", json.loads(told.out))
    assert set(found) == KEYS
    assert found["path"] == str(path)
    return found


def _ask(place: Place, path: Path) -> Explanation:
    """Ask without a process for it, as the web page does."""
    return gather(os.fsencode(path), str(place.config)).story


def whats(story: dict[str, Any]) -> list[str]:
    return [event["what"] for event in story["events"]]


def test_why_tells_of_each_kind_of_path_what_became_of_it(place: Place) -> None:
    (photo,) = fill(place.inbox / "sub", 1)
    bad = place.inbox / "bad.jpg"
    bad.write_bytes(b"no picture at all")
    os.utime(bad, (1, 1))
    cut = place.inbox / "cut.jpg"
    cut.write_bytes(camera(5)[:-2000])
    place.configure(inbox={"exclude": ["raw/"]})
    with place.run() as daemon:
        daemon.wait_for("photo.failed")
        daemon.wait_for("photo.done")
        daemon.wait_for("photo.waiting")
        until(lambda: why(place, cut)["events"], "the wait is on the books")
        story = why(place, photo)
        assert story["state"] == "done"
        assert story["seen"]["how"] == "start"
        assert whats(story)[0] == "seen"
        assert whats(story)[-1] == "made"
        assert story["events"][-1]["worker"] > 0
        assert story["events"][-1]["at"].endswith("+00:00")
        assert {item["name"]: item["path"] for item in story["renditions"]} == {
            name: str(place.output / name / "sub" / photo.name) for name in ("web", "thumb")
        }
        for item in story["renditions"]:
            assert item["bytes"] == os.path.getsize(item["path"])
            assert set(item) == {"name", "path", "width", "height", "bytes"}
        failed = why(place, bad)
        assert (failed["state"], failed["renditions"]) == ("failed", [])
        assert "not a JPEG" in failed["reason"]
        waiting = why(place, cut)
        assert waiting["state"] == "waiting"
        assert waiting["events"][-1]["next"]
        moving = place.inbox / "sub" / "moved.jpg"
        photo.rename(moving)
        until(lambda: why(place, photo)["state"] == "unknown", "it is gone")
        assert whats(why(place, photo))[-1] == "gone"
        assert daemon.stop() == 0
    assert why(place, bad)["state"] == "failed", "without a daemon too"
    text = place.watcher("why", bad, "--config", place.config).out
    assert "not a JPEG" in text
    assert "watcher retry" in text


def test_why_says_that_a_photo_is_in_another_format_than_its_name_says(place: Place) -> None:
    place.configure()
    photo = place.inbox / "a.jpg"
    photo.write_bytes(pictures.encoded("PNG"))
    place.once()
    assert why(place, photo)["state"] == "done"
    text = place.watcher("why", photo, "--config", place.config).out
    assert "it is a PNG, whatever its name says" in text
    with Image.open(place.output / "web" / "a.jpg") as image:
        assert image.format == "JPEG"


def test_why_names_the_rule_that_leaves_a_path_alone(place: Place) -> None:
    place.configure(inbox={"exclude": ["raw/", "*_draft.jpg"], "recursive": True})
    (photo,) = fill(place.inbox / "raw", 1)
    link = place.inbox / "link.jpg"
    link.symlink_to(photo)
    os.mkfifo(place.inbox / "pipe.jpg")
    folder = place.inbox / "elsewhere"
    folder.symlink_to(place.root)
    wanted = {
        photo: "`raw/`",
        place.inbox / "raw": "`raw/`",
        place.inbox / "a_draft.jpg": "`*_draft.jpg`",
        place.inbox / ".hidden.jpg": "dot file",
        place.inbox / "a.jpg.part": "*.part",
        place.inbox / "notes.txt": "*.jpg",
        link: "symbolic link",
        folder / "a.jpg": "symbolic link",
        place.inbox / "pipe.jpg": "named pipe",
    }
    for path, words in wanted.items():
        story = _ask(place, path)
        assert story.state == "excluded", (path, story)
        assert words in story.reason, (path, story)
    outside = _ask(place, place.root / "other" / "a.jpg")
    assert outside.state == "unknown"
    assert str(place.inbox) in outside.reason
    missing = _ask(place, place.inbox / "never.jpg")
    assert (missing.state, missing.events, missing.seen) == ("unknown", (), None)
    fresh = place.inbox / "fresh.jpg"
    fresh.write_bytes(camera(1))
    assert _ask(place, fresh).state == "waiting"
    place.configure(inbox={"recursive": False})
    assert "recursive is off" in _ask(place, place.inbox / "x" / "a.jpg").reason


def test_why_finds_the_state_file_of_a_pair_of_folders_by_itself(place: Place) -> None:
    (photo,) = fill(place.inbox, 1)
    place.config.unlink()
    nobody = place.watcher("why", photo, "--json")
    assert json.loads(nobody.out)["state"] == "unknown", "no config and no state file is no error"
    assert place.watcher("once", "inbox", "output").code == 0
    for asked in (photo, place.inbox / "nothing.txt"):
        told = json.loads(place.watcher("why", asked, "--json").out)
        assert told["state"] == ("done" if asked == photo else "excluded")
    relative = place.watcher("why", "inbox/p000.jpg")
    assert "2048" in relative.out
    output = place.watcher("why", "output/web/p000.jpg")
    assert f"the rendition web of {photo}" in output.out
    assert f"\n{photo}\n  done: all its renditions are made" in output.out, "the photo's own story follows"
    assert place.watcher("why").code == 2
    assert "Traceback" not in place.watcher("why", "a\nb\udcff.jpg").err


def test_without_the_config_of_a_state_file_why_says_what_can_t_be_known(place: Place) -> None:
    (photo,) = fill(place.inbox, 1)
    text, fresh = place.inbox / "notes.txt", place.inbox / "fresh.jpg"
    place.config.unlink()
    assert place.watcher("once", "inbox", "output", "--state", place.state).code == 0
    text.touch()
    fresh.touch()
    told = {
        path: json.loads(place.watcher("why", path, "--state", place.state, "--json").out) for path in (photo, text)
    }
    assert (told[photo]["state"], told[text]["state"]) == ("done", "unknown")
    assert "its config says" in told[text]["reason"]
    assert json.loads(place.watcher("why", fresh, "--state", place.state, "--json").out)["state"] == "waiting"


def test_why_sums_up_folders_and_says_where_a_renamed_photo_is_now(place: Place) -> None:
    first, _ = fill(place.inbox / "trip", 2)
    fill(place.inbox / "trip" / "day", 1, 3)
    fill(place.inbox / "trip2", 1, 4)
    (place.inbox / "trip" / "text.jpg").write_text("no photo\n" * 60)
    (place.inbox / "empty").mkdir()
    place.once()
    assert _ask(place, place.inbox).reason == "it is a folder with 5 photos: 4 done, 1 failed"
    trip = _ask(place, place.inbox / "trip")
    assert (trip.state, trip.reason) == ("failed", "it is a folder with 4 photos: 3 done, 1 failed")
    assert (_ask(place, place.inbox / "trip2").state, _ask(place, place.inbox / "empty").state) == ("done", "excluded")
    for name in ("second.jpg", "third.jpg"):
        first.rename(place.inbox / name)
        place.once()
        first, old = place.inbox / name, first
        assert f"the same picture is {first} now" in _ask(place, old).reason
    assert f"the same picture is {first} now" in _ask(place, place.inbox / "trip" / "p000.jpg").reason


def test_why_of_an_output_whose_photo_is_gone_leads_to_that_photo(place: Place) -> None:
    place.configure({"web": {"width": 300, "format": ["jpeg", "webp"]}})
    (photo,) = fill(place.inbox / "trip", 1)
    place.once()
    photo.unlink()
    place.once()
    for name in ("p000.jpg", "p000.webp"):
        found = why(place, place.output / "web" / "trip" / name)
        assert found["state"] == "excluded"
        assert found["reason"].endswith(f" of {photo}")
    told = place.watcher("why", place.output / "web" / "trip" / "p000.jpg", "--config", place.config).out
    assert "unknown: it is no longer in the inbox" in told


def test_why_says_that_an_output_is_missing_and_what_to_do(place: Place) -> None:
    fill(place.inbox, 1)
    assert place.once().code == 0
    place.outputs("p000.jpg")[0].unlink()
    told = place.watcher("why", place.inbox / "p000.jpg", "--config", place.config)
    assert "(missing)" in told.out
    assert "watcher verify --repair" in told.out
