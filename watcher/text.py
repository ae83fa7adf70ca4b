"""Text for people."""

from __future__ import annotations


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
