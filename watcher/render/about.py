"""What renders here: getting a worker ready, and the versions for `check`."""

from __future__ import annotations

import warnings
from contextlib import suppress

from PIL import Image, features

from watcher.render import resize


def warm() -> list[tuple[str, str]]:
    """Load and try everything once; gives log lines as (event, text)."""
    from watcher.render import work  # noqa: F401, PLC0415 - loading it is the point

    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.preinit()
    name, why = resize.resizer()
    return [("resizer.fallback", f"{name} resizes: {why}")] if why else []


def describe() -> dict[str, str]:
    """Give names and versions of all that touches pixels."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to import, needed by `check` alone

    name, why = resize.resizer()
    if name.startswith("cykooz-resizer"):
        with suppress(PackageNotFoundError):
            name = name.replace("cykooz-resizer", f"cykooz-resizer {version('cykooz-resizer')}")
    turbo = features.version_feature("libjpeg_turbo") if features.check_feature("libjpeg_turbo") else None
    return {
        "pillow": version("pillow"),
        "libjpeg": f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version_codec('jpg') or 'missing'}",
        "webp": features.version_module("webp") or "missing",
        "avif": features.version_module("avif") or "missing",
        "littlecms": features.version_module("littlecms2") or "missing",
        "resizer": f"{name} ({why})" if why else name,
    }
