"""Syncthing: two instances, one on a phone and one at the inbox, on the loopback and known to nobody else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
import xml.etree.ElementTree as ET
from http.client import HTTPException
from pathlib import Path

from tests.e2e.harness import until
from tests.transports.clients import version_of
from tests.transports.road import Ground, Kind, Road, absent

_KEY = "watcher"
_FOLDER = "photos"
_PRIVATE = {  # nobody is looked for, told, relayed or reported to
    **dict.fromkeys(("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled"), "false"),
    **dict.fromkeys(("startBrowser", "crashReportingEnabled", "setLowPriority"), "false"),
    "urAccepted": "-1",
    "autoUpgradeIntervalH": "0",
    "reconnectionIntervalS": "1",
    "limitBandwidthInLan": "true",
}
# one process without a second that watches over it, and no trial of which code hashes fastest
_ALONE = {"STNOUPGRADE": "1", "STMONITORED": "1", "STHASHING": "standard"}
_PARTS = 3  # a photo that is to be cut off takes this many seconds


class Peer:
    """One instance: its home, its folder, and what it is asked."""

    def __init__(self, ground: Ground, name: str, folder: Path) -> None:
        self.ground, self.folder = ground, folder
        self.home = ground.root / name
        self.api, self.port = ground.free_port(), ground.free_port()
        self.process: subprocess.Popen[bytes] | None = None
        ground.run("syncthing", "generate", f"--home={self.home}", "--skip-port-probing", "--no-default-folder")
        device = ET.parse(self.home / "config.xml").find("device")  # noqa: S314 - it was written just now
        assert device is not None
        self.device = device.get("id", "")

    def configure(self, other: Peer) -> None:
        """Let the two know each other and the folder that they share."""
        config = self.home / "config.xml"
        tree = ET.parse(config)  # noqa: S314 - the same
        root = tree.getroot()
        texts = {f"options/{key}": value for key, value in _PRIVATE.items()}
        texts |= {"gui/address": f"127.0.0.1:{self.api}", "gui/apikey": _KEY}
        texts |= {"options/listenAddress": f"tcp://127.0.0.1:{self.port}"}
        for path, text in texts.items():
            found = root.find(path)
            assert found is not None, path
            found.text = text
        device = ET.SubElement(root, "device", id=other.device, name="other")
        ET.SubElement(device, "address").text = f"tcp://127.0.0.1:{other.port}"
        share = ET.SubElement(root, "folder", id=_FOLDER, path=str(self.folder), fsWatcherEnabled="false")
        for id_ in (self.device, other.device):
            ET.SubElement(share, "device", id=id_)
        ET.SubElement(share, "maxConflicts").text = "10"  # the default of a folder that is shared on its page
        tree.write(config)

    def start(self) -> None:
        quietly = ("--no-browser", "--no-restart", "--no-upgrade")
        command = ("syncthing", "serve", f"--home={self.home}", *quietly)
        self.process = self.ground.serve(*command, port=self.api, env=_ALONE)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api}/rest/{path}", data, {"X-API-Key": _KEY}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
            found = answer.read()
        return dict(json.loads(found)) if found.strip().startswith(b"{") else {}

    def scan(self) -> None:
        self.ask("POST", f"db/scan?folder={_FOLDER}")

    def has_all_of(self, other: Peer) -> bool:
        """Tell whether this one has all that the other one has."""
        try:
            there = other.ask("GET", f"db/status?folder={_FOLDER}")
            here = self.ask("GET", f"db/status?folder={_FOLDER}")
        except (OSError, HTTPException):
            return False  # it has only begun
        return here["state"] == "idle" and here["needTotalItems"] == 0 and here["globalBytes"] == there["localBytes"]


class Syncthing(Road):
    name = "Syncthing"
    kind = Kind.RENAMES

    @classmethod
    def missing(cls) -> str:
        return absent("syncthing")

    @classmethod
    def versions(cls) -> str:
        return f"Syncthing {version_of(['syncthing', '--version'])}, both"

    def open(self) -> None:
        phone = self.ground.root / "phone's photos"
        phone.mkdir()
        self.phone, self.box = Peer(self.ground, "phone", phone), Peer(self.ground, "box", self.inbox)
        self.phone.configure(self.box)
        self.box.configure(self.phone)
        self.phone.start()
        self.box.start()

    def put(self, source: Path, name: str) -> None:
        self._take_picture(source, name)
        self._sync()

    def put_tree(self, source: Path, name: str) -> None:
        shutil.copytree(source, self.phone.folder / name)
        self._sync()

    def _take_picture(self, source: Path, name: str) -> None:
        shutil.copy(source, self.phone.folder / ".coming")
        os.rename(self.phone.folder / ".coming", self.phone.folder / name)

    def _sync(self) -> None:
        self.phone.scan()
        until(lambda: self.box.has_all_of(self.phone), "the box has all of the phone's photos")

    def interrupt(self, source: Path, name: str) -> None:
        """Kill the receiver half-way; the photo is deleted on the phone before they meet again."""
        self.phone.ask("PATCH", "config/options", {"maxSendKbps": source.stat().st_size // 1024 // _PARTS})
        self._take_picture(source, name)
        self.phone.scan()
        coming = self.inbox / f".syncthing.{name}.tmp"
        until(lambda: coming.exists() and coming.stat().st_blocks * 512 >= source.stat().st_size * 2 // 5, "half")
        self.box.kill()
        (self.phone.folder / name).unlink()
        self.phone.scan()
        self.phone.ask("PATCH", "config/options", {"maxSendKbps": 0})
        self.box.start()

    def two_writers(self, one: Path, other: Path, name: str) -> None:
        """Let both have a photo of that name before they hear of each other: one becomes a copy in conflict."""
        self.phone.ask("POST", f"system/pause?device={self.box.device}")
        self._take_picture(one, name)
        self.phone.scan()
        shutil.copy(other, self.inbox / ".coming")
        os.rename(self.inbox / ".coming", self.inbox / name)
        self.box.scan()
        self.phone.ask("POST", f"system/resume?device={self.box.device}")
        until(lambda: list(self.inbox.glob("*.sync-conflict-*")), "they have met")

    def adds(self, name: str) -> bool:
        """Say that a copy in conflict is a photo of its own."""
        return ".sync-conflict-" in name


ROADS: tuple[type[Road], ...] = (Syncthing,)
