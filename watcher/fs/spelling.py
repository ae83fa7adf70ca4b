"""Whether a path is spelled as what lies there is called.

Where the file system folds case, or how an accent is written, other spellings lead to a file too: its old name seems to
be there after a rename in case only. Only the listing of its folder tells, which is read where folding is possible.
"""

from __future__ import annotations

import os
from unicodedata import normalize


class Spelling:
    """Compares paths below a folder with the listings of their folders, each of which is read once."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._names: dict[bytes, frozenset[bytes]] = {}

    def is_exact(self, path: bytes) -> bool:
        """Return whether a relative path that leads to something is spelled as it is called, at every level."""
        folder, slash, name = path.rpartition(b"/")
        if slash and not self.is_exact(folder):
            return False
        if folder not in self._names:
            other = _other_spelling(name)
            if other == name or not os.path.lexists(os.path.join(self._root, folder, other)):
                return True
            try:
                self._names[folder] = frozenset(os.listdir(os.path.join(self._root, folder)))
            except OSError:
                return True  # whatever keeps it from being listed says so elsewhere
        return name in self._names[folder]


def _other_spelling(name: bytes) -> bytes:
    """Return a name that is the same one wherever names are folded; the name itself if it has only one spelling."""
    if (swapped := name.swapcase()) != name:
        return swapped
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return name
    return next((form for kind in ("NFC", "NFD") if (form := normalize(kind, text).encode()) != name), name)
