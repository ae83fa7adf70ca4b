"""From a mapping, as `tomllib` gives it, to a Config, or to all of its faults."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256

from pydantic import ValidationError

from watcher.config.messages import translated
from watcher.config.overlap import across, meeting_names, overlaps
from watcher.config.tables import WEB, Config, Executor, File, Hook, Inbox, Mark, Rendition, Settings
from watcher.config.values import expanded
from watcher.config.watermark import Picture, Read, watermarks
from watcher.core import layout as layouts
from watcher.core.formats import OUTPUTS, Format
from watcher.core.output_paths import top_folders
from watcher.core.recipe import Recipe, Watermark, keys_of, names_of, rendition_of
from watcher.errors import ConfigError, Fault
from watcher.text import utf8_bytes

RECIPE_VERSION = 1  # raise it when the encoder settings change: every rendition is then made again


def _no_files(path: str) -> bytes:
    raise FileNotFoundError(errno.ENOENT, "no files are read here", path)


def parse(
    data: Mapping[str, object],
    *,
    source: str,
    base: str,
    home: str,
    require_inbox: bool = True,
    read: Read = _no_files,
) -> Config:
    """Turn a parsed TOML file into a Config; paths are taken relative to the folder `base`, `~` is `home`.

    Raise ConfigError with every fault of `source`. Nothing outside of the arguments is looked at: whether folders
    exist, and what symbolic links make of them, is for the caller to find out (`overlaps`); `read` reads the files
    whose content is a part of the config.
    """
    raw = dict(data)
    file, faults = _validated(raw)
    faults += across(raw, base, home, require_inbox=require_inbox)
    written = raw.get("rendition")
    pictures, unread = watermarks(written if isinstance(written, dict) else {}, base, home, read)
    faults += unread
    if faults:
        raise ConfigError(source, list(dict.fromkeys(faults)))  # of two inboxes that both are in the way, each tells
    recipes = {
        key: _recipe(rendition.model_copy(update={"format": (form,)}), pictures.get(name))
        for name, rendition in (file.rendition or WEB).items()
        for key, form in keys_of(name, rendition.format).items()
    }
    inboxes = tuple(_inbox(inbox, recipes, base, home) for inbox in file.inbox)
    hooks = tuple(_hook(hook, base, home) for hook in file.hook)
    settings = {name: getattr(file, name) for name in Settings.model_fields}
    settings["state"] = file.state and expanded(file.state, base, home)
    settings["executor"] = _executor(file.executor, base, home)
    return Config(**settings, recipes=recipes, inboxes=inboxes, hooks=hooks)


def _validated(raw: Mapping[str, object]) -> tuple[File, list[Fault]]:
    """Return the file's tables, and the faults of single keys; the defaults where there are any."""
    try:
        return File.model_validate(raw), []
    except ValidationError as error:
        # pydantic counts only the good items of a list: that no good one is left says nothing new
        items = [item for item in error.errors(include_url=False) if item["type"] != "too_short" or not item["input"]]
        return File.model_validate({}), [translated(item) for item in items]


def for_pair(inbox: str, output: str, base: Config | None = None) -> Config:
    """Return the settings of `base` (without it: the defaults) with exactly one inbox; both folders are absolute.

    Raise ConfigError where the two folders can't go together.
    """
    settings = base or parse({}, source="the defaults", base="/", home="/", require_inbox=False)
    names = tuple(settings.recipes)
    try:
        folders = {"path": expanded(inbox, "/", "/"), "output": expanded(output, "/", "/")}
        pair = Inbox.model_validate({**folders, "renditions": names})
        trio = os.fsencode(pair.path), os.fsencode(pair.output), None
        faults = overlaps([trio], [list(map(utf8_bytes, top_folders(settings.recipes)))])
        forms: dict[str, tuple[str, list[Format]]] = {}
        for key, recipe in settings.recipes.items():
            forms.setdefault(rendition_of(key), (recipe.layout, []))[1].append(recipe.format)
        faults += meeting_names(forms)
    except ValidationError as error:
        faults = [translated(item, ("inbox", 0)) for item in error.errors(include_url=False)]
    if faults:
        raise ConfigError("the command line", faults)
    return settings.model_copy(update={"inboxes": (pair,)})


def _inbox(inbox: Inbox, recipes: Iterable[str], base: str, home: str) -> Inbox:
    """Return an inbox with absolute paths, and the keys of all its renditions: a name stands for all its formats."""
    names = inbox.renditions or names_of(recipes)
    return inbox.model_copy(
        update={
            "path": expanded(inbox.path, base, home),
            "output": expanded(inbox.output, base, home),
            "originals": inbox.originals and expanded(inbox.originals, base, home),
            "renditions": tuple(key for name in dict.fromkeys(names) for key in recipes if rendition_of(key) == name),
        }
    )


def _hook(hook: Hook, base: str, home: str) -> Hook:
    """Return a hook with absolute paths; a program without a `/` is one of `PATH`."""
    program = tuple(expanded(word, base, home) if "/" in word else word for word in hook.command[:1])
    inboxes = tuple(expanded(path, base, home) for path in hook.inbox)
    return hook.model_copy(update={"command": (*program, *hook.command[1:]), "inbox": inboxes})


def _executor(executor: Executor, base: str, home: str) -> Executor:
    """Return the executor's settings with absolute paths."""
    names = ("scheduler_file", "tls_ca_file", "tls_client_cert", "tls_client_key")
    paths = {name: getattr(executor, name) for name in names}
    return executor.model_copy(update={name: path and expanded(path, base, home) for name, path in paths.items()})


def _recipe(rendition: Rendition, picture: Picture | None) -> Recipe:
    """Return the recipe of a rendition in one format."""
    keys = {name: value for name, value in rendition.model_dump().items() if not name.startswith("watermark")}
    watermark = picture and Watermark(
        picture.digest,
        rendition.watermark_position,
        rendition.watermark_width,
        rendition.watermark_margin,
        rendition.watermark_opacity,
        picture.path,
        picture.content,
        (picture.width, picture.height),
    )
    layout = "" if rendition.name == layouts.DEFAULT else rendition.name
    del keys["name"]
    (keys["format"],) = rendition.format
    return Recipe(**keys, watermark=watermark, layout=layout, fingerprint=fingerprint(rendition, picture))


def fingerprint(rendition: Rendition, watermark: Picture | None = None) -> str:
    """Return what tells recipes apart in the state file; a key marked LATER counts where it is not at its default.

    One that decides nothing beside the others does not count either: no rendition is made again for it. Of a watermark
    its content counts, not its path; `name` decides no bytes. The rendition is in one format.
    """
    (form,) = rendition.format
    fields, idle = type(rendition).model_fields, _idle(rendition)
    values = {
        name: value
        for name, value in rendition.model_dump().items()
        if name != "name"
        and (Mark.LATER not in fields[name].metadata or (value != fields[name].default and name not in idle))
        and (watermark is not None or not name.startswith("watermark"))
    }
    if watermark is not None:
        values["watermark"] = watermark.digest
    version = RECIPE_VERSION + OUTPUTS[form].version
    canonical = json.dumps({**values, "format": form, "version": version}, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()[:16]


def _idle(rendition: Rendition) -> set[str]:
    """Return the keys that decide nothing in a rendition with these other keys, which is in one format."""
    (form,) = rendition.format
    keys = {
        "position": rendition.fit == "inside" or None in {rendition.width, rendition.height},
        "background": OUTPUTS[form].has_alpha and rendition.fit != "contain",
        "small": form != "jpeg" or rendition.sharpen != "none" or rendition.watermark is not None,
    }
    return {key for key, idle in keys.items() if idle}
