"""Which files are photos: by name, by folder, by pattern, and never an error."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.selection import PathFilter, special
from watcher.text import shown

JPEGS = ("*.jpg", "*.jpeg")
PLAIN = PathFilter(JPEGS, (), recursive=True)
EVERYTHING = PathFilter(("*",), (), recursive=True)

PARTS = st.sampled_from(
    [
        b"a",
        b"B.JPG",
        b"x.jpg",
        b"drafts",
        b"keep",
        b"@eaDir",
        b".hid",
        b"\xff\xfe.jpg",
        b"n\nl.jpg",
        b"c.download",
        b"d.part",
    ]
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(b"/".join)
NAMES = st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"\0", b"x"))
PATTERNS = st.lists(
    st.sampled_from(
        ["drafts/", "!drafts/keep", "*.raw.jpg", "/a/*", "!/a/x.jpg", "keep/**/x.jpg", "# note", "**/B.JPG", "*", "!*/"]
    ),
    max_size=4,
)


@pytest.mark.parametrize(
    "name", [b"a.jpg", b"A.JPG", b"b.JpEg", b"\xff.jpg", b"two\nlines.jpg", b"x" * 251 + b".jpg", b"a.tmp.jpg"]
)
def test_a_name_that_ends_like_an_include_glob_is_a_photo_in_either_case(name: bytes) -> None:
    assert PLAIN.takes(name)
    assert PLAIN.takes(b"2024/may/" + name)
    assert PLAIN.match(name).photo


@pytest.mark.parametrize("name", [b"a.png", b"jpg", b"a.jpg.txt", b"a.jpg\n", b""])
def test_another_name_is_not_and_the_reason_lists_the_globs(name: bytes) -> None:
    assert not PLAIN.takes(name)
    photo, reason = PLAIN.match(name)
    assert not photo
    assert reason.startswith("its name does not match include (*.jpg, *.jpeg): ")


def test_a_name_that_include_does_not_take_is_told_with_what_makes_it_a_photo() -> None:
    assert PLAIN.match(b"a.txt").reason.endswith(": not a format that is read")
    assert PLAIN.match(b"a/b.PNG").reason == 'its name does not match include (*.jpg, *.jpeg): add "*.png"'


@pytest.mark.parametrize(
    "path",
    [
        b".hidden.jpg",
        b"._a.jpg",
        b".a.jpg.Xy12zQ",
        b".syncthing.a.jpg.tmp",
        b"~syncthing~a.jpg.tmp",
        b".in.a.jpg.",
        b".~a.jpg",
        b".a.jpg.~1f2e3d",
        b"~$a.jpg",
        b".goutputstream-ABC123",
        b"a.jpg.crdownload",
        b"a.jpg.part",
        b"a.jpg.download",
        b"a.jpg.filepart",
        b"a.jpg.tmp",
        b"a.jpg.!Sync",
        b"Thumbs.db",
        b"thumbs.DB",
        b"@eaDir/a.jpg",
        b"sub/@eaDir/a.jpg/SYNOFILE_THUMB_M.jpg",
        b"#recycle/a.jpg",
        b".stfolder/a.jpg",
        b".stversions/a.jpg",
        b".Trash-1000/files/a.jpg",
        b"__MACOSX/a.jpg",
        b".dropbox.cache/a.jpg",
        b"a.jpg.download/a.jpg",
        b"@Recycle/a.jpg",
        b"$RECYCLE.BIN/S-1-5-21/$RJ2K3L4.jpg",
        b"System Volume Information/a.jpg",
        b"lost+found/a.jpg",
        b":2e_a.jpg",
        b":2eAppleDouble/a.jpg",
        b"(A Document Being Saved By Preview)/a.jpg",
        b"(A Document Being Saved By Preview 2)/a.jpg",
        b"a.jpg.sb-1a2b3c4d-XyZ12a/a.jpg",
        b".sb-1a2b3c4d-XyZ12a",
        b"a.jpg_exiftool_tmp",
        b"a.jpg:Zone.Identifier",
        b".~tmp~/a.jpg",
        b".nfs00000000012345",
        b".fuse_hidden0000001200000001",
        b".smbdelete1234",
        b".davfs.tmp1a2b3c",
        b".TemporaryItems/folders.501/a.jpg",
        b".AppleDouble/a.jpg",
        b".pending-1700000000-a.jpg",
        b"a.jpg.1a2b3c4d.partial",
        b"a.jpg.ocTransferId123.part",
    ],
)
def test_junk_is_never_a_photo_even_where_everything_is_included(path: bytes) -> None:
    assert not EVERYTHING.takes(path)
    assert EVERYTHING.match(path).reason.startswith("junk: ")


@pytest.mark.parametrize(
    "path",
    [
        b"a.sync-conflict-20261124-150000-ABCDEFG.jpg",
        b"a (anna's conflicted copy 2026-11-24).jpg",
        b"a~1.jpg",
        b"a.sb-1.jpg",
        b"tmp/a.jpg",
        b"temp.jpg",
        b"part.jpg",
        b"download/a.jpg",
        b"recycle/a.jpg",
        b"Recycled bottles.jpg",
        b"A document being saved.jpg",
        b"e2e.jpg",
    ],
)
def test_what_somebody_could_call_a_photo_is_one(path: bytes) -> None:
    assert PLAIN.takes(path)
    assert PLAIN.match(path).photo


def test_a_folder_that_is_named_like_an_unfinished_file_is_entered() -> None:
    assert PLAIN.takes(b"holiday.part/a.jpg")


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("IMG_????.jpg", b"img_0001.JPG", b"img_001.jpg"),
        ("[ab]*.jpg", b"Bear.jpg", b"cat.jpg"),
        ("*.\u00e4\u00f6", "x.\u00c4\u00d6".encode(), b"x.ao"),
        ("exact.jpg", b"EXACT.jpg", b"inexact.jpg"),
    ],
)
def test_any_glob_works_in_include(glob: str, yes: bytes, no: bytes) -> None:
    selection = PathFilter((glob,), (), recursive=True)
    assert selection.takes(yes)
    assert not selection.takes(no)


def test_without_recursive_only_the_inbox_itself_counts() -> None:
    flat = PathFilter(JPEGS, (), recursive=False)
    assert flat.takes(b"a.jpg")
    assert flat.enters(b"")
    assert not flat.enters(b"sub")
    assert not flat.takes(b"sub/a.jpg")
    assert flat.match(b"sub/a.jpg") == (False, "in a sub-folder, and recursive is off")


def test_an_excluded_folder_is_pruned_and_named() -> None:
    selection = PathFilter(JPEGS, ("*.raw.jpg", "drafts/"), recursive=True)
    assert not selection.enters(b"2024/drafts")
    assert not selection.enters(b"2024/drafts/deep")
    assert selection.match(b"2024/drafts/deep/a.jpg") == (False, "excluded by the pattern `drafts/`")
    assert selection.match(b"x/a.raw.jpg").reason == "excluded by the pattern `*.raw.jpg`"
    assert selection.takes(b"drafts") is False  # no photo by name
    assert selection.takes(b"2024/a.jpg")


def test_a_newline_in_a_name_hides_nothing_from_a_pattern() -> None:
    selection = PathFilter(JPEGS, ("c.jpg", "drafts/"), recursive=True)
    assert not selection.takes(b"a\nb/c.jpg")
    assert not selection.takes(b"drafts/a\nb.jpg")
    assert selection.takes(b"a\nb/d.jpg")


@pytest.mark.parametrize("pattern", ["!", "\\"])
def test_what_is_no_pattern_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a gitignore pattern"):
        PathFilter(JPEGS, ("fine/", pattern), recursive=True)


def ancestors(path: bytes) -> list[bytes]:
    parts = path.split(b"/")[:-1]
    return [b"/".join(parts[: n + 1]) for n in range(len(parts))]


@given(PATHS, PATTERNS, st.booleans())
def test_pruning_and_the_fast_path_agree_with_the_verdict(path: bytes, exclude: list[str], recursive: bool) -> None:
    selection = PathFilter(JPEGS, exclude, recursive=recursive)
    folder, _, name = path.rpartition(b"/")
    entered = all(selection.enters(parent) for parent in ancestors(path))
    verdict = selection.match(path)
    assert selection.takes(path) == verdict.photo
    assert (entered and selection.takes_in(folder)(name)) == verdict.photo
    assert entered == selection.enters(folder)


@given(NAMES, PATTERNS)
def test_no_name_raises(name: bytes, exclude: list[str]) -> None:
    for include in (JPEGS, ("*",), ("[!a]?*.\u00e4",)):
        selection = PathFilter(include, exclude, recursive=True)
        assert selection.takes(name) == selection.match(name).photo
        selection.enters(name)
        assert shown(name).isprintable()


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (stat.S_IFREG | 0o644, ""),
        (stat.S_IFIFO, "it is a named pipe, not a photo"),
        (stat.S_IFSOCK, "it is a socket, not a photo"),
        (stat.S_IFCHR, "it is a character device, not a photo"),
        (stat.S_IFBLK, "it is a block device, not a photo"),
        (stat.S_IFDIR, "it is a folder, not a photo"),
        (stat.S_IFLNK, "it is a symbolic link, not a photo"),
        (0, "it is a special file, not a photo"),
    ],
)
def test_only_a_regular_file_is_a_photo(mode: int, reason: str) -> None:
    assert special(mode) == reason
