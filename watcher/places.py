"""Where config and state live on this platform, and reading the config file's text.

`environ` is an argument, so that a caller decides what counts; only platformdirs looks at the process's own
environment (`XDG_*`, `HOME`) to find the user's folders.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from watcher.errors import ConfigError, Fault

if TYPE_CHECKING:
    from platformdirs import PlatformDirs

_FILE = "config.toml"
_MOST_BYTES = 4 << 20  # far above any config; a file this large was named by mistake

# What tomllib says → what a person who writes such a line most often wants to know.
_HINTS = {
    "Invalid value": 'write text in quotes ("auto"), true and false in small letters',
    "Expected '=' after a key": "write each setting as `key = value` on a line of its own",
    "Cannot overwrite a value": "write each key once",
    "Cannot declare": "write each table once; several inboxes are `[[inbox]]` each",
    "Unescaped '\\'": r"write `\\` for one backslash, or use single quotes",
    "Illegal character": 'close the quotes on the same line, or write `\\"` for a quote within them',
}


def candidates() -> list[str]:
    """List the config files that are looked for when none is named: the user's, then the site's."""
    return [os.path.join(folder, _FILE) for folder in _dirs().iter_config_dirs()]


def find_config(explicit: str | None, environ: Mapping[str, str]) -> str:
    """Find the config file: `explicit` (of `--config`), `$WATCHER_CONFIG`, the user's, the site's; an absolute path.

    One that is named has to exist: nobody wants another one used instead. Raises ConfigError, which lists every
    place looked in.
    """
    for where, named in (("--config", explicit), ("$WATCHER_CONFIG", environ.get("WATCHER_CONFIG"))):
        if named:
            path = os.path.abspath(named)
            if not os.path.exists(path):
                raise ConfigError(where, [Fault("", f"found no file {_shown(path)}", "write the path of one")])
            return path
    places = candidates()
    for path in places:
        if os.path.exists(path):
            return path
    looked = ", ".join(["--config (not given)", "$WATCHER_CONFIG (not set)", *map(_shown, places)])
    hint = "`watcher init` writes one; with INBOX and OUTPUT on the command line none is needed"
    raise ConfigError("no config file", [Fault("", f"looked in {looked}", hint)])


def read_toml(path: str) -> dict[str, Any]:
    """Read a TOML file into the mapping that `config.parse` takes.

    Raises ConfigError where it can't be read or is no TOML, with line and column.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        hints = {IsADirectoryError: "name the file in it", PermissionError: "let the user read it that watcher runs as"}
        hint = hints.get(type(error), "name another config file")
        raise _unusable(path, f"found a file that can't be read ({error.strerror})", hint) from None
    if len(raw) > _MOST_BYTES:
        raise _unusable(path, "found more than 4 MiB", "name a config file")
    try:
        # editors on Windows put a mark in front, which TOML does not allow
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unusable(path, f"line {line}: found text that is not UTF-8", "save the file as UTF-8") from None
    except RecursionError:
        raise _unusable(path, "found tables or lists nested too deep", "write fewer brackets") from None
    except ValueError as error:  # TOMLDecodeError, and int() on a number of too many digits
        raise _unusable(path, *_explained(str(error))) from None


def _unusable(path: str, found: str, hint: str) -> ConfigError:
    return ConfigError(_shown(path), [Fault("", found, hint)])


def _explained(message: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    found = f"line {match[2]}, column {match[3]}: {match[1]}" if match else message
    hints = (hint for start, hint in _HINTS.items() if message.startswith(start))
    return found, next(hints, "see config.example.toml for how it is written")


def state_path(explicit: str | None, config_state: str | None, environ: Mapping[str, str]) -> str:
    """Tell where the state file lies: `explicit` (of `--state`), the config's, the service's, the user's."""
    named = explicit or config_state
    return os.path.abspath(named) if named else os.path.join(_state_folder(environ), "state.db")


def pair_state_path(inbox: bytes, output: bytes, environ: Mapping[str, str]) -> str:
    """Tell where the state file lies of a run on two folders without a config; the folders' paths get resolved."""
    both = b"\0".join([os.path.realpath(inbox), os.path.realpath(output)])
    return os.path.join(_state_folder(environ), "pairs", f"{sha256(both).hexdigest()[:16]}.db")


def all_state_paths(environ: Mapping[str, str]) -> list[str]:
    """List the state files that exist in the state folder: the default one, then those of pairs of folders."""
    folder = _state_folder(environ)
    pairs = os.path.join(folder, "pairs")
    try:
        names = sorted(os.listdir(pairs))
    except OSError:
        names = []
    paths = [os.path.join(folder, "state.db"), *(os.path.join(pairs, n) for n in names if _is_pair(n))]
    return [path for path in paths if os.path.isfile(path)]


def _is_pair(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{16}\.db", name) is not None


def user_pictures() -> str:
    """Give the user's folder for pictures; it need not exist."""
    return _dirs().user_pictures_dir


def _state_folder(environ: Mapping[str, str]) -> str:
    # systemd separates several by colons; the first is the unit's own
    service = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return service or _dirs().user_state_dir


def _dirs() -> PlatformDirs:
    from platformdirs import PlatformDirs  # noqa: PLC0415 — 10 ms that `--help` and a named config need not pay

    return PlatformDirs("watcher", appauthor=False, multipath=True)


def _shown(path: str) -> str:
    return path if path.isprintable() else ascii(path)
