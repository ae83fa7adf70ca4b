"""The decoders, one module for each input format; what a file is, its content says, not its name."""

from __future__ import annotations

from collections.abc import Mapping

from watcher.core.formats import INPUTS
from watcher.render.decoders import jpeg
from watcher.render.decoders.base import Decoder, Photo, UndecodableError
from watcher.render.kinds import kind_of

DECODERS: Mapping[str, Decoder] = {"jpeg": jpeg}  # by their names in `core/formats`


def describe(data: bytes) -> Photo:
    """Return the photo that `data` holds; raise UndecodableError or EndsEarlyError."""
    decoder = next((decoder for decoder in DECODERS.values() if decoder.sniff(data)), None)
    if decoder is None:
        raise UndecodableError(f"not {' or '.join(INPUTS[name].label for name in DECODERS)}: {kind_of(data)}")
    return decoder.describe(data)
