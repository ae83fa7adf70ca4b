"""Write the man page from the command line's own help: `python docs/man.py` makes `docs/watcher.1` anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from pydantic.fields import FieldInfo

from watcher import __version__
from watcher.cli.app import app
from watcher.config.tables import DEFAULTS, TABLES

PAGE = Path(__file__).with_name("watcher.1")

_STATUS = (
    (0, "Done; for run: stopped cleanly on request."),
    (
        1,
        (
            "once: some photos failed or are incomplete, an original could not be moved or deleted, an inbox could not"
            " be read, or it was stopped. verify: some outputs are missing or differ, or could not be removed. retry:"
            " a path is no photo of an inbox. Each is named."
        ),
    ),
    (2, "The command line is wrong."),
    (70, "An internal error, with a traceback."),
    (75, "Another instance holds the state file; its process id is named."),
    (
        78,
        (
            "The config is wrong: all its faults at once, with what to write instead. Or it can't work on this machine;"
            " that is checked when the config has no fault."
        ),
    ),
)
_FILES = (
    ("~/.config/watcher/config.toml", "The user's config, where no other is named; on macOS in ~/Library."),
    ("/etc/xdg/watcher/config.toml", "The site's config."),
    ("~/.local/state/watcher/", "State files: what is done, and so is not done again."),
    ("/var/lib/watcher/state.db", "The state file of the system's service."),
)
_ENVIRONMENT = (
    ("WATCHER_CONFIG", "The config file, where --config names none."),
    (
        "WATCHER_DECODER",
        "Set to pillow, JPEGs are decoded by Pillow, not by watcher's own decoder; the copies are the same.",
    ),
    ("STATE_DIRECTORY", "The folder for the state file; systemd sets it."),
    ("NO_COLOR", "Where it is set, nothing is coloured."),
)


def page() -> str:
    """Return the page's text, in man(7)'s macros."""
    group: Any = typer.main.get_command(app)
    lines = [
        f'.TH WATCHER 1 "" "watcher {__version__}" "User Commands"',
        ".SH NAME",
        "watcher \\- resized copies of photos dropped into a folder",
        ".SH SYNOPSIS",
        ".B watcher",
        ".I COMMAND",
        ".RI [ OPTION ...]",
        ".SH DESCRIPTION",
        _escaped(str(group.help).partition("\n")[0]),
        ".SH COMMANDS",
    ]
    for name, command in group.commands.items():
        lines += _command([name], command)
    lines.append(".SH CONFIG KEYS")
    for key, field in _keys():
        default = DEFAULTS[key]
        value = "" if default is None else f" = {json.dumps(default, ensure_ascii=False)}"
        lines += [".TP", f".B {_escaped(key + value)}", _escaped(field.description or "")]
    lines.append(".SH EXIT STATUS")
    for code, text in _STATUS:
        lines += [".TP", f".B {code}", _escaped(text)]
    for title, entries in (("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        lines.append(f".SH {title}")
        for name, text in entries:
            lines += [".TP", f".B {_escaped(name)}", _escaped(text)]
    return "\n".join(lines) + "\n"


def _command(names: list[str], command: Any) -> list[str]:  # noqa: ANN401  # typer keeps its own copy of click private
    if getattr(command, "commands", None):
        return [line for name, below in command.commands.items() for line in _command([*names, name], below)]
    arguments = [p for p in command.params if p.param_type_name == "argument" and not p.hidden]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join(_usage(p) for p in arguments)
    title = " ".join(["watcher", *names, usage]).strip()
    lines = [f'.SS "{_escaped(title)}"']
    text, _, example = str(command.help).partition("Example: ")
    lines += [_escaped(re.sub(r"\s+", " ", part)) + "\n.PP" for part in re.split(r"\n\s*\n", text.strip())]
    for parameter in (*arguments, *options):
        name = (
            _metavar(parameter) if parameter in arguments else ", ".join([*parameter.opts, *parameter.secondary_opts])
        )
        value = f" {_metavar(parameter)}" if parameter in options and not parameter.is_flag else ""
        lines += [".TP", f".B {_escaped(name + value)}", _escaped(parameter.help or "")]
    if command.epilog:
        lines += [".PP", _escaped(command.epilog)]
    if example:
        lines += [".PP", "Example:", ".PP", ".RS", ".nf", _escaped(example.strip()), ".fi", ".RE"]
    return lines


def _keys() -> Iterator[tuple[str, FieldInfo]]:
    """Return the dotted path of each key, as faults name it, with what the config's tables say of it."""
    for title, table in TABLES.items():
        for name, field in table.model_fields.items():
            if (key := f"{title}.{name}".lstrip(".")) in DEFAULTS:
                yield key, field


def _usage(argument: Any) -> str:  # noqa: ANN401  # the same
    text = _metavar(argument) + (" ..." if argument.nargs == -1 else "")
    return text if argument.required else f"[{text}]"


def _metavar(parameter: Any) -> str:  # noqa: ANN401  # the same
    return str(parameter.metavar or parameter.name.upper())


def _escaped(text: str) -> str:
    """Escape what roff would take for its own."""
    text = (
        text.replace("\\", "\\e")
        .replace('"', "\\(dq")
        .replace("-", "\\-")
        .replace("\u2192", "\\(->")
        .replace("\u2026", "...")
    )
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
