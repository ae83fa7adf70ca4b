"""`verify --prune`: list the outputs that no photo needs any more, or remove them."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import nullcontext
from typing import IO, Literal, Self

from watcher.app.commands import bring_up_to_date, check_access
from watcher.app.locate import is_comparable, of_config
from watcher.app.prune import Unneeded, find_unneeded, remove_unneeded
from watcher.app.settings import Source
from watcher.errors import EXIT_OK, EXIT_SOME_FAILED
from watcher.service import process
from watcher.store import Queries
from watcher.text import counted, printable, shown


def prune(
    pair: tuple[str, str] | None, config_file: str | None, state_file: str | None, *, yes: bool, as_json: bool
) -> int:
    """List the outputs that no photo needs any more; with `yes` have them removed."""
    source = Source(pair, config_file, state_file)
    config, _ = source.read()
    state = source.state_path(config)
    check_access(state, write=yes)
    if yes and os.path.exists(state) and process.holding(state) is None:
        bring_up_to_date(state)
    reader = Queries.open_to_read(state)
    if reader is None:
        print(f"the state file {printable(state)} is empty: nothing to remove", file=sys.stderr)
    with reader or nullcontext(), PrunedOutputs(tell=not as_json) as told:
        for item in of_config(config, state) if reader is not None else ():
            if reader is not None and is_comparable(reader, item):
                found = find_unneeded(reader, item)
                for unneeded, removed in remove_unneeded(source, state, found) if yes else ((one, 0) for one in found):
                    told.add(unneeded, removed)
        told.sum_up(yes=yes)
    return EXIT_SOME_FAILED if yes and told.removed < told.outputs else EXIT_OK


class PrunedOutputs:
    """What `prune` has found; for programs it is kept in a file, see `Found`. A context manager."""

    def __init__(self, *, tell: bool) -> None:
        self.outputs = self.kept = self.removed = self.photos = 0
        self._tell = tell
        self._file: IO[str] = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115  # closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, unneeded: Unneeded, removed: int) -> None:
        """Count the outputs of a photo, of which so many were removed, and name them."""
        self.photos += bool(unneeded.outputs)
        self.outputs += len(unneeded.outputs)
        self.kept += len(unneeded.kept)
        self.removed += removed
        for output in unneeded.outputs:
            self._line("orphans", output, unneeded.why)
        for output, reason in unneeded.kept:
            self._line("kept", output, reason)

    def _line(self, kind: Literal["orphans", "kept"], path: bytes, reason: str) -> None:
        if self._tell:
            print(f"{kind.removesuffix('s')}: {shown(path)}: {reason}")
        else:
            print(json.dumps([kind, {"path": os.fsdecode(path), "reason": reason}]), file=self._file)

    def sum_up(self, *, yes: bool) -> None:
        """Print the sum, or the JSON, piece by piece."""
        if not self._tell:
            print("{")
            for kind in ("orphans", "kept"):
                self._file.seek(0)
                found = (item for of, item in map(json.loads, self._file) if of == kind)
                print(f'  "{kind}": [', end="")
                for number, item in enumerate(found):
                    print(("," if number else "") + f"\n    {json.dumps(item)}", end="")
                print("\n  ],")
            print(f'  "removed": {self.removed}\n}}')
            return
        text = f"{counted(self.outputs, 'output')} of {counted(self.photos, 'photo')}"
        print(f"{text} not needed any more, {self.removed} removed; {self.kept} kept")
        if self.outputs and not yes:
            print("`watcher verify --prune --yes` removes them")
