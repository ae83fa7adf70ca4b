"""A name is anybody's choice: no command shows one that steers the terminal, ends a line or is taken for markup."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import COMMAND, Place, fill

# markup (`[/red]` of two folders closes what was never opened: an error to rich), HTML, colours of a terminal,
# changes of direction, ends of lines
HOSTILE = "[bold]<b>&amp;\x1b[31m\x1b]0;t\x07\u202egpj\u2066\n\r\t\x85\u2028\"%s{0}'"
OURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and cursors that rich itself writes
STEERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def on_a_terminal(place: Place, *words: str | Path) -> str:
    ours, theirs = pty.openpty()
    said = b""
    with subprocess.Popen(
        [COMMAND, *map(str, words)],
        env={**place.env, "TERM": "xterm", "COLUMNS": "80"},
        cwd=place.root,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # as Linux says that everybody has closed it
                break
    os.close(ours)
    return said.decode()


@pytest.mark.slow  # runs nearly every command, some twice
def test_no_command_is_steered_by_a_name(place: Place) -> None:
    place.inbox = place.root / f"in{HOSTILE}[" / "red]"
    place.output = place.root / f"out{HOSTILE}[" / "blue]"
    photo = place.inbox / f"a{HOSTILE}.jpg"
    place.inbox.mkdir(parents=True)
    fill(place.inbox, 1)[0].rename(photo)
    (place.inbox / f"bad{HOSTILE}.jpg").write_text("no photo")
    place.configure()
    config = ("--config", place.config)
    commands: list[tuple[str | Path, ...]] = [
        ("check", *config),
        ("once", *config),
        ("status", *config),
        ("why", photo, *config),
        ("why", place.inbox / f"none{HOSTILE}", *config),
        ("retry", place.root / HOSTILE / "[" / "red]", *config),
        ("verify", *config),
        ("list", *config),
        ("status", "--config", place.root / f"none{HOSTILE}[/red]"),
        ("init", place.root / f"{HOSTILE}.toml"),
        ("service", "show", *config),
        (f"{HOSTILE}[/red]",),
    ]
    for command in commands:
        piped = place.watcher(*command)
        said_by_it = [piped.out + piped.err]
        if command[0] in {"check", "status", "why", "init"}:
            said_by_it.append(OURS.sub("", on_a_terminal(place, *command)).replace("\r\n", "\n"))
        for said in said_by_it:
            assert not STEERS.search(said), (command, said)
            assert "Traceback" not in said, command
        if command[0] in {"check", "status"} and command[1:] == config:
            assert "[bold]<b>&amp;" in piped.out, command
            assert "[red]" not in piped.out.replace("[/red]", ""), command
