"""Text for people: escaping, users, sizes, durations, plurals and dates."""

from __future__ import annotations

import pwd
from datetime import UTC, datetime

INBOX_MISSING = "the inbox is not there: mount it or make it"  # watch and scan say the same: it is logged once


def utf8_text(path: bytes) -> str:
    """Return a path as text that is the same in every locale, which that of `os.fsdecode` is not."""
    return path.decode("utf-8", "surrogateescape")


def utf8_bytes(text: str) -> bytes:
    """Return the path whose `utf8_text` this is."""
    return text.encode("utf-8", "surrogateescape")


def user_name(number: int) -> str:
    """Return the name of a user; one without a name is `#` and the number, which commands take as well."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"


def shown(text: str | bytes) -> str:
    """Return a path or a text as one printable line: what is not UTF-8 or steers a terminal is escaped."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable(text: str) -> str:
    """Return a text with its line breaks, each line as by `shown`."""
    return "\n".join(map(shown, text.split("\n")))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8, as `os.fsdecode` carries it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def counted(number: int, what: str) -> str:
    """Return a number with its noun, which takes its plural where it should."""
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what[:-1]}ies" if what.endswith("y") else f"{number:,} {what}s"


def size(count: float) -> str:
    """Return a number of bytes in the unit that fits it."""
    for least, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= least:
            return f"{count / least:.1f} {unit}"
    return f"{count / 1e3:.0f} kB" if count >= 1e3 else f"{count:.0f} bytes"  # noqa: PLR2004 - a kilobyte


def duration(seconds: float) -> str:
    """Return a duration in the unit that fits it."""
    for least, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= least:
            return f"{seconds / least:.0f} {unit}"
    return f"{seconds:.0f} s"


def moment(at: float, now: float, *, milliseconds: bool = False) -> str:
    """Return a time (seconds since the epoch) in local time; with its date where it is not today's."""
    local = datetime.fromtimestamp(at, UTC).astimezone()
    today = local.date() == datetime.fromtimestamp(now, UTC).astimezone().date()
    clock = f"{local:%H:%M:%S}" + (f".{local.microsecond // 1000:03}" if milliseconds else "")
    return clock if today else f"{local:%Y-%m-%d} {clock}"


def iso(at: float, timespec: str = "seconds") -> str:
    """Return a time (seconds since the epoch) as ISO 8601, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec)
