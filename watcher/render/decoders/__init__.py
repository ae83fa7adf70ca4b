"""The decoders, one module for each input format; what a file is, its content says, not its name."""

from __future__ import annotations

from collections.abc import Mapping

from watcher.core.formats import INPUTS, readable
from watcher.render.decoders import avif, heic, jpeg, png, tiff, webp
from watcher.render.decoders.base import Decoder, Photo, UndecodableError
from watcher.render.kinds import kind_of

DECODERS: Mapping[str, Decoder] = {
    "jpeg": jpeg,
    "png": png,
    "webp": webp,
    "tiff": tiff,
    "avif": avif,
    "heic": heic,
}  # by their names in `core/formats`


def describe(data: bytes) -> Photo:
    """Return the photo that `data` holds; raise UndecodableError or EndsEarlyError."""
    decoder = next((decoder for decoder in DECODERS.values() if decoder.sniff(data)), None)
    if decoder is None:
        labels = [INPUTS[name].label.partition(" ")[2] for name in readable()]
        raise UndecodableError(f"not a {', '.join(labels[:-1])} or {labels[-1]}: {kind_of(data)}")
    return decoder.describe(data)
