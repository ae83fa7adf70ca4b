"""Outputs that lie there already and prove to be current: after a lost state file they need not be made again.

What a file looks like proves nothing: a camera without a clock gives two photos one name, one date and one size. So an
output is taken over only where a label on it says that it was made of this very content. A file system that keeps no
labels has its outputs made again.
"""

from __future__ import annotations

import os

from PIL import Image

from watcher.core.formats import OUTPUTS
from watcher.core.recipe import Recipe
from watcher.core.types import Made, Rendering
from watcher.fs.dates import same_date
from watcher.fs.openat import open_file
from watcher.fs.output_mark import grain_at
from watcher.fs.publish import ATTRIBUTE, CONTENT, label
from watcher.render.content import digest_of_output
from watcher.render.decoders.base import EndsEarlyError, UndecodableError
from watcher.render.decoders.jpeg.markers import EOI, parse
from watcher.render.encode import signature

_HEAD = 1 << 18  # a rendition's header: EXIF and XMP at most fill two segments of 64 KB


def adopt(
    output_root: bytes, rendering: Rendering, mtime_ns: int, size: tuple[int, int], components: int, digest: bytes
) -> Made | None:
    """Return the rendition if the file in its place is current and was made of that content, None if not proven."""
    file = open_current(output_root, rendering, mtime_ns, size, components, digest)
    if file is None:
        return None
    try:
        if not label(file, CONTENT):
            return None
        digest = digest_of_output(file)
        return Made(rendering.name, rendering.output, *size, os.fstat(file).st_size, digest, adopted=True)
    finally:
        os.close(file)


def open_current(
    output_root: bytes, rendering: Rendering, mtime_ns: int, size: tuple[int, int], components: int, digest: bytes
) -> int | None:
    """Open the file in a rendition's place if it is current, None if that is not proven or its label says otherwise.

    Proof: a regular file with the photo's modification time that opens as the recipe's format with the right size
    (`size` in pixels, as people see it), and either carries the recipe's fingerprint or, where the file system keeps
    none, is a JPEG with the tables that our encoder writes at this quality for a photo of `components` channels. A
    label of another content than `digest` says that it was made of another photo.
    """
    try:
        file = open_file(output_root, rendering.output)
    except OSError:
        return None
    try:
        status = os.fstat(file)
        current = (
            (status.st_mtime_ns == mtime_ns or same_date(status.st_mtime_ns, mtime_ns, grain_at(output_root)))
            and status.st_size > 0
            and label(file, CONTENT) in {b"", digest.hex().encode()}
            and _proves(file, rendering.recipe, size, components)
        )
    except Exception:  # noqa: BLE001 - whatever is wrong with a file that lies there, it is no proof
        current = False
    if not current:
        os.close(file)
        return None
    return file


def _proves(file: int, recipe: Recipe, size: tuple[int, int], components: int) -> bool:
    made_by = label(file, ATTRIBUTE)
    if made_by and made_by != recipe.fingerprint.encode():
        return False
    if recipe.format == "jpeg":
        return _jpeg_proves(file, recipe, size, components, labelled=bool(made_by))
    if not made_by:
        return False
    with os.fdopen(os.dup(file), "rb") as opened, Image.open(opened, formats=(OUTPUTS[recipe.format].pillow,)) as image:
        return image.size == size


def _jpeg_proves(file: int, recipe: Recipe, size: tuple[int, int], components: int, *, labelled: bool) -> bool:
    try:
        header = parse(os.pread(file, _HEAD, 0))
    except (EndsEarlyError, UndecodableError):
        return False
    if (header.width, header.height) != size or os.pread(file, 2, max(0, os.fstat(file).st_size - 2)) != EOI:
        return False
    ours = signature(recipe.quality, components)
    return labelled or (header.quantisation == ours.quantisation and header.sampling == ours.sampling)
