"""What renders here: getting a worker ready, and the versions for `check`."""

from __future__ import annotations

import warnings
from contextlib import suppress

from PIL import Image, features

from watcher.core.formats import INPUTS, readable
from watcher.render import library, native, resize
from watcher.render.decoders.jpeg import feed

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names, from glibc's malloc.h
_KEPT = 64 << 20  # bytes that may lie free in a worker before they go back to the system
_MAPPED = 32 << 20  # bytes from which on an allocation is a mapping of its own: glibc's upper limit


def warm() -> list[tuple[str, str]]:
    """Load and try everything once; return log lines as (event, text)."""
    from watcher.render import bundle  # noqa: F401, PLC0415 - loading it is the point

    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.preinit()
    _keep_memory()
    feed.at_once()  # its self-test
    messages = []
    if native.name() == "pillow" and library.load()[0]:  # all else is known without a worker
        messages.append(("decoder.fallback", f"Pillow decodes: {native.reason()}"))
    name, why = resize.resizer()
    if why:
        messages.append(("resizer.fallback", f"{name} resizes: {why}"))
    return messages


def _keep_memory() -> None:
    """Let pictures be made in memory that the one before has left, where the C library is glibc.

    It would give every picture back to the system and fetch it anew, zeroed, page by page: 12,000 page faults for a
    24 MP photo in three renditions, 115 ms of CPU instead of 97.
    """
    import ctypes  # noqa: PLC0415 - for workers alone

    with suppress(AttributeError, OSError, TypeError):  # another C library
        tune = ctypes.CDLL(None).mallopt
        tune(_MMAP_THRESHOLD, _MAPPED)
        tune(_TRIM_THRESHOLD, _KEPT)


def _formats() -> str:
    """Return which photos are read here, and what it takes to read others."""
    missing = {name for name in ("webp", "avif") if not features.check_module(name)}  # Pillow was built without
    names = {name: kind.label.partition(" ")[2] for name, kind in INPUTS.items() if name not in missing}
    others = [f"{names[name]} with the extra `{INPUTS[name].extra}`" for name in names if name not in readable()]
    return "; ".join([", ".join(names[name] for name in names if name in readable()), *others])


def describe() -> dict[str, str]:
    """Return names and versions of all that touches pixels."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to import, needed by `check` alone

    name, why = resize.resizer()
    if name.startswith("cykooz-resizer"):
        with suppress(PackageNotFoundError):
            name = name.replace("cykooz-resizer", f"cykooz-resizer {version('cykooz-resizer')}")
    turbo = features.version_feature("libjpeg_turbo") if features.check_feature("libjpeg_turbo") else None
    return {
        "pillow": version("pillow"),
        "decoder": f"{native.name()} ({native.reason()})",
        "photos": _formats(),
        "libjpeg": f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version_codec('jpg') or 'missing'}",
        "webp": features.version_module("webp") or "missing",
        "avif": features.version_module("avif") or "missing",
        "littlecms": features.version_module("littlecms2") or "missing",
        "resizer": f"{name} ({why})" if why else name,
    }
