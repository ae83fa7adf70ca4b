"""Every road into the inbox, as a table: `python -m tests.transports [--small | --formats] [ROAD ...]`.

Without names all roads are taken, one after the other, and the table goes into docs/roads.md between its markers.
It wants a quiet machine: the times are part of it. With `--formats` only the quickest ones are, with photos in each of
the other formats, and their table goes between markers of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from benchmarks.common import machine
from tests.transports import card as cards
from tests.transports.card import RESUMED, Card
from tests.transports.road import Ground, Road
from tests.transports.roads import QUICK, everything
from tests.transports.row import Row, markdown
from tests.transports.travel import travel

_PAGE = Path(__file__).parents[2] / "docs" / "roads.md"
_BEGIN, _END = "<!-- the {}: python -m tests.transports{} -->", "<!-- end of the {} -->"
_WITHOUT = {"overwrite": "overwrote nothing", "resume": "resumed nothing", "two_writers": "had no two writers"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roads", nargs="*", metavar="ROAD", help="a road's name or a part of it; none: all of them")
    parser.add_argument("--small", action="store_true", help="16 small photos a road, as the tests take, not 60")
    parser.add_argument("--formats", action="store_true", help="few photos in each of the other formats")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave inboxes, outputs, logs, and a sheet of them")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # of halves
    chosen = QUICK if arguments.formats and not arguments.roads else _chosen(arguments.roads)
    rows: list[Row] = []
    closed: dict[str, str] = {}  # road -> why it was not taken
    with tempfile.TemporaryDirectory(prefix="watcher-roads-") as scratch:
        root = arguments.keep or Path(scratch)
        size = cards.FEW if arguments.formats else cards.SMALL if arguments.small else cards.FULL
        forms = cards.FORMATS if arguments.formats else ("JPEG",)
        for form in forms:
            card = cards.build(root / f"card-of-{form}", size, form)
            for number, road in enumerate(chosen):
                taken = _take(road, card, root / f"{form}-{number:02}")
                if isinstance(taken, Row):
                    rows.append(taken)
                else:
                    closed[road.name] = taken
        _lay_out(root)
    text = _tell(rows, closed)
    print(f"\n{text}")
    if not arguments.roads and not arguments.small:
        what, option = ("formats", " --formats") if arguments.formats else ("roads", "")
        begin, end = _BEGIN.format(what, option), _END.format(what)
        before, _, rest = _PAGE.read_text().partition(begin)
        _PAGE.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
    sys.exit(any(row.faults() for row in rows))


def _chosen(names: Sequence[str]) -> list[type[Road]]:
    """Give the roads of these names, or, where none has one, those whose names hold it; without names, all."""
    roads = everything()
    exact = {road.name for road in roads} & set(names)
    return [r for r in roads if not names or r.name in exact or any(n in r.name for n in names if n not in exact)]


def _take(road: type[Road], card: Card, root: Path) -> Row | str:
    """Take one road, and tell of its faults; a text says why it could not be taken."""
    began = time.monotonic()
    taken: Row | str
    if not (taken := road.missing()):
        try:
            taken = travel(road, card, Ground(root))
        except Exception as error:  # noqa: BLE001 - the other roads are to be taken all the same
            traceback.print_exc()
            taken = f"it broke: {error!r}"
    told = taken if isinstance(taken, str) else "; ".join(taken.faults()) or "as it should be"
    print(f"{road.name}, {card.form}: {time.monotonic() - began:.0f} s; {told}", flush=True)
    return taken


def _lay_out(root: Path) -> None:
    """Put one rendition of each road on a sheet, to be looked at: `sheet.jpg`, in the order of the folders."""
    found = sorted(root.glob(f"*/watcher/output/web/{RESUMED}"))
    sheet = Image.new("RGB", (6 * 340, -(-len(found) // 6) * 230 or 1))
    for number, path in enumerate(found):
        with Image.open(path) as image:
            image.thumbnail((330, 220))
            sheet.paste(image, (number % 6 * 340, number // 6 * 230))
    sheet.save(root / "sheet.jpg")


def _tell(rows: Sequence[Row], closed: Mapping[str, str]) -> str:
    """Give the table, with what it was made on, the versions, and the roads that could not be taken."""
    versions: dict[str, list[str]] = {}
    for row in rows:
        versions.setdefault(row.road.versions(), []).append(row.road.name)
    cannot: dict[str, list[str]] = {}
    for row in rows:
        for what, why in row.road.cannot.items():
            cannot.setdefault(f"{_WITHOUT[what]}: {why}", []).append(row.road.name)
    lines = [markdown(rows), "", f"{machine()}. {'; '.join(versions)}.", ""]
    lines += [f"- {'; '.join(names)} {what}." for what, names in cannot.items()]
    lines += [f"- Not taken: {name}, {why}." for name, why in closed.items()]
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    main()
