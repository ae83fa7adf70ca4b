"""Take the README's pictures anew: real terminals (tmux) with the real program, drawn as SVG by rich.

Each picture shows two: of `once` one terminal at two moments, with ⋮ between; of `run` two terminals, a line between.

    python docs/capture.py PHOTOS [why.svg]    a folder of camera photos; needs tmux, and `watcher` on the path

Writes `once.svg`, `run.svg` and `why.svg` beside this file. Everything happens in a new home folder, removed again.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 140
CONFIG = """[rendition.web]
width = 2048
height = 2048
[rendition.thumb]
width = 320
height = 320
fit = "cover"
[[inbox]]
path = "Inbox"
output = "Resized"
"""
FONT = 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace'


class Terminal:
    """A tmux session of its own in a folder, typed into and read."""

    def __init__(self, name: str, folder: Path, height: int) -> None:
        self._socket = f"capture-{name}-{os.getpid()}"
        self._env = {
            "HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color",
        }  # fmt: skip
        shell = f'cd {folder} && exec env PS1="$ " bash --norc --noprofile'
        size = ("-x", str(WIDTH), "-y", str(height))
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, shell)
        self.tmux("set", "-g", "status", "off")
        self.wait("$")

    def tmux(self, *args: str) -> str:
        """Have tmux do something; what it says."""
        done = subprocess.run(
            ["tmux", "-L", self._socket, *args], env=self._env, check=True, capture_output=True, text=True
        )
        return done.stdout

    def type(self, text: str, *, wait_for: str = "", seconds: float = 0.0) -> None:
        """Type a line, then wait for what it brings, and for so long after that."""
        self.tmux("send-keys", text, "Enter")
        self.wait(wait_for)
        time.sleep(seconds)

    def wait(self, text: str) -> None:
        """Wait until the screen shows `text`; raises TimeoutError."""
        deadline = time.monotonic() + 120
        while text not in self.read():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} never came:\n{self.read()}")
            time.sleep(0.1)

    def wait_for_prompt(self) -> None:
        """Wait until the command that was typed has ended."""
        while Text.from_ansi(self.read()).plain.splitlines()[-1].strip() != "$":
            time.sleep(0.1)

    def read(self) -> str:
        """Give what the screen shows, colours included."""
        return self.tmux("capture-pane", "-e", "-p").rstrip("\n ")

    def close(self) -> None:
        """End the session."""
        self.tmux("kill-server")


def draw(text: str, path: Path, title: str) -> None:
    """Draw a screen as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title=title, unique_id="terminal")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # a picture that loads nothing
    path.write_text(re.sub(r"font-family: Fira Code, monospace", f"font-family: {FONT}", svg) + "\n", encoding="utf-8")


def capture_once(home: Path, photos: Path, target: Path) -> None:
    """Show a dry run, a run in the middle, its end, and a run with nothing left to do."""
    shutil.copytree(photos, home / "Inbox")
    terminal = Terminal("once", home, 14)
    try:
        terminal.type("watcher once --config photos.toml --dry-run", wait_for="thumb:")
        terminal.wait_for_prompt()
        terminal.type("watcher once --config photos.toml", wait_for="━")
        while not (counted := re.search(r"(\d+) of (\d+)", terminal.read())) or int(counted[1]) < 0.4 * int(counted[2]):
            time.sleep(0.05)
        working = terminal.read()
        terminal.wait(" made in ")
        terminal.wait_for_prompt()
        terminal.type("watcher once --config photos.toml", wait_for="nothing to do")
        terminal.wait_for_prompt()
        rest = terminal.read().splitlines()
        start = max(number for number, line in enumerate(rest) if " made in " in line)
        draw("\n".join([working, "  ⋮", *rest[start:]]), target, "watcher once")
    finally:
        terminal.close()


def capture_run(home: Path, photos: Path, target: Path) -> None:
    """Show the daemon, and what a user does and asks beside it."""
    (home / "Inbox").mkdir()
    shutil.copytree(photos, home / "card")
    (home / "notes.jpg").write_text("no photo\n")
    daemon, user = Terminal("daemon", home, 24), None
    try:
        daemon.type("watcher run --config photos.toml", wait_for="Ctrl-C", seconds=2.0)
        user = Terminal("user", home, 20)
        user.type("cp notes.jpg Inbox/", seconds=2.0)
        user.type("cp -r card Inbox/trip", seconds=2.0)
        user.type("watcher status --config photos.toml", wait_for="state file")
        user.wait_for_prompt()
        daemon.wait(" copies in ")  # the line of the burst
        time.sleep(3.0)
        daemon.tmux("send-keys", "C-c")
        time.sleep(2.0)
        draw(
            f"{daemon.read()}\n\x1b[2m{'─' * WIDTH}\x1b[0m\n{user.read()}", target, "watcher run, and another terminal"
        )
    finally:
        daemon.close()
        if user is not None:
            user.close()


def capture_why(home: Path, photos: Path, target: Path) -> None:
    """Show the story of a photo that was made, of one that failed and of a path that is left alone."""
    (home / "Inbox").mkdir()
    (home / "photos.toml").write_text("workers = 2\n" + CONFIG)
    daemon, user = Terminal("daemon", home, 24), None
    try:
        daemon.type("watcher run --config photos.toml", wait_for="Ctrl-C", seconds=2.0)
        photo = min(photos.glob("*.jpg"))
        shutil.copy(photo, home / "Inbox" / "beach.jpg")
        (home / "Inbox" / "notes.jpg").write_text("no photo\n")
        daemon.wait("notes.jpg")
        time.sleep(2.0)
        user = Terminal("user", home, 40)
        user.type("export WATCHER_CONFIG=$PWD/photos.toml; clear", seconds=1.0)
        for path in ("Inbox/beach.jpg", "Inbox/notes.jpg", "Inbox/beach.jpg.part"):
            user.type(f"watcher why {path}", wait_for=path)
            user.wait_for_prompt()
        draw(user.read(), target, "watcher why")
    finally:
        daemon.tmux("send-keys", "C-c")  # what tmux sends when it ends, SIGHUP, has the config read again
        time.sleep(2.0)
        daemon.close()
        if user is not None:
            user.close()


PICTURES = {"once.svg": capture_once, "run.svg": capture_run, "why.svg": capture_why}


def main() -> None:
    """Take all, or the one that is named."""
    photos = Path(sys.argv[1]).resolve()
    here = Path(__file__).parent
    for name in sys.argv[2:] or PICTURES:
        capture = PICTURES[name]
        home = Path(tempfile.gettempdir()) / "anna"
        home.mkdir()
        try:
            (home / "photos.toml").write_text(CONFIG)
            capture(home, photos, here / name)
        finally:
            time.sleep(1.0)  # shells that were told to end may still be writing
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
