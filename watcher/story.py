"""The story of one photo: from the entries of its history to what people and programs are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from watcher.model import PhotoId


class Note(NamedTuple):
    """One entry of a photo's history."""

    photo: PhotoId
    at: float  # wall clock
    what: str  # a constant, see `daemon.notes`
    detail: Mapping[str, object]  # what JSON can hold, and small: a hundred thousand of them are kept
