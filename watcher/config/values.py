"""What one key may hold: each check raises a ValueError that says what is wrong with what was found."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, get_args

from pydantic import Field
from pydantic_core import PydanticCustomError

from watcher.core import gitignore, layout
from watcher.core.formats import OUTPUTS


def path_text(text: str) -> str:
    """Check a path: it can be one on this system, and `~` stands for the home folder or not at all. No variables."""
    if not text:
        raise ValueError("which is empty")
    if text.startswith("~") and text != "~" and not text.startswith("~/"):
        raise ValueError("in which `~` is followed by a name (for a name that begins so: `./~…`)")
    if variable := re.match(r"\$\{?[A-Za-z_]\w*\}?|%\w+%", text):
        home = " (`~/` is the home folder)" if re.search("HOME|USERPROFILE", variable[0]) else ""
        raise ValueError(f"in which the variable `{variable[0]}` is not expanded{home}")
    if re.match(r"[A-Za-z]:\\|\\\\", text):
        raise ValueError(r"which is a path of Windows (in WSL, C:\ is /mnt/c)")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError(f"which can't be a file name {_here()}") from None
    if b"\0" in encoded:
        raise ValueError("with a NUL character in it")
    return text


def _here() -> str:
    encoding = sys.getfilesystemencoding()
    return "on this system" if encoding == "utf-8" else f"in this locale ({encoding}; with LC_ALL=C.UTF-8 it can)"


def absolute_text(text: str) -> str:
    """Check a path that begins at the root."""
    if not path_text(text).startswith("/"):
        raise ValueError("which does not begin with `/`")
    return text


def name_pattern(text: str) -> str:
    """Check a pattern that is held against file names."""
    if not text or "/" in text or "\0" in text:
        raise ValueError("which no file name can match")
    return text


def ignore_pattern(text: str) -> str:
    """Check a gitignore pattern: it can match something."""
    if wrong := gitignore.fault(text):
        raise ValueError(f"which {wrong}")
    return text


def colour_text(text: str) -> str:
    """Check a colour, and return it as it is compared: in lower case."""
    if not re.fullmatch("#[0-9A-Fa-f]{6}", text):
        raise ValueError("which is no colour of six hexadecimal digits")
    return text.lower()


def listed_formats(value: object) -> object:
    """Return one format as a list of one."""
    if isinstance(value, str) and value not in OUTPUTS:
        raise PydanticCustomError("literal_error", "no format")  # of the key itself, not of an item of a list
    return (value,) if isinstance(value, str) else value


def each_once(formats: tuple[str, ...]) -> tuple[str, ...]:
    """Check a list of formats: none is in it twice."""
    twice = next((form for at, form in enumerate(formats) if form in formats[:at]), None)
    if twice is not None:
        raise ValueError(f'with "{twice}" in it twice')
    return formats


def name_template(text: str) -> str:
    """Check the template of a rendition's paths."""
    if wrong := layout.fault(text):
        raise ValueError(wrong)
    return text


def listen_text(text: str) -> str:
    """Check HOST:PORT."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError("which is no HOST:PORT")
    if int(port) > 65535:  # noqa: PLR2004 — the largest port there is
        raise ValueError("whose port is above 65535")
    return text


def address_text(text: str) -> str:
    """Check HOST:PORT, with or without a scheme such as `tcp://` in front."""
    listen_text(re.sub(r"^[a-z]+://", "", text))
    return text


def url_text(text: str) -> str:
    """Check a URL that a hook may call."""
    from urllib.parse import urlsplit  # noqa: PLC0415 — most configs have none

    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("with a character that must be percent-encoded")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("which is not a URL") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("which does not begin with `https://` or `http://`")
    if not host or port == 0:
        raise ValueError("which names no host" if not host else "whose port is 0")
    if parts.username is not None or parts.password is not None:
        raise ValueError("with a user name in it, which is not sent (run `curl` as a command instead)")
    if parts.fragment:
        raise ValueError("with a `#` in it; the part after it is never sent")
    return text


def command_word(text: str) -> str:
    """Check one word of a command."""
    if "\0" in text:
        raise ValueError("with a NUL character in it")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError(f"which can't be an argument {_here()}") from None
    return text


def percent_text(text: str) -> str:
    """Check a share of 0 to 100 percent."""
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?%", text) or float(text[:-1]) > 100:  # noqa: PLR2004 — percent
        raise ValueError("which is not between 0% and 100%")
    return text


def whole(default: int | None, low: int, high: int) -> Any:  # noqa: ANN401 — so does pydantic's Field
    """Return a field for a whole number, and the text that completes "write …"."""
    return Field(default=default, ge=low, le=high, description=f"a whole number from {low} to {high}")


def number(default: float, low: float, high: float) -> Any:  # noqa: ANN401 — so does pydantic's Field
    """Return a field for a number, and the text that completes "write …"."""
    return Field(default=default, ge=low, le=high, description=f"a number from {low:g} to {high:.16g}")


def choice(default: Any, kind: object) -> Any:  # noqa: ANN401 — so does pydantic's Field
    """Return a field for one of the texts of the Literal `kind`; `...` as default: it must be given."""
    return Field(default=default, description=" or ".join(f'"{choice}"' for choice in get_args(kind)))


def text_field(example: str, default: Any = None) -> Any:  # noqa: ANN401 — so does pydantic's Field
    """Return a field for a text of which `example` says what it is; `...` as default: it must be given."""
    return Field(default=default, description=f"{example} in quotes")


def expanded(path: str, base: str, home: str) -> str:
    """Return an absolute, normal path: relative ones begin at `base`, `~` is `home`."""
    if path == "~" or path.startswith("~/"):
        path = os.path.join(home, path[1:].lstrip("/"))
    path = os.path.normpath(os.path.join(base, path))
    return path[1:] if path.startswith("//") else path  # POSIX lets normpath keep two leading slashes
