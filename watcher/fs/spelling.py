"""Check whether a path is spelled exactly as in the listings of its folders.

If the file system folds case or the encoding of accents, other spellings open a file too: after a rename that only
changes case, the old name still seems to exist. Only the listing of the folder shows the real name. It is read where
folding is possible.
"""

from __future__ import annotations

import os
from unicodedata import normalize


class Spelling:
    """Compare paths below a folder with the listings of their folders. Each listing is read once."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._names: dict[bytes, frozenset[bytes]] = {}

    def is_exact(self, path: bytes) -> bool:
        """Return whether an existing relative path is spelled exactly as listed, at every level."""
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
                return True  # the reason why it can't be listed is reported elsewhere
        return name in self._names[folder]


def _other_spelling(name: bytes) -> bytes:
    """Return another spelling that is the same name where names are folded; the name itself if it has no other."""
    if (swapped := name.swapcase()) != name:
        return swapped
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return name
    return next((form for kind in ("NFC", "NFD") if (form := normalize(kind, text).encode()) != name), name)
