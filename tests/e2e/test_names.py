"""`name`: outputs that lie elsewhere, and that move when the template changes."""

from __future__ import annotations

import json
import signal

import pytest

from tests.e2e.harness import THUMB, WEB, Place, camera, fill, tree, until
from watcher.app.estimate import dry_run
from watcher.app.explain import why
from watcher.app.settings import Source
from watcher.cli.list_photos import list_photos
from watcher.cli.verify import verify

FLAT = {
    "web": {**WEB, "name": "{folder}/{stem}-{width}-{rendition}.{ext}"},
    "thumb": {**THUMB, "name": "small/{folder}/{stem}-t.{ext}"},
}


@pytest.mark.slow
def test_every_command_knows_outputs_by_their_new_names(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.configure()
    file, shown = str(place.config), capsys.readouterr
    fill(place.inbox / "2024", 1)
    (place.inbox / "b.JPG").write_bytes((place.inbox / "2024" / "p000.jpg").read_bytes())
    assert place.once().code == 0
    before = {path.stat().st_ino for path in tree(place.output).values()}
    place.configure(FLAT)
    dry_run(Source(None, file, str(place.state)))
    assert "web: 0 new, 0 again, 2 moved, about 0 bytes" in shown().out
    why(str(place.inbox / "b.JPG"), file, None, as_json=True)
    waiting = json.loads(shown().out)
    assert (waiting["state"], waiting["reason"]) == ("waiting", "web and thumb are still to be moved to their places")
    assert place.once().code == 0
    found = tree(place.output)
    assert set(found) == {"b-300-web.JPG", "2024/p000-300-web.jpg", "small/b-t.JPG", "small/2024/p000-t.jpg"}
    assert {path.stat().st_ino for path in found.values()} == before
    assert not (place.output / "web").exists()

    assert verify(None, file, None, repair=False, deep=False, as_json=False) == 0
    assert "4 renditions checked: 0 missing, 0 different" in shown().out
    list_photos(None, file, None, as_json=True)
    listed = [json.loads(line) for line in shown().out.splitlines()]
    assert {each["path"] for item in listed for each in item["renditions"]} == {str(path) for path in found.values()}
    why(str(place.output / "2024" / "p000-300-web.jpg"), file, None, as_json=False)
    story = shown().out
    assert f"the rendition web of {place.inbox}/2024/p000.jpg" in story
    assert "moved web, thumb to the place that `name` gives" in story

    (place.output / "2024" / "p000-300-web.jpg").unlink()
    (place.output / "2024" / "mine.jpg").touch()
    assert verify(None, file, None, repair=False, deep=False, as_json=True) == 1
    report = json.loads(shown().out)
    assert report["missing"] == [str(place.output / "2024" / "p000-300-web.jpg")]
    assert report["unknown"] == [str(place.output / "2024" / "mine.jpg")]
    (place.inbox / "b.JPG").unlink()
    assert place.once().code == 0
    gone = place.watcher("verify", "--prune", "--yes", "--config", place.config).out
    assert "2 of 2 outputs removed" in gone
    assert set(tree(place.output)) == {"2024/mine.jpg", "small/2024/p000-t.jpg"}


@pytest.mark.slow
def test_a_copy_with_its_size_in_its_name_goes_when_another_size_replaces_it(place: Place) -> None:
    def shows(*wanted: str) -> None:
        assert place.once().code == 0
        assert set(tree(place.output)) == {*wanted, "web/q-300.jpg"}
        assert place.watcher("verify", "--config", place.config).out.endswith("0 missing, 0 different, 0 unknown\n")

    sized = {**WEB, "name": "{rendition}/{folder}/{stem}-{width}.{ext}"}
    place.configure({"web": sized})
    photo, other = place.inbox / "p.jpg", place.inbox / "q.jpg"
    photo.write_bytes(camera(1))
    other.write_bytes(camera(2))
    shows("web/p-300.jpg")
    photo.write_bytes(camera(1, 200, 100))
    shows("web/p-200.jpg")
    photo.write_bytes(camera(1))
    shows("web/p-300.jpg")

    (place.output / "web" / "p-300.jpg").write_bytes(b"edited")
    photo.write_bytes(camera(1, 100, 60))
    shows("web/p-100.jpg", "web/p-300.jpg")
    pruned = place.watcher("verify", "--prune", "--yes", "--config", place.config).out
    assert f"kept: {place.output}/web/p-300.jpg: it has changed since it was made\n" in pruned
    assert set(tree(place.output)) == {"web/p-100.jpg", "web/p-300.jpg", "web/q-300.jpg"}


@pytest.mark.slow
def test_the_copy_of_a_photo_that_is_gone_goes_when_a_user_asks_though_another_has_its_name(place: Place) -> None:
    place.configure({"web": {**WEB, "name": "{folder}/{stem}-{width}.{ext}"}})
    fill(place.inbox, 2)
    photo = place.inbox / "p000.jpg"
    with place.run() as daemon:
        daemon.settle(2)
        photo.unlink()
        until(lambda: place.status()["inboxes"][0]["done"] == 1, "the daemon has noticed")
        photo.write_bytes(camera(1, 200, 100))
        daemon.settle(3)
        assert set(tree(place.output)) == {"p000-200.jpg", "p000-300.jpg", "p001-300.jpg"}
        assert place.watcher("verify", "--config", place.config).code == 0
        pruned = place.watcher("verify", "--prune", "--yes", "--config", place.config).out
        assert f"orphan: {place.output}/p000-300.jpg: its photo was replaced: {photo}\n" in pruned
        assert daemon.stop() == 0
    assert set(tree(place.output)) == {"p000-200.jpg", "p001-300.jpg"}


@pytest.mark.slow
def test_a_running_daemon_moves_what_a_reload_calls_otherwise(place: Place) -> None:
    place.configure()
    fill(place.inbox, 2)
    with place.run() as daemon:
        daemon.settle(2)
        before = {path.stat().st_ino for path in tree(place.output).values()}
        place.configure(FLAT)
        daemon.send(signal.SIGHUP)
        daemon.wait_for("batch.done", 2)
        assert daemon.stop() == 0
    found = tree(place.output)
    assert set(found) == {"p000-300-web.jpg", "p001-300-web.jpg", "small/p000-t.jpg", "small/p001-t.jpg"}
    assert {path.stat().st_ino for path in found.values()} == before
