"""The key `name` of a rendition: a template of its outputs' paths. From a photo's folder and name to a path, and back.

Rules:
- The photos' folder is a part of the path of its own, and the stem is in the file name, apart from other digits. So two
  outputs of one rendition have one path only if they have one name: `core.naming` alone looks for conflicts.
- An output's folder depends on the rendition and the photos' folder alone.
- The size is known when the photo has been opened. Until then a path has marks in its place (`sized`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from watcher.core.recipe import rendition_of
from watcher.text import utf8_bytes, utf8_text

DEFAULT = "{rendition}/{folder}/{stem}.{ext}"
_PLACEHOLDERS = ("rendition", "folder", "stem", "ext", "width", "height")
_WIDTH, _HEIGHT = b"\0w", b"\0h"
_MOST_BYTES = 100  # of a part, as of the name of a rendition
_STEM, _FOLDERS, _DIGITS = "stem", "folders", "digits"  # in `_symbols`, beside single characters

Meeting = tuple[str, str, str]  # two photos, and the path that outputs of both would have
_State = tuple[int, bool]  # which symbol is next, and whether it is begun


class OldOutput(NamedTuple):
    """An output as it is recorded, at a place that its rendition no longer has, or may not have in its new size."""

    outputs: tuple[bytes, ...]  # relative to the output folder: several places if its format is not known
    width: int
    height: int
    size: int  # bytes
    digest: bytes  # of the file's bytes, see `RenditionRecord`
    current: bool  # it was made by the wanted recipe: it need only be moved, unless the photo has changed


def fault(template: str) -> str:
    """Return what is wrong with a template, to be read after what was found; empty: nothing."""
    folders, file, parts = template.rpartition("/")[0], template.rpartition("/")[2], template.split("/")
    literal = re.sub(r"\{\w+\}", "", template)
    named = re.findall(r"\{(\w+)\}", template)
    unknown = next((word for word in named if word not in _PLACEHOLDERS), "")
    gap = re.search(r"\{(width|height)\}\d*\{stem\}|\{stem\}\d*\{(width|height)\}", file)
    checks = (
        (not template.isprintable() or "\\" in template, "with a character that file names should not have"),
        (template.startswith("/"), "which is an absolute path, and not one below the output folder"),
        (bool({".", ".."} & set(parts)), "with a part that leads out of its folder"),
        ("" in parts, "with an empty part"),
        (any(part.startswith(".") for part in parts), "with a dot in front, as hidden files have it"),
        (any(part != part.strip() for part in parts), "with a space at the end of a name"),
        (
            any(len(part.encode()) > _MOST_BYTES for part in literal.split("/")),
            f"with over {_MOST_BYTES} bytes in a name",
        ),
        (bool(unknown), f"with `{{{unknown}}}`, which is none of {', '.join(map('{{{}}}'.format, _PLACEHOLDERS))}"),
        (bool(set("{}") & set(literal)), "with a brace that belongs to no word"),
        (named.count("folder") != 1 or "{folder}" not in parts[:-1], _without("{folder}", template)),
        (named.count("stem") != 1 or "{stem}" not in file, _without("{stem}", template)),
        (named.count("ext") != 1 or not file.endswith(".{ext}"), "which does not end in `.{ext}`"),
        ("{width}" in folders or "{height}" in folders, "with the size in the name of a folder"),
        (gap is not None, "with digits next to the stem: `a1.jpg`, 280 pixels, and `a.jpg`, 1280, would have one name"),
    )
    return next((text for wrong, text in checks if wrong), "")


def _without(placeholder: str, template: str) -> str:
    """Return why a template needs a placeholder in its place, with two photos whose outputs would have one path."""
    if placeholder == "{stem}":
        return "without one `{stem}` in the file name: `a.jpg` and `b.jpg` would have one name"
    example = {"rendition": "web", "folder": "", "stem": "a", "ext": "jpg", "width": "280", "height": "210"}
    shown = re.sub(r"\{(\w+)\}", lambda found: example.get(found[1], ""), template)
    return f"without one `{{folder}}` between `/`: `1/a.jpg` and `2/a.jpg` would both be `{shown.strip('/')}`"


@dataclass(frozen=True, slots=True)
class Layout:
    """The template of one rendition, taken apart."""

    before: bytes  # the folders in front of the photos' folder
    after: bytes  # the folders below it
    head: bytes  # of the file name, in front of the stem
    tail: bytes  # behind it, in front of the extension

    def folder_path(self, folder: bytes) -> bytes:
        """Return the folder of the outputs of photos in `folder`."""
        return b"/".join(filter(None, (self.before, folder, self.after)))

    def output_path(self, folder: bytes, name: bytes) -> bytes:
        """Return the path of the output that `core.naming` calls `name`; with marks for the size, if that is in it."""
        stem, dot, extension = name.rpartition(b".") if b"." in name else (name, b"", b"")
        path = self.folder_path(folder)
        return path + (b"/" if path else b"") + self.head + stem + self.tail + dot + extension

    def photos_folder(self, path: bytes) -> bytes | None:
        """Return the folder of the photos whose outputs are in the folder `path`; None: there is none."""
        parts, before, after = (part.split(b"/") if part else [] for part in (path, self.before, self.after))
        end = len(parts) - len(after)
        if end < len(before) or parts[: len(before)] != before or parts[end:] != after:
            return None
        return b"/".join(parts[len(before) : end])

    def split(self, output: bytes) -> tuple[bytes, bytes] | None:
        """Return the photos' folder of an output, and what `core.naming` calls it; None: it is no output of these."""
        path, _, file = output.rpartition(b"/")
        folder = self.photos_folder(path)
        stem, dot, extension = file.rpartition(b".") if b"." in file else (file, b"", b"")
        match = self._pattern().fullmatch(stem)
        if match is None and (match := self._pattern().fullmatch(file)) is not None:
            dot = extension = b""  # a photo without one
        return None if folder is None or match is None else (folder, match["stem"] + dot + extension)

    def _pattern(self) -> re.Pattern[bytes]:
        return _pattern(self.head, self.tail)


@lru_cache(maxsize=256)
def _pattern(head: bytes, tail: bytes) -> re.Pattern[bytes]:
    before, after = (re.sub(rb"\\?\0[wh]", rb"\\d+", re.escape(part)) for part in (head, tail))
    return re.compile(before + rb"(?P<stem>.+)" + after, re.DOTALL)


@lru_cache(maxsize=256)
def layout_of(rendition: str, template: str) -> Layout:
    """Take the template of a rendition apart, by its key; empty: the default."""
    *folders, file = (template or DEFAULT).split("/")
    at = folders.index("{folder}")
    head, tail = (_filled(part, rendition) for part in file.removesuffix(".{ext}").split("{stem}"))
    before, after = (b"/".join(_filled(part, rendition) for part in some) for some in (folders[:at], folders[at + 1 :]))
    return Layout(before, after, head, tail)


def _filled(part: str, rendition: str) -> bytes:
    values = {"{rendition}": utf8_bytes(rendition_of(rendition)), "{width}": _WIDTH, "{height}": _HEIGHT}
    return b"".join(values.get(piece, piece.encode()) for piece in re.split(r"(\{\w+\})", part))


def sized(output: bytes, width: int, height: int) -> bytes:
    """Return the path of an output of that size in pixels."""
    return output.replace(_WIDTH, b"%d" % width).replace(_HEIGHT, b"%d" % height)


def has_size(output: bytes) -> bool:
    """Return whether a path has marks for the size."""
    return b"\0" in output


def unsized(output: bytes) -> bytes:
    """Return a path as people read it while the size is not known."""
    return output.replace(_WIDTH, b"{width}").replace(_HEIGHT, b"{height}")


def without_digits(output: bytes) -> bytes:
    """Return what a path with marks for the size has in common with the paths that it may become."""
    return re.sub(rb"(\0[wh]|\d)+", b"0", output)


# ---- two renditions ----


def meeting(one: Layout, other: Layout) -> Meeting | None:
    """Return photos whose outputs in two renditions of one format would have one path; None: there are none.

    Upper and lower case count as the same. The shortest path that both can make is searched, a character at a time.
    """
    from watcher.core.naming import folded  # noqa: PLC0415  # it imports the types, which import this module

    both = [Layout(*map(folded, (each.before, each.after, each.head, each.tail))) for each in (one, other)]
    tracks = [_symbols(each) for each in both]
    alphabet = sorted({symbol for track in tracks for symbol in track if len(symbol) == 1} | {"/", "1", "a"})
    waiting = deque([((0, False), (0, False), "")])
    seen = {waiting[0][:2]}
    while waiting:
        first, second, path = waiting.popleft()
        if (first[0], second[0]) == (len(tracks[0]), len(tracks[1])):
            photos = [each.split(utf8_bytes(path + ".jpg")) or (b"", b"") for each in both]
            here, there = ("/".join(filter(None, map(utf8_text, photo))) for photo in photos)
            return here, there, path + ".jpg"
        for char in alphabet:
            for states in product(_next(tracks[0], first, char), _next(tracks[1], second, char)):
                if states not in seen:
                    seen.add(states)
                    waiting.append((*states, path + char))
    return None


def _symbols(layout: Layout) -> list[str]:
    """Return what the paths of a rendition consist of, without the extension."""
    symbols = [_FOLDERS]
    if layout.before:
        symbols = [*utf8_text(layout.before), "/", *symbols]
    if layout.after:
        symbols += [*utf8_text(layout.after), "/"]
    return [*symbols, *_with_digits(layout.head), _STEM, *_with_digits(layout.tail)]


def _with_digits(part: bytes) -> Iterator[str]:
    for piece in re.split(r"(\0[wh])", utf8_text(part)):
        yield from [_DIGITS] if "\0" in piece else piece


def _next(symbols: list[str], state: _State, char: str) -> Iterator[_State]:
    """Yield the states that a character leads to. FOLDERS are any number of names, each with a `/` behind it."""
    at, inside = state
    symbol = symbols[at] if at < len(symbols) else ""
    if symbol == _FOLDERS:
        if char != "/" or inside:
            yield at, char != "/"
        if not inside:
            yield from _next(symbols, (at + 1, False), char)
    elif symbol in {_STEM, _DIGITS}:
        if char != "/" and (symbol == _STEM or char.isdigit()):
            yield at, True
            yield at + 1, False
    elif symbol == char:
        yield at + 1, False
