"""Every road into the inbox, as a table: `python -m tests.transports [--small] [ROAD ...]`.

Without names all roads are taken, one after the other, and the table goes to the README between its markers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.common import machine
from tests.transports import card as cards
from tests.transports.card import Card
from tests.transports.road import Ground, Road
from tests.transports.roads import everything
from tests.transports.row import Row, markdown
from tests.transports.travel import travel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roads", nargs="*", metavar="ROAD", help="a road's name or a part of it; none: all of them")
    parser.add_argument("--small", action="store_true", help="16 small photos a road, as the tests take, not 60")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave inboxes, outputs and logs in this folder")
    arguments = parser.parse_args()
    chosen = [r for r in everything() if not arguments.roads or any(name in r.name for name in arguments.roads)]
    with tempfile.TemporaryDirectory(prefix="watcher-roads-") as scratch:
        root = arguments.keep or Path(scratch)
        card = cards.build(root / "card", cards.SMALL if arguments.small else cards.FULL)
        rows = [row for number, road in enumerate(chosen) if (row := take(road, card, root / f"{number:02}"))]
    print()
    print(markdown(rows))
    print(f"\n{machine()}")
    for row in rows:
        print(f"- {row.road.name}: {row.road.versions()}")
    for road in chosen:
        if missing := road.missing():
            print(f"- {road.name}: not here, {missing}")
    sys.exit(any(row.faults() for row in rows))


def take(road: type[Road], card: Card, root: Path) -> Row | None:
    """Take one road, and tell of its faults."""
    if missing := road.missing():
        print(f"{road.name}: not here, {missing}")
        return None
    began = time.monotonic()
    row = travel(road, card, Ground(root))
    print(f"{road.name}: {time.monotonic() - began:.0f} s; {'; '.join(row.faults()) or 'as it should be'}", flush=True)
    return row


if __name__ == "__main__":
    main()
