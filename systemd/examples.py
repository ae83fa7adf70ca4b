"""Write the examples in this folder anew: `python systemd/examples.py`. What is installed is made by the same code.

They are what `watcher service install` writes for a config with one inbox, but for the paths.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from watcher.service.definition import Record, Service
from watcher.service.launchd_plist import plist
from watcher.service.systemd_unit import system_unit, user_unit

HERE = Path(__file__).parent
SYSTEM = Service(
    record=Record("/etc/xdg/watcher/config.toml", "/var/lib/watcher/state.db", "watcher"),
    command=("/opt/watcher/bin/watcher", "run", "--config", "/etc/xdg/watcher/config.toml"),
    program=("/opt/watcher", "/usr"),
    reads=("/srv/photos/inbox",),
    writes=("/srv/photos/resized",),
    drain_seconds=120,
)
HOME = "/home/anna"
USER = replace(
    SYSTEM,
    record=Record(f"{HOME}/.config/watcher/config.toml", f"{HOME}/.local/state/watcher/state.db", "anna"),
    command=("/opt/watcher/bin/watcher", "run", "--config", f"{HOME}/.config/watcher/config.toml"),
    reads=(f"{HOME}/Pictures/Inbox",),
    writes=(f"{HOME}/Pictures/Resized",),
    state_folder=f"{HOME}/.local/state/watcher",
)
MAC_HOME = "/Users/anna"
MAC_CONFIG = f"{MAC_HOME}/Library/Application Support/watcher/config.toml"
MAC = replace(
    SYSTEM,
    record=Record(MAC_CONFIG, f"{MAC_HOME}/Library/Application Support/watcher/state.db", "anna"),
    command=("/opt/watcher/bin/watcher", "run", "--config", MAC_CONFIG),
    reads=(f"{MAC_HOME}/Pictures/Inbox",),
    writes=(f"{MAC_HOME}/Pictures/Resized",),
    log=f"{MAC_HOME}/Library/Logs/watcher.log",
)


def examples() -> dict[Path, str]:
    """Give the text of every example by its path."""
    return {
        HERE / "watcher.service": system_unit(SYSTEM),
        HERE / "user" / "watcher.service": user_unit(USER),
        HERE / "launchd" / "photo-watcher.plist": plist(MAC, system=False).decode(),
    }


if __name__ == "__main__":
    for path, text in examples().items():
        path.write_text(text, encoding="utf-8")
