"""Which state file knows a path: the config's, or one of those that runs on two folders keep for themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from watcher import paths
from watcher.app.settings import Source
from watcher.config import Config, Inbox, included
from watcher.core.naming import called
from watcher.core.output_paths import Layouts, photos_of, recorded_paths
from watcher.core.recipe import Recipe
from watcher.core.selection import PathFilter
from watcher.core.types import PhotoId
from watcher.errors import ConfigError, StateError
from watcher.service import process
from watcher.store import Queries, refuse_other_file
from watcher.text import shown


@dataclass(frozen=True, slots=True)
class KnownInbox:
    """One inbox, and the state file that is kept about it."""

    state: str  # path of the state file; it need not exist
    inbox: bytes  # resolved absolute path
    named: bytes  # as the config has it, absolute
    output: bytes | None  # resolved; None: not known
    config: Inbox | None  # None: not known
    recipes: Mapping[str, Recipe] | None
    elsewhere: frozenset[bytes] = frozenset()  # resolved folders of other inboxes, which may lie in this output tree

    def within(self, path: bytes) -> bytes | None:
        """Return `path` relative to the inbox; None: it is not in it."""
        named, resolved = path, os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        for root in (self.named, self.inbox):
            for at in (named, resolved):
                if at == root or os.path.realpath(at) == self.inbox:
                    return b""
                if at.startswith(root.rstrip(b"/") + b"/"):
                    return at[len(root.rstrip(b"/")) + 1 :]
        return None

    def excluded(self, path: bytes, *, folder: bool = False) -> str:
        """Return why the rules of the inbox exclude `path` (relative); empty: they include it, or enter it."""
        link = self._link(path)
        if link is not None:
            return f"its folder {os.fsdecode(link)!r} is a symbolic link; links are not followed out of an inbox"
        if self.config is None:
            return ""
        selection = self.config.selection
        if folder:
            return "" if selection.enters(path) else selection.match(path + b"/photo.jpg").reason
        match = selection.match(path)
        return "" if match.photo else match.reason

    def may_take(self, path: bytes) -> bool:
        """Return whether the inbox takes photos of that path, as far as is known: without a config, by the defaults."""
        return self.config is not None or PathFilter(included(), (), recursive=True).match(path).photo

    def _link(self, path: bytes) -> bytes | None:
        parts = path.split(b"/")[:-1]
        for count in range(1, len(parts) + 1):
            folder = b"/".join(parts[:count])
            if os.path.islink(os.path.join(self.inbox, folder)):
                return folder
        return None


def all_watched(config_file: str | None, state_file: str | None, *, elsewhere: bool = True) -> list[KnownInbox]:
    """List every inbox that this user's config and state files know of; those of the config come first.

    Without `elsewhere`: those of the config alone, or of the state file if one is named.

    Raises ConfigError where a config is named, or found, and wrong; that there is none is no fault.
    """
    found = list(_of_file(config_file, state_file))
    states = {item.state for item in found}
    if state_file is not None:
        if not found or not os.path.exists(os.path.abspath(state_file)):
            refuse_other_file(os.path.abspath(state_file))
            found += _of_state(os.path.abspath(state_file), None)
        return found
    for path in paths.all_state_paths(os.environ) if elsewhere else ():
        if path not in states and os.access(path, os.R_OK):
            found += _of_state(path, config_file)
    return found


def find(path: bytes, watched: list[KnownInbox]) -> list[tuple[KnownInbox, PhotoId]]:
    """List the inboxes that hold `path` (absolute), with the photo's name in each; who knows the photo comes first."""
    found: list[tuple[bool, bool, int, KnownInbox, PhotoId]] = []
    for item in watched:
        relative = item.within(path)
        if relative is not None:
            photo = PhotoId(item.inbox, relative)
            found.append((not _knows(item.state, photo), process.holding(item.state) is None, len(found), item, photo))
    return [(item, photo) for _, _, _, item, photo in sorted(found, key=lambda entry: entry[:3])]


def claimed_by(reader: Queries, watched: KnownInbox, output: bytes) -> tuple[PhotoId, str] | None:
    """Return which photo and rendition a file is the output of, as recorded; `output`: relative to its tree."""
    for photo, rendition in photos_like(reader, watched, output):
        known = reader.known(photo)
        fact = known.made.get(rendition) if known is not None else None
        if known is None or fact is None:
            continue
        if output in recorded_paths(photo.path, rendition, fact, known.recipes, watched.recipes):
            return PhotoId(watched.inbox, called(photo.path)), rendition
    return None


def left_by(reader: Queries, watched: KnownInbox, output: bytes) -> tuple[PhotoId, str] | None:
    """Return the same for photos that are no longer in the inbox, as far as they are remembered."""
    for rendition, folder, _ in photos_of(output, layouts(reader, watched)):
        for name, made in reader.left(watched.inbox, folder):
            photo = PhotoId.inside(watched.inbox, folder, name)
            fact = made.get(rendition)
            if fact is not None and output in recorded_paths(photo.path, rendition, fact, {}, watched.recipes):
                return PhotoId(watched.inbox, called(photo.path)), rendition
    return None


def photos_like(reader: Queries, watched: KnownInbox, output: bytes) -> Iterator[tuple[PhotoId, str]]:
    """Yield the photos whose output a file could be by its path, and of which rendition."""
    for rendition, folder, file in photos_of(output, layouts(reader, watched)):
        like = PhotoId.inside(watched.inbox, folder, file)  # a photo of that name may exist, and others that meet it
        for name in (file, *reader.name_conflicts(like)):
            yield PhotoId.inside(watched.inbox, folder, name), rendition


def layouts(reader: Queries, watched: KnownInbox) -> Layouts:
    """Return the layouts of all renditions that an inbox has or had."""
    now = {(name, recipe.layout) for name, recipe in (watched.recipes or {}).items()}
    return now | reader.layouts(watched.inbox)


def is_comparable(reader: Queries, item: KnownInbox) -> bool:
    """Return whether the state file is about the output folder that the config names; if not, say so."""
    was = reader.report(item.inbox)
    if was is None or was.output == item.output:
        return True
    text = f"{shown(item.inbox)}: what is recorded was made in {shown(was.output)}; the next run makes it again"
    print(text, file=sys.stderr)
    return False


def _knows(state: str, photo: PhotoId) -> bool:
    try:
        reader = Queries.open_to_read(state)
    except StateError:
        return False
    if reader is None:
        return False
    with reader:
        return reader.known(photo) is not None or bool(reader.notes(photo))


def _of_file(config_file: str | None, state_file: str | None) -> Iterator[KnownInbox]:
    source = Source(None, config_file, state_file)
    if config_file is None and not os.environ.get("WATCHER_CONFIG"):
        try:
            paths.find_config(None, os.environ)
        except ConfigError:
            return  # there is none
    config, _ = source.read(require_inbox=False)
    yield from of_config(config, source.state_path(config))


def of_config(config: Config, state: str) -> Iterator[KnownInbox]:
    """Yield the inboxes of a config."""
    folders = [folder for inbox in config.inboxes for folder in (inbox.path, inbox.output, inbox.originals) if folder]
    resolved = {os.path.realpath(os.fsencode(folder)) for folder in folders}
    for inbox in config.inboxes:
        named = os.fsencode(inbox.path)
        recipes = {name: config.recipes[name] for name in inbox.renditions}
        output = os.path.realpath(os.fsencode(inbox.output))
        others = frozenset(resolved - {output})
        yield KnownInbox(state, os.path.realpath(named), os.path.abspath(named), output, inbox, recipes, others)


def _of_state(path: str, config_file: str | None) -> Iterator[KnownInbox]:
    """Yield the inboxes that a state file knows; of a pair of folders, with the settings of such a run."""
    reader = Queries.open_to_read(path)
    if reader is None:
        return
    with reader:
        reports = {inbox: reader.report(inbox) for inbox in reader.inboxes()}
    for inbox, report in reports.items():
        output = None if report is None else report.output
        if output is not None and paths.pair_state_path(inbox, output, os.environ) == path:
            source = Source((os.fsdecode(inbox), os.fsdecode(output)), config_file, None)
            yield from of_config(source.read()[0], path)
        else:
            yield KnownInbox(path, inbox, inbox, output, None, None)
