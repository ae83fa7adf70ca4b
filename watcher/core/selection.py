"""Decide which files of an inbox are photos, and why the others are not.

Rules, in the order in which they are applied:
- Junk is never a photo, and a junk folder is never entered, whatever `include` is.
- A file's name must match one of the `include` globs, ignoring case.
- `exclude` has gitignore patterns. As in git, nothing below an excluded folder can be included again.
- With `recursive` off, only the files directly in the inbox count.
- Only a regular file is a photo: links, FIFOs, sockets and devices are skipped, and never opened.

A path is `bytes`, relative to the inbox. It may contain anything that a file system allows: newlines, and bytes that
are not UTF-8. `takes` and its parts are called for every event and every file of a scan; `match` is for explanations.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple

from watcher.core.formats import why_left_alone
from watcher.core.gitignore import GitIgnore
from watcher.text import shown, utf8_text

# All entries are in lower case and compared with the lower-cased name. A dot file is junk by its first byte, so these
# need no entry of their own: `.DS_Store` and `._*` (macOS), `.Trash*`, `.stfolder`, `.stversions`,
# `.syncthing.*.tmp` (Syncthing), `.name.XXXXXX` (rsync(1), --temp-dir), `.in.*` (ProFTPD HiddenStores, lftp's
# xfer:temp-file-name), `.pureftpd-upload.*` (pure-ftpd), `.goutputstream-*` (GLib), `.~*` and `.name.~hex`
# (ownCloud's and Nextcloud's client), `.dropbox.cache` (Dropbox), `.tmp.drivedownload` (Google Drive), `.sync`
# (Resilio), `.name.icloud` (iCloud), `.nfs*` (NFS), `.fuse_hidden*` (libfuse).
_JUNK_NAMES: dict[bytes, str] = {
    b"@eadir": "@eaDir",  # Synology's thumbnails and attributes, beside every indexed folder
    b"#recycle": "#recycle",  # Synology's recycle bin
    b"@recycle": "@Recycle",  # QNAP's
    b"$recycle.bin": "$RECYCLE.BIN",  # Windows': deleted photos, still named `*.jpg`
    b"system volume information": "System Volume Information",  # Windows, on every volume
    b"lost+found": "lost+found",  # ext4's: only root may read it, and a scan that can't read it is not complete
    b"__macosx": "__MACOSX",  # resource forks in a ZIP that was packed on macOS
    b"thumbs.db": "Thumbs.db",  # Windows Explorer
}
_JUNK_PREFIXES: dict[bytes, str] = {
    b".": "a dot file",
    b"~syncthing~": "~syncthing~*",  # Syncthing on Windows (docs.syncthing.net, "Temporary files")
    b"~$": "~$*",  # Office's owner files, also made on shares
    b":2e": ":2e*",  # a dot file as netatalk 2 writes it: `:2e_IMG_0001.jpg` is macOS' `._IMG_0001.jpg`
    b"(a document being saved by ": "(A Document Being Saved By *)",  # macOS: a folder that an editor saves into
}
_JUNK_SUFFIXES: dict[bytes, str] = {
    b".crdownload": "*.crdownload",  # Chrome, Chromium, Edge
    b".opdownload": "*.opdownload",  # Opera
    b".part": "*.part",  # Firefox, KDE, aria2-based tools, Nextcloud's server
    b".partial": "*.partial",  # Internet Explorer, Edge before Chromium, rclone
    b".download": "*.download",  # Safari
    b".filepart": "*.filepart",  # WinSCP
    b".!sync": "*.!sync",  # BitTorrent Sync, Resilio Sync
    b".bts": "*.bts",  # BitTorrent Sync
    b".tmp": "*.tmp",  # OneDrive, many FTP servers and uploaders
    b".temp": "*.temp",  # as above
    b"_exiftool_tmp": "*_exiftool_tmp",  # exiftool
    b":zone.identifier": "*:Zone.Identifier",  # where Windows got a file from; copied to Linux along with the file
}
_SAVED_INTO = re.compile(rb".+\.sb-[0-9a-f]{8}-[0-9a-z]{6}", re.DOTALL)  # macOS: another such folder
_FOLDER_SUFFIX = b".download"  # Safari's is a folder that holds the unfinished file; other suffixes name files only

_NAMES = frozenset(_JUNK_NAMES)
_PREFIXES = tuple(_JUNK_PREFIXES)
_SUFFIXES = tuple(_JUNK_SUFFIXES)
_LONGEST_ENDING = 12  # bytes; what is longer is no ending
_REMEMBERED_FOLDERS = 4096  # cached decisions on folders; enough for the folders that events come from

_PLAIN_SUFFIX = re.compile(r"\*[^*?\[\]]*")  # `*.jpg`: decided by the end of the name


class Match(NamedTuple):
    """Whether a file is a photo of its inbox, and why or why not, as text for the user."""

    photo: bool
    reason: str


HIDDEN = b".watcher-leaving"  # the end of the hidden name of an original that is being archived
_HIDDEN = re.compile(rb"\.(?P<name>.+)\.[0-9a-f]{16}\.watcher-leaving", re.DOTALL)
_MOST_SHOWN = 255 - len(b"..0123456789abcdef.watcher-leaving")  # bytes of a name that fit into a hidden name


def hidden_name(name: bytes, token: str) -> bytes:
    """Return a hidden name for an original that is being archived. `token`: 16 unpredictable hex digits.

    If the name is too long for that, the end of its stem is left out.
    """
    stem, dot, extension = name.rpartition(b".") if b"." in name[1:] else (name, b"", b"")
    if len(name) > _MOST_SHOWN:
        name = stem[: max(1, _MOST_SHOWN - len(dot + extension))] + dot + extension
    return b".%b.%b.watcher-leaving" % (name[:_MOST_SHOWN], token.encode())


def name_of_hidden(hidden: bytes) -> bytes | None:
    """Return the name of the original that has this hidden name; None: it is no hidden name."""
    found = _HIDDEN.fullmatch(hidden)
    return found["name"] if found else None


SPECIAL = {  # files that are never opened to find out their content
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}
_KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", **SPECIAL}


def special(mode: int) -> str:
    """Return why a file with this `st_mode` is no photo, whatever its name; empty: it is a regular file."""
    kind = stat.S_IFMT(mode)
    return "" if kind == stat.S_IFREG else f"it is {_KINDS.get(kind, 'a special file')}, not a photo"


class PathFilter:
    """The rules of one inbox.

    Args:
        include: globs, such as `*.jpg`; a file's name must match one of them.
        exclude: gitignore patterns.
        recursive: whether sub-folders belong to the inbox.

    Raises:
        ValueError: an `exclude` pattern is not valid; the message names it.

    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str], recursive: bool) -> None:
        self.include = tuple(include)
        self.recursive = recursive
        self._suffixes = tuple(
            os.fsencode(p[1:].lower()) for p in include if _PLAIN_SUFFIX.fullmatch(p) and p.isascii()
        )
        others = [p for p in include if not (_PLAIN_SUFFIX.fullmatch(p) and p.isascii())]
        self._pattern = re.compile("|".join(map(fnmatch.translate, others)), re.IGNORECASE) if others else None
        self._exclude = GitIgnore(exclude) if exclude else None
        self._folders: dict[bytes, bool] = {b"": True}

    def takes_name(self, name: bytes) -> bool:
        """Return whether a file may be a photo by its name."""
        low = name.lower()
        if not low.endswith(self._suffixes) and not self._matches_pattern(name):
            return False
        return not (low.startswith(_PREFIXES) or low.endswith(_SUFFIXES) or low in _NAMES)

    def takes(self, path: bytes) -> bool:
        """Return whether the file at `path` is a photo of this inbox by its path."""
        folder, _, name = path.rpartition(b"/")
        if not self.takes_name(name):
            return False
        if folder and not self.enters(folder):
            return False
        return self._exclude is None or self._excluding(path) is None

    def left_alone(self, path: bytes) -> bytes | None:
        """Return the ending of a file that is no photo by its path: `.mov`, or empty. None: it is junk, or excluded."""
        low = path.rpartition(b"/")[2].lower()
        if low.startswith(_PREFIXES) or low.endswith(_SUFFIXES) or low in _NAMES:
            return None
        if self._exclude is not None and self._excluding(path) is not None:
            return None
        stem, dot, ending = low.rpartition(b".")
        return dot + ending if stem and ending.isalnum() and len(ending) <= _LONGEST_ENDING else b""

    def takes_in(self, folder: bytes) -> Callable[[bytes], bool]:
        """Return `takes` for names in `folder`, which must be a folder that is entered; the folder is checked once."""
        if self._exclude is None:
            return self.takes_name
        prefix = folder + b"/" if folder else b""
        return lambda name: self.takes_name(name) and self._excluding(prefix + name) is None

    def enters(self, folder: bytes) -> bool:
        """Return whether photos may be in `folder` or below. If not, it need not be scanned."""
        known = self._folders.get(folder)
        if known is not None:
            return known
        above, _, name = folder.rpartition(b"/")
        if above in self._folders:  # as in every walk: checking all parts again would take time quadratic in the depth
            entered = self.recursive and self._folders[above] and self._barrier_of(folder, name) is None
        else:
            entered = self.recursive and self._barrier(folder) is None
        if len(self._folders) >= _REMEMBERED_FOLDERS:
            self._folders = {b"": True}
        self._folders[folder] = entered
        return entered

    def match(self, path: bytes) -> Match:
        """Return whether the file at `path` is a photo of this inbox, and why."""
        folder, _, name = path.rpartition(b"/")
        barrier = self._barrier(folder) if folder else None
        if barrier is not None:
            return Match(photo=False, reason=barrier)
        if folder and not self.recursive:
            return Match(photo=False, reason="in a sub-folder, and recursive is off")
        junk = _junk(name)
        if junk is not None:
            return Match(photo=False, reason=junk)
        if not name.lower().endswith(self._suffixes) and not self._matches_pattern(name):
            why = why_left_alone(utf8_text(self.left_alone(path) or b"")).removeprefix("not in `include`: ")
            return Match(photo=False, reason=f"its name does not match include ({', '.join(self.include)}): {why}")
        pattern = self._excluding(path)
        if pattern is not None:
            return Match(photo=False, reason=f"excluded by the pattern `{pattern}`")
        return Match(photo=True, reason="its name matches include, and nothing excludes it")

    def _matches_pattern(self, name: bytes) -> bool:
        return self._pattern is not None and self._pattern.match(utf8_text(name)) is not None

    def _barrier(self, folder: bytes) -> str | None:
        """Return which part of a folder's path excludes everything below, and why; None: the folder is entered."""
        end = -1
        while end < len(folder):
            start = end + 1
            end = folder.find(b"/", start)
            if end < 0:
                end = len(folder)
            barrier = self._barrier_of(folder[:end], folder[start:end])
            if barrier is not None:
                return barrier
        return None

    def _barrier_of(self, folder: bytes, name: bytes) -> str | None:
        """Return why a folder by itself excludes everything below; None: it does not."""
        junk = _junk(name, folder=True)
        if junk is not None:
            return junk
        pattern = self._excluding(folder, folder=True)
        return None if pattern is None else f"excluded by the pattern `{pattern}`"

    def _excluding(self, path: bytes, *, folder: bool = False) -> str | None:
        """Return the exclude pattern that excludes `path` itself; None: none does."""
        return None if self._exclude is None else self._exclude.excluding(utf8_text(path), folder=folder)


def _junk(name: bytes, *, folder: bool = False) -> str | None:
    low = name.lower()
    for prefix, label in _JUNK_PREFIXES.items():
        if low.startswith(prefix):
            return f"junk: `{shown(name)}` is a dot file" if prefix == b"." else f"junk: `{label}`"
    if folder and _SAVED_INTO.fullmatch(low):
        return "junk: `*.sb-*`, a folder that macOS saves into"
    if low in _JUNK_NAMES:
        return f"junk: `{_JUNK_NAMES[low]}`"
    for suffix, label in _JUNK_SUFFIXES.items():
        if low.endswith(suffix) and (not folder or suffix == _FOLDER_SUFFIX):
            return f"junk: `{label}`, a temporary name"
    return None
