"""`watcher verify --prune`: outputs that no photo needs any more are listed, and with --yes removed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import WEB, Place, camera, fill, fingerprint, shows, tree, until
from tests.faults.mounting import mounted, needs_mounts
from watcher.cli.prune import prune

REMOVED = {"orphans", "kept", "removed"}


def listed(place: Place, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], dict[str, str]]:
    """List without a process for it: what could be removed, and what stays, why; both relative to the output."""
    capsys.readouterr()
    before = fingerprint(place.output)
    assert prune(None, str(place.config), None, yes=False, as_json=True) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(found) == REMOVED
    assert fingerprint(place.output) == before, "a list changes nothing"
    return (
        sorted(os.path.relpath(item["path"], place.output) for item in found["orphans"]),
        {os.path.relpath(item["path"], place.output): item["reason"] for item in found["kept"]},
    )


def removes(place: Place) -> int:
    """Remove what may be removed; how many files that were."""
    before = len(tree(place.output))
    done = place.watcher("verify", "--config", place.config, "--prune", "--yes", "--json")
    assert done.code == 0, done
    removed: int = json.loads(done.out)["removed"]
    assert removed == before - len(tree(place.output))
    return removed


@pytest.mark.slow
def test_what_no_photo_needs_is_listed_and_removed_and_the_rest_stays(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = fill(place.inbox / "sub", 4)
    place.once()
    photos[0].unlink()
    (place.output / "web" / "sub" / "mine.jpg").write_bytes(b"mine")
    place.configure({"web": WEB})
    place.once()
    orphans, kept = listed(place, capsys)
    assert orphans == sorted(["web/sub/p000.jpg", *(f"thumb/sub/p00{number}.jpg" for number in range(4))])
    assert kept == {}
    assert prune(None, str(place.config), None, yes=False, as_json=False) == 0
    told = capsys.readouterr().out
    assert f"orphan: {place.output}/web/sub/p000.jpg: its photo is gone: {photos[0]}\n" in told
    assert f"{place.output}/thumb/sub/p001.jpg: the config has no rendition thumb for it\n" in told
    remove = f"watcher verify --prune --yes --config={place.config}"
    assert told.endswith(f"no longer needed: 5 outputs of 4 photos; `{remove}` removes them\n")
    verified = place.watcher("verify", "--config", place.config)
    look = f"watcher verify --prune --config={place.config}"
    assert verified.out.endswith(f"`{look}` lists outputs that are no longer needed\n")
    assert verified.code == 0
    assert removes(place) == 5
    assert sorted(tree(place.output)) == ["web/sub/mine.jpg", *(f"web/sub/p00{number}.jpg" for number in (1, 2, 3))]
    assert not (place.output / "thumb").exists()
    assert listed(place, capsys) == ([], {})
    assert "--prune" not in place.watcher("verify", "--config", place.config).out
    place.configure()
    assert place.once().code == 0
    assert len(tree(place.output)) == 7, "a rendition that is wanted again is made again"


@pytest.mark.slow
def test_the_running_daemon_removes_them(place: Place) -> None:
    photos = fill(place.inbox, 3)
    with place.run() as daemon:
        daemon.settle(3)
        photos[1].unlink()
        until(lambda: place.status()["inboxes"][0]["done"] == 2, "the daemon has noticed")
        assert removes(place) == 2
        photos[1].write_bytes(camera(9))
        until(place.outputs("p001.jpg")[1].exists, "it is made anew")
        daemon.settle(4)
        assert daemon.stop() == 0
    assert place.watcher("verify", "--config", place.config).code == 0


@pytest.mark.slow
def test_a_photo_that_went_unnoticed_is_gone_unless_it_may_have_another_name(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = fill(place.inbox, 3)
    place.once()
    photos[0].rename(place.inbox / "new.jpg")
    photos[1].unlink()
    orphans, kept = listed(place, capsys)
    assert orphans == []
    assert set(kept) == {f"{rendition}/p00{number}.jpg" for rendition in ("web", "thumb") for number in (0, 1)}
    assert all("run `watcher once` first" in why for why in kept.values())
    (place.inbox / "new.jpg").unlink()
    assert len(listed(place, capsys)[0]) == 4
    assert removes(place) == 4
    assert place.once().code == 0
    assert sorted(tree(place.output)) == ["thumb/p002.jpg", "web/p002.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("formats", [False, True])
def test_what_left_the_config_stays_on_record_when_its_photo_is_renamed(
    place: Place, capsys: pytest.CaptureFixture[str], formats: bool
) -> None:
    def renamed(path: Path, to: Path) -> None:
        path.rename(to)
        place.once()
        assert place.watcher("verify", "--config", place.config).code == 0

    place.configure({"web": {**WEB, "format": ["webp", "png"]}} if formats else None)
    photos = fill(place.inbox, 2)
    place.once()
    old = {f"web/p00{number}.png" if formats else f"thumb/p00{number}.jpg" for number in (0, 1)}
    place.configure({"web": {**WEB, "format": ["webp", "jpeg"]}} if formats else {"web": WEB})
    place.once()
    assert listed(place, capsys) == (sorted(old), {})
    renamed(photos[0], place.inbox / "new.jpg")
    renamed(place.inbox / "new.jpg", place.inbox / "newer.jpg")
    assert listed(place, capsys) == (sorted(old), {})
    photos[0].write_bytes(camera(7))
    place.once()
    assert shows(place.output / "web" / ("p000.webp" if formats else "p000.jpg"), 7)
    assert place.watcher("verify", "--config", place.config).code == 0
    assert listed(place, capsys) == (sorted(old), {})
    assert removes(place) == 2
    assert not old & set(tree(place.output))
    assert listed(place, capsys) == ([], {})
    place.configure()
    assert place.once().code == 0
    assert shows(place.output / "thumb" / "p000.jpg", 7)


@pytest.mark.slow
def test_what_a_user_has_edited_stays(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    photos = fill(place.inbox, 2)
    place.once()
    photos[0].unlink()
    place.once()
    web, _ = place.outputs("p000.jpg")
    found = web.stat()
    with web.open("r+b") as file:
        file.seek(-20, os.SEEK_END)
        file.write(bytes(10))
    os.utime(web, ns=(found.st_mtime_ns, found.st_mtime_ns))
    assert listed(place, capsys) == (["thumb/p000.jpg"], {"web/p000.jpg": "it has changed since it was made"})
    assert removes(place) == 1
    assert listed(place, capsys) == ([], {"web/p000.jpg": "it has changed since it was made"})


@pytest.mark.slow
def test_nothing_goes_while_the_inbox_may_be_away(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    photos = fill(place.inbox, 3)
    place.once()
    photos[0].unlink()
    place.once()
    place.configure({"web": WEB})
    away = place.root / "away"
    place.inbox.rename(away)

    def nothing_goes(why: str, *, even_with_yes: bool = False) -> None:
        orphans, kept = listed(place, capsys)
        assert (orphans, list(kept)) == ([], ["."]), "the output as a whole"
        assert why in kept["."]
        assert not even_with_yes or removes(place) == 0

    nothing_goes("is not there")
    place.inbox.mkdir()
    nothing_goes("is not the folder that was scanned last")
    place.once()
    shutil.copy2(away / "p002.jpg", place.inbox)
    nothing_goes("is not the folder that was scanned last")
    shutil.rmtree(place.inbox)
    away.rename(place.inbox)
    for path in photos[1:]:
        path.rename(place.root / path.name)
    nothing_goes("has none of the photos that are recorded", even_with_yes=True)


@pytest.mark.slow
@needs_mounts
def test_photos_on_a_volume_in_the_inbox_are_not_gone_when_it_is_unmounted(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(place.inbox, 2)
    with mounted(place.inbox / "card"):
        fill(place.inbox / "card" / "dcim", 2)
        place.once()
    (place.inbox / "card" / "readme.txt").write_text("no volume")
    place.once()
    place.once()
    orphans, kept = listed(place, capsys)
    assert orphans == []
    assert len(kept) == 4
    assert all("another volume is mounted" in why for why in kept.values()), kept
    assert removes(place) == 0


@pytest.mark.slow
def test_with_orphans_delete_the_daemon_removes_some_by_itself_and_holds_the_rest(place: Place) -> None:
    photos = fill(place.inbox, 4)
    place.configure(inbox={"orphans": "delete", "orphans_max": "50%", "rescan_seconds": 0.5})
    with place.run() as daemon:
        daemon.settle(4)
        photos[0].unlink()
        until(lambda: len(tree(place.output)) == 6, "its outputs are removed")
        assert not place.outputs("p000.jpg")[0].exists()
        for path in photos[1:3]:
            path.unlink()
        daemon.wait_for("orphans.held")
        wanted = "2 photos gone, more than `orphans_max` a day: their outputs stay"
        until(lambda: wanted in place.watcher("status", "--config", place.config).out, "status says so")
        assert "`watcher verify --prune` lists them" in place.watcher("status", "--config", place.config).out
        assert len(tree(place.output)) == 6
        assert removes(place) == 4
        assert daemon.stop() == 0


@pytest.mark.parametrize("options", [["--yes"], ["--prune", "--repair"], ["--prune", "--deep"]])
def test_options_that_do_not_go_together_are_refused(place: Place, options: list[str]) -> None:
    assert place.watcher("verify", "--config", place.config, *options).code == 2
