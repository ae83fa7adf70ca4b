"""Text for people."""

from __future__ import annotations

from datetime import UTC, datetime


def printable(text: str) -> str:
    """Escape what a terminal could act on and what can't be encoded; line breaks stay."""
    return "".join(
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )


def counted(number: int, what: str) -> str:
    """Return a number with its noun, which takes its plural where it should."""
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what[:-1]}ies" if what.endswith("y") else f"{number:,} {what}s"


def moment(at: float, now: float) -> str:
    """Return a time (seconds since the epoch) in local time; with its date where it is not today's."""
    local = datetime.fromtimestamp(at, UTC).astimezone()
    today = local.date() == datetime.fromtimestamp(now, UTC).astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """Return a duration in the unit that fits it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
