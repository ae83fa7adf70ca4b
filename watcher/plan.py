"""Decide: what a photo still needs, what its outputs are called, and what follows from an outcome.

Rules:
- Pure: what is known, what was seen and the settings come in, a decision goes out. Acting is the daemon's.
- A photo is current when it looks as it did when its renditions were made, and every rendition that is wanted was
  made by the recipe that is wanted. Renditions that are no longer wanted stay in the books and on disk.
- An output's name is decided once, when the photo is first tried, and kept for as long as its extension fits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, assert_never

from watcher.model import (
    Blame,
    Done,
    Failed,
    Format,
    Heavy,
    Job,
    Origin,
    Outcome,
    PhotoId,
    Recipe,
    Rendering,
    Stamp,
    Unchanged,
    Unready,
    Vanished,
)

EXTENSIONS: Mapping[Format, bytes] = {"jpeg": b".jpg", "webp": b".webp", "avif": b".avif", "png": b".png"}

GIVE_UP_INCOMPLETE_SECONDS = 600.0  # contract: failed after 10 minutes without a change
LOOK_AGAIN_SECONDS = 0.5  # after the first Unready; doubles up to the next one
LOOK_AGAIN_LONGEST = 10.0
BACKOFF_LONGEST = 3600.0
_LIVE, _BACKLOG = 0, 1  # lanes of the queue
TIMEOUT_ATTEMPTS = 2  # in company, then alone: an endless decode is endless again, and costs a worker each time


class Phase(IntEnum):
    """Where a photo stands in the state file."""

    WAITING = 0
    DONE = 1
    FAILED = 2


class MadeFact(NamedTuple):
    """What the state file knows of one rendition."""

    width: int
    height: int
    size: int  # bytes
    name: bytes | None = None  # the output's file name where it is not the natural one


@dataclass(frozen=True, slots=True)
class Known:
    """What the state file knows of one photo."""

    stamp: Stamp  # inode 0
    phase: Phase
    recipes: Mapping[str, str]  # rendition → fingerprint of the recipe that made it
    made: Mapping[str, MadeFact]
    at: float  # wall clock: done or failed since, or, while waiting, when it last changed
    attempts: int = 0
    reason: str = ""
    leased: bool = False  # an attempt was begun, and nothing was heard of it
    first_seen: float = 0.0
    origin: str = ""


def is_current(made_by: Mapping[str, str], wanted: Mapping[str, Recipe]) -> bool:
    """Tell whether every wanted rendition was made by the wanted recipe."""
    return all(made_by.get(name) == recipe.fingerprint for name, recipe in wanted.items())


def needs_work(known: Known | None, seen: Stamp, wanted: Mapping[str, Recipe]) -> bool:
    """Tell whether a photo that looks like `seen` has to be tried now."""
    if known is None or not known.stamp.same_content(seen):
        return True
    match known.phase:
        case Phase.DONE:
            return not is_current(known.recipes, wanted)
        case Phase.FAILED:
            return False
        case Phase.WAITING:
            return True
        case _ as unreachable:
            assert_never(unreachable)


# ---- names ----


def stem_of(name: bytes) -> bytes:
    """What two photos must share for their outputs to be able to meet: the name without extension, case folded."""
    stem = name.rpartition(b".")[0] or name
    try:
        return stem.decode().casefold().encode()
    except UnicodeDecodeError:
        return stem.lower()


def natural_name(name: bytes, fmt: Format) -> bytes:
    """The output's file name where nobody else claims it."""
    return name if fmt == "jpeg" else (name.rpartition(b".")[0] or name) + EXTENSIONS[fmt]


def _fold(name: bytes, folds_case: bool) -> bytes:
    if not folds_case:
        return name
    try:
        return name.decode().casefold().encode()
    except UnicodeDecodeError:
        return name.lower()


def output_name(
    name: bytes, rendition: str, fmt: Format, others: Mapping[bytes, Mapping[str, MadeFact]], *, folds_case: bool
) -> bytes:
    """Choose the file name of photo `name`'s output in `rendition`, beside those of `others` in the same folder.

    `others` are the photos of that folder that are in the books and whose outputs could meet this one's, with what is
    known of their renditions: all that share its stem (see `stem_of`), and the one whose whole name is its stem.
    Longer than 255 bytes it may become: an output that can't be written is reported like any other.
    """
    taken = set()
    for other, facts in others.items():
        if other != name:
            fact = facts.get(rendition)
            taken.add(_fold((fact and fact.name) or natural_name(other, fmt), folds_case))
    for candidate in _candidates(name, fmt):
        if _fold(candidate, folds_case) not in taken:
            return candidate
    raise AssertionError  # the candidates never end


def _candidates(name: bytes, fmt: Format) -> Iterator[bytes]:
    yield natural_name(name, fmt)
    yield name + EXTENSIONS[fmt]
    number = 2
    while True:
        yield name + b".%d" % number + EXTENSIONS[fmt]
        number += 1


def renderings(
    path: bytes,
    wanted: Mapping[str, Recipe],
    known: Known | None,
    others: Mapping[bytes, Mapping[str, MadeFact]],
    *,
    folds_case: bool,
) -> tuple[Rendering, ...]:
    """Say what is to be made of the photo at `path` (relative to its inbox), and where in the output tree."""
    folder, slash, name = path.rpartition(b"/")
    result = []
    for rendition, recipe in wanted.items():
        fact = known.made.get(rendition) if known else None
        kept = fact.name if fact else None
        if kept is None or not kept.endswith(EXTENSIONS[recipe.format]):
            kept = output_name(name, rendition, recipe.format, others, folds_case=folds_case)
        result.append(Rendering(rendition, recipe, rendition.encode() + b"/" + folder + slash + kept))
    return tuple(result)


# ---- the order of work ----


@dataclass(frozen=True, slots=True)
class Sighting:
    """A photo that came to notice and is to be looked at."""

    photo: PhotoId
    origin: Origin
    seen: float  # wall clock
    burst: int = 0  # in its inbox; 0: none
    expected: Stamp | None = None  # as a scan saw it
    complete: bool = False  # its writer is known to be done
    alone: bool = False


class Queue:
    """Photos that wait for a worker: live ones ahead of a backlog, and no inbox starves another."""

    def __init__(self) -> None:
        self._lanes: tuple[dict[bytes, OrderedDict[PhotoId, Sighting]], ...] = ({}, {})
        self._count = 0

    def __len__(self) -> int:
        """How many photos wait."""
        return self._count

    def __contains__(self, photo: PhotoId) -> bool:
        """Tell whether `photo` waits."""
        return any(photo in lane.get(photo.inbox, ()) for lane in self._lanes)

    def waiting(self, inbox: bytes) -> int:
        """How many photos of `inbox` wait."""
        return sum(len(lane.get(inbox, ())) for lane in self._lanes)

    def oldest(self, inbox: bytes) -> float | None:
        """When the photo of `inbox` that waits longest was seen."""
        firsts = [next(iter(lane[inbox].values())).seen for lane in self._lanes if lane.get(inbox)]
        return min(firsts, default=None)

    def put(self, sighting: Sighting, *, live: bool, front: bool = False) -> None:
        """Let a photo wait; one that waits already is replaced, and never falls back behind the backlog."""
        photo = sighting.photo
        live = self.remove(photo) is _LIVE or live
        waiting = self._lanes[_LIVE if live else _BACKLOG].setdefault(photo.inbox, OrderedDict())
        waiting[photo] = sighting
        if front:
            waiting.move_to_end(photo, last=False)
        self._count += 1

    def remove(self, photo: PhotoId) -> int | None:
        """Take `photo` out; the lane it was in, or None."""
        for number, lane in enumerate(self._lanes):
            if lane.get(photo.inbox, {}).pop(photo, None) is not None:
                self._count -= 1
                return number
        return None

    def take(self, allowed: Callable[[bytes], bool]) -> Sighting | None:
        """Hand out the next photo of an inbox that `allowed` lets work; inboxes take turns."""
        for lane in self._lanes:
            for inbox in list(lane):
                waiting = lane[inbox]
                if not waiting:
                    del lane[inbox]
                elif allowed(inbox):
                    _, sighting = waiting.popitem(last=False)
                    del lane[inbox]  # to the end of the line of inboxes
                    if waiting:
                        lane[inbox] = waiting
                    self._count -= 1
                    return sighting
        return None

    def drop(self, inbox: bytes) -> None:
        """Forget all that waits in `inbox`."""
        for lane in self._lanes:
            self._count -= len(lane.pop(inbox, ()))


# ---- what follows from an outcome ----


@dataclass(frozen=True, slots=True)
class Record:
    """The photo is done: put its renditions on the books."""


@dataclass(frozen=True, slots=True)
class Forget:
    """The photo is no longer there: take it off the books."""


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The photo is not whole: wait, and look at it again after `seconds` or at its next event."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """A fault that can pass: try again after `seconds`; `counts`: this try counts towards the limit."""

    seconds: float
    reason: str
    alone: bool = False
    counts: bool = True
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """The output has no room: stop work for it for a while, the photo goes back to the head of the line."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The photo has failed, and is left alone until it changes or somebody asks for a retry."""

    reason: str


Verdict = Record | Forget | LookAgain | TryAgain | Pause | GiveUp


def judge(
    outcome: Outcome, job: Job, *, attempts: int, backoff: float, looks: int, still_seconds: float, jitter: float
) -> Verdict:
    """Say what follows from `outcome`.

    `attempts` is how many tries a photo gets, `backoff` the seconds before the second one, `looks` how often it was
    found incomplete since it last changed, `still_seconds` how long it has been as it is, `jitter` a number in [0, 1).
    """
    match outcome:
        case Done() | Unchanged():
            return Record()
        case Vanished():
            return Forget()
        case Heavy(memory_bytes):
            return TryAgain(0.0, "needs more memory than one worker's share", counts=False, memory_bytes=memory_bytes)
        case Unready(settling=True, reason=reason):
            return LookAgain(max(LOOK_AGAIN_SECONDS, min(job.settle_seconds, LOOK_AGAIN_LONGEST)), reason)
        case Unready(reason=reason):
            if still_seconds >= GIVE_UP_INCOMPLETE_SECONDS:
                return GiveUp(f"{reason}; unchanged for {GIVE_UP_INCOMPLETE_SECONDS / 60:.0f} minutes")
            return LookAgain(min(LOOK_AGAIN_SECONDS * 2.0**looks, LOOK_AGAIN_LONGEST), reason)
        case Failed():
            return _judge_failed(outcome, job, attempts=attempts, backoff=backoff, jitter=jitter)
        case _ as unreachable:
            assert_never(unreachable)


def _judge_failed(outcome: Failed, job: Job, *, attempts: int, backoff: float, jitter: float) -> Verdict:
    wait = min(backoff * 2.0 ** (job.attempt - 1), BACKOFF_LONGEST) * (1 + jitter / 4)
    match outcome.blame:
        case Blame.PHOTO:
            return GiveUp(outcome.reason)
        case Blame.DISK_FULL:
            return Pause(outcome.reason)
        case Blame.PASSING:
            again = TryAgain(wait, outcome.reason)
            limit = attempts
        case Blame.CRASH:
            # In company nobody knows for sure whose fault it was, so being tried alone is not put off.
            again = TryAgain(wait if job.alone else 0.0, outcome.reason, alone=True)
            limit = attempts
        case Blame.TIMEOUT:
            again = TryAgain(0.0, outcome.reason, alone=True)
            limit = min(attempts, TIMEOUT_ATTEMPTS)
        case _ as unreachable:
            assert_never(unreachable)
    return GiveUp(outcome.reason) if job.attempt >= limit else again
