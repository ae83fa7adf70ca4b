"""`watcher verify`: the output tree against the books, and the repair of what is missing or different."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import BOTH, Place, camera, fill, fingerprint, shows, until
from tests.faults.processes import without_privilege
from watcher.cli.verify import verify
from watcher.core.types import PhotoId
from watcher.store import Store, queries

KEYS = {"checked", "missing", "different", "unknown", "repaired"}


def look(place: Place, capsys: pytest.CaptureFixture[str], *, deep: bool = False) -> tuple[int, dict[str, Any]]:
    """Verify without a process for it."""
    capsys.readouterr()
    code = verify(None, str(place.config), None, repair=False, deep=deep, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert set(found) == KEYS
    return code, {key: sorted(value) if isinstance(value, list) else value for key, value in found.items()}


@contextmanager
def books(place: Place) -> Iterator[Store]:
    with Store.open(str(place.state)) as state:
        yield state


def rewrite(path: Path, change: bytes = b"x") -> None:
    """Append to a file, and leave its time as it was."""
    before = path.stat()
    path.write_bytes(path.read_bytes() + change)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))


def test_each_output_is_held_to_the_books_and_strangers_are_named_and_left_alone(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(place.inbox / "sub", 6)
    (place.inbox / "sub" / "bad.jpg").write_bytes(b"no picture")
    os.utime(place.inbox / "sub" / "bad.jpg", (1, 1))
    place.once()
    assert look(place, capsys) == (0, {"checked": 12, "missing": [], "different": [], "unknown": [], "repaired": 0})
    web, thumb = place.output / "web" / "sub", place.output / "thumb" / "sub"
    (web / "p000.jpg").unlink()
    rewrite(web / "p001.jpg")
    os.utime(web / "p002.jpg", (5, 5))
    (web / "p003.jpg").unlink()
    (web / "p003.jpg").symlink_to(web / "p004.jpg")
    (thumb / "p005.jpg").unlink()
    strangers = [web / "stray.jpg", place.output / "note.txt", place.output / "elsewhere" / "deep" / "a.jpg"]
    for path in strangers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    junk = [web / ".DS_Store", web / ".watcher-host-1-1-1.tmp", web / "Thumbs.db"]
    for path in junk:
        path.write_bytes(b"")
    code, found = look(place, capsys)
    assert code == 1
    assert found == {
        "checked": 12,
        "missing": sorted(map(str, [web / "p000.jpg", thumb / "p005.jpg"])),
        "different": [str(web / f"p00{number}.jpg") for number in (1, 2, 3)],
        "unknown": sorted(map(str, strangers)),
        "repaired": 0,
    }
    for path in junk:
        path.unlink()
    done = place.watcher("verify", "--config", place.config, "--repair")
    assert done.code == 0, done
    assert f"missing: {web / 'p000.jpg'}\n" in done.out
    assert "5 made again" in done.out
    assert f"different: {web / 'p003.jpg'}: it is no regular file\n" in done.out
    assert all(path.read_bytes() == b"mine" for path in strangers)
    code, found = look(place, capsys)
    assert (code, found["missing"], found["different"]) == (0, [], []), "what nobody knows makes no fault"
    assert len(found["unknown"]) == 3
    (place.inbox / "sub" / "p000.jpg").unlink()
    place.once()
    assert len(look(place, capsys)[1]["unknown"]) == 3, "outputs of a photo that has left are known"


def test_all_pages_are_looked_at_and_what_is_being_made_is_no_difference(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.inbox, 7)
    place.once()
    monkeypatch.setattr(queries, "PAGE", 3)
    for number in (0, 3, 6):
        place.outputs(f"p00{number}.jpg")[0].unlink()
    code, found = look(place, capsys)
    assert (code, found["checked"]) == (1, 14)
    assert found["missing"] == [str(place.outputs(f"p00{number}.jpg")[0]) for number in (0, 3, 6)]
    photo = PhotoId(os.fsencode(place.inbox), b"p003.jpg")
    with books(place) as state:
        known = state.known(photo)
        assert known is not None
        state.write([(photo, replace(known, leased=True))])
    assert str(place.outputs("p003.jpg")[0]) not in look(place, capsys)[1]["missing"]


def test_verify_says_so_where_there_is_nothing_to_verify(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert look(place, capsys)[1]["checked"] == 0
    assert not place.state.exists()
    fill(place.inbox, 1)
    place.once()
    place.configure(inbox={"output": str(place.root / "new")})
    assert look(place, capsys)[1]["checked"] == 0, "the books are about another folder, and so would all be missing"


def test_what_may_not_be_looked_at_is_not_called_missing_and_not_made_again(place: Place) -> None:
    fill(place.inbox / "sub", 2)
    fill(place.inbox, 1, 2)
    assert place.once().code == 0
    place.within = without_privilege()
    web, sub, thumb = place.output / "web", place.output / "web" / "sub", place.output / "thumb" / "p002.jpg"
    thumb.unlink()
    closings = [(place.output, 0, 0, 0), (web, 0, 3, 1), (sub, 0o444, 4, 1)]
    for folder, mode, checked, missing in closings:
        folder.chmod(mode)
        try:
            done, again = (place.watcher("verify", *how, "--config", place.config) for how in ([], ["--json"]))
            assert done.code == again.code == 1
            assert done.err == again.err == f"not looked at: {folder} can't be read: `chmod u+rx {folder}`\n"
            found = json.loads(again.out)
            assert [len(value) if isinstance(value, list) else value for value in found.values()] == [
                *(checked, missing, 0, 0, 0)
            ]
            assert "1 folder not looked at" in done.out
            assert ("--repair" in done.out) == bool(missing)
            assert not missing or "missing: " + str(thumb) in done.out
            if folder == place.output:
                assert place.watcher("verify", "--repair", "--config", place.config).code == 1
        finally:
            folder.chmod(0o755)
        assert place.status()["inboxes"][0]["waiting"] == 0, "nothing was asked for"
    place.within = []
    done = place.watcher("verify", "--repair", "--config", place.config)
    assert (done.code, thumb.exists()) == (0, True), done
    assert not place.once().events("photo.done")


def test_what_could_not_be_repaired_is_a_fault_until_it_is(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    fill(place.inbox, 1)
    place.once()
    web, thumb = place.outputs("p000.jpg")
    thumb.unlink()
    thumb.mkdir()
    rewrite(web)
    repair = ("verify", "--repair", "--config", place.config)
    for _ in range(2):
        done = place.watcher(*repair)
        assert done.code == 1
        assert "not repaired" in done.err
        code, found = look(place, capsys)
        assert (code, found["missing"], found["different"]) == (1, [], sorted(map(str, [web, thumb])))
    assert "; its photo failed: " in place.watcher("verify", "--config", place.config).out
    thumb.rmdir()
    assert place.watcher(*repair).code == 0
    assert look(place, capsys)[0] == 0
    (place.inbox / "p000.jpg").write_bytes(b"no picture")
    os.utime(place.inbox / "p000.jpg", (1, 1))
    assert place.once().code == 1
    assert look(place, capsys)[0] == 0, "the copies of the version before are there"


def test_a_photo_that_failed_before_it_was_ever_made_lacks_no_copy(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.configure({"web": {"width": 80, "format": ["webp", "jpeg"]}})
    (place.inbox / "bad.jpg").write_bytes(b"no picture")
    os.utime(place.inbox / "bad.jpg", (1, 1))
    assert place.once().code == 1
    assert look(place, capsys)[0] == 0


@pytest.mark.slow
def test_the_running_daemon_repairs_and_only_what_is_wanting(place: Place) -> None:
    fill(place.inbox, 4)
    with place.run() as daemon:
        daemon.settle(4)
        before = fingerprint(place.output)
        web, thumb = place.outputs("p001.jpg")
        web.unlink()
        rewrite(place.outputs("p002.jpg")[1])
        gone = place.outputs("p003.jpg")[0]
        done = place.watcher("verify", "--config", place.config, "--repair", "--json")
        assert done.code == 0, done
        assert json.loads(done.out)["repaired"] == 2
        after = fingerprint(place.output)
        changed = {name for name in before if before[name] != after.get(name)}
        assert changed == {"web/p001.jpg", "thumb/p002.jpg"}
        assert after["web/p001.jpg"][2] == before["web/p001.jpg"][2], "the same bytes"
        assert shows(place.outputs("p002.jpg")[1], 2), "made without the larger one, it may differ in a bit"
        gone.unlink()
        (place.inbox / "p003.jpg").unlink()
        (place.inbox / "p003.jpg").mkdir()
        told = place.watcher("verify", "--config", place.config, "--repair")
        assert "Traceback" not in told.err
        (place.inbox / "p003.jpg").rmdir()
        assert thumb.exists()
        assert daemon.stop() == 0
    assert place.watcher("verify", "--config", place.config).code == 0


@pytest.mark.slow
def test_deep_finds_another_content_behind_the_same_size_and_time_and_repairs_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(place.inbox, 3)
    place.configure({**BOTH, "small": {"width": 80, "format": "webp"}})
    place.once()
    assert look(place, capsys, deep=True)[0] == 0
    damaged = place.outputs("p001.jpg")[0]
    status = damaged.stat()
    data = bytearray(damaged.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 40):
        data[at] ^= 0x5A
    damaged.write_bytes(data)
    os.utime(damaged, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert look(place, capsys)[0] == 0, "from outside nothing is to be seen"
    code, found = look(place, capsys, deep=True)
    assert (code, found["different"]) == (1, [str(damaged)])
    (place.inbox / "p000.jpg").write_bytes(camera(9))
    done = place.watcher("verify", "--config", place.config, "--repair", "--deep")
    assert done.code == 0, done
    assert "not compared: 1 photo, gone or changed meanwhile" in done.err
    until(lambda: damaged.read_bytes() != bytes(data), "it is made again", 1.0)
    (place.inbox / "p000.jpg").unlink()
    assert look(place, capsys, deep=True)[0] == 0


@pytest.mark.slow
def test_an_original_that_is_brought_back_for_a_lost_output_stays_until_that_is_made_again(place: Place) -> None:
    place.configure(inbox={"after": "delete"})
    (photo,) = fill(place.inbox, 1)
    kept, looks = photo.read_bytes(), photo.stat()
    assert place.once().code == 0
    assert not photo.exists()
    lost = place.outputs("p000.jpg")[0]
    lost.unlink()
    aside = place.root / "aside"
    aside.write_bytes(kept)
    os.utime(aside, ns=(looks.st_mtime_ns, looks.st_mtime_ns))
    aside.rename(photo)
    done = place.once()
    assert photo.exists(), done
    assert "watcher verify --repair" in done.events("original.kept")[0]["reason"]
    done = place.watcher("verify", "--config", place.config, "--repair")
    assert done.code == 0, done
    assert lost.exists()
    assert not photo.exists(), "now it may go"
