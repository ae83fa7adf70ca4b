"""Known photos that a scan did not show: whether the inbox is the one that they were in, and which to look for."""

from __future__ import annotations

from watcher.core.types import ScanDone
from watcher.engine.inbox import InboxState
from watcher.engine.ports import Log
from watcher.engine.writer import WriteBuffer

_EXAMINE = 1000  # known photos that are looked for at a time


class MissingPhotos:
    """Decide whether photos may be forgotten, and have those examined that were not listed."""

    def __init__(self, ledger: WriteBuffer, log: Log) -> None:
        self.unreachable: dict[bytes, str] = {}  # inboxes that could not be read whole, and why
        self._ledger = ledger
        self._log = log

    def judge_root(self, desk: InboxState, done: ScanDone) -> None:
        """Record whether the inbox is there, and is the folder whose photos are recorded."""
        was = desk.reachable
        if not done.complete:
            self.unreachable[desk.inbox] = done.reason
        else:
            self.unreachable.pop(desk.inbox, None)
        desk.reachable, desk.unreachable_reason = done.root is not None, done.reason
        if done.root is None:
            if was and not desk.native:
                self._log.warning("watch.lost", inbox=desk.inbox, reason=done.reason)
            return
        known = self._ledger.store.identity(desk.inbox)
        if known is not None and known != done.root and done.photos == 0 and self._knows_photos(desk):
            # An unmounted volume leaves an empty folder behind: its photos are elsewhere, not deleted.
            desk.reachable, desk.may_forget = False, False
            desk.unreachable_reason = "it is empty and not the folder that it was: is its volume not mounted?"
            if was:
                self._log.warning("watch.lost", inbox=desk.inbox, reason=desk.unreachable_reason)
            return
        desk.may_forget = known == done.root and done.complete
        if known != done.root and done.complete:
            self._ledger.store.set_identity(desk.inbox, done.root)
        healed = desk.heals and desk.trusted and desk.again is None and (done.complete or not was)
        if healed or (not was and not desk.native):
            desk.heals = False
            self._log.info("watch.back", inbox=desk.inbox)

    def _knows_photos(self, desk: InboxState) -> bool:
        return bool(self._ledger.store.folders(desk.inbox, away=False))

    def examine_folders(self, desk: InboxState) -> bool:
        """Have recorded folders examined that the scan did not find; return whether there are any."""
        if not desk.may_forget:
            return False
        known = self._ledger.store.folders(desk.inbox, away=False)
        folders = [folder for folder in known if folder and folder not in desk.seen_folders]
        for start in range(0, len(folders), _EXAMINE):
            desk.parts.examine([], folders[start : start + _EXAMINE])
        return bool(folders)

    def examine_short(self, desk: InboxState) -> bool:
        """Have folders examined that hold fewer photos than are recorded, if the inbox is surely the same."""
        if not desk.may_forget or not desk.short:
            return False
        for folder in desk.short:
            self._examine(desk, folder)
        desk.short.clear()
        return True

    def _examine(self, desk: InboxState, folder: bytes) -> None:
        """Have the recorded photos of one folder examined."""
        prefix = folder + b"/" if folder else b""
        paths: list[bytes] = []
        for name in self._ledger.store.names(desk.inbox, folder):
            paths.append(prefix + name)
            if len(paths) == _EXAMINE:
                desk.parts.examine(paths, [])
                paths = []
        if paths:
            desk.parts.examine(paths, [])
