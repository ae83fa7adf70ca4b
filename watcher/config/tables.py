"""The tables of a config file: their keys, types, bounds and defaults, and the text that completes "write …"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict

from watcher.config.values import (
    absolute_text,
    address_text,
    choice,
    colour_text,
    command_word,
    each_once,
    ignore_pattern,
    listed_formats,
    listen_text,
    name_pattern,
    name_template,
    number,
    path_text,
    percent_text,
    text_field,
    url_text,
    whole,
)
from watcher.core.formats import INPUTS, OUTPUTS, Format, readable
from watcher.core.hooks import HookId
from watcher.core.layout import DEFAULT
from watcher.core.recipe import Fit, Metadata, Position, Recipe, Sharpening, Small
from watcher.core.selection import PathFilter

_Path = Annotated[str, AfterValidator(path_text)]
_Absolute = Annotated[str, AfterValidator(absolute_text)]
_Kind = Literal["processes", "dask"]
_Fallback = Literal["none", "processes"]
_LogFormat = Literal["auto", "console", "json"]
_Level = Literal["debug", "info", "warning", "error"]
_Watch = Literal["auto", "native", "poll"]
_After = Literal["keep", "move", "delete"]
_On = Literal["photo", "batch", "failed"]
_Orphans = Literal["keep", "delete"]
_SIDE = OUTPUTS["jpeg"].max_side
_DAY = 86400.0
_INCLUDE = tuple(f"*{extension}" for extension in INPUTS["jpeg"].extensions)


def included() -> tuple[str, ...]:
    """Return what `include` is where it is left out: JPEG, and HEIC where its extra is installed."""
    kinds = [INPUTS[name] for name in readable()]
    return tuple(f"*{extension}" for kind in kinds if kind.included for extension in kind.extensions)


class Mark(Enum):
    """What else a key does, written beside its type: `Annotated[int, Mark.RESTART]`."""

    RESTART = "a change takes effect at the next start"
    NEW_WATCH = "a change needs a new watch and a new scanner for the inbox"
    LATER = "a recipe key that is younger than existing state files: at its default it is not in the fingerprint"


class Table(BaseModel):
    """What all tables share: strict types, no unknown key, never changed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    def changed(self, other: Table, mark: Mark) -> list[str]:
        """Return the marked keys in which a table of the same kind differs, `retry.timeout_seconds` for nested ones."""
        found: list[str] = []
        for name, field in type(self).model_fields.items():
            mine, new = getattr(self, name), getattr(other, name)
            if mark in field.metadata:
                found += [name] * (mine != new)
            elif isinstance(mine, Table):
                found += [f"{name}.{key}" for key in mine.changed(new, mark)]
        return found


class Batch(Table):
    """When a burst of photos is over."""

    quiet_seconds: float = number(0.5, 0, 3600)
    max_wait_seconds: float = number(5.0, 0, _DAY)
    max_files: int = whole(128, 1, 100_000)


class Retry(Table):
    """What is tried again, and for how long."""

    attempts: int = whole(3, 1, 100)
    backoff_seconds: float = number(5.0, 0, _DAY)
    timeout_seconds: Annotated[float, Mark.RESTART] = number(120.0, 0.5, _DAY)


class Executor(Table):
    """Where photos are decoded."""

    kind: _Kind = choice("processes", _Kind)
    address: Annotated[str, AfterValidator(address_text)] | None = text_field(
        "the scheduler's address, such as tcp://host:8786,"
    )
    scheduler_file: _Path | None = text_field("the file that `dask scheduler --scheduler-file` writes,")
    fallback: _Fallback = choice("none", _Fallback)
    tls_ca_file: _Path | None = text_field("the file of the authority that signed the cluster's certificates,")
    tls_client_cert: _Path | None = text_field("the file of the certificate that the scheduler is shown,")
    tls_client_key: _Path | None = text_field("the file of that certificate's key,")
    paths: dict[_Absolute, _Absolute] = Field(
        default={}, description='a table of absolute folders such as {"/srv/photos" = "/mnt/photos"}'
    )


class Listen(Table):
    """A page that is served, where `listen` is set."""

    listen: Annotated[str, AfterValidator(listen_text)] | None = text_field("HOST:PORT, such as 127.0.0.1:8424,")


class Metrics(Listen):
    """The same for the metrics, on a port of their own."""

    listen: Annotated[str, AfterValidator(listen_text)] | None = text_field("HOST:PORT, such as 127.0.0.1:9464,")


class Log(Table):
    """How the program tells what it does."""

    format: _LogFormat = choice("auto", _LogFormat)
    level: _Level = choice("info", _Level)


class Inbox(Table):
    """A watched folder. In a Config its paths are absolute, and `renditions` names every rendition that it gets."""

    path: _Path = text_field("the folder to watch, such as ~/Pictures/Inbox,", ...)
    output: _Path = text_field("the folder for the resized copies, such as ~/Pictures/Resized,", ...)
    renditions: Annotated[tuple[str, ...], Strict(False)] = Field(
        default=(), min_length=1, description='a list of names such as ["web"], or leave it out for all of them'
    )
    recursive: Annotated[bool, Mark.NEW_WATCH] = Field(default=True, description="true or false")
    include: Annotated[tuple[Annotated[str, AfterValidator(name_pattern)], ...], Strict(False), Mark.NEW_WATCH] = Field(
        default_factory=included, min_length=1, description='a list of patterns for file names such as ["*.jpg"]'
    )
    exclude: Annotated[tuple[Annotated[str, AfterValidator(ignore_pattern)], ...], Strict(False), Mark.NEW_WATCH] = (
        Field(default=(), description='a list of gitignore patterns such as ["raw/", "*-draft.jpg"]')
    )
    watch: Annotated[_Watch, Mark.NEW_WATCH] = choice("auto", _Watch)
    poll_seconds: float = number(10.0, 0.1, _DAY)
    rescan_seconds: float = number(300.0, 0.5, 7 * _DAY)
    after: _After = choice("keep", _After)
    originals: _Path | None = text_field("the folder that originals move to, such as ~/Pictures/Originals,")
    orphans: _Orphans = choice("keep", _Orphans)
    orphans_max: Annotated[str, AfterValidator(percent_text)] = text_field("a share such as 10%,", "10%")

    @property
    def selection(self) -> PathFilter:
        """Return what decides which of its paths are photos."""
        return PathFilter(self.include, self.exclude, self.recursive)


class Hook(Table):
    """What is run or called after a photo or a batch. In a Config, paths are absolute. Either `command` or `url`."""

    on: _On = choice(..., _On)
    command: Annotated[tuple[Annotated[str, AfterValidator(command_word)], ...], Strict(False)] = Field(
        default=(), min_length=1, description='a list such as ["/usr/local/bin/publish", "--now"]'
    )
    url: Annotated[str, AfterValidator(url_text)] | None = text_field("an address such as https://host/path,")
    inbox: Annotated[tuple[_Path, ...], Strict(False)] = Field(
        default=(), min_length=1, description="a list of the paths of inboxes, or leave it out for all of them"
    )
    timeout_seconds: float = number(60.0, 0.1, 3600)

    @property
    def id(self) -> HookId:
        """What tells it apart from others in the state file."""
        return HookId(self.on, json.dumps(self.url or self.command), json.dumps(self.inbox))


class Rendition(Table):
    """One resized copy of every photo; of `width` and `height` at least one is given. A new key is `Mark.LATER`."""

    width: int | None = whole(None, 1, _SIDE)
    height: int | None = whole(None, 1, _SIDE)
    fit: Fit = choice("inside", Fit)
    format: Annotated[tuple[Format, ...], Strict(False), BeforeValidator(listed_formats), AfterValidator(each_once)] = (
        Field(
            default="jpeg",
            min_length=1,
            validate_default=True,
            description=f"{' or '.join(json.dumps(form) for form in OUTPUTS)}, or a list of them",
        )
    )
    quality: int = whole(85, 1, 100)
    metadata: Metadata = choice("safe", Metadata)
    position: Annotated[Position, Mark.LATER] = choice("centre", Position)
    background: Annotated[str, AfterValidator(colour_text), Mark.LATER] = text_field(
        "a colour such as #ffffff,", "#ffffff"
    )
    sharpen: Annotated[Sharpening, Mark.LATER] = choice("none", Sharpening)
    max_kb: Annotated[int, Mark.LATER] = whole(0, 0, 1_000_000)
    watermark: Annotated[_Path | None, Mark.LATER] = text_field("the path of a PNG file")
    watermark_position: Annotated[Position, Mark.LATER] = choice("south-east", Position)
    watermark_width: Annotated[float, Mark.LATER] = number(0.2, 0.01, 1)
    watermark_margin: Annotated[float, Mark.LATER] = number(0.02, 0, 0.25)
    watermark_opacity: Annotated[float, Mark.LATER] = number(0.6, 0.01, 1)
    name: Annotated[str, AfterValidator(name_template)] = text_field(
        "a path such as {folder}/{stem}-{rendition}.{ext},", DEFAULT
    )
    small: Annotated[Small, Mark.LATER] = choice("encode", Small)


class Settings(Table):
    """The keys that stand for themselves, before and beside renditions and inboxes."""

    state: Annotated[_Path | None, Mark.RESTART] = text_field("the state file's path")
    workers: Annotated[int, Mark.RESTART] = whole(0, 0, 1024)
    max_megapixels: int = whole(200, 1, 4300)  # the JPEG format ends at 65,535 pixels a side
    memory_mb: Annotated[int, Mark.RESTART] = whole(0, 0, 2**24)
    nice: Annotated[int, Mark.RESTART] = whole(10, 0, 19)
    batch: Batch = Field(default=Batch(), description="its keys below a line `[batch]`")
    retry: Retry = Field(default=Retry(), description="its keys below a line `[retry]`")
    executor: Annotated[Executor, Mark.RESTART] = Field(
        default=Executor(), description="its keys below a line `[executor]`"
    )
    web: Annotated[Listen, Mark.RESTART] = Field(default=Listen(), description="its keys below a line `[web]`")
    metrics: Annotated[Metrics, Mark.RESTART] = Field(
        default=Metrics(), description="its keys below a line `[metrics]`"
    )
    log: Annotated[Log, Mark.RESTART] = Field(default=Log(), description="its keys below a line `[log]`")


class File(Settings):
    """A whole config file as it is written."""

    rendition: dict[str, Rendition] = Field(default={}, description="its keys below a line such as `[rendition.web]`")
    inbox: Annotated[tuple[Inbox, ...], Strict(False)] = Field(
        default=(), description="its keys below a line `[[inbox]]`, in double brackets"
    )
    hook: Annotated[tuple[Hook, ...], Strict(False)] = Field(
        default=(), description="its keys below a line `[[hook]]`, in double brackets"
    )


class Config(Settings):
    """Everything that a user can set, complete and consistent. Attributes are named as the keys of the file."""

    recipes: Mapping[str, Recipe]
    inboxes: tuple[Inbox, ...]
    hooks: tuple[Hook, ...] = ()


TABLES: dict[str, type[Table]] = {
    "": File,
    "batch": Batch,
    "retry": Retry,
    "executor": Executor,
    "web": Listen,
    "metrics": Metrics,
    "log": Log,
    "rendition": Rendition,
    "inbox": Inbox,
    "hook": Hook,
}
MANY = ("rendition", "inbox", "hook")  # tables of which there may be several: a name or a number follows
WEB = {"web": Rendition(width=2048, height=2048)}  # what there is without any [rendition.*]


def _default(table: type[Table], name: str) -> object:
    field = table.model_fields[name]
    if (table, name) == (Inbox, "include"):
        return _INCLUDE  # whatever is installed
    left_out = (table, name) in {(Inbox, "renditions"), (Hook, "command"), (Hook, "inbox")}
    return None if field.is_required() or left_out else field.default


# Every key, `batch.max_files` or `inbox.path`, with its default; None: it has none (for `inbox.renditions` and
# `hook.inbox`: all).
DEFAULTS: Mapping[str, object] = {
    f"{title}.{name}".lstrip("."): _default(table, name)
    for title, table in TABLES.items()
    for name in table.model_fields
    if title or name not in TABLES
}
