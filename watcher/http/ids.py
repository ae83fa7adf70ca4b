"""Names for the web: of photos, which may be any bytes, and texts for people."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256

from watcher.core.types import PhotoId


@lru_cache(maxsize=256)
def key_of(inbox: bytes) -> str:
    """Give a short name of an inbox that says nothing about where it lies."""
    return sha256(inbox).hexdigest()[:8]


def id_of(photo: PhotoId) -> str:
    """Name a photo in characters that no browser or proxy touches."""
    return f"{key_of(photo.inbox)}.{urlsafe_b64encode(photo.path).decode().rstrip('=')}"


def photo_of(name: str, inboxes: Iterable[bytes]) -> PhotoId | None:
    """Give the photo of which `id_of` gave `name`; None: there can't be one. Whether it is known is not said."""
    key, _, path = name.partition(".")
    inbox = next((inbox for inbox in inboxes if key_of(inbox) == key), None)
    if inbox is None or not path.isascii():
        return None
    try:
        photo = PhotoId(inbox, urlsafe_b64decode(path + "=" * (-len(path) % 4)))
    except (ValueError, binascii.Error):
        return None
    return photo if id_of(photo) == name else None
