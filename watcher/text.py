"""Text for people."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape what a terminal could act on and what can't be encoded; line breaks stay."""
    return "".join(
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )
