"""IPTC's record as bytes: its texts in whatever encoding, and what of it still holds. Source: IPTC IIM 4.2."""

from __future__ import annotations

from collections.abc import Iterator

BYLINE, COPYRIGHT = 80, 116
_TAG, _APPLICATION = 0x1C, 2
_EXTENDED = 0x8000  # the size field holds the size of the size
# What `all` leaves out: pixel sizes, the picture itself, FotoStation's crops; which way up it is, and previews of it
_STALE_RECORDS = frozenset({3, 7, 8, 9, 240})
_STALE = frozenset({(2, 131), (2, 200), (2, 201), (2, 202)})


def _datasets(record: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Return record, dataset, first byte, first byte of the value, and end of each; stops where nothing makes sense."""
    at = 0
    while at + 5 <= len(record) and record[at] == _TAG:
        start, size = at + 5, int.from_bytes(record[at + 3 : at + 5], "big")
        if size & _EXTENDED:
            digits = size - _EXTENDED
            size = int.from_bytes(record[start : start + digits], "big") if digits <= 4 else len(record)  # noqa: PLR2004 - bytes
            start += digits
        if start + size > len(record):
            return
        yield record[at + 1], record[at + 2], at, start, start + size
        at = start + size


def texts(record: bytes, dataset: int) -> list[str]:
    """Return the values of a dataset of the application record.

    Its encoding is marked by few and wrongly by some: what is UTF-8 is taken for it, all else for Windows' Latin-1
    (as exiftool does).
    """
    values = [record[start:end] for r, d, _, start, end in _datasets(record) if (r, d) == (_APPLICATION, dataset)]
    found = (_decoded(value).strip("\0 \t\r\n") for value in values)
    return [text for text in found if text]


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("cp1252", "ignore")  # five of its codes mean nothing


def current(record: bytes) -> bytes:
    """Return the record without what no rendition has, or not as the photo had it."""
    parts = ((r, d, record[at:end]) for r, d, at, _, end in _datasets(record))
    return b"".join(part for r, d, part in parts if r not in _STALE_RECORDS and (r, d) not in _STALE)


def resource(record: bytes) -> bytes:
    """Return a record as Photoshop stores it."""
    return b"8BIM\x04\x04\0\0" + len(record).to_bytes(4, "big") + record + bytes(len(record) % 2)


def resources(block: bytes) -> dict[int, bytes]:
    """Return Photoshop's resources, which IPTC's record is one of, by their number."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 12 <= len(block) and block[at : at + 4] in {b"8BIM", b"PHUT", b"DCSR", b"AgHg", b"MeSa"}:
        number, data = int.from_bytes(block[at + 4 : at + 6], "big"), at + 6 + (block[at + 6] + 2) // 2 * 2 + 4
        size = int.from_bytes(block[data - 4 : data], "big")
        if block[at : at + 4] == b"8BIM":
            found.setdefault(number, block[data : data + size])
        at = data + (size + 1) // 2 * 2
    return found
