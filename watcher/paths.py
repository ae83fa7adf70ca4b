"""Where config and state live on this platform, and reading the config file's text.

`environ` is an argument, so that a caller decides what counts; only platformdirs looks at the process's own
environment (`XDG_*`, `HOME`) to find the user's folders.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from watcher.errors import ConfigError, Fault, PlaceError
from watcher.service.definition import LABEL, UNIT, Record
from watcher.service.systemd_unit import read_unit
from watcher.text import shown

if TYPE_CHECKING:
    from platformdirs import PlatformDirs

_FILE = "config.toml"
MOST_BYTES = 4 << 20  # far above any config; a file this large was named by mistake
_NO_HOME = (
    "This user has no home folder: HOME is not set to an absolute path, and the list of users has none for it."
    " Set HOME, or name both files, with --config and with --state or the config's `state`."
)

_PAIR = re.compile(r"[0-9a-f]{16}\.db")  # the name of the state file of a run on two folders
_BETWEEN = "', '"  # names in a tuple of Python's
_BACKSLASH = r"write `\\` for one backslash, or use single quotes"
# What tomllib says → what a person who writes such a line most often wants to know.
_HINTS = {
    "Invalid value": 'write text in quotes ("auto"), true and false in small letters',
    "Expected '=' after a key": "write each setting as `key = value` on a line of its own",
    "Cannot overwrite a value": "write each key once",
    "Cannot declare": "write each table once; several inboxes are `[[inbox]]` each",
    "Unescaped '\\'": _BACKSLASH,
    "Invalid hex value": _BACKSLASH,
    "Illegal character": 'close the quotes on the same line, or write `\\"` for a quote within them',
}


def candidates() -> list[str]:
    """List the config files that are looked for when none is named: the user's (if there is a home), the site's."""
    try:
        folders = [*_dirs().iter_config_dirs()]
    except RuntimeError:
        folders = _dirs().site_config_dir.split(os.pathsep)
    return [os.path.join(folder, _FILE) for folder in folders]


def find_config(explicit: str | None, environ: Mapping[str, str]) -> str:
    """Find the config file: `explicit` (of `--config`), `$WATCHER_CONFIG`, the user's, the site's, that of a service.

    The path is absolute; a service's is that which an installed one works by.

    One that is named has to exist: another one would not be what was meant. Raises ConfigError, which lists every
    place looked in.
    """
    for where, named in (("--config", explicit), ("$WATCHER_CONFIG", environ.get("WATCHER_CONFIG"))):
        if named:
            path = os.path.abspath(named)
            if not os.path.exists(path):
                raise ConfigError(where, [Fault("", f"found no file {shown(path)}", "write the path of one")])
            return path
    places = candidates()
    for path in places:
        if os.path.exists(path):
            return path
    for record in installed():
        if os.path.exists(record.config):
            return record.config
    looked = ", ".join(["--config (not given)", "$WATCHER_CONFIG (not set)", *map(shown, places)])
    hint = "`watcher init` writes one; run, once, status, verify and list need none with INBOX and OUTPUT"
    raise ConfigError("no config file", [Fault("", f"looked in {looked}", hint)])


def read_toml(path: str) -> dict[str, Any]:
    """Read a TOML file into the mapping that `config.parse` takes.

    Raises ConfigError where it can't be read or is no TOML, with line and column.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        hints = {IsADirectoryError: "name the file in it", PermissionError: "let the user that watcher runs as read it"}
        hint = hints.get(type(error), "name another config file")
        raise _unusable(path, f"found a file that can't be read ({error.strerror})", hint) from None
    if len(raw) > MOST_BYTES:
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


def read_file(path: str) -> bytes:
    """Return the content of a regular file, its first 4 MiB and a byte at most. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would keep us waiting
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a file")
        return file.read(MOST_BYTES + 1)


def _unusable(path: str, found: str, hint: str) -> ConfigError:
    return ConfigError(shown(path), [Fault("", found, hint)])


def _explained(message: str) -> tuple[str, str]:
    hints = (hint for start, hint in _HINTS.items() if message.startswith(start))
    hint = next(hints, "see `man watcher`, CONFIG KEYS, for how it is written")
    # tomllib writes names as Python does: ('batch',), and characters too
    message = re.sub(r"\('([^()]*)',?\)", lambda names: f"`{names[1].replace(_BETWEEN, '.')}`", message)
    message = message.replace(r"Illegal character '\n'", "The quotes are not closed where the line ends")
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    return f"line {match[2]}, column {match[3]}: {match[1]}" if match else message, hint


def state_path(
    explicit: str | None, config_state: str | None, environ: Mapping[str, str], config: str | None = None
) -> str:
    """Return where the state file lies: `explicit` (of `--state`), the config's, the service's, the user's.

    `config` is the file that the settings were read from: one that a service was installed for has that service's
    state file, for every user.
    """
    named = explicit or config_state
    if named:
        return os.path.abspath(named)
    if config and not environ.get("STATE_DIRECTORY"):
        for record in installed():
            if os.path.realpath(record.config) == os.path.realpath(config):
                return record.state
    return os.path.join(_state_folder(environ), "state.db")


# ---- services ----


def service_file(*, system: bool) -> str:
    """Return where the unit or plist of a service belongs, of the system's or of this user's."""
    if sys.platform == "darwin":
        home = "/Library/LaunchDaemons" if system else _in_home("~/Library/LaunchAgents")
        return os.path.join(home, f"{LABEL}.plist")
    if system:
        return f"/etc/systemd/system/{UNIT}"
    config = os.environ.get("XDG_CONFIG_HOME") or _in_home("~/.config")
    return os.path.join(config, "systemd", "user", UNIT)


def service_record(path: str) -> Record | None:
    """Return what the unit or plist at `path` was made for; None: there is none, or it is not ours."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES)
    except OSError:
        return None
    if path.endswith(".plist"):
        from watcher.service.launchd_plist import read_plist  # noqa: PLC0415 — plistlib, only on macOS

        return read_plist(raw)
    return read_unit(raw.decode(errors="replace"))


def installed() -> list[Record]:
    """List what the installed services were made for: this user's, then the system's."""
    files = [service_file(system=True)]
    with suppress(PlaceError):  # without a home there is none of this user
        files.insert(0, service_file(system=False))
    return [record for record in map(service_record, files) if record is not None]


def home_of(config: str) -> str:
    """Return what `~` stands for in a config file: the home of the user whose service works by it, or of this one.

    Empty: that user has none.
    """
    user = next((r.user for r in installed() if os.path.realpath(r.config) == os.path.realpath(config)), "")
    home = os.path.expanduser(f"~{user}")
    return home if os.path.isabs(home) else ""


def command() -> str:
    """Return where the `watcher` command lies that this Python has, or that was called."""
    called = os.path.abspath(sys.argv[0])
    if os.path.islink(called):  # what `service install`, pipx or uv put on the PATH
        called = os.path.normpath(os.path.join(os.path.dirname(called), os.readlink(called)))
    if os.path.basename(called) == "watcher" and os.access(called, os.X_OK):
        return called
    return os.path.join(os.path.dirname(sys.executable), "watcher")


def typed() -> str:
    """Return what a person types to run the command: `watcher` where the shell finds that, otherwise its path."""
    from shutil import which  # noqa: PLC0415 — 5 ms that `--help` need not pay

    found = which("watcher")
    return "watcher" if found and os.path.realpath(found) == os.path.realpath(command()) else command()


def service_state_folder(*, system: bool) -> str:
    """Return where a service keeps its state file if its config does not say; systemd makes the system's."""
    if not system:
        return _users("user_state_dir")
    return "/Library/Application Support/watcher" if sys.platform == "darwin" else "/var/lib/watcher"


def service_log(*, system: bool) -> str:
    """Return where launchd puts what a service says."""
    return "/Library/Logs/watcher.log" if system else _in_home("~/Library/Logs/watcher.log")


def pair_state_path(inbox: bytes, output: bytes, environ: Mapping[str, str]) -> str:
    """Return where the state file lies of a run on two folders without a config; the folders' paths get resolved."""
    both = b"\0".join([os.path.realpath(inbox), os.path.realpath(output)])
    return os.path.join(_state_folder(environ), "pairs", f"{sha256(both).hexdigest()[:16]}.db")


def volumes_file(environ: Mapping[str, str]) -> str:
    """Return where it is remembered which volumes state files lie on."""
    return os.path.join(_state_folder(environ), "volumes.json")


def all_state_paths(environ: Mapping[str, str]) -> list[str]:
    """List the state files that exist: the default one, those of pairs of folders, those of installed services."""
    paths = []
    with suppress(PlaceError):  # without a home no run has left one there
        folder = _state_folder(environ)
        paths.append(os.path.join(folder, "state.db"))
        pairs = os.path.join(folder, "pairs")
        with suppress(OSError):
            paths += [os.path.join(pairs, name) for name in sorted(os.listdir(pairs)) if _PAIR.fullmatch(name)]
    paths += [record.state for record in installed()]
    return [path for path in dict.fromkeys(paths) if os.path.isfile(path)]


def user_pictures() -> str:
    """Return the user's folder for pictures; it need not exist."""
    return _users("user_pictures_dir")


def _state_folder(environ: Mapping[str, str]) -> str:
    # systemd separates several by colons; the first is the unit's own
    service = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return service or _users("user_state_dir")


def _users(folder: str) -> str:
    """Return one of this user's folders, by platformdirs' name for it; raises PlaceError where the user has no home."""
    try:
        return str(getattr(_dirs(), folder))
    except RuntimeError:
        raise PlaceError(_NO_HOME) from None


def _in_home(path: str) -> str:
    """Expand a path that begins with `~`; raises PlaceError where this user has no home."""
    found = os.path.expanduser(path)
    if not os.path.isabs(found):
        raise PlaceError(_NO_HOME)
    return found


def _dirs() -> PlatformDirs:
    from platformdirs import PlatformDirs  # noqa: PLC0415 — 10 ms that `--help` and a named config need not pay

    return PlatformDirs("watcher", appauthor=False, multipath=True)


def nearby(path: str) -> str:
    """Return an absolute path as a person in the current folder would write it: relative to it where it lies below."""
    try:
        here = os.getcwd().rstrip("/")
    except OSError:
        return path
    return path[len(here) + 1 :] if path.startswith(here + "/") else path
