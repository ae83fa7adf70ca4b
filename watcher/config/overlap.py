"""What concerns more than one key, checked on the raw mapping, so that one wrong number hides no other fault."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations

from watcher.config.messages import dotted, nearest, toml_value
from watcher.config.tables import WEB
from watcher.config.values import expanded, path_text
from watcher.core.formats import OUTPUTS
from watcher.core.layout import Layout, fault, layout_of, meeting
from watcher.errors import Fault
from watcher.text import shown, utf8_bytes

Within = Callable[[bytes, bytes], bool]  # whether a path is a folder or lies in it
_FOLDERS = ("path", "output", "originals")
_OUTSIDE = "write a folder outside of every inbox"


def across(raw: Mapping[str, object], base: str, home: str, *, require_inbox: bool) -> Iterator[Fault]:
    """Find every fault that no single key shows: names, folders in each other's way."""
    if not home:
        yield from _without_home(raw)
    yield from _executor_faults(_table(raw.get("executor")))
    renditions = _table(raw.get("rendition")) or WEB
    if renditions is not WEB:
        yield from _rendition_faults(renditions)
    listed = raw.get("inbox")
    if require_inbox and listed in (None, []):
        yield Fault("inbox", "found nothing", "write a table `[[inbox]]` with `path` and `output`")
    inboxes = [_table(item) for item in listed] if isinstance(listed, list) else []
    trios, chosen = [], []
    for number, inbox in enumerate(inboxes):
        yield from _inbox_faults(f"inbox[{number}]", inbox, renditions)
        path, output, originals = (raw_path(inbox.get(key), base, home) for key in _FOLDERS)
        trios.append((path, output, originals))
        names = inbox.get("renditions", [*renditions])
        known = [name for name in renditions if isinstance(names, list) and name in names]
        chosen.append({name: _named(renditions[name]) for name in known})
    for each in chosen or [{name: _named(rendition) for name, rendition in renditions.items()}]:
        yield from meeting_names(each)
    tops = [[_layout(name, template).before for name, (template, _) in each.items()] for each in chosen]
    yield from _overlaps(trios, tops, _within)
    listed = raw.get("hook")
    hooks = [_table(item) for item in listed] if isinstance(listed, list) else []
    yield from _hook_faults(hooks, [path for path, _, _ in trios], base, home)


def _hook_faults(
    hooks: Sequence[Mapping[str, object]], inboxes: Sequence[bytes | None], base: str, home: str
) -> Iterator[Fault]:
    known = [os.fsdecode(path) for path in inboxes if path]
    for number, hook in enumerate(hooks):
        place = f"hook[{number}]"
        if not {"command", "url"} & set(hook):
            yield Fault(place, "found neither `command` nor `url`", "write one of the two")
        if {"command", "url"} <= set(hook):
            yield Fault(f"{place}.url", "found a `command` too", "remove one of the two, or write a second `[[hook]]`")
        command = hook.get("command")
        if isinstance(command, list) and command[:1] == [""]:
            yield Fault(f"{place}.command[0]", 'found ""', "write the program's path, or its name if it is on PATH")
        same = next((other for other in range(number) if _what(hooks[other]) == _what(hook)), None)
        if same is not None:
            yield Fault(place, f"found the same as hook[{same}]", "remove one of the two")
        paths = hook.get("inbox")
        for item, path in enumerate(paths if isinstance(paths, list) else []):
            found = raw_path(path, base, home)
            if found is not None and known and os.fsdecode(found) not in known:
                # by their last parts: what folders of one machine begin with is much alike
                near = nearest(os.path.basename(os.fsdecode(found)), {os.path.basename(path) for path in known})
                hint = nearest(os.fsdecode(found), known, 0.0) if near else "write the `path` of an inbox"
                yield Fault(
                    f"{place}.inbox[{item}]", f"found {toml_value(path)}, which is not an inbox of this file", hint
                )


def _what(hook: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(hook.get(key) for key in ("on", "command", "url", "inbox"))


def _without_home(raw: Mapping[str, object]) -> Iterator[Fault]:
    """Find the paths that begin with a home that there is not."""
    listed = raw.get("inbox")
    inboxes = [_table(item) for item in listed] if isinstance(listed, list) else []
    found = {"state": raw.get("state")}
    found |= {f"executor.{key}": value for key, value in _table(raw.get("executor")).items()}
    found |= {f"inbox[{n}].{key}": inbox.get(key) for n, inbox in enumerate(inboxes) for key in _FOLDERS}
    renditions = {name: _table(rendition) for name, rendition in _table(raw.get("rendition")).items()}
    found |= {dotted(["rendition", name, "watermark"]): keys.get("watermark") for name, keys in renditions.items()}
    hooks = raw.get("hook")
    for n, hook in enumerate([_table(item) for item in hooks] if isinstance(hooks, list) else []):
        for key in ("command", "inbox"):
            words = hook.get(key)
            some = (words[:1] if key == "command" else words) if isinstance(words, list) else []
            found |= {f"hook[{n}].{key}[{i}]": word for i, word in enumerate(some)}
    for key, value in found.items():
        if isinstance(value, str) and (value == "~" or value.startswith("~/")):
            yield Fault(
                key, f"found {toml_value(value)}, and this user has no home folder", "write the whole path, or set HOME"
            )


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _executor_faults(executor: Mapping[str, object]) -> Iterator[Fault]:
    named = {"address", "scheduler_file"} & set(executor)
    if executor.get("kind") == "dask" and not named:
        hint = "write the scheduler's address, or `scheduler_file`, or another `kind`"
        yield Fault("executor.address", "found nothing", hint)
    if executor.get("kind") == "dask" and len(named) > 1:
        yield Fault("executor.scheduler_file", "found an `address` too", "remove one of the two")
    for one, other in (("tls_client_cert", "tls_client_key"), ("tls_client_key", "tls_client_cert")):
        if one in executor and other not in executor:
            yield Fault(f"executor.{other}", "found nothing", f"write the one that belongs to `{one}`")


def _rendition_faults(renditions: Mapping[str, object]) -> Iterator[Fault]:
    import unicodedata  # noqa: PLC0415 — most configs have no table of their own

    folded: dict[str, str] = {}
    for name, rendition in renditions.items():
        place = dotted(["rendition", name])
        if not _is_folder_name(name):
            hint = "write a folder's name: printable, no `/`, no dot in front, at most 100 bytes"
            yield Fault(place, f"found the name {toml_value(name)}", hint)
        same = folded.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if same != name:
            hint = "write names that differ in more than capitals: each is a folder"
            yield Fault(place, f"found another name for `{shown(same)}`", hint)
        if isinstance(rendition, dict) and not {"width", "height"} & set(rendition):
            yield Fault(place, "found neither `width` nor `height`", "write at least one of both, in pixels")
        elif isinstance(rendition, dict):
            yield from _recipe_faults(place, rendition)


def _recipe_faults(place: str, rendition: Mapping[str, object]) -> Iterator[Fault]:
    """Find the keys of a rendition that don't go together."""
    if rendition.get("fit") == "contain":
        for side in {"width", "height"} - set(rendition):
            yield Fault(f"{place}.{side}", "found nothing", f'write the {side} that `fit = "contain"` pads to')
    lossless = [form for form, output in OUTPUTS.items() if output.lossless and form in _formats(rendition)]
    for form in lossless if rendition.get("max_kb") else ():
        hint = f"write another `format`, or leave it out: a {form.upper()} has no quality that could be lowered"
        there = f'`format = "{form}"`' if rendition["format"] == form else f'"{form}" in `format`'
        yield Fault(f"{place}.max_kb", f"found {toml_value(rendition['max_kb'])} with {there}", hint)


def _formats(rendition: Mapping[str, object]) -> list[object]:
    found = rendition.get("format", "jpeg")
    return found if isinstance(found, list) else [found]


def _named(rendition: object) -> tuple[str, list[object]]:
    """Return the template and the formats of a rendition; a template that is wrong counts as none."""
    table = _table(rendition)
    template = table.get("name", "")
    return template if isinstance(template, str) and not fault(template) else "", _formats(table)


def _layout(name: str, template: str) -> Layout:
    # a name that is wrong may be of any characters
    return layout_of(name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape"), template)


def meeting_names(renditions: Mapping[str, tuple[str, Sequence[object]]]) -> Iterator[Fault]:
    """Find the renditions of one inbox in which two outputs could have one path, by their templates and formats."""
    for (one, (template, forms)), (other, (others, other_forms)) in combinations(renditions.items(), 2):
        if not (template or others) or not any(form in other_forms for form in forms):
            continue
        if (met := meeting(_layout(one, template), _layout(other, others))) is not None:
            first, second, path = met
            place, found = (other, others) if others else (one, template)
            yield Fault(
                f"{dotted(['rendition', place])}.name",
                f"found {toml_value(found)}, with which `{shown(one)}` of `{shown(first)}` and `{shown(other)}` of"
                f" `{shown(second)}` would both be `{shown(path)}`",
                "put `{rendition}` into the folders, or into the file names, of both",
            )


def _is_folder_name(name: str) -> bool:
    try:
        short = 0 < len(utf8_bytes(name)) <= 100  # noqa: PLR2004 — leaves space below PATH_MAX for the photo's path
    except UnicodeEncodeError:
        return False
    return short and name.isprintable() and "/" not in name and not name.startswith(".")


def _inbox_faults(place: str, inbox: Mapping[str, object], renditions: Mapping[str, object]) -> Iterator[Fault]:
    if inbox.get("after") == "move" and "originals" not in inbox:
        yield Fault(f"{place}.originals", "found nothing", "write the folder that originals move to")
    names = inbox.get("renditions")
    for number, name in enumerate(names if isinstance(names, list) else []):
        if isinstance(name, str) and name not in renditions:
            hint = nearest(name, [*renditions]) or "there are " + ", ".join(f"`{shown(key)}`" for key in renditions)
            yield Fault(f"{place}.renditions[{number}]", f"unknown rendition `{shown(name)}`", hint)


def raw_path(value: object, base: str, home: str) -> bytes | None:
    """Return the absolute path that a key names; None where it names none, or has a fault of its own."""
    if not isinstance(value, str) or (not home and value.startswith("~")):
        return None
    try:
        return os.fsencode(expanded(path_text(value), base, home))
    except ValueError:
        return None  # it is a fault of its own already


def overlaps(
    inboxes: Sequence[tuple[bytes, bytes, bytes | None]],
    renditions: Sequence[Collection[bytes]] = (),
    within: Within | None = None,
) -> list[Fault]:
    """Return which folders get in each other's way; of each inbox: its path, its output, where its originals go.

    Paths are absolute and compared as they are: give them resolved to see through symbolic links. `renditions`,
    the names that each inbox gets, finds the rarer cases too: an inbox below one of the folders
    `OUTPUT/<rendition>`, and two outputs of which one lies in a rendition of the other. `within` compares in another
    way, as one that knows what is mounted twice; its faults say that a folder is met by another name.
    """
    names = renditions or [()] * len(inboxes)
    if within is None:
        return list(_overlaps(inboxes, names, _within))
    found = _overlaps(inboxes, names, lambda path, folder: bool(path and folder and within(path, folder)))
    return [_by_another_name(fault, inboxes) for fault in found]


def _by_another_name(fault: Fault, trios: Sequence[tuple[bytes, bytes, bytes | None]]) -> Fault:
    number, _, key = fault.key.removeprefix("inbox[").partition("].")
    folder = trios[int(number)][("path", "output", "originals").index(key)]
    named = f"found {toml_value(os.fsdecode(folder or b''))}, another name for "
    return Fault(fault.key, fault.found.replace("found ", named, 1), fault.hint)


def _overlaps(
    trios: Sequence[tuple[bytes | None, bytes | None, bytes | None]],
    names: Sequence[Collection[bytes]],
    within: Callable[[bytes | None, bytes | None], bool],
) -> Iterator[Fault]:
    trees = [
        [os.path.join(trio[1], name).rstrip(b"/") for name in own] if trio[1] else []
        for trio, own in zip(trios, names, strict=True)
    ]
    for i, (path, output, originals) in enumerate(trios):
        for j, (other, other_output, _) in enumerate(trios):
            inbox = f"the inbox {toml_value(os.fsdecode(other))}" if other else ""
            if within(output, other):
                yield Fault(f"inbox[{i}].output", f"found a folder inside {inbox}", _OUTSIDE)
            elif any(within(tree, other) or within(other, tree) for tree in trees[i]):
                found = f"found a folder whose renditions meet {inbox}"
                yield Fault(f"inbox[{i}].output", found, "write another folder, or name the renditions otherwise")
            yield from _meeting(f"inbox[{i}].originals", originals, other, trees[j], j, within)
            if i != j and within(path, other) and (i > j or not within(other, path)):
                yield Fault(
                    f"inbox[{i}].path", f"found a folder inside {inbox}", "write each inbox once, none in another"
                )
            if i > j and within(output, other_output) and within(other_output, output):
                yield Fault(f"inbox[{i}].output", f"found the output of inbox[{j}]", "write a folder of its own")
            elif i > j and any(within(a, b) or within(b, a) for a in trees[i] for b in trees[j]):
                found = f"found a folder whose renditions meet those of inbox[{j}]"
                yield Fault(f"inbox[{i}].output", found, "write a folder apart from it")


def _meeting(
    key: str,
    originals: bytes | None,
    inbox: bytes | None,
    trees: Sequence[bytes],
    number: int,
    within: Callable[[bytes | None, bytes | None], bool],
) -> Iterator[Fault]:
    """Find where a folder for originals gets in the way of an inbox or its renditions."""
    shown_inbox = f"the inbox {toml_value(os.fsdecode(inbox))}" if inbox else ""
    if within(originals, inbox):
        yield Fault(key, f"found a folder inside {shown_inbox}", _OUTSIDE)
    elif within(inbox, originals):
        yield Fault(key, f"found a folder around {shown_inbox}", "write a folder apart from it")
    if any(within(tree, originals) or within(originals, tree) for tree in trees):
        found = f"found a folder that meets the renditions of inbox[{number}]"
        yield Fault(key, found, "write a folder apart from its `output`")


def _within(path: bytes | None, folder: bytes | None) -> bool:
    if not path or not folder:
        return False
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")
