"""The library that `hatch_build.py` makes of `native/jpeg.c` and puts beside it; without Pillow, for the daemon too."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "native")
LIBRARY = os.path.join(_FOLDER, "_jpeg.dylib" if sys.platform == "darwin" else "_jpeg.so")


def _source() -> str:
    try:
        with open(os.path.join(_FOLDER, "jpeg.c"), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


_SOURCE = _source()  # as it was when this was imported: the one that belongs to this code, whatever is installed later


def load(path: str = LIBRARY) -> tuple[ctypes.CDLL | None, str]:
    """Return the library, or None, and why.

    None where it is turned off, missing, can't be loaded, or was made of another source than the one beside it.
    """
    if os.environ.get("WATCHER_DECODER") == "pillow":
        return None, "turned off by WATCHER_DECODER=pillow"
    if not os.path.exists(path):
        return None, "no library was built"
    try:
        library = ctypes.CDLL(path)
        source, compiler = (_text(library, name) for name in ("watcher_source", "watcher_compiler"))
    except (OSError, ValueError) as error:  # another platform's, or one without our names
        return None, f"its library can't be used: {error}"
    if source != _SOURCE:
        return None, "its library was built from another source; install watcher again"
    return library, f"built with {compiler}"


def _text(library: ctypes.CDLL, name: str) -> str:
    return ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(library, name))).decode(errors="replace").strip()
