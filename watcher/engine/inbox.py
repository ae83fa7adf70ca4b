"""What the daemon keeps of one inbox while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from watcher.config import Config, Mark
from watcher.core.counters import RateCounter
from watcher.core.debounce import Debouncer
from watcher.core.formats import readable
from watcher.core.records import is_current
from watcher.core.types import Origin
from watcher.engine.breaker import CircuitBreaker
from watcher.engine.ports import InboxParts, InboxPlan

MISSED_GRACE_SECONDS = 2.0  # how late an event may come for a photo that a scan saw first
FAST_SCANS = 10  # how many scans come sooner once events were missed
FAST_SCAN_SECONDS = 15.0  # and how soon
RESCAN_SOON_SECONDS = 2.0  # until a scan that makes up for lost messages, or looks at a stand-in in use


@dataclass(slots=True)
class Scan:
    """A scan of the whole inbox that was asked for and has not ended."""

    number: int
    origin: Origin
    counts_missed: bool  # what it finds new was missed by the events
    recognised: int = 0  # photos that it found as they are recorded
    folders: set[bytes] = field(default_factory=set)  # that it came by
    examined: bool = False  # since it began, photos were examined that were not listed


def terms_of(plan: InboxPlan, config: Config, started: Config) -> str:
    """Name the settings, and the formats, that a photo may have failed for; `started` has those that take a restart."""
    recipes = " ".join(f"{name}={recipe.fingerprint}" for name, recipe in sorted(plan.wanted.items()))
    kinds = " ".join(readable())
    return f"{config.max_megapixels} {started.memory_mb} {started.retry.timeout_seconds:g} {kinds} {recipes}"


@dataclass(slots=True)
class InboxState:
    """One inbox at work."""

    plan: InboxPlan
    parts: InboxParts
    debouncer: Debouncer
    native: bool = False
    watch_reason: str = ""
    trusted: bool = False  # events come and can be relied on, as far as anybody knows
    heals: bool = False  # events come again; `watch.back` is said when a scan has made up for those that were lost
    reachable: bool = True
    unreachable_reason: str = ""
    ready: bool = False  # the watch is set, or will not be
    volume: bytes = b""  # the mount point that its output belongs on; empty: any, as nothing was ever made there
    originals_volume: bytes = b""  # the mount point that its originals belong on; empty: any
    terms: str = ""  # on what a photo is called failed; see `terms_of`
    moved: bool = False  # what is recorded is about another output folder
    reopens_failed: bool = False  # photos failed under other settings: they are tried again
    touched: bool = False  # something happened that `status` may show
    scan: Scan | None = None
    queued_scan: Scan | None = None  # asked for while one was running
    next_scan: float | None = None
    rescan_due: bool = False  # messages could not be digested: a scan must make up for them
    fast_scans_left: int = 0  # scans that still come sooner because events were missed
    missed: int = 0
    left_alone: tuple[tuple[str, int], ...] = ()  # of the last scan that saw everything
    suspects: dict[bytes, float] = field(default_factory=dict)  # seen by a scan first; when that counts as missed
    batches: dict[int, int] = field(default_factory=dict)  # the debouncer's burst → batch
    scan_batch: int | None = None  # the batch that a scan is filling
    scan_batch_files: int = 0
    orphans_held: int = 0  # photos that are gone and whose outputs stay, since they are too many
    listed: int = 0  # photos of the folder being listed that are recorded
    short_folders: set[bytes] = field(default_factory=set)  # folders that hold less than is known of them
    rechecked: bool = False  # a single run has looked once more for what seemed to be gone
    looking: int = 0  # times that photos which wait are being looked at
    held: int = 0  # listings that wait for their ack
    overflowed: bool = False  # events were dropped: a scan must make up for it
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)  # while its output can't be written
    may_forget: bool = False  # it is the folder whose photos are recorded: what is not there, is gone
    rate: RateCounter = field(default_factory=RateCounter)
    current: dict[int, bool] = field(default_factory=dict)  # state's recipes number → are they what is wanted

    @property
    def path(self) -> bytes:
        """The inbox's path."""
        return self.plan.inbox

    def scan_interval(self) -> float:
        """Return after how many seconds the next scan is due."""
        config = self.plan.config
        if self.rescan_due:
            return RESCAN_SOON_SECONDS
        if not self.native or not self.trusted:
            return config.poll_seconds
        if self.fast_scans_left > 0:
            return min(FAST_SCAN_SECONDS, config.rescan_seconds)
        return config.rescan_seconds

    def use(self, plan: InboxPlan) -> bool:
        """Use new settings of the same inbox; return whether its photos must be compared again."""
        changed = plan.wanted != self.plan.wanted
        self.plan = plan
        self.current.clear()
        return changed

    def same_watch(self, plan: InboxPlan) -> bool:
        """Return whether new settings of the same inbox can be taken on by the watch and the scanner that it has."""
        return not self.plan.config.changed(plan.config, Mark.NEW_WATCH)

    def is_current(self, recipes: int, recipes_of: Callable[[int], Mapping[str, str]]) -> bool:
        """Return whether photos with that number of `recipes` have all that is wanted; looked up once a number."""
        found = self.current.get(recipes)
        if found is None:
            found = self.current[recipes] = is_current(recipes_of(recipes), self.plan.wanted)
        return found
