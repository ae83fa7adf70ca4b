"""Known photos that a scan did not show: whether the inbox is the one that they were in, and which to look for."""

from __future__ import annotations

from itertools import islice

from watcher.core.messages import ScanDone
from watcher.engine.inbox import InboxState, Scan
from watcher.engine.ports import Log
from watcher.engine.writer import WriteBuffer

_EXAMINE = 1000  # known photos that are looked for at a time


class MissingPhotos:
    """Decide whether photos may be forgotten, and have those examined that were not listed."""

    def __init__(self, records: WriteBuffer, log: Log) -> None:
        self.unreachable: dict[bytes, str] = {}  # inboxes that could not be read whole, and why
        self._records = records
        self._log = log

    def judge_root(self, inbox: InboxState, done: ScanDone) -> None:
        """Record whether the inbox is there, and is the folder whose photos are recorded."""
        was = inbox.reachable
        if not done.complete:
            self.unreachable[inbox.path] = done.reason
        else:
            self.unreachable.pop(inbox.path, None)
        inbox.reachable, inbox.unreachable_reason = done.root is not None, done.reason
        if done.root is None:
            if was and not inbox.native:
                self._log.warning("watch.lost", inbox=inbox.path, reason=done.reason)
            return
        known = self._records.store.identity(inbox.path)
        if known is not None and known != done.root and done.photos == 0 and self._records.store.has_photos(inbox.path):
            # An unmounted volume leaves an empty folder behind: its photos are elsewhere, not deleted.
            inbox.reachable, inbox.may_forget = False, False
            inbox.unreachable_reason = "it is empty and not the folder that it was: is its volume not mounted?"
            if was:
                self._log.warning("watch.lost", inbox=inbox.path, reason=inbox.unreachable_reason)
            return
        inbox.may_forget = known == done.root and done.complete
        if known != done.root and done.complete:
            self._records.store.set_identity(inbox.path, done.root)
        healed = inbox.heals and inbox.trusted and inbox.queued_scan is None and (done.complete or not was)
        if healed or (not was and not inbox.native):
            inbox.heals = False
            self._log.info("watch.back", inbox=inbox.path)

    def judge_photos(self, inbox: InboxState, scan: Scan) -> None:
        """Record that it is unsure where the photos are if a complete scan recognised none of those recorded.

        The memory card may be another one: its device and the number of its root folder are often the same.
        """
        if inbox.may_forget and not scan.recognised and self._records.store.has_photos(inbox.path):
            self._records.store.set_unsure(inbox.path, True)

    def conclude(self, inbox: InboxState, scan: Scan) -> None:
        """Record that photos which go from now on are gone for good: a complete scan missed none of those recorded."""
        if inbox.may_forget and scan.recognised and not scan.examined and self._records.store.unsure(inbox.path):
            self._records.store.set_unsure(inbox.path, False)

    def examine_folders(self, inbox: InboxState, scan: Scan) -> bool:
        """Examine recorded folders that the scan did not find; return whether there are any."""
        if not inbox.may_forget:
            return False
        known = self._records.store.folders(inbox.path, away=False)
        folders = [folder for folder in known if folder and folder not in scan.folders]
        for start in range(0, len(folders), _EXAMINE):
            inbox.parts.examine([], folders[start : start + _EXAMINE])
        scan.examined |= bool(folders)
        return bool(folders)

    def examine_short(self, inbox: InboxState) -> bool:
        """Examine folders that hold fewer photos than are recorded, if the inbox is surely the same."""
        if not inbox.may_forget or not inbox.short_folders:
            return False
        if inbox.scan:
            inbox.scan.examined = True
        for folder in inbox.short_folders:
            self._examine(inbox, folder)
        inbox.short_folders.clear()
        return True

    def _examine(self, inbox: InboxState, folder: bytes) -> None:
        """Examine the recorded photos of one folder."""
        prefix = folder + b"/" if folder else b""
        paths = (prefix + name for name in self._records.store.names(inbox.path, folder))
        while some := list(islice(paths, _EXAMINE)):
            inbox.parts.examine(some, [])
