"""Send the photos of a card over one road into the inbox of a running daemon, and remember what was sent.

The photos go one by one, each when the one before is visible, then a folder of
them at once, then those that are overwritten, cut off and resumed, and sent by two writers at once; the one that is
abandoned came first of all.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.harness import Place, Rendition, Running
from tests.transports.card import ABANDONED, CONTESTED, OVERWRITTEN, RESUMED, TREE, Card, Photo, Version, shown_by
from tests.transports.road import Road
from tests.transports.witness import Witness

RENDITIONS: Mapping[str, Rendition] = {
    "web": {"width": 1024, "height": 1024},
    "thumb": {"width": 256, "height": 256, "fit": "cover"},
}
QUIET = 0.5  # seconds: the config's default, with which all this runs
_PATIENCE = 30.0  # seconds until a photo counts as lost
_CONTESTED = 75.0  # seconds until what two writers left counts as lost
_PACE = 1.0  # seconds that the next photo waits for the one before to be visible, so that no queue is measured
_LATE = 1.2  # seconds in which whatever comes twice would come
_HALF_WAY = 1.0  # seconds that a line is down before the upload goes on: longer than the quiet time


@dataclass(frozen=True)
class Sent:
    """A version of a photo that has to become visible."""

    name: str
    version: Version
    at: float  # when its client returned
    final: bool = True  # no newer one follows


@dataclass
class Journey:
    """All that happened on one road."""

    road: Road
    card: Card
    place: Place
    witness: Witness
    sent: list[Sent] = field(default_factory=list)
    before: dict[str, Version] = field(default_factory=dict)  # what lay there before it was edited
    rivals: tuple[Version, ...] = ()
    log: list[dict[str, Any]] = field(default_factory=list)  # of the daemon
    later: list[dict[str, Any]] = field(default_factory=list)  # of the one that was started ten minutes later
    inbox: dict[str, Any] = field(default_factory=dict)  # what `status` said in the end
    abandoned: list[tuple[str, str]] = field(default_factory=list)  # what `why` said: state and reason, then and later

    @property
    def landing(self) -> Path:
        return self.road.landing or self.road.inbox

    # ---- sending ----

    def send(self) -> None:
        if self.road.edits:
            self._lay_out()
        self.road.interrupt(self.card.abandoned.source, ABANDONED)
        for name, photo in self.card.singles.items():
            self.road.put(photo.source, name)
            self._note(name, photo)
            self._await(self.sent[-1], _PACE)
        self.road.put_tree(self.card.tree, TREE)
        for name, photo in self.card.in_folder.items():
            self._note(name, photo)
        if "overwrite" not in self.road.cannot:
            self._overwrite()
        if "resume" not in self.road.cannot:
            self._resume()
        if "two_writers" not in self.road.cannot:
            self.rivals = self._rivals()
            self.road.two_writers(self.card.one.source, self.card.other.source, CONTESTED)
        for sent in self.sent:
            if sent.final:
                self._await(sent)
        self._await_contested()
        time.sleep(_LATE)

    def _rivals(self) -> tuple[Version, ...]:
        """Give the versions that two writers to one name may leave: two editors may work one after the other."""
        edited, one = self.road.edited, self.card.one.version
        return (edited(one), edited(edited(one) if self.road.edits else self.card.other.version))

    def _lay_out(self) -> None:
        """Put photos where they will be edited."""
        card = self.card
        special = {OVERWRITTEN: card.old, RESUMED: card.resumed, ABANDONED: card.abandoned, CONTESTED: card.one}
        for name, photo in {**card.singles, **card.in_folder, **special}.items():
            target = self.landing / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo.source, target.with_name(".coming"))
            os.rename(target.with_name(".coming"), target)
            self.before[name] = photo.version
        for name, version in self.before.items():
            self._await(Sent(name, version, 0.0))

    def _overwrite(self) -> None:
        self.road.put(self.card.old.source, OVERWRITTEN)
        self._note(OVERWRITTEN, self.card.old, final=False)
        self._await(self.sent[-1])
        self.road.overwrite(self.card.new.source, OVERWRITTEN)
        self._note(OVERWRITTEN, self.card.new)

    def _resume(self) -> None:
        self.road.interrupt(self.card.resumed.source, RESUMED)
        time.sleep(_HALF_WAY)  # this is the outside world
        self.road.resume(self.card.resumed.source, RESUMED)
        self._note(RESUMED, self.card.resumed)

    def _note(self, name: str, photo: Photo, *, final: bool = True) -> None:
        self.sent.append(Sent(name, self.road.edited(photo.version), time.time(), final))

    def _await(self, sent: Sent, seconds: float | None = None) -> None:
        """Wait until a version is visible, or it has to be called lost."""
        deadline = time.monotonic() + (_PATIENCE if seconds is None else seconds)
        while self.visible(sent) is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def _await_contested(self) -> None:
        """Wait until outputs show the version that two writers left, which may have to be unchanged for a minute."""
        left = self.left_by_rivals()
        outputs = [self.place.output / rendition / CONTESTED for rendition in RENDITIONS]
        deadline = time.monotonic() + _CONTESTED
        while left and any(shown_by(path) != left for path in outputs) and time.monotonic() < deadline:
            time.sleep(0.2)

    def left_by_rivals(self) -> Version | None:
        """Return the version that lies under the name of two writers; None: there were none, or it is a mixture."""
        path = self.landing / CONTESTED
        if not self.rivals or not path.exists():
            return None
        if self.road.recodes:
            shown = shown_by(path)
            return shown if shown in self.rivals else None
        # A mixture may show one version alone: what is compared is every byte.
        left = path.read_bytes()
        return next((p.version for p in (self.card.one, self.card.other) if p.source.read_bytes() == left), None)

    def visible(self, sent: Sent) -> float | None:
        """When the last rendition of a version appeared; None: not all have."""
        times = [
            min((a.at for a in self.witness.seen(rendition, sent.name) if a.version == sent.version), default=None)
            for rendition in RENDITIONS
        ]
        return None if None in times else max(filter(None, times))

    # ---- the end ----

    def look(self) -> None:
        """Ask the program itself how it stands."""
        self.inbox = self.place.status()["inboxes"][0]
        self.ask_why()

    def ask_why(self) -> None:
        said = self.place.watcher("why", self.road.inbox / ABANDONED, "--config", self.place.config, "--json")
        told = json.loads(said.out)
        self.abandoned.append((told["state"], told["reason"] or ""))

    def give_up(self, daemon: Running) -> None:
        """Wait until the daemon has given up what was abandoned."""
        if self.abandoned[-1][0] == "waiting":
            deadline = time.monotonic() + _PATIENCE
            while not daemon.events("photo.failed") and time.monotonic() < deadline:
                time.sleep(0.02)
            self.ask_why()
