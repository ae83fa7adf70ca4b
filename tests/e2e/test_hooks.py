"""Hooks from outside: the installed command tells a program and a server, over kills, and what the docs promise."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.harness import Place, fill, until
from tests.servers import Server, serving
from watcher.config import parse

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def hooks(recipe: str) -> list[dict[str, Any]]:
    (text,) = re.findall(r"```toml\n(.*?)```", RECIPES[recipe], re.DOTALL)
    found: list[dict[str, Any]] = tomllib.loads(text)["hook"]
    return found


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def write(place: Place, *tables: dict[str, Any]) -> None:
    place.configure(hook=list(tables))


def documents(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def keeper(place: Place) -> tuple[Path, Path]:
    """Return a command that keeps each document, whole or not at all, and the folder that it keeps them in."""
    kept = place.root / "kept"
    kept.mkdir()
    text = f'set -e\nfile=$(mktemp "{kept}/XXXXXXXX")\ncat > "$file"\nmv "$file" "$file.json"\n'
    return script(place.root / "keep", f"#!/bin/sh\n{text}"), kept


def _running(program: str) -> bool:
    """Return whether a process has that in its command line: hooks do not have the mark of others."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if program.encode() in (entry / "cmdline").read_bytes():
                return True
    return False


@pytest.mark.slow
def test_once_tells_a_command_and_a_server_before_it_ends(place: Place) -> None:
    keep, kept = keeper(place)
    with serving(Server()) as server:
        write(place, {"on": "batch", "command": [str(keep)]}, {"on": "failed", "url": server.url})
        fill(place.inbox, 2)
        (place.inbox / "bad.jpg").write_bytes(b"no photo")
        assert place.once().code == 1
        ((_, _, body),) = server.got
    (batch,) = documents(kept)
    assert (batch["event"], len(batch["photos"]), len(batch["failed"])) == ("batch", 2, 1)
    for photo in batch["photos"]:
        assert Path(photo["path"]).parent == place.inbox
        for rendition in photo["renditions"]:
            assert Path(rendition["path"]).stat().st_size == rendition["bytes"]
    failed = json.loads(body)
    assert [Path(item["path"]).name for item in failed["failed"]] == ["bad.jpg"]


@pytest.mark.slow
def test_a_hook_that_fails_costs_no_photo_and_is_told_at_the_next_run(place: Place) -> None:
    keep, kept = keeper(place)
    write(place, {"on": "photo", "command": [str(keep)]}, {"on": "batch", "command": [str(keep)]})
    keep.chmod(0o644)
    fill(place.inbox, 2)
    assert place.once().code == 0
    hook, _ = place.status()["hooks"]
    assert "Permission denied" in hook.pop("last_error")
    assert hook == {"on": "photo", "to": str(keep), "waiting": 2, "failed": 0}
    why = ("why", "--config", place.config, place.inbox / "p001.jpg")
    assert place.watcher(*why).out.count(f"waits to be sent to the hook {keep}, whose last try failed: ") == 2
    keep.chmod(0o755)
    assert place.once().code == 0
    assert len(documents(kept)) == 3
    assert place.watcher(*why).out.count(f" sent to the hook {keep}\n") == 2


@pytest.mark.slow
def test_a_kill_loses_nothing_that_a_hook_is_to_be_told_of(place: Place) -> None:
    keep, kept = keeper(place)
    write(place, {"on": "photo", "command": [str(keep)]}, {"on": "batch", "command": [str(keep)]})
    fill(place.inbox, 12)
    with place.run() as daemon:
        until(lambda: len(documents(kept)) >= 2, "a hook is told")
        daemon.send(signal.SIGKILL)
        daemon.process.wait()
    until(lambda: not _running(str(keep)), "what it ran has ended")
    assert place.once().code == 0
    found = documents(kept)
    for event in ("photo", "batch"):
        told = {Path(photo["path"]).name for item in found if item["event"] == event for photo in item["photos"]}
        assert told == {f"p{number:03}.jpg" for number in range(12)}


# ---- the page ----


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipes_are_configs(recipe: str) -> None:
    data = {"inbox": [{"path": "/in", "output": "/out"}], "hook": hooks(recipe)}
    assert parse(data, source="recipe", base="/", home="/home/me").hooks


@pytest.mark.slow
def test_what_the_recipes_send_and_run(place: Place) -> None:
    """All of them in one run, with a local server and programs that note their arguments in place of the real ones."""
    tables, programs = [], {}
    with serving(Server()) as server:
        for recipe, page in RECIPES.items():
            for hook in hooks(recipe):
                if "url" in hook:
                    parts = urlsplit(hook["url"])
                    query = f"?{parts.query}" if parts.query else ""
                    hook["url"] = f"http://127.0.0.1:{server.server_port}{parts.path}{query}"
                elif code := re.findall(r"```python\n(.*?)```", page, re.DOTALL):
                    hook["command"] = [str(script(place.root / "note-copies", code[0]))]
                else:
                    program, *words = hook["command"]
                    programs[program] = words
                    text = f'#!/bin/sh\nprintf "%s\\n" "$@" > "{place.root}/{program}.said"\n'
                    hook["command"] = [str(script(place.root / program, text)), *words]
                tables.append(hook)
        write(place, *tables)
        fill(place.inbox, 1)
        (place.inbox / "bad.jpg").write_bytes(b"no photo")
        assert place.once().code == 1
        posted = {urlsplit(path): (headers, json.loads(body)) for path, headers, body in server.got}
    assert {headers["Content-Type"] for headers, _ in posted.values()} == {"application/json"}
    sent = {url.path: (url.query, document) for url, (_, document) in posted.items()}
    query, failed = sent.pop("/my-photos")
    assert parse_qs(query)["message"] == ["{{(index .failed 0).path}}: {{(index .failed 0).reason}}"]
    assert {"path", "reason"} == set(failed["failed"][0])
    (batch,) = [document for _, document in sent.values()]
    assert len(batch["photos"]) == 1
    for program, words in programs.items():
        assert (place.root / f"{program}.said").read_text().splitlines() == words
    assert set(programs) == {"rclone", "hugo"}
    listed = (place.output / "new.txt").read_text().splitlines()
    assert [Path(line) for line in listed] == place.outputs("p000.jpg")
