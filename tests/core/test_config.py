"""The config: what is accepted, what it becomes, and what is said about everything else."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from PIL import Image
from pydantic import ValidationError

from tests import photos, pictures
from watcher.config import DEFAULTS, Config, for_pair, overlaps, parse, starter
from watcher.config import overlap as across
from watcher.config import parser as reading
from watcher.config.messages import translated
from watcher.config.parser import fingerprint
from watcher.config.tables import Mark, Rendition
from watcher.config.values import choice
from watcher.core.formats import OUTPUTS, Format
from watcher.errors import EXIT_CONFIG, ConfigError, Fault

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
INBOX = '[[inbox]]\npath = "/in"\noutput = "/out"\n'
REQUIRED = {"inbox.path", "inbox.output"}


LOGO = photos.png(Image.new("RGBA", (3, 2), (255, 0, 0, 128)))
FILES = {
    "/etc/w/logo.png": LOGO,
    "/home/me/logo.png": LOGO,
    "/etc/w/other.png": photos.png(Image.new("L", (3, 2))),
    "/etc/w/photo.png": photos.plain(),
    "/etc/w/cut.png": LOGO[:-5],
    "/etc/w/bad.png": LOGO[:45] + bytes([LOGO[45] ^ 1]) + LOGO[46:],
    "/etc/w/grey.png": photos.png(Image.new("I;16", (3, 2))),
    "/etc/w/big.png": LOGO + bytes(4_000_000),
    "/etc/w/wide.png": pictures.png(5000, 4001, 1, 0, b""),
    "/etc/w/empty.png": b"",
}


def file(path: str) -> bytes:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[path]


def read(text: str, *, require_inbox: bool = True) -> Config:
    data = tomllib.loads(text)
    return parse(data, source="test.toml", base="/etc/w", home="/home/me", require_inbox=require_inbox, read=file)


def faults(text: str) -> dict[str, Fault]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.source == "test.toml"
    assert caught.value.exit_code == EXIT_CONFIG
    return {fault.key: fault for fault in caught.value.faults}


def said(text: str, key: str) -> str:
    found = faults(text)
    assert list(found) == [key]
    return str(found[key])


@pytest.fixture(autouse=True)
def no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the defaults be those of an installation without extras."""
    monkeypatch.setattr("watcher.config.tables.readable", lambda: ("jpeg", "png"))


# ---- what is accepted ----


def test_where_include_is_left_out_heic_is_a_photo_if_it_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.config.tables.readable", lambda: ("jpeg", "png", "heic"))
    heic = ("*.jpg", "*.jpeg", "*.heic", "*.heif", "*.hif")
    assert read(INBOX).inboxes[0].include == for_pair("/in", "/out").inboxes[0].include == heic
    assert read(f"{INBOX}include = ['*.jpg']").inboxes[0].include == ("*.jpg",)


def test_an_inbox_alone_gets_every_default() -> None:
    result = read(INBOX)
    assert (result.state, result.workers, result.max_megapixels, result.memory_mb) == (None, 0, 200, 0)
    assert (result.batch.quiet_seconds, result.batch.max_wait_seconds, result.batch.max_files) == (0.5, 5.0, 128)
    assert (result.retry.attempts, result.retry.backoff_seconds, result.retry.timeout_seconds) == (3, 5.0, 120.0)
    assert (result.log.format, result.log.level) == ("auto", "info")
    assert (result.executor.kind, result.executor.address, result.executor.fallback) == ("processes", None, "none")
    assert result.web.listen is None
    assert result.metrics.listen is None
    (inbox,) = result.inboxes
    assert (inbox.path, inbox.output, inbox.renditions) == ("/in", "/out", ("web",))
    assert (inbox.recursive, inbox.include, inbox.exclude) == (True, ("*.jpg", "*.jpeg"), ())
    assert (inbox.watch, inbox.poll_seconds, inbox.rescan_seconds) == ("auto", 10.0, 300.0)
    assert (inbox.after, inbox.originals) == ("keep", None)
    assert (inbox.orphans, inbox.orphans_max) == ("keep", "10%")


def test_without_a_rendition_there_is_one_called_web() -> None:
    for text in (INBOX, f"{INBOX}[rendition]\n"):
        recipes = read(text).recipes
        assert list(recipes) == ["web"]
        web = recipes["web"]
        assert (web.width, web.height, web.fit) == (2048, 2048, "inside")
        assert (web.format, web.quality, web.metadata) == ("jpeg", 85, "safe")


def test_a_rendition_needs_only_one_side_and_has_defaults_for_the_rest() -> None:
    recipes = read(f"{INBOX}[rendition.wide]\nwidth = 100\n[rendition.high]\nheight = 7\nfit = 'cover'").recipes
    assert list(recipes) == ["wide", "high"]
    assert (recipes["wide"].width, recipes["wide"].height, recipes["wide"].fit) == (100, None, "inside")
    assert (recipes["high"].width, recipes["high"].height, recipes["high"].fit) == (None, 7, "cover")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("~/a", "/home/me/a"),
        ("~", "/home/me"),
        ("~//a/", "/home/me/a"),
        ("a/./b/../c", "/etc/w/a/c"),
        ("./~x", "/etc/w/~x"),
        ("./$HOME", "/etc/w/$HOME"),
        ("a/$b/%c%", "/etc/w/a/$b/%c%"),
        ("//srv//a", "/srv/a"),
        ("/Ünï/日本", "/Ünï/日本"),
    ],
)
def test_paths_become_absolute_by_home_and_the_config_s_folder(written: str, meant: str) -> None:
    result = read(f"state = '{written}'\n[[inbox]]\npath = '{written}'\noutput = '/out'\noriginals = '/o/{written}'")
    assert result.inboxes[0].path == meant
    assert result.state == meant
    assert read(f"[[inbox]]\npath = '/p'\noutput = '{written}'").inboxes[0].output == meant


def test_an_inbox_may_choose_its_renditions() -> None:
    text = "[rendition.a]\nwidth = 1\n[rendition.b]\nwidth = 2\n"
    assert read(text + INBOX).inboxes[0].renditions == ("a", "b")
    assert read(text + INBOX + "renditions = ['b']").inboxes[0].renditions == ("b",)
    assert read(text + INBOX + "renditions = ['b', 'a', 'b']").inboxes[0].renditions == ("b", "a")


def test_a_whole_number_will_do_for_a_fraction() -> None:
    value = read(f"batch.quiet_seconds = 2\n{INBOX}").batch.quiet_seconds
    assert value == 2.0
    assert isinstance(value, float)


def test_a_config_cannot_be_changed_and_can_be_compared_and_sent() -> None:
    result = read(INBOX)
    with pytest.raises(ValidationError):
        result.workers = 3  # that it is refused is the point
    assert result == read(INBOX)
    assert result != read(f"workers = 1\n{INBOX}")
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301 — made one line above


def test_an_inbox_is_asked_for_only_where_one_is_needed() -> None:
    assert read("", require_inbox=False).inboxes == ()
    assert "[[inbox]]" in said("", "inbox")
    assert "[[inbox]]" in said("inbox = []", "inbox")


# ---- fingerprints ----


def test_each_part_of_a_recipe_changes_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(lines: str) -> str:
        return read(f"{INBOX}[rendition.a]\nwidth = 10\n{lines}").recipes["a"].fingerprint

    changes = ["", "height = 10", "fit = 'cover'", "format = 'webp'", "quality = 84", "metadata = 'all'"]
    prints = [printed(lines) for lines in changes]
    assert len(set(prints)) == len(changes)
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in prints)
    assert printed("fit = 'inside'\nquality = 85") == prints[0]
    monkeypatch.setattr(reading, "RECIPE_VERSION", reading.RECIPE_VERSION + 1)
    assert printed("") not in prints


def test_other_settings_of_an_encoder_change_the_fingerprints_of_its_format_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forms: tuple[Format, ...] = ("jpeg", "webp", "avif", "png")
    before = {form: fingerprint(Rendition(width=10, format=(form,))) for form in forms}
    monkeypatch.setitem(OUTPUTS, "webp", OUTPUTS["webp"]._replace(version=99))
    after = {form: fingerprint(Rendition(width=10, format=(form,))) for form in forms}
    assert [form for form in forms if before[form] != after[form]] == ["webp"]


def test_the_fingerprint_of_the_default_recipe_is_what_state_files_hold() -> None:
    # Should this fail, every rendition of every user is made again: then raise RECIPE_VERSION and say so.
    assert read(INBOX).recipes["web"].fingerprint == "78633b2b14d7a49d"


class Newer(Rendition):
    sepia: Annotated[str, Mark.LATER] = choice("none", Literal["none", "low"])


class Unmarked(Rendition):
    sepia: str = choice("none", Literal["none", "low"])


def test_a_recipe_key_that_is_added_later_changes_a_fingerprint_only_where_it_is_used() -> None:
    older = fingerprint(Rendition(width=10))
    assert fingerprint(Newer(width=10)) == older
    assert fingerprint(Newer(width=10, sepia="low")) == fingerprint(Unmarked(width=10, sepia="low")) != older
    assert fingerprint(Unmarked(width=10)) != older, "without its mark it would have everything made again"


# ---- a rendition in several formats ----

SITE = "[rendition.web]\nwidth = 9\nformat = ['avif', 'webp', 'jpeg']\n[rendition.thumb]\nwidth = 5\n"


def test_a_list_of_formats_is_a_recipe_for_each_with_the_jpeg_as_it_was() -> None:
    site = read(INBOX + SITE)
    assert {key: recipe.format for key, recipe in site.recipes.items()} == {
        "web/avif": "avif",
        "web/webp": "webp",
        "web": "jpeg",
        "thumb": "jpeg",
    }
    for form in ("avif", "webp", "jpeg"):
        alone = read(f"{INBOX}[rendition.web]\nwidth = 9\nformat = '{form}'").recipes["web"]
        assert alone in site.recipes.values()
        assert read(f"{INBOX}[rendition.web]\nwidth = 9\nformat = ['{form}']").recipes == {"web": alone}
    other_order = read(INBOX + SITE.replace("'avif', 'webp'", "'webp', 'avif'"))
    assert other_order.recipes == site.recipes


def test_an_inbox_that_names_a_rendition_gets_all_its_formats() -> None:
    assert read(f"{INBOX}renditions = ['thumb', 'web']\n{SITE}").inboxes[0].renditions == (
        "thumb",
        "web/avif",
        "web/webp",
        "web",
    )
    assert read(INBOX + SITE).inboxes[0].renditions == ("web/avif", "web/webp", "web", "thumb")
    assert for_pair("/a", "/b", read(INBOX + SITE)).inboxes[0].renditions == ("web/avif", "web/webp", "web", "thumb")


@pytest.mark.parametrize(
    ("line", "key", "sentence"),
    [
        ("format = 'gif'", "format", 'found "gif"; write "jpeg" or "webp" or "avif" or "png", or a list of them'),
        ("format = []", "format", 'found an empty list; write "jpeg" or'),
        ("format = ['webp', 'gif']", "format[1]", 'found "gif"; write "jpeg" or'),
        ("format = ['webp', 3]", "format[1]", "found 3; write"),
        ("format = 3", "format", "found 3; write"),
        ("format = ['webp', 'jpeg', 'webp']", "format", 'found a list, with "webp" in it twice; write'),
        ("format = ['jpeg', 'png']\nmax_kb = 5", "max_kb", 'found 5 with "png" in `format`; write another `format`'),
    ],
)
def test_a_fault_in_formats_says_which_one(line: str, key: str, sentence: str) -> None:
    assert sentence in said(f"{INBOX}[rendition.web]\nwidth = 9\n{line}", f"rendition.web.{key}")


def test_names_meet_where_one_of_the_formats_is_the_same() -> None:
    both = [FLAT + "\nformat = ['jpeg', 'webp']", FLAT + "\nformat = ['webp', 'avif']"]
    with pytest.raises(ConfigError, match=r"`web` of `.*` and `b-web` of"):
        read(INBOX + NAMES.format(*both))
    apart = INBOX + "renditions = ['web']\n[[inbox]]\npath = '/a'\noutput = '/b'\nrenditions = ['b-web']\n"
    with pytest.raises(ConfigError, match=r"`web` of `.*` and `b-web` of"):
        for_pair("/a", "/b", read(apart + NAMES.format(*both)))
    both[0] = FLAT + "\nformat = ['jpeg', 'png']"
    assert read(INBOX + NAMES.format(*both)).recipes["web/png"].layout


# Each key that is younger than the first release's recipes, its default as it may be written, and another value.
LATER = {
    "position": ("'centre'", "'north-east'\nfit = 'cover'"),
    "background": ("'#FFFFFF'", "'#102030'"),
    "sharpen": ("'none'", "'standard'"),
    "max_kb": ("0", "300"),
    "small": ("'encode'", "'copy'"),
}


LATER_KEYS = [name for name, field in Rendition.model_fields.items() if Mark.LATER in field.metadata]


@pytest.mark.parametrize("key", [name for name in LATER_KEYS if not name.startswith("watermark")])
def test_a_younger_key_of_a_rendition_at_its_default_has_nothing_made_again(key: str) -> None:
    default, other = LATER[key]
    web = "[rendition.web]\nwidth = 2048\nheight = 2048\n"
    assert read(f"{INBOX}{web}{key} = {default}").recipes == read(INBOX).recipes
    changed = read(f"{INBOX}{web}{key} = {other}").recipes["web"]
    assert changed.fingerprint != "78633b2b14d7a49d"
    assert getattr(changed, key) != getattr(read(INBOX).recipes["web"], key)


@pytest.mark.parametrize(
    ("written", "key", "deciding"),
    [
        ("width = 9\nheight = 9", "position = 'north'", "fit = 'cover'"),
        ("width = 9\nfit = 'cover'", "position = 'north'", "height = 9"),
        ("width = 9\nheight = 9\nformat = 'webp'", "background = '#000000'", "fit = 'contain'"),
        ("width = 9\nformat = 'avif'", "small = 'copy'", ""),
        ("width = 9\nsharpen = 'low'", "small = 'copy'", ""),
    ],
)
def test_a_key_that_decides_nothing_beside_the_others_has_nothing_made_again(
    written: str, key: str, deciding: str
) -> None:
    def printed(*lines: str) -> str:
        return read("\n".join([INBOX, "[rendition.a]", written, *lines])).recipes["a"].fingerprint

    assert printed(key) == printed()
    assert not deciding or printed(deciding, key) != printed(deciding)


def test_the_name_of_outputs_is_in_no_fingerprint() -> None:
    web = "[rendition.web]\nwidth = 2048\nheight = 2048\n"
    default = read(f"{INBOX}{web}name = '{{rendition}}/{{folder}}/{{stem}}.{{ext}}'")
    other = read(f"{INBOX}{web}name = '{{folder}}/{{stem}}-{{rendition}}.{{ext}}'").recipes["web"]
    assert default.recipes == read(INBOX).recipes
    assert other == replace(read(INBOX).recipes["web"], layout="{folder}/{stem}-{rendition}.{ext}")


NAMES = "[rendition.web]\nwidth = 9\n{}\n[rendition.b-web]\nwidth = 9\n{}\n"
FLAT = "name = '{folder}/{stem}-{rendition}.{ext}'"


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (("name = '{stem}.{ext}'", ""), 'rendition.web.name: found "{stem}.{ext}", without one `{folder}` between `/`'),
        ((FLAT, FLAT), 'rendition.b-web.name: found "{folder}/{stem}-{rendition}.{ext}", with which `web` of `'),
        (("name = 'b-web/{folder}/{stem}.{ext}'", ""), 'rendition.web.name: found "b-web/{folder}/{stem}.{ext}", with'),
    ],
)
def test_names_that_could_meet_are_refused_with_photos_that_would(names: tuple[str, str], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(INBOX + NAMES.format(*names))
    assert fault in str(caught.value)
    assert "would both be `" in str(caught.value)


def test_names_meet_only_in_one_inbox_and_one_format() -> None:
    apart = INBOX + "renditions = ['web']\n[[inbox]]\npath = '/a'\noutput = '/b'\nrenditions = ['b-web']\n"
    assert read(apart + NAMES.format(FLAT, FLAT)).recipes["web"].layout
    with pytest.raises(ConfigError, match="would both be"):
        for_pair("/a", "/b", read(apart + NAMES.format(FLAT, FLAT)))
    assert read(INBOX + NAMES.format(FLAT, FLAT + "\nformat = 'webp'")).recipes["web"].layout


def test_without_a_folder_of_its_own_a_rendition_has_the_whole_output() -> None:
    inside = "[[inbox]]\npath = '/x/in'\noutput = '/x'\n"
    assert read(inside).recipes
    with pytest.raises(ConfigError, match="a folder whose renditions meet the inbox"):
        read(f"{inside}[rendition.web]\nwidth = 9\n{FLAT}")


@pytest.mark.parametrize(
    ("key", "default", "other"),
    [
        ("position", "'south-east'", "'north'"),
        ("width", "0.2", "0.3"),
        ("margin", "0.02", "0"),
        ("opacity", "0.6", "1"),
    ],
)
def test_what_is_written_of_a_watermark_counts_only_beside_one(key: str, default: str, other: str) -> None:
    web = "[rendition.web]\nwidth = 2048\nheight = 2048\n"
    plain = f"{INBOX}{web}watermark = 'logo.png'\n"
    assert read(f"{plain}watermark_{key} = {default}").recipes == read(plain).recipes
    assert (
        read(f"{plain}watermark_{key} = {other}").recipes["web"].fingerprint != read(plain).recipes["web"].fingerprint
    )
    assert read(f"{INBOX}{web}watermark_{key} = {other}").recipes == read(INBOX).recipes


def test_of_a_watermark_the_content_counts_and_not_its_path() -> None:
    def printed(path: str) -> str:
        return read(f"{INBOX}[rendition.a]\nwidth = 9\nwatermark = '{path}'").recipes["a"].fingerprint

    assert printed("logo.png") == printed("~/logo.png") != printed("other.png")
    mark = read(f"{INBOX}[rendition.a]\nwidth = 9\nwatermark = 'logo.png'").recipes["a"].watermark
    assert mark is not None
    assert (mark.path, mark.content, mark.size) == ("/etc/w/logo.png", LOGO, (3, 2))


def test_a_rendition_s_name_is_no_part_of_its_fingerprint() -> None:
    recipes = read(f"{INBOX}[rendition.a]\nwidth = 1\n[rendition.b]\nwidth = 1").recipes
    assert recipes["a"] == recipes["b"]


# ---- faults ----


def test_every_fault_is_told_at_once_with_key_found_and_hint() -> None:
    found = faults(
        """
        wrokers = 2
        [batch]
        max_files = 0
        [rendition.web]
        qualty = 80
        quality = 150
        [[inbox]]
        path = "/a"
        output = "/a/b"
        renditions = ["wbe"]
        [[inbox]]
        path = "/a/c"
        include = []
        """
    )
    assert found == {
        fault.key: fault
        for fault in [
            Fault("wrokers", "unknown key `wrokers`", "did you mean `workers`?"),
            Fault("batch.max_files", "found 0", "write a whole number from 1 to 100000"),
            Fault("rendition.web.qualty", "unknown key `qualty`", "did you mean `quality`?"),
            Fault("rendition.web.quality", "found 150", "write a whole number from 1 to 100"),
            Fault("rendition.web", "found neither `width` nor `height`", "write at least one of both, in pixels"),
            Fault("inbox[0].renditions[0]", "unknown rendition `wbe`", "did you mean `web`?"),
            Fault("inbox[0].output", 'found a folder inside the inbox "/a"', "write a folder outside of every inbox"),
            Fault("inbox[1].path", 'found a folder inside the inbox "/a"', "write each inbox once, none in another"),
            Fault(
                "inbox[1].output",
                "found nothing",
                "write the folder for the resized copies, such as ~/Pictures/Resized, in quotes",
            ),
            Fault(
                "inbox[1].include",
                "found an empty list",
                'write a list of patterns for file names such as ["*.jpg"]',
            ),
        ]
    }


@pytest.mark.parametrize(
    ("text", "key", "sentence"),
    [
        ('workers = "5"', "workers", 'found "5"; write a whole number from 0 to 1024'),
        ("workers = true", "workers", "found true; write a whole number"),
        ("workers = 1.0", "workers", "found 1.0; write a whole number"),
        ("workers = 1" + "0" * 4000, "workers", "found a huge number; write a whole number"),
        ("workers = 1979-05-27", "workers", "found 1979-05-27; write a whole number"),
        ("batch.quiet_seconds = nan", "batch.quiet_seconds", "found nan; write a number from 0 to 3600"),
        ("batch.quiet_seconds = -inf", "batch.quiet_seconds", "found -inf; write a number"),
        ("batch.quiet_seconds = false", "batch.quiet_seconds", "found false; write a number"),
        ("batch.quiet_seconds = -0.1", "batch.quiet_seconds", "found -0.1; write a number"),
        ("batch.quiet_seconds = {}", "batch.quiet_seconds", "found a table; write a number"),
        ("batch = 3", "batch", "found 3; write its keys below a line `[batch]`"),
        ("log.level = 'INFO'", "log.level", 'found "INFO"; write "debug" or "info" or "warning" or "error"'),
        ("log.format = ['json']", "log.format", 'found a list; write "auto" or "console" or "json"'),
        ("state = ''", "state", 'found "", which is empty; write'),
        ("state = '~you/x'", "state", "in which `~` is followed by a name"),
        (
            "state = '$HOME/x'",
            "state",
            "in which the variable `$HOME` is not expanded (`~/` is the home folder); write",
        ),
        ("state = '${DATA}/x'", "state", "in which the variable `${DATA}` is not expanded; write"),
        ("state = '%USERPROFILE%'", "state", "`%USERPROFILE%` is not expanded (`~/` is the home folder)"),
        (r"state = 'C:\Users\anna'", "state", r"which is a path of Windows (in WSL, C:\ is /mnt/c)"),
        (r"state = '\\nas\photos'", "state", "which is a path of Windows"),
        ('state = "a\\u0000b"', "state", "with a NUL character in it"),
        ("rendition = 3", "rendition", "found 3; write its keys below a line such as `[rendition.web]`"),
        ("rendition.a = 3", "rendition.a", "found 3; write its keys below a line such as `[rendition.web]`"),
        ("log.levle = 1", "log.levle", "unknown key `levle`; did you mean `level`?"),
        ("log.workers = 1", "log.workers", "unknown key `workers`; `workers` belongs before the first table"),
        ("quality = 1", "quality", "unknown key `quality`; `quality` belongs below `[rendition.NAME]`"),
        ("after = 'delete'", "after", "unknown key `after`; `after` belongs below `[[inbox]]`"),
        ("format = 'json'", "format", "`format` belongs below `[log]` or below `[rendition.NAME]`"),
        ("log.zzz = 1", "log.zzz", "unknown key `zzz`; known here are `format`, `level`"),
        ('"a\\nb" = 1', '"a\\nb"', "unknown key `a\\nb`; known here are `state`"),
        ("[renditions.web]", "renditions", "did you mean `rendition`?"),
        ("executor.kind = 'dsk'", "executor.kind", 'found "dsk"; write "processes" or "dask"'),
        ("executor.address = 'nowhere'", "executor.address", 'found "nowhere", which is no HOST:PORT; write'),
    ],
)
def test_a_fault_is_told_in_a_plain_sentence(text: str, key: str, sentence: str) -> None:
    assert sentence in said(f"{text}\n{INBOX}", key)


@pytest.mark.parametrize(
    ("line", "key", "sentence"),
    [
        ("include = ['a/*.jpg']", "include[0]", "which no file name can match"),
        ("include = '*.jpg'", "include", 'found "*.jpg"; write a list'),
        ("include = ['*.jpg', 3]", "include[1]", "found 3; write a list"),
        ("exclude = ['!']", "exclude[0]", "which names no file and no folder"),
        ("exclude = ['/']", "exclude[0]", "which names no file and no folder"),
        ("exclude = ['# raw']", "exclude[0]", "which is empty or a comment"),
        ("exclude = ['IMG_[0-9']", "exclude[0]", "which has a `[` without its `]`"),
        ("exclude = ['ok', '[z-a]']", "exclude[1]", "which has the range `z-a` in it, which is the wrong way round"),
        ("exclude = ['[[:letter:]]']", "exclude[0]", "which has the class `[:letter:]` in it, which there is not"),
        ("exclude = ['raw\\']", "exclude[0]", "which ends in a `\\` that escapes nothing"),
        ("exclude = ['# raw']", "exclude[0]", "excludes nothing"),
        ("exclude = ['']", "exclude[0]", "excludes nothing"),
        ("renditions = []", "renditions", "found an empty list; write a list of names"),
        ("renditions = ['zzz']", "renditions[0]", "unknown rendition `zzz`; there are `web`"),
        ("recursive = 1", "recursive", "found 1; write true or false"),
        ("poll_seconds = 0", "poll_seconds", "found 0; write a number from 0.1 to 86400"),
        ("rescan_seconds = 0", "rescan_seconds", "found 0; write a number from 0.5 to 604800"),
        ("watch = 'inotify'", "watch", 'write "auto" or "native" or "poll"'),
        ("originals = '/in/x'", "originals", 'found a folder inside the inbox "/in"'),
        ("after = 'move'", "originals", "found nothing; write the folder that originals move to"),
        ("orphans = 'remove'", "orphans", 'found "remove"; write "keep" or "delete"'),
        ("orphans_max = '101%'", "orphans_max", "which is not between 0% and 100%; write a share such as 10%"),
        ("orphans_max = 'ten'", "orphans_max", "which is not between 0% and 100%"),
        ("orphans_max = 10", "orphans_max", "found 10; write a share such as 10%, in quotes"),
        ("after = 'trash'", "after", 'write "keep" or "move" or "delete"'),
        ("originals = '/'", "originals", "found a folder that meets the renditions of inbox[1]"),
        ("originals = '/out/web/x'", "originals", "found a folder that meets the renditions of inbox[1]"),
        ("originals = '/out'", "originals", "found a folder that meets the renditions of inbox[1]"),
        ("originals = '/first.out/web'", "originals", "found a folder that meets the renditions of inbox[0]"),
    ],
)
def test_a_fault_of_an_inbox_names_it_by_number(line: str, key: str, sentence: str) -> None:
    other = '[[inbox]]\npath = "/first"\noutput = "/first.out"\n'
    assert sentence in said(f"{other}{INBOX}{line}", f"inbox[1].{key}")


@pytest.mark.parametrize(
    ("lines", "key", "sentence"),
    [
        ("width = 9\nfit = 'contain'", ".height", 'found nothing; write the height that `fit = "contain"` pads to'),
        ("height = 9\nfit = 'contain'", ".width", "found nothing; write the width that"),
        (
            "width = 9\nmax_kb = 5\nformat = 'png'",
            ".max_kb",
            'found 5 with `format = "png"`; write another `format`, or',
        ),
        ("width = 9\nmax_kb = -5", ".max_kb", "found -5; write a whole number from 0 to 1000000"),
        (
            "width = 9\nwatermark = 'none.png'",
            ".watermark",
            'found "none.png", and /etc/w/none.png can\'t be read (No such file',
        ),
        (
            "width = 9\nwatermark = 'photo.png'",
            ".watermark",
            'found "photo.png", which is not a PNG; write the path of a PNG',
        ),
        ("width = 9\nwatermark = 'empty.png'", ".watermark", "which is not a PNG"),
        ("width = 9\nwatermark = 'cut.png'", ".watermark", "which is a damaged PNG"),
        ("width = 9\nwatermark = 'bad.png'", ".watermark", "which is a damaged PNG"),
        ("width = 9\nwatermark = 'grey.png'", ".watermark", "which is a grey PNG of 16 bits: save it with 8"),
        ("width = 9\nwatermark = 'big.png'", ".watermark", "which is larger than 4 MB"),
        ("width = 9\nwatermark = 'wide.png'", ".watermark", "which has more than 20 megapixels"),
        ("width = 9\nwatermark = ''", ".watermark", "which is empty"),
        ("width = 9\nwatermark_width = 0", ".watermark_width", "found 0; write a number from 0.01 to 1"),
        ("width = 9\nposition = 'center'", ".position", 'found "center"; write "centre" or "north"'),
        (
            "width = 9\nbackground = 'white'",
            ".background",
            "no colour of six hexadecimal digits; write a colour such as",
        ),
        ("width = 9\nbackground = '#fff'", ".background", "no colour of six hexadecimal digits"),
    ],
)
def test_a_fault_of_a_rendition_names_its_key(lines: str, key: str, sentence: str) -> None:
    assert sentence in said(f"{INBOX}[rendition.a]\n{lines}", f"rendition.a{key}")


@pytest.mark.parametrize("name", ["a/b", ".", "..", ".hidden", "", "a\\nb", "a\\u007f", "x" * 101, "日" * 34])
def test_a_rendition_s_name_must_do_for_a_folder(name: str) -> None:
    (fault,) = faults(f'{INBOX}[rendition."{name}"]\nwidth = 1').values()
    assert "found the name" in fault.found
    assert fault.key.isprintable()


@pytest.mark.parametrize("name", ["web", "Größe 1", "x" * 100, "日" * 33, "a.b"])
def test_other_names_of_renditions_are_fine(name: str) -> None:
    assert list(read(f'{INBOX}[rendition."{name}"]\nwidth = 1').recipes) == [name]


@pytest.mark.parametrize(("one", "other"), [("web", "Web"), ("straße", "STRASSE"), ("\u00e9", "e\u0301")])
def test_two_renditions_that_one_folder_could_hold_are_a_fault(one: str, other: str) -> None:
    (fault,) = faults(f'{INBOX}[rendition."{one}"]\nwidth = 1\n[rendition."{other}"]\nwidth = 1').values()
    assert "found another name for" in fault.found


def test_an_inbox_in_single_brackets_is_explained() -> None:
    assert "`[[inbox]]`, in double brackets" in said("[inbox]\npath = '/a'\noutput = '/b'", "inbox")


def test_a_long_value_is_cut_and_control_characters_are_escaped() -> None:
    sentence = said(f'log.level = "\\u001b[31m{"x" * 500}"\n{INBOX}', "log.level")
    assert sentence.isprintable()
    assert len(sentence) < 200


def test_a_type_of_error_without_a_sentence_keeps_pydantic_s_message() -> None:
    error = {"type": "made_up", "loc": ("log", "level"), "msg": "Never seen before", "input": 1}
    assert translated(error).found == "found 1 (Never seen before)"


# ---- a cluster ----

CLUSTER = "executor = {kind = 'dask', address = 'tcp://h:1'%s}\n" + INBOX


def test_a_cluster_is_named_by_its_address_or_by_the_file_of_its_scheduler() -> None:
    assert read(CLUSTER % "").executor.address == "tcp://h:1"
    by_file = read(f"executor = {{kind = 'dask', scheduler_file = 'dask/s.json'}}\n{INBOX}").executor
    assert by_file.scheduler_file == "/etc/w/dask/s.json"
    assert "found nothing" in said(f"executor.kind = 'dask'\n{INBOX}", "executor.address")
    assert "found an `address` too" in said(CLUSTER % ", scheduler_file = 's.json'", "executor.scheduler_file")


def test_a_certificate_takes_its_key_and_a_key_its_certificate() -> None:
    for one, other in (("tls_client_cert", "tls_client_key"), ("tls_client_key", "tls_client_cert")):
        assert f"belongs to `{one}`" in said(CLUSTER % f", {one} = 'one.pem'", f"executor.{other}")


def test_what_workers_call_a_folder_is_an_absolute_path() -> None:
    assert read(CLUSTER % ", paths = {'/a' = '/b'}").executor.paths == {"/a": "/b"}
    assert "does not begin with `/`" in said(CLUSTER % ", paths = {'/a' = 'b'}", 'executor.paths."/a"')


# ---- folders in each other's way ----


def test_originals_do_not_go_to_a_folder_around_an_inbox() -> None:
    (fault,) = across.overlaps([(b"/p/in", b"/out", b"/p")], [[b"web"]])
    assert (fault.key, fault.found) == ("inbox[0].originals", 'found a folder around the inbox "/p/in"')


@pytest.mark.parametrize(
    ("trios", "keys"),
    [
        ([(b"/a", b"/b", None)], []),
        ([(b"/a", b"/ab", b"/abc")], []),
        ([(b"/a", b"/a", None)], ["inbox[0].output"]),
        ([(b"/a", b"/a/b", None)], ["inbox[0].output"]),
        ([(b"/", b"/out", None)], ["inbox[0].output"]),
        ([(b"/a/in", b"/a", None)], []),
        ([(b"/a", b"/b", b"/a/x")], ["inbox[0].originals"]),
        ([(b"/a", b"/b", None), (b"/c", b"/d", b"/a")], ["inbox[1].originals"]),
        ([(b"/a", b"/b", None), (b"/c", b"/a/x", None)], ["inbox[1].output"]),
        ([(b"/a", b"/b", None), (b"/c", b"/b", None)], ["inbox[1].output"]),
        ([(b"/a", b"/b", None), (b"/a", b"/c", None)], ["inbox[1].path"]),
        ([(b"/a/x", b"/b", None), (b"/a", b"/c", None)], ["inbox[0].path"]),
        ([(b"/a\xff", b"/a\xff/\xfe", None)], ["inbox[0].output"]),
    ],
)
def test_folders_in_each_other_s_way_are_faults(
    trios: list[tuple[bytes, bytes, bytes | None]], keys: list[str]
) -> None:
    assert [fault.key for fault in overlaps(trios)] == keys
    assert all(str(fault).isprintable() for fault in overlaps(trios))


@pytest.mark.parametrize(
    ("trios", "keys"),
    [
        ([(b"/p/in", b"/p", None)], []),
        ([(b"/p/web", b"/p", None)], ["inbox[0].output"]),
        ([(b"/p/web/in", b"/p", None)], ["inbox[0].output"]),
        ([(b"/a", b"/out", None), (b"/b", b"/out/phone", None)], []),
        ([(b"/a", b"/out", None), (b"/b", b"/out/web", None)], ["inbox[1].output"]),
        ([(b"/a", b"/out/web/x", None), (b"/b", b"/out", None)], ["inbox[1].output"]),
    ],
)
def test_renditions_that_would_land_in_an_inbox_or_another_output_are_faults(
    trios: list[tuple[bytes, bytes, bytes | None]], keys: list[str]
) -> None:  # invariant 7
    assert [fault.key for fault in overlaps(trios, [[b"web"]] * len(trios))] == keys


def test_overlaps_are_found_on_expanded_paths_beside_other_faults() -> None:
    found = faults("workers = -1\n[[inbox]]\npath = '~/in'\noutput = '/home/me/in/../in/out'\n[[inbox]]\noutput = 3")
    assert {"workers", "inbox[0].output", "inbox[1].path", "inbox[1].output"} == set(found)


# ---- a pair of folders ----


def test_a_pair_of_folders_runs_on_the_defaults() -> None:
    assert for_pair("/in", "/out") == read(INBOX)


def test_a_pair_of_folders_takes_the_settings_of_a_config_and_none_of_its_inboxes() -> None:
    base = read(f"workers = 3\n{INBOX}watch = 'poll'\n[rendition.small]\nwidth = 9")
    result = for_pair("/x", "/y", base)
    assert (result.workers, dict(result.recipes)) == (3, dict(base.recipes))
    (inbox,) = result.inboxes
    assert (inbox.path, inbox.output, inbox.renditions, inbox.watch) == ("/x", "/y", ("small",), "auto")
    assert len(base.inboxes) == 1
    assert base.inboxes[0].path == "/in"


def test_a_pair_of_folders_need_not_be_utf_8() -> None:
    assert for_pair("/in\udcff", "/out\udcfe").inboxes[0].path == "/in\udcff"


def test_a_pair_of_folders_in_each_other_s_way_is_refused() -> None:
    for inbox, output in [("/a", "/a"), ("/a", "/a/b"), ("/a/web", "/a"), ("/a\0", "/b"), ("/a\ud800", "/b")]:
        with pytest.raises(ConfigError):
            for_pair(inbox, output)


# ---- the files that a user reads ----


def keys_of(data: Mapping[str, Any]) -> dict[str, object]:
    keys: dict[str, object] = {}
    for name, value in data.items():
        if name == "rendition":
            keys |= {f"rendition.{key}": found for table in value.values() for key, found in table.items()}
        elif name in {"inbox", "hook"}:
            keys |= {f"{name}.{key}": found for table in value for key, found in table.items()}
        elif isinstance(value, dict):
            keys |= {f"{name}.{key}": found for key, found in value.items()}
        else:
            keys[name] = value
    return keys


def differences_from_defaults(text: str) -> set[str]:
    web = {"rendition.width": 2048, "rendition.height": 2048}
    defaults = {**DEFAULTS, **web}
    written = keys_of(tomllib.loads(text))
    assert set(written) <= set(DEFAULTS)
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    return {key for key, value in written.items() if value != plain[key]}


def test_the_example_shows_every_key_with_its_default() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert differences_from_defaults(text) == REQUIRED
    shown = set(keys_of(tomllib.loads(text)))
    # a hook has no default
    with_default = {key for key, value in DEFAULTS.items() if value is not None and not key.startswith("hook.")}
    sizes = {"rendition.width", "rendition.height"}
    assert shown == with_default | REQUIRED | sizes


def test_the_example_shows_the_keys_without_default_commented_out_and_they_are_known() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    uncommented = re.sub(r"(?m)^# (\w+ = |\[)", r"\1", text)
    assert set(keys_of(tomllib.loads(uncommented))) == set(DEFAULTS)
    assert read(re.sub(r"(?m)^command = .*", "", uncommented)).metrics.listen == "127.0.0.1:9464"


def test_the_example_is_a_config_that_works_like_the_defaults() -> None:
    result = read(EXAMPLE.read_text(encoding="utf-8"))
    assert result == for_pair("/home/me/Pictures/Inbox", "/home/me/Pictures/Resized")


def test_the_example_says_of_every_key_why_one_would_change_it() -> None:
    lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if re.match(r"(# )?\w+ = ", line)]
    assert len(lines) == len(DEFAULTS)
    bare = [line for line in lines if not re.search(r"\S +# \S", line)]
    assert [line.split()[0] for line in bare] == ["path", "output"]


@pytest.mark.parametrize("folder", ["/p/In box", '/p/"quoted"\\', "/p/日本", "/p/\x7f\x01\n", "/p/{x}"])
def test_the_starter_is_a_config_for_the_given_folders_that_works_like_the_defaults(folder: str) -> None:
    text = starter(folder, "/out")
    assert differences_from_defaults(text) == REQUIRED
    assert read(text) == for_pair(folder, "/out")
    keys = set(keys_of(tomllib.loads(re.sub(r"(?m)^# (\w+ = |\[)", r"\1", text))))
    assert keys <= set(DEFAULTS)


def test_the_starter_names_the_state_file_that_it_is_given() -> None:
    assert read(starter("/in", "/out", "/p/{x}.db")).state == "/p/{x}.db"


def test_the_starter_s_include_takes_away_nothing_that_is_a_photo_without_it() -> None:
    text = starter("/in", "/out").replace("# include = ", "include = ")
    assert {"*.jpg", "*.jpeg", "*.heic"} <= set(read(text).inboxes[0].include)


def test_the_starter_refuses_a_folder_that_no_toml_file_can_name() -> None:
    with pytest.raises(ConfigError, match="not UTF-8"):
        starter("/in\udcff", "/out")


def test_reading_the_config_imports_nothing_that_is_slow_beyond_pydantic() -> None:
    heavy = "'structlog', 'PIL', 'rich', 'watchdog', 'typer', 'asyncio', 'multiprocessing', 'sqlite3'"
    code = f"import sys, watcher.config; print([name for name in ({heavy}) if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_a_fault_is_told_once_however_many_tables_show_it() -> None:
    inboxes = [{"path": "/a", "output": "/1"}, {"path": "/a/b", "output": "/2"}, {"path": "/a", "output": "/3"}]
    with pytest.raises(ConfigError) as raised:
        parse({"inbox": inboxes}, source="test", base="/", home="/home")
    assert [fault.key for fault in raised.value.faults] == ["inbox[1].path", "inbox[2].path"]


# ---- hooks ----


def test_a_hook_has_absolute_paths_and_takes_a_bare_name_from_path() -> None:
    hooks = '[[hook]]\non = "batch"\ncommand = ["~/bin/publish", "~/x"]\ninbox = ["../../in"]\n'
    first, second = read(f'{INBOX}{hooks}[[hook]]\non = "photo"\nurl = "http://127.0.0.1:8000/x?y=1"\n').hooks
    assert (first.command, first.inbox) == (("/home/me/bin/publish", "~/x"), ("/in",))
    assert (second.command, second.url, second.inbox) == ((), "http://127.0.0.1:8000/x?y=1", ())
    assert second.timeout_seconds == 60
    assert read(f'{INBOX}[[hook]]\non = "failed"\ncommand = ["logger", "-t", "x"]\n').hooks[0].command[0] == "logger"


@pytest.mark.parametrize(
    ("table", "key", "text"),
    [
        ('on = "photo"', "hook[0]", "found neither `command` nor `url`"),
        ('command = ["x"]', "hook[0].on", 'found nothing; write "photo" or "batch" or "failed"'),
        ('on = "photos"\ncommand = ["x"]', "hook[0].on", 'found "photos"'),
        ('on = "photo"\ncommand = ["x"]\nurl = "https://h/"', "hook[0].url", "found a `command` too"),
        ('on = "photo"\ncommand = "echo hello"', "hook[0].command", "write a list such as"),
        ('on = "photo"\ncommand = []', "hook[0].command", "found an empty list"),
        ('on = "photo"\ncommand = [""]', "hook[0].command[0]", "write the program's path"),
        ('on = "photo"\ncommand = ["a\\u0000"]', "hook[0].command[0]", "NUL"),
        ('on = "photo"\nurl = "ftp://h/"', "hook[0].url", "does not begin with `https://` or `http://`"),
        ('on = "photo"\nurl = "https:///x"', "hook[0].url", "names no host"),
        ('on = "photo"\nurl = "https://h:x/"', "hook[0].url", "is not a URL"),
        ('on = "photo"\nurl = "https://h:0/x"', "hook[0].url", "whose port is 0"),
        ('on = "photo"\nurl = "https://h/a b"', "hook[0].url", "percent-encoded"),
        ('on = "photo"\nurl = "https://me:pw@h/"', "hook[0].url", "user name"),
        ('on = "photo"\nurl = "https://h/#x"', "hook[0].url", "never sent"),
        ('on = "photo"\ncommand = ["x"]\ninbox = ["/inn"]', "hook[0].inbox[0]", "did you mean `/in`?"),
        ('on = "photo"\ncommand = ["x"]\ninbox = ["/x"]', "hook[0].inbox[0]", "write the `path` of an inbox"),
        ('on = "photo"\ncommand = ["x"]\ninbox = []', "hook[0].inbox", "found an empty list"),
        ('on = "photo"\ncommand = ["x"]\ntimeout_seconds = 0', "hook[0].timeout_seconds", "0.1 to 3600"),
        ('on = "photo"\ncommand = ["x"]\n[[hook]]\non = "photo"\ncommand = ["x"]', "hook[1]", "the same as hook[0]"),
    ],
)
def test_a_hook_that_can_not_work_is_a_fault(table: str, key: str, text: str) -> None:
    assert text in said(f"{INBOX}[[hook]]\n{table}\n", key)
