"""The native JPEG decoder: `jpeg.c`, loaded with ctypes. It decodes ordinary photos, and says whether they are whole.

Its pixels are those of Pillow's `draft` and `load`, bit for bit. What it does not take it declines, and Pillow decodes
it. Where its library is missing or fails its self-test, everything is declined. `WATCHER_DECODER=pillow` in the
environment turns it off.
"""

from __future__ import annotations

import ctypes
import io
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from PIL import Image

from watcher.render.library import load

SCALES = (1, 2, 4, 8)
_PLAIN_SCALE = 4  # 1/4: where the decoder of a processor without SSE2 is no slower than Pillow's and a walk
_SOFT = [64 + value // 2 for value in range(256)]


class State(Enum):
    """What the entropy-coded data of a JPEG says about its completeness."""

    WHOLE = "whole"
    TRUNCATED = "truncated"  # the data ends before the picture does, or before its end marker
    DAMAGED = "damaged"
    DECLINED = "declined"  # not decoded here: nothing is known


_CAPSULES = ("jpeg_schema_name", "jpeg_array_name")
_STATES = tuple(State)  # as `jpeg.c` numbers them


@dataclass(frozen=True, slots=True)
class Walk:
    """What was met in the entropy-coded data."""

    state: State
    share: float = 0.0  # part of the picture's blocks decoded from their own data, 0 to 1
    reason: str = ""  # a clause for a person; empty for a whole picture


class _Report(ctypes.Structure):
    """`Report` of `jpeg.c`."""

    _fields_ = (
        ("state", ctypes.c_int32),
        ("reason", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("scans", ctypes.c_int32),
        ("done", ctypes.c_int64),
        ("total", ctypes.c_int64),
        ("image", ctypes.c_void_p),
    )


class _Library:
    """The functions of `jpeg.c`; they run without the GIL."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._read, self._reason = library.jpeg_read, library.jpeg_reason
        piece = (ctypes.c_void_p, ctypes.c_size_t)
        self._read.argtypes = (ctypes.c_char_p, ctypes.c_size_t, *piece, ctypes.c_int, ctypes.POINTER(_Report))
        self._read.restype = None
        self._reason.argtypes, self._reason.restype = (ctypes.c_int,), ctypes.c_char_p
        self.vectors = bool(ctypes.c_int32.in_dll(library, "jpeg_vectors").value)
        self._schemas = {1: ctypes.addressof(ctypes.c_char.in_dll(library, "jpeg_grey_schema"))}
        self._schemas[3] = ctypes.addressof(ctypes.c_char.in_dll(library, "jpeg_colour_schema"))
        self._names = tuple(ctypes.addressof(ctypes.c_char.in_dll(library, name)) for name in _CAPSULES)
        self._freed = ctypes.cast(library.jpeg_capsule_freed, ctypes.c_void_p)
        library.jpeg_python(ctypes.cast(ctypes.pythonapi.PyCapsule_GetPointer, ctypes.c_void_p))
        self._capsule = ctypes.pythonapi["PyCapsule_New"]  # not the attribute, which other libraries share
        self._capsule.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        self._capsule.restype = ctypes.py_object

    def read(self, data: bytes, scale: int, head: bytes = b"", start: int = 0) -> tuple[Image.Image | None, Walk]:
        """Walk `data` where `scale` is 0, or decode it."""
        report = _Report()
        at = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0  # `data` outlives the call
        start = max(0, min(start, len(data)))
        self._read(head, len(head), at + start, len(data) - start, scale, ctypes.byref(report))
        state = _STATES[report.state]
        share = report.done / report.total if report.total else 0.0
        met = Walk(state, share, self._reason(report.reason).decode())
        if not report.image:
            return None, met
        size = (-(-report.width // scale), -(-report.height // scale))
        schema, array = self._names
        picture = _Pixels(
            self._capsule(self._schemas[report.channels], schema, None),
            self._capsule(report.image, array, self._freed),
        )
        return Image.fromarrow(picture, "L" if report.channels == 1 else "RGB", size), met


class _Pixels:
    """What `Image.fromarrow` takes."""

    def __init__(self, schema: object, array: object) -> None:
        self._capsules = (schema, array)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._capsules


def walk(data: bytes, head: bytes = b"", start: int = 0) -> Walk:
    """Return what the entropy-coded data of the JPEG file `data` says, without decoding pixels.

    Where its header was found already, `head` is that, with the first scan's, and the scan's data begins at `start`.
    """
    library, why = _chosen()
    return library.read(data, 0, head, start)[1] if library else Walk(State.DECLINED, reason=why)


def decode(data: bytes, scale: int, head: bytes = b"", start: int = 0) -> tuple[Image.Image | None, Walk]:
    """Return the picture of the JPEG file `data` at 1/`scale` (1, 2, 4 or 8), and what was met; see `walk`.

    The picture is None where the file is declined or not whole. Its pixels are read-only: Pillow copies them before it
    changes them.
    """
    library, why = _chosen()
    if scale not in SCALES:
        raise ValueError(f"scale {scale} is none of {SCALES}")
    if library and not library.vectors and scale < _PLAIN_SCALE:
        return None, Walk(State.DECLINED, reason="Pillow is faster here at this scale")
    return library.read(data, scale, head, start) if library else (None, Walk(State.DECLINED, reason=why))


def name() -> str:
    """Return which decoder is in use in this process: "native" or "pillow"."""
    return "native" if _chosen()[0] else "pillow"


def reason() -> str:
    """Return why that decoder is in use."""
    return _chosen()[1]


@lru_cache(maxsize=1)
def _chosen() -> tuple[_Library | None, str]:
    """Load the library and try it, once per process."""
    loaded, why = load()
    if loaded is None:
        return None, why
    try:
        library = _Library(loaded)
        good = _agrees(library)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an optional part, photos are still made
        return None, f"it can't be used: {type(error).__name__}: {error}"
    return (library, why) if good else (None, "its self-test failed: it differs from Pillow")


def _agrees(library: _Library) -> bool:
    """Return whether `library` gives the pixels that this Pillow gives, on a few small pictures; in a millisecond."""
    size = (37, 45)
    texture = Image.frombytes("L", size, bytes((i * i // 7 + i * 13) % 256 for i in range(size[0] * size[1])))
    photo = Image.merge("RGB", (texture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), texture, texture.point(_SOFT)))
    for picture, sampling, scales in ((photo, 2, SCALES), (photo, 1, (1, 4)), (photo, 0, (2,)), (texture, 0, (1,))):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=80, subsampling=sampling)
        for scale in scales:
            other = Image.open(buffer, formats=("JPEG",))
            other.draft(None, (size[0] // scale, size[1] // scale))
            image, _ = library.read(buffer.getvalue(), scale)
            if image is None or image.size != other.size or image.tobytes() != other.tobytes():
                return False
    return True
