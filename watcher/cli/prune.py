"""`verify --prune`: list the outputs that no photo needs any more, or remove them."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import Literal

from watcher.app.commands import bring_up_to_date, check_access
from watcher.app.locate import is_comparable, of_config
from watcher.app.prune import Unneeded, find_unneeded, remove_unneeded
from watcher.app.settings import Source
from watcher.cli.verify import Findings, print_list
from watcher.errors import EXIT_OK, EXIT_SOME_FAILED
from watcher.service import process
from watcher.store import Queries
from watcher.text import counted, printable, shown, utf8_text


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
        print(f"nothing is recorded in the state file {printable(state)} yet: nothing to remove", file=sys.stderr)
    with reader or nullcontext(), PrunedOutputs(readable=not as_json) as pruned:
        for item in of_config(config, state) if reader is not None else ():
            if reader is not None and is_comparable(reader, item):
                found = find_unneeded(reader, item)
                for unneeded, removed in remove_unneeded(source, state, found) if yes else ((one, 0) for one in found):
                    pruned.add(unneeded, removed)
        pruned.sum_up("" if yes else source.command("verify", "--prune", "--yes"))
    return EXIT_SOME_FAILED if yes and pruned.removed < pruned.outputs else EXIT_OK


class PrunedOutputs(Findings):
    """What `prune` has found."""

    def __init__(self, *, readable: bool) -> None:
        super().__init__(readable=readable)
        self.outputs = self.kept = self.removed = self.photos = 0

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
        if self.readable:
            print(f"{kind.removesuffix('s')}: {shown(path)}: {reason}")
        else:
            self._keep(kind, {"path": utf8_text(path), "reason": reason})

    def sum_up(self, remove: str) -> None:
        """Print the sum, or the JSON, piece by piece; `remove`: the command to remove them, empty: it was this one."""
        if not self.readable:
            print("{")
            for kind in ("orphans", "kept"):
                print_list(kind, (item for of, item in self._kept() if of == kind))
            print(f'  "removed": {self.removed}\n}}')
            return
        if not self.outputs:
            print("no output can be removed" if self.kept else "every output is still needed")
        elif not remove:
            print(f"{self.removed} of {counted(self.outputs, 'output')} removed")
        else:
            text = f"{counted(self.outputs, 'output')} of {counted(self.photos, 'photo')}"
            print(f"no longer needed: {text}; `{remove}` removes them")
        if self.kept:
            print(f"kept: {self.kept}, each for the reason above")
