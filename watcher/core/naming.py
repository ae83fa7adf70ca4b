"""Choose the file names of a photo's outputs.

An output's name is chosen once, when the photo is first tried, and kept as long as its extension fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from watcher.core.formats import INPUTS, OUTPUTS, Format
from watcher.core.recipe import Recipe, format_of_key
from watcher.core.records import RenditionRecord, fingerprint_in
from watcher.core.types import PhotoId

_NEVER = 2**63
_NOT_JPEG = tuple(
    extension.encode() for form, kind in INPUTS.items() if form != "jpeg" for extension in kind.extensions
)
NUMBER_DIGITS = 9  # in the key of a photo whose original was archived: the same for all keys, so that they sort


def stem_of(name: bytes) -> bytes:
    """Return the name without its extension, case folded. Every output's name begins with that and a dot."""
    name = called(name)
    return folded(name.rpartition(b".")[0] or name)


def aside(photo: PhotoId, number: int) -> PhotoId:
    """Return a key for a photo whose original was archived, so that another may have its name. No file can have it."""
    return PhotoId(photo.inbox, photo.path + b"\0%0*d" % (NUMBER_DIGITS, number))


def aside_number(photo: PhotoId, made: Mapping[str, RenditionRecord], last: int) -> int:
    """Return the number for a new key of `aside`: above `last`, the highest so far, and those in the outputs' names.

    So `free_names` can decide by the last number alone which names are free.
    """
    return 1 + max(
        [last, *(place for fact in made.values() if (place := _place_of(fact.name or b"", photo.name)) < _NEVER)]
    )


def number_of(name: bytes) -> int:
    """Return the number in a key of `aside`; 0: it is no such key."""
    return int(name.partition(b"\0")[2] or 0)


def key_stem(name: bytes) -> bytes:
    """Return the stem as it is in a photo's key. Photos whose originals were archived have separate stems."""
    return b"\0" + stem_of(name) if b"\0" in name else stem_of(name)


def called(name: bytes) -> bytes:
    """Return the name that a photo with this key had."""
    return name.partition(b"\0")[0]


def with_names(
    made: Mapping[str, RenditionRecord], recipes: Mapping[str, str], name: bytes, wanted: Mapping[str, Recipe]
) -> dict[str, RenditionRecord]:
    """Return the records `made` of photo `name`, each with its output's file name, so that they hold under another key.

    An output of a recipe that is no longer known had its natural name, as a JPEG or in its present format.
    """
    formats = {recipe.fingerprint: recipe.format for recipe in wanted.values()}
    named = {}
    for rendition, fact in made.items():
        now = wanted[rendition].format if rendition in wanted else format_of_key(rendition) or "jpeg"
        fmt = formats.get(fingerprint_in(recipes.get(rendition)), now)
        named[rendition] = fact._replace(name=fact.name or natural_name(name, fmt))
    return named


def could_meet(name: bytes, other: bytes) -> bool:
    """Return whether the outputs of two photos in one folder could have the same name.

    They could if the stem of one begins, up to a dot, with the stem of the other. `a.jpeg` may become `a.jpeg.webp`
    where `a.jpg` has become `a.webp`, and `a.jpeg.webp` is also the natural name for `a.jpeg.jpg`.
    """
    mine, theirs = _beginning(name), _beginning(other)
    return mine.startswith(theirs) or theirs.startswith(mine)


def head_of(name: bytes) -> bytes:
    """Return the part of a name that is the same in any two names whose outputs could have the same name."""
    return _beginning(name).partition(b".")[0]


@lru_cache(maxsize=1024)  # requested repeatedly for each name while the photos in the same folder are planned
def _beginning(name: bytes) -> bytes:
    """Return the beginning of every output of a photo with that name, case folded."""
    return stem_of(name) + b"."


def stems_above(stem: bytes) -> list[bytes]:
    """Return the stems that `stem` begins with, up to a dot, `stem` included."""
    parts = stem.split(b".")
    return [b".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def keeps_name(name: bytes) -> bool:
    """Return whether JPEGs of a photo with that name are called like it: it has no other format's extension."""
    return not name.lower().endswith(_NOT_JPEG)


def natural_name(name: bytes, fmt: Format) -> bytes:
    """Return the file name that the output gets if no other photo has it.

    A JPEG keeps the photo's name, unless that has the extension of another format.
    """
    if fmt == "jpeg" and keeps_name(name):
        return name
    return (name.rpartition(b".")[0] or name) + OUTPUTS[fmt].extension


def recorded_names(name: bytes, fact: RenditionRecord, fmt: Format | None) -> list[bytes]:
    """Return the possible file names of photo `name`'s output by its record: several if its format is unknown."""
    if fact.name is not None:
        return [fact.name]
    formats = OUTPUTS if fmt is None else [fmt]
    return list(dict.fromkeys(natural_name(name, each) for each in formats))


def folded(name: bytes) -> bytes:
    """Return the form of a name or path for comparison where case and the encoding of accents make no difference."""
    if name.isascii():
        return name.lower()
    from unicodedata import normalize  # noqa: PLC0415  # takes 1 ms, and is rarely needed

    try:
        return normalize("NFC", name.decode().casefold()).encode()
    except UnicodeDecodeError:
        return name.lower()


def free_names(
    name: bytes, rendition: str, fmt: Format, others: Mapping[bytes, Mapping[str, RenditionRecord]], *, folds_case: bool
) -> Iterator[bytes]:
    """Yield the file names that photo `name`'s output in `rendition` may have, the best first.

    `others`: the recorded photos of that folder whose outputs could have the same name (see `could_meet`), with the
    records of their renditions; none of their names is yielded. Photos of another folder that is the same one in the
    output tree are given by path.

    Among photos with one name whose originals were archived, the last one represents all: their outputs are the
    candidates up to its number.

    A name may be longer than 255 bytes: an output that can't be written is reported like any other.
    """
    fold = folded if folds_case else bytes
    taken, groups = set(), []
    for other, facts in others.items():
        if other != name:
            fact, file = facts.get(rendition), other.rpartition(b"/")[2]
            taken.add(fold((fact and fact.name) or natural_name(called(file), fmt)))
            groups += [(called(file), number_of(file))] if b"\0" in file else []
    first = max((number for group, number in groups if group == name), default=0)
    for place, candidate in enumerate(_candidates(name, fmt)):
        if place < first or fold(candidate) in taken:
            continue
        if not any(_place_of(fold(candidate), fold(group)) < number for group, number in groups if group != name):
            yield candidate


def _candidates(name: bytes, fmt: Format) -> Iterator[bytes]:
    extension = OUTPUTS[fmt].extension
    yield natural_name(name, fmt)
    yield name + extension
    number = 2
    while True:
        yield name + b".%d" % number + extension
        number += 1


def _place_of(output: bytes, name: bytes) -> int:
    """Return the position of an output's file name among photo `name`'s candidates; 2 ** 63: it is none of them."""
    if output in {natural_name(name, fmt) for fmt in OUTPUTS}:
        return 0
    stem = output.rpartition(b".")[0]
    if stem == name:
        return 1
    number = stem.removeprefix(name + b".")
    return int(number) if stem != number and number.isdigit() else _NEVER
