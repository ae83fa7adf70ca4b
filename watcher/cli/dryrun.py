"""`once --dry-run`: say what would be made, and change nothing."""

from __future__ import annotations

import os

from watcher.app.estimate import forecast
from watcher.app.outputs import held
from watcher.app.settings import Source, settle
from watcher.errors import EXIT_OK
from watcher.store import Queries
from watcher.text import printable, size


def dry_run(pair: tuple[str, str] | None, config_file: str | None, state_file: str | None) -> int:
    """Print per inbox and rendition how many would be made, new or again, and about how many bytes."""
    source = Source(pair, config_file, state_file)
    config, name = source.read()
    settings = settle(config, name, make_outputs=False)
    state = source.state_path(config)
    reader = Queries.open_to_read(state)
    try:
        settings = held(settings, name, state, reader, claim=False)
        for plan in settings.inboxes:
            found = forecast(plan, config, reader)
            print(printable(f"{os.fsdecode(plan.inbox)} → {os.fsdecode(plan.output)}"))
            for rendition, count in found.counts.items():
                print(f"  {rendition}: {count.new} new, {count.again} again, about {size(count.bytes)}")
            if found.reason:
                print(f"  not read whole: {printable(found.reason)}")
    finally:
        if reader is not None:
            reader.close()
    return EXIT_OK
