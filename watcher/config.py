"""A parsed config file becomes a frozen Config, or every fault in it at once.

Rules:
- Pure: a mapping in (as `tomllib` gives it), a Config out. The folders that paths are relative to are arguments.
- The models know types, bounds and known keys, and each field's description is the text that completes "write …":
  so a hint can never disagree with the check that it belongs to.
- What concerns more than one key is checked on the raw mapping, so that one wrong number hides no other fault.
- Strict: `"5"` is no number and `true` is none either; a whole number will do for a fraction.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError

from watcher.errors import ConfigError, Fault
from watcher.model import Fit, Format, Metadata, Recipe

RECIPE_VERSION = 1  # raise it when the encoder settings change: every rendition is then made again

# What the contract promises and this version can't do yet: key → value (None: any) → what to write instead.
NOT_YET: dict[str, dict[str | None, str]] = {
    "executor.kind": {"dask": 'this version has no Dask executor yet: write "processes"'},
    "web.listen": {None: "this version has no web page yet: leave `listen` out"},
    "metrics.listen": {None: "this version has no metrics yet: leave `listen` out"},
    "inbox.after": {
        "move": 'this version does not move originals yet: write "keep"',
        "delete": 'this version does not delete originals yet: write "keep"',
    },
}


# ---- values: each check raises a ValueError that says what is wrong with what was found ----


def _path(text: str) -> str:
    if not text:
        raise ValueError("which is empty")
    if text.startswith("~") and text != "~" and not text.startswith("~/"):
        raise ValueError("in which `~` is followed by a name (for a name that begins so: `./~…`)")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError("which can't be a file name on this system") from None
    if b"\0" in encoded:
        raise ValueError("with a NUL character in it")
    return text


def _name_pattern(text: str) -> str:
    if not text or "/" in text or "\0" in text:
        raise ValueError("which no file name can match")
    return text


def _ignore_pattern(text: str) -> str:
    import warnings  # noqa: PLC0415 — both are only needed where somebody excludes something

    from pathspec import GitIgnoreSpec  # noqa: PLC0415 — 20 ms at start

    try:
        with warnings.catch_warnings():
            # re warns where `[[:alpha:]]` and the like compile to something else than git means by it
            warnings.simplefilter("error", FutureWarning)
            patterns = GitIgnoreSpec.from_lines([text]).patterns
    except Exception as error:  # noqa: BLE001 — see below
        # pathspec lets its own, re's and other errors through, depending on the pattern
        raise ValueError(f"which is no gitignore pattern ({error})") from None
    if not any(pattern.include is not None for pattern in patterns):
        raise ValueError("which is empty or a comment and excludes nothing")
    return text


def _listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError("which is no HOST:PORT")
    if int(port) > 65535:  # noqa: PLR2004 — the largest port there is
        raise ValueError("whose port is above 65535")
    return text


def _address(text: str) -> str:
    _listen(re.sub(r"^[a-z]+://", "", text))
    return text


def _whole(default: int | None, low: int, high: int) -> Any:  # noqa: ANN401 — so does pydantic's Field
    return Field(default=default, ge=low, le=high, description=f"a whole number from {low} to {high}")


def _number(default: float, low: float, high: float) -> Any:  # noqa: ANN401 — so does pydantic's Field
    return Field(default=default, ge=low, le=high, description=f"a number from {low:g} to {high:.16g}")


def _choice(default: str, kind: object) -> Any:  # noqa: ANN401 — so does pydantic's Field
    return Field(default=default, description=" or ".join(f'"{choice}"' for choice in get_args(kind)))


def _text(example: str, default: Any = None) -> Any:  # noqa: ANN401 — so does pydantic's Field
    return Field(default=default, description=f"{example} in quotes")


# ---- the tables ----

_Path = Annotated[str, AfterValidator(_path)]
_Kind = Literal["processes", "dask"]
_Fallback = Literal["none", "processes"]
_LogFormat = Literal["auto", "console", "json"]
_Level = Literal["debug", "info", "warning", "error"]
_Watch = Literal["auto", "native", "poll"]
_After = Literal["keep", "move", "delete"]
_SIDE = 65500  # pixels: libjpeg writes no more
_DAY = 86400.0


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Batch(_Table):
    """When a burst of photos is over."""

    quiet_seconds: float = _number(0.5, 0, 3600)
    max_wait_seconds: float = _number(5.0, 0, _DAY)
    max_files: int = _whole(128, 1, 100_000)


class Retry(_Table):
    """What is tried again, and for how long."""

    attempts: int = _whole(3, 1, 100)
    backoff_seconds: float = _number(5.0, 0, _DAY)
    timeout_seconds: float = _number(120.0, 0.5, _DAY)


class Executor(_Table):
    """Where photos are decoded."""

    kind: _Kind = _choice("processes", _Kind)
    address: Annotated[str, AfterValidator(_address)] | None = _text(
        "the scheduler's address, such as tcp://host:8786,"
    )
    fallback: _Fallback = _choice("none", _Fallback)


class Listen(_Table):
    """A page that is served, where `listen` is set."""

    listen: Annotated[str, AfterValidator(_listen)] | None = _text("HOST:PORT, such as 127.0.0.1:8424,")


class Log(_Table):
    """How the program tells what it does."""

    format: _LogFormat = _choice("auto", _LogFormat)
    level: _Level = _choice("info", _Level)


class Inbox(_Table):
    """A watched folder. In a Config its paths are absolute, and `renditions` names every rendition that it gets."""

    path: _Path = _text("the folder to watch, such as ~/Pictures/Inbox,", ...)
    output: _Path = _text("the folder for the resized copies, such as ~/Pictures/Resized,", ...)
    renditions: Annotated[tuple[str, ...], Strict(False)] = Field(
        default=(), min_length=1, description='a list of names such as ["web"], or leave it out for all of them'
    )
    recursive: bool = Field(default=True, description="true or false")
    include: Annotated[tuple[Annotated[str, AfterValidator(_name_pattern)], ...], Strict(False)] = Field(
        default=("*.jpg", "*.jpeg"), min_length=1, description='a list of patterns for file names such as ["*.jpg"]'
    )
    exclude: Annotated[tuple[Annotated[str, AfterValidator(_ignore_pattern)], ...], Strict(False)] = Field(
        default=(), description='a list of gitignore patterns such as ["raw/", "*-draft.jpg"]'
    )
    watch: _Watch = _choice("auto", _Watch)
    poll_seconds: float = _number(10.0, 0.1, _DAY)
    rescan_seconds: float = _number(300.0, 0.5, 7 * _DAY)
    after: _After = _choice("keep", _After)
    originals: _Path | None = _text("the folder that originals move to, such as ~/Pictures/Originals,")


class _Rendition(_Table):
    width: int | None = _whole(None, 1, _SIDE)
    height: int | None = _whole(None, 1, _SIDE)
    fit: Fit = _choice("inside", Fit)
    format: Format = _choice("jpeg", Format)
    quality: int = _whole(85, 1, 100)
    metadata: Metadata = _choice("safe", Metadata)


class _Settings(_Table):
    state: _Path | None = _text("the state file's path")
    workers: int = _whole(0, 0, 1024)
    max_megapixels: int = _whole(200, 1, 4300)  # the JPEG format ends at 65,535 pixels a side
    memory_mb: int = _whole(0, 0, 2**24)
    batch: Batch = Field(default=Batch(), description="its keys below a line `[batch]`")
    retry: Retry = Field(default=Retry(), description="its keys below a line `[retry]`")
    executor: Executor = Field(default=Executor(), description="its keys below a line `[executor]`")
    web: Listen = Field(default=Listen(), description="its keys below a line `[web]`")
    metrics: Listen = Field(default=Listen(), description="its keys below a line `[metrics]`")
    log: Log = Field(default=Log(), description="its keys below a line `[log]`")


class _File(_Settings):
    rendition: dict[str, _Rendition] = Field(default={}, description="its keys below a line such as `[rendition.web]`")
    inbox: Annotated[tuple[Inbox, ...], Strict(False)] = Field(
        default=(), description="its keys below a line `[[inbox]]`, in double brackets"
    )


class Config(_Settings):
    """Everything that a user can set, complete and consistent. Attributes are named as the keys of the file."""

    recipes: Mapping[str, Recipe]
    inboxes: tuple[Inbox, ...]


_TABLES: dict[str, type[_Table]] = {
    "": _File,
    "batch": Batch,
    "retry": Retry,
    "executor": Executor,
    "web": Listen,
    "metrics": Listen,
    "log": Log,
    "rendition": _Rendition,
    "inbox": Inbox,
}
_MANY = ("rendition", "inbox")  # tables of which there may be several: a name or a number follows
_WEB = {"web": _Rendition(width=2048, height=2048)}  # what there is without any [rendition.*]


def _default(table: type[_Table], name: str) -> object:
    field = table.model_fields[name]
    return None if field.is_required() or (table, name) == (Inbox, "renditions") else field.default


# Every key, `batch.max_files` or `inbox.path`, with its default; None: it has none (for `inbox.renditions`: all).
DEFAULTS: Mapping[str, object] = {
    f"{title}.{name}".lstrip("."): _default(table, name)
    for title, table in _TABLES.items()
    for name in table.model_fields
    if title or name not in _TABLES
}


# ---- from mapping to Config ----


def parse(data: Mapping[str, object], *, source: str, base: str, home: str, require_inbox: bool = True) -> Config:
    """Turn a parsed TOML file into a Config; paths are taken relative to the folder `base`, `~` is `home`.

    Raises ConfigError with every fault of `source`. Nothing outside of the arguments is looked at: whether folders
    exist, and what symbolic links make of them, is for the caller to find out (`overlaps`).
    """
    raw = dict(data)
    faults: list[Fault] = []
    file = _File.model_validate({})
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        # pydantic counts only the good items of a list: that no good one is left says nothing new
        items = [
            item for item in error.errors(include_url=False) if not (item["type"] == "too_short" and item["input"])
        ]
        faults += [_translated(item) for item in items]
    faults += _across(raw, base, home, require_inbox=require_inbox)
    if faults:
        raise ConfigError(source, faults)
    recipes = {name: _recipe(rendition) for name, rendition in (file.rendition or _WEB).items()}
    inboxes = tuple(
        inbox.model_copy(
            update={
                "path": _expanded(inbox.path, base, home),
                "output": _expanded(inbox.output, base, home),
                "originals": inbox.originals and _expanded(inbox.originals, base, home),
                "renditions": tuple(dict.fromkeys(inbox.renditions or recipes)),
            }
        )
        for inbox in file.inbox
    )
    settings = {name: getattr(file, name) for name in _Settings.model_fields}
    settings["state"] = file.state and _expanded(file.state, base, home)
    return Config(**settings, recipes=recipes, inboxes=inboxes)


def for_pair(inbox: str, output: str, base: Config | None = None) -> Config:
    """Give the settings of `base` (without it: the defaults) with exactly one inbox; both folders are absolute.

    Raises ConfigError where the two folders can't go together.
    """
    settings = base or parse({}, source="the defaults", base="/", home="/", require_inbox=False)
    names = tuple(settings.recipes)
    try:
        folders = {"path": _expanded(inbox, "/", "/"), "output": _expanded(output, "/", "/")}
        pair = Inbox.model_validate({**folders, "renditions": names})
        trio = os.fsencode(pair.path), os.fsencode(pair.output), None
        faults = overlaps([trio], [[os.fsencode(name) for name in names]])
    except ValidationError as error:
        faults = [_translated(item, ("inbox", 0)) for item in error.errors(include_url=False)]
    if faults:
        raise ConfigError("the command line", faults)
    return settings.model_copy(update={"inboxes": (pair,)})


def _recipe(rendition: _Rendition) -> Recipe:
    fields = rendition.model_dump()
    canonical = json.dumps({**fields, "version": RECIPE_VERSION}, sort_keys=True, separators=(",", ":"))
    return Recipe(**fields, fingerprint=sha256(canonical.encode()).hexdigest()[:16])


def _expanded(path: str, base: str, home: str) -> str:
    if path == "~" or path.startswith("~/"):
        path = os.path.join(home, path[1:].lstrip("/"))
    path = os.path.normpath(os.path.join(base, path))
    return path[1:] if path.startswith("//") else path  # POSIX lets normpath keep two leading slashes


# ---- from pydantic's errors to sentences ----

# pydantic's errors to which what was found and what to write instead leave nothing to explain
_SPEAKS_FOR_ITSELF = re.compile(
    "(bool|dict|float|int|model|string|tuple)_type|finite_number|(greater|less)_than_equal|literal_error|too_short"
)


def _translated(error: Mapping[str, Any], prefix: tuple[str | int, ...] = ()) -> Fault:
    loc = (*prefix, *error["loc"])
    if error["type"] == "extra_forbidden":
        return Fault(_dotted(loc), f"unknown key `{_plain(loc[-1])}`", _known(loc))
    if error["type"] == "missing":
        found = "found nothing"
    elif error["type"] == "value_error":
        found = f"found {_shown(error['input'])}, {error['ctx']['error']}"
    elif _SPEAKS_FOR_ITSELF.fullmatch(error["type"]):
        found = f"found {_shown(error['input'])}"
    else:
        found = f"found {_shown(error['input'])} ({error['msg']})"
    table, name = _place(loc)
    field = _TABLES[table].model_fields.get(name)
    return Fault(_dotted(loc), found, f"write {field.description}" if field else "see config.example.toml")


def _place(loc: tuple[str | int, ...]) -> tuple[str, str]:
    """Tell a location's table and key; a table that is no table at all is a key of the whole file."""
    depth = 2 if loc[0] in _MANY else 1
    return (str(loc[0]), str(loc[depth])) if len(loc) > depth else ("", str(loc[0]))


def _known(loc: tuple[str | int, ...]) -> str:
    table, name = _place(loc)
    here = list(_TABLES[table].model_fields)
    near = _nearest(name, here)
    if near:
        return near
    for title, other in _TABLES.items():
        if name in other.model_fields:
            where = {
                "": "before the first table",
                "inbox": "below `[[inbox]]`",
                "rendition": "below `[rendition.NAME]`",
            }
            return f"`{name}` belongs {where.get(title, f'below `[{title}]`')}"
    return "known here are " + ", ".join(f"`{key}`" for key in here)


def _nearest(name: str, names: Collection[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 — only needed where something is wrong

    return "".join(f"did you mean `{_plain(match)}`?" for match in get_close_matches(name, names, n=1))


def _dotted(loc: Sequence[str | int]) -> str:
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            quoted = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)
            text += f".{quoted}" if text else quoted
    return text


def _plain(text: object) -> str:
    return json.dumps(str(text))[1:-1]


def _shown(value: object) -> str:
    """Show a TOML value in one short line; what can't be printed is escaped."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a huge number"  # Python refuses to write some of them out
    text = json.dumps(value, ensure_ascii=not value.isprintable()) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"  # noqa: PLR2004 — a line of a terminal


# ---- what concerns more than one key ----


def _across(raw: Mapping[str, object], base: str, home: str, *, require_inbox: bool) -> Iterator[Fault]:
    for title in ("executor", "web", "metrics"):
        yield from _not_yet(title, title, _table(raw.get(title)))
    executor = _table(raw.get("executor"))
    if executor.get("kind") == "dask" and "address" not in executor:
        yield Fault("executor.address", "found nothing", "write the scheduler's address, or another `kind`")
    renditions = _table(raw.get("rendition")) or _WEB
    if renditions is not _WEB:
        yield from _rendition_faults(renditions)
    listed = raw.get("inbox")
    if require_inbox and listed in (None, []):
        yield Fault("inbox", "found nothing", "write a table `[[inbox]]` with `path` and `output`")
    inboxes = [_table(item) for item in listed] if isinstance(listed, list) else []
    trios, chosen = [], []
    for number, inbox in enumerate(inboxes):
        yield from _inbox_faults(f"inbox[{number}]", inbox, renditions)
        path, output, originals = (_raw_path(inbox.get(key), base, home) for key in ("path", "output", "originals"))
        trios.append((path, output, originals))
        names = inbox.get("renditions", [*renditions])
        known = [name for name in renditions if isinstance(names, list) and name in names]
        chosen.append([name.encode("utf-8", "surrogatepass") for name in known])
    yield from _overlaps(trios, chosen)


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _not_yet(title: str, place: str, table: Mapping[str, object]) -> Iterator[Fault]:
    for name, value in table.items():
        later = NOT_YET.get(f"{title}.{name}", {})
        if isinstance(value, str) and (value in later or None in later):
            yield Fault(f"{place}.{name}", f"found {_shown(value)}", later.get(value) or later[None])


def _rendition_faults(renditions: Mapping[str, object]) -> Iterator[Fault]:
    import unicodedata  # noqa: PLC0415 — most configs have no table of their own

    folded: dict[str, str] = {}
    for name, rendition in renditions.items():
        place = _dotted(["rendition", name])
        if not _is_folder_name(name):
            hint = "write a folder's name: printable, no `/`, no dot in front, at most 100 bytes"
            yield Fault(place, f"found the name {_shown(name)}", hint)
        same = folded.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if same != name:
            hint = "write names that differ in more than capitals: each is a folder"
            yield Fault(place, f"found another name for `{_plain(same)}`", hint)
        if isinstance(rendition, dict) and not {"width", "height"} & set(rendition):
            yield Fault(place, "found neither `width` nor `height`", "write at least one of both, in pixels")


def _is_folder_name(name: str) -> bool:
    try:
        short = 0 < len(os.fsencode(name)) <= 100  # noqa: PLR2004 — leaves room below PATH_MAX for the photo's path
    except UnicodeEncodeError:
        return False
    return short and name.isprintable() and "/" not in name and not name.startswith(".")


def _inbox_faults(place: str, inbox: Mapping[str, object], renditions: Mapping[str, object]) -> Iterator[Fault]:
    yield from _not_yet("inbox", place, inbox)
    if inbox.get("after") == "move" and "originals" not in inbox:
        yield Fault(f"{place}.originals", "found nothing", "write the folder that originals move to")
    names = inbox.get("renditions")
    for number, name in enumerate(names if isinstance(names, list) else []):
        if isinstance(name, str) and name not in renditions:
            hint = _nearest(name, [*renditions]) or "there are " + ", ".join(f"`{_plain(key)}`" for key in renditions)
            yield Fault(f"{place}.renditions[{number}]", f"unknown rendition `{_plain(name)}`", hint)


def _raw_path(value: object, base: str, home: str) -> bytes | None:
    try:
        return os.fsencode(_expanded(_path(value), base, home)) if isinstance(value, str) else None
    except ValueError:
        return None  # it is a fault of its own already


def overlaps(
    inboxes: Sequence[tuple[bytes, bytes, bytes | None]], renditions: Sequence[Collection[bytes]] = ()
) -> list[Fault]:
    """Tell which folders get in each other's way; of each inbox: its path, its output, where its originals go.

    Paths are absolute and compared as they are: give them resolved to see through symbolic links. `renditions`,
    the names that each inbox gets, finds the rarer cases too: an inbox below one of the folders
    `OUTPUT/<rendition>`, and two outputs of which one lies in a rendition of the other.
    """
    return list(_overlaps(inboxes, renditions or [()] * len(inboxes)))


def _overlaps(
    trios: Sequence[tuple[bytes | None, bytes | None, bytes | None]], names: Sequence[Collection[bytes]]
) -> Iterator[Fault]:
    trees = [
        [os.path.join(trio[1], name) for name in own] if trio[1] else [] for trio, own in zip(trios, names, strict=True)
    ]
    for i, (path, output, originals) in enumerate(trios):
        for j, (other, other_output, _) in enumerate(trios):
            inbox = f"the inbox {_shown(os.fsdecode(other))}" if other else ""
            hint = "write a folder outside of every inbox"
            if _within(output, other):
                yield Fault(f"inbox[{i}].output", f"found a folder inside {inbox}", hint)
            elif any(_within(tree, other) or _within(other, tree) for tree in trees[i]):
                found = f"found a folder whose renditions meet {inbox}"
                yield Fault(f"inbox[{i}].output", found, "write another folder, or name the renditions otherwise")
            if _within(originals, other):
                yield Fault(f"inbox[{i}].originals", f"found a folder inside {inbox}", hint)
            if i != j and _within(path, other) and (path != other or i > j):
                yield Fault(
                    f"inbox[{i}].path", f"found a folder inside {inbox}", "write each inbox once, none in another"
                )
            if i > j and output and output == other_output:
                yield Fault(f"inbox[{i}].output", f"found the output of inbox[{j}]", "write a folder of its own")
            elif i > j and any(_within(a, b) or _within(b, a) for a in trees[i] for b in trees[j]):
                found = f"found a folder whose renditions meet those of inbox[{j}]"
                yield Fault(f"inbox[{i}].output", found, "write a folder apart from it")


def _within(path: bytes | None, folder: bytes | None) -> bool:
    if not path or not folder:
        return False
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


# ---- the file that `watcher init` writes ----

_STARTER = """\
# Photos that are dropped into an inbox get resized copies in its output folder.
# All keys with their defaults: config.example.toml in the source. Try this file with `watcher check`.

[[inbox]]
path = {inbox}
output = {output}
# include = ["*.jpg", "*.jpeg"]   # which files are photos, by name
# exclude = ["raw/"]              # gitignore patterns for what to leave alone

# Each rendition is a folder in the output. A table may be copied for another size.
[rendition.web]
width = 2048
height = 2048           # the photo fits inside of both and is never enlarged
quality = 85            # 1 to 100; lower makes smaller files

# [rendition.thumb]
# width = 320
# height = 320
# fit = "cover"         # crop, so that the size is filled
"""


def starter(inbox: str, output: str) -> str:
    """Give the text of a short commented config for two folders.

    Raises ConfigError for a folder whose name is not UTF-8, since no TOML file can name it.
    """
    folders = {"inbox": inbox, "output": output}
    faults = [
        Fault(f"inbox[0].{key.replace('inbox', 'path')}", "found a name that is not UTF-8", "write another folder")
        for key, folder in folders.items()
        if not folder.isascii() and re.search("[\ud800-\udfff]", folder)
    ]
    if faults:
        raise ConfigError("the starter config", faults)
    # a JSON text is a TOML text but for one character, which JSON leaves as it is
    quoted = {key: json.dumps(folder, ensure_ascii=False).replace("\x7f", "\\u007f") for key, folder in folders.items()}
    return _STARTER.format(**quoted)
