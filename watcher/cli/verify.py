"""`verify`: compare the output trees with the state file, and have made again what is missing or different."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import groupby
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from watcher.app.commands import bring_up_to_date, check_access
from watcher.app.compare import Difference, compare
from watcher.app.locate import KnownInbox, is_comparable, of_config
from watcher.app.prune import find_unneeded
from watcher.app.settings import Source
from watcher.config import Config
from watcher.core.types import PhotoId
from watcher.errors import EXIT_OK, EXIT_SOME_FAILED
from watcher.service import process
from watcher.store import Queries
from watcher.text import counted, printable, shown, utf8_bytes, utf8_text

if TYPE_CHECKING:
    from watcher.app.verify_deep import Deep

Kind = Literal["missing", "different", "unknown"]
KINDS: tuple[Kind, ...] = ("missing", "different", "unknown")
Advance = Callable[[int], None]


class Findings:
    """What a command has found, in a file: a million lines need no memory. A context manager.

    `readable`: each finding is also printed for people, at once.
    """

    def __init__(self, *, readable: bool) -> None:
        self.readable = readable
        self._file: IO[str] = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115  # closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _keep(self, *finding: object) -> None:
        print(json.dumps(finding), file=self._file)

    def _kept(self) -> Iterator[list[Any]]:
        self._file.seek(0)
        return map(json.loads, self._file)


def print_list(key: str, items: Iterable[object]) -> None:
    """Print one list of a JSON object, item by item."""
    print(f'  "{key}": [', end="")
    end = "],"
    for item in items:
        print(("\n" if end == "]," else ",\n") + f"    {json.dumps(item)}", end="")
        end = "\n  ],"
    print(end)


class Found(Findings):
    """All differences."""

    def __init__(self, *, readable: bool) -> None:
        super().__init__(readable=readable)
        self.counts = dict.fromkeys(KINDS, 0)
        self.checked = 0
        self.unreadable = 0  # folders

    def add(self, found: Difference) -> None:
        """Keep a difference, and name it where people read along."""
        if found.kind == "unreadable":
            self.unreadable += 1
            print(f"not looked at: {shown(found.path)} can't be read: {printable(found.why)}", file=sys.stderr)
            return
        self.counts[found.kind] += 1
        photo = [utf8_text(part) for part in found.photo] if found.photo else None
        self._keep(found.kind, utf8_text(found.path), photo, found.rendition)
        if self.readable:
            print(f"{found.kind}: {shown(found.path)}{f': {found.why}' if found.why else ''}")

    def paths(self, kind: Kind) -> Iterator[str]:
        """Return the paths of one kind."""
        return (path for found, path, _, _ in self._kept() if found == kind)

    def to_repair(self) -> Iterator[tuple[PhotoId, tuple[str, ...]]]:
        """Yield each photo of which something is missing or different, with the renditions."""
        lines = ((photo, rendition) for _, _, photo, rendition in self._kept() if photo)
        for photo, renditions in groupby(lines, key=lambda line: line[0]):
            yield PhotoId(*map(utf8_bytes, photo)), tuple(dict.fromkeys(name for _, name in renditions))


def verify(
    pair: tuple[str, str] | None,
    config_file: str | None,
    state_file: str | None,
    *,
    repair: bool,
    deep: bool,
    as_json: bool,
) -> int:
    """Compare, name what differs, and with `repair` have it made again; `deep`: hold the content to the photo too."""
    source = Source(pair, config_file, state_file)
    config, _ = source.read()
    state = source.state_path(config)
    check_access(state, write=repair)
    if repair and os.path.exists(state) and process.holding(state) is None:
        bring_up_to_date(state)  # of an older one a reader sees a copy, in which nothing changes
    reader = Queries.open_to_read(state)
    if reader is None:
        print(f"nothing is recorded in the state file {printable(state)} yet: nothing to verify", file=sys.stderr)
    with reader or nullcontext(), Found(readable=not as_json) as found:
        repaired, watched = 0, list[KnownInbox]()
        if reader is not None:
            watched = [item for item in of_config(config, state) if is_comparable(reader, item)]
            _compare(reader, watched, config, found, deep=deep)
            repaired = _repair(source, state, reader, found) if repair else 0
        if as_json:
            _print_json(found, repaired)
        else:
            _sum_up(found, repaired, "" if repair else source.command("verify", "--repair"))
            if reader is not None and any(one.outputs for item in watched for one in find_unneeded(reader, item)):
                print(f"`{source.command('verify', '--prune')}` lists outputs that are no longer needed")
        left = found.counts["missing"] + found.counts["different"] - repaired
    return EXIT_SOME_FAILED if left > 0 or found.unreadable else EXIT_OK


def _compare(reader: Queries, watched: list[KnownInbox], config: Config, found: Found, *, deep: bool) -> None:
    counts = [reader.counts(item.inbox) for item in watched]
    photos = sum(count.done + count.failed + count.waiting for count in counts)
    with _progress("verify", photos) as advance, _deep(config) if deep else nullcontext() as aside:
        for item in watched:
            for page in compare(reader, item):
                found.checked += page.checked
                for difference in page.differences:
                    found.add(difference)
                if aside is not None:
                    for difference in aside.differing(item, page.sound):
                        found.add(difference)
                advance(page.photos)
    if aside is not None and aside.not_compared:
        print(f"not compared: {counted(aside.not_compared, 'photo')}, gone or changed meanwhile", file=sys.stderr)


def _deep(config: Config) -> Deep:
    from watcher.app.verify_deep import Deep  # noqa: PLC0415  # workers, which most runs need not pay
    from watcher.pool import available_cpus  # noqa: PLC0415  # the same

    workers = config.workers or available_cpus()
    return Deep(workers, config.retry.timeout_seconds, config.max_megapixels * 1_000_000)


def _repair(source: Source, state: str, reader: Queries, found: Found) -> int:
    from watcher.app.repair import Repair, Wanted  # noqa: PLC0415  # workers, as above

    left = found.counts["missing"] + found.counts["different"]
    if not left:
        return 0
    with _progress("repair", left) as advance:
        repairing = Repair(source, state, reader, advance)
        repairing.mend(Wanted(photo, renditions) for photo, renditions in found.to_repair())
    return repairing.repaired


# ---- output ----


@contextmanager
def _progress(what: str, total: int) -> Iterator[Advance]:
    """Show a progress bar on a terminal; yield what is called with how many more are done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  # 40 ms that only a terminal needs
    from rich.progress import Progress  # noqa: PLC0415  # the same

    # what is printed goes above the bar, but only where it would be on this terminal anyway
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def _print_json(found: Found, repaired: int) -> None:
    """Print piece by piece: the lists may be long."""
    print(f'{{\n  "checked": {found.checked},')
    for kind in KINDS:
        print_list(kind, found.paths(kind))
    print(f'  "repaired": {repaired}\n}}')


def _sum_up(found: Found, repaired: int, repair: str) -> None:
    """Print the sum; `repair`: the command that repairs, empty: it was this one."""
    parts = [f"{found.counts[kind]} {kind}" for kind in KINDS]
    text = f"{counted(found.checked, 'rendition')} checked: {', '.join(parts)}"
    text += f"; {counted(found.unreadable, 'folder')} not looked at" if found.unreadable else ""
    print(text + ("" if repair else f"; {repaired} made again"))
    if repair and (found.counts["missing"] or found.counts["different"]):
        print(f"`{repair}` makes again what is missing or different")
