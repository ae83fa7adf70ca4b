"""Text for people."""

from __future__ import annotations

import pytest

from watcher.text import counted, duration, iso, printable, shown, size


@pytest.mark.parametrize("of", [bytes, lambda name: name.decode("utf-8", "surrogateescape")], ids=["bytes", "text"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("März ✓.jpg".encode(), "März ✓.jpg"),
        (b"a\n\x1b[2J\x7f", r"a\n\x1b[2J\x7f"),
        ("\u202e\u2028".encode(), r"\u202e\u2028"),
        (b"a\xff", r"a\xff"),
    ],
)
def test_a_name_is_escaped_alike_as_bytes_and_as_text(of: type[bytes], name: bytes, text: str) -> None:
    assert shown(of(name)) == text


def test_line_breaks_of_a_text_stay() -> None:
    assert printable("a\n\tb\r") == "a\n\\tb\\r"


def test_numbers_have_their_units() -> None:
    assert [*map(size, (0, 999, 1000, 999_499, 8_649_000, 2.5e9, 3e12))] == [
        *("0 bytes", "999 bytes", "1 kB", "999 kB", "8.6 MB", "2.5 GB", "3.0 TB"),
    ]
    assert [*map(duration, (0, 59, 60, 7200, 172_800))] == ["0 s", "59 s", "1 min", "2 h", "2 d"]
    assert [counted(1, "copy"), counted(2, "copy"), counted(1200, "photo")] == ["1 copy", "2 copies", "1,200 photos"]
    assert [iso(0), iso(0.25, "milliseconds")] == ["1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00.250+00:00"]
