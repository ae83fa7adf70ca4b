"""The lifecycle of a task: every decision about the state of a photo is in this file.

A photo that is done, failed or unknown has no task: it has a row in the state file, or no record. Any other photo has
one task in one state. An event changes the task and returns effects, which the engine performs in order.

    state       the photo                                           leaves it on
    SETTLING    events still come; it is in the debouncer           released, listed (its new folder), removed
    QUEUED      waits for a worker: live, backlog, quarantine (it   leased, deferred, changed, removed
                was in a crash), large (it needs much memory)
    DEFERRED    waits for a duplicate or its place in the outputs   timer, changed, retry asked, removed
    LEASED      its attempt is durably recorded                     submitted, returned
    RENDERING   a worker has it                                     decided, returned
    COOLING     retry: after a fault; recheck: it is incomplete     timer, any other event
    ARCHIVING   its original is being moved or deleted              ended

    event         none        SETTLING  QUEUED     DEFERRED  LEASED, RENDERING    COOLING    ARCHIVING
    changed       SETTLING    clocks    SETTLING   SETTLING  pending              SETTLING   pending
    touched       SETTLING +  -         -          -         pending +            SETTLING + -
    listed        QUEUED      QUEUED *  -          -         pending if outdated  QUEUED +   pending +
    removed       forget      over      over       over      pending, removed     over       -
    retry asked   QUEUED      -         live lane  QUEUED    -                    QUEUED     -
    timer         -           -         -          QUEUED    -                    QUEUED     -

    +  if its signature differs from when it was recorded, tried, found incomplete or archived
    *  if there was an event for its folder and it was not closed: the kernel can report whether a process writes to it

A change while a worker has the photo is pending: when the attempt has ended, with any outcome, the photo settles again.
A photo that was in a crash is suspect as long as it has a task: it goes to quarantine instead of any other lane.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import assert_never

from watcher.core.records import Phase
from watcher.core.retry import Commit, Delete, Fail, Pause, Recheck, RetryLater
from watcher.core.stability import AT_ONCE_SECONDS
from watcher.core.task import (
    IN_BATCH,
    IN_FLIGHT,
    ArchivingBegun,
    ArchivingEnded,
    Attempt,
    Changed,
    Decided,
    Deferred,
    Dropped,
    Effect,
    Event,
    Forget,
    Join,
    Lane,
    Leased,
    Leave,
    Listed,
    Pending,
    PhotoTask,
    Rechecked,
    Record,
    Released,
    Removed,
    Render,
    Restore,
    RetryAsked,
    Returned,
    Settle,
    State,
    Submitted,
    TimerDue,
    Touched,
    Unsettle,
)
from watcher.core.types import Done, Evidence, Failed, FileSignature, Origin, Outcome, Unchanged, Unready

_RETRIED_TOGETHER = 0.25  # seconds: photos that are due to be tried again within this time are tried together
_RECHECKED_TOGETHER = 0.1  # the same for photos that only have to be unchanged for longer


def _require(task: PhotoTask, *states: State | None) -> None:
    if task.state not in states:
        raise AssertionError(task)


def apply(task: PhotoTask, event: Event) -> list[Effect]:  # noqa: C901, PLR0912  # one case for each event
    """Change a task's state as an event demands. Raise AssertionError for an event that can't come in its state."""
    match event:
        case Changed():
            return _changed(task, event)
        case Touched():
            return _touched(task, event)
        case Listed():
            return _listed(task, event)
        case Removed():
            return _removed(task)
        case Released():
            _require(task, State.SETTLING)
            task.ready = event.wall
            return _queue(task, event.batch)
        case Leased():
            _require(task, State.QUEUED)
            task.state, task.attempt, task.first = State.LEASED, event.attempt, False
            task.lane = event.lane
            return []
        case Deferred():
            _require(task, State.QUEUED)
            task.state, task.deferred, task.due = State.DEFERRED, True, _together(event.due, _RETRIED_TOGETHER)
            return [Leave(task.batch)]
        case Submitted():
            _require(task, State.LEASED)
            task.state = State.RENDERING
            return [Render(task.tried.job)]
        case Returned():
            return _returned(task, event)
        case Decided():
            return _decided(task, event)
        case TimerDue():
            _require(task, State.DEFERRED, State.COOLING)
            return _queue(task, event.batch)
        case Rechecked():
            _require(task, State.COOLING)
            task.checks += 1
            task.due = _together(event.due, _RECHECKED_TOGETHER)
            return []
        case RetryAsked():
            return _retry_asked(task, event)
        case Dropped():
            return _over(task)
        case ArchivingBegun():
            _require(task, None)
            task.state, task.evidence = State.ARCHIVING, Evidence(seen=event.signature)
            return []
        case ArchivingEnded():
            _require(task, State.ARCHIVING)
            return _go_on(task, event.wall, [])
        case _ as unreachable:
            assert_never(unreachable)


# ---- events of the inbox ----


def _changed(task: PhotoTask, event: Changed) -> list[Effect]:
    if event.created:
        task.evidence = replace(task.evidence, created=event.created)
    if task.state is State.ARCHIVING:
        task.pending = Pending(event.closed, event.signature)
        return []
    if task.state in IN_FLIGHT:
        tried = task.tried.job.evidence
        last = (task.pending.signature if task.pending else None) or tried.seen
        _note_closed(task, event, last, closed_before=tried.closed)
        task.pending = Pending(event.closed, event.signature)
        return []
    if task.state is State.SETTLING:
        _note_closed(task, event, task.evidence.seen, closed_before=task.evidence.closed)
        task.evidence = replace(task.evidence, seen=event.signature, closed=event.closed)
        return [Settle(event.closed)]
    return _settle(task, event.wall, event.signature, closed=event.closed)


def _note_closed(task: PhotoTask, event: Changed, last: FileSignature | None, *, closed_before: bool) -> None:
    """Note that a photo is closed for the second time: it has two writers, or one that opened it again."""
    # Many programs create a file, close it empty and only then write it. A file that is as it was has no second writer:
    # some servers rename it into place before they close it.
    if event.closed and closed_before and last is not None and last.size > 0 and event.signature != last:
        task.evidence = replace(task.evidence, reopened=True)


def _touched(task: PhotoTask, event: Touched) -> list[Effect]:
    """Handle a change of date, rights or owner by comparing signatures.

    Changed rights alone are no reason to check the file again, unless it could not be read before.
    """
    if task.state in IN_FLIGHT:
        task.tried.touched = True
        tried = task.tried.job.evidence
        if task.pending is None and not event.signature.same_content(tried.seen):
            task.pending = Pending(tried.closed, event.signature)
        return []
    if task.state is None:
        differs = event.recorded is not None and not event.signature.same_content(event.recorded)
    else:
        cooling = task.state is State.COOLING and not task.crashes
        differs = cooling and not event.signature.same_content(task.evidence.incomplete)
    return _settle(task, event.wall, event.signature, closed=task.evidence.closed) if differs else []


def takes_listing(task: PhotoTask, signature: FileSignature, *, live: bool, differs: bool = False) -> bool:
    """Return whether a scan that finds that a photo needs work should queue it."""
    match task.state:
        case None:
            return True
        case State.SETTLING:
            return live and not task.evidence.closed
        case State.COOLING:
            incomplete = task.evidence.incomplete
            return incomplete is not None and (differs or not incomplete.same_content(signature))
        case _:
            return False


def _listed(task: PhotoTask, event: Listed) -> list[Effect]:
    evidence = task.evidence
    if task.state in IN_FLIGHT and event.outdated:
        task.pending = Pending(closed=True, signature=task.pending.signature if task.pending else None)
    if task.state is State.ARCHIVING and not event.signature.same_content(evidence.seen):
        task.pending = Pending(closed=True, signature=event.signature)
    if not takes_listing(task, event.signature, live=event.live, differs=event.differs):
        return []
    unreliable = event.unreliable or evidence.stable_since > 0
    _renew(task, Evidence(event.signature, listed=True, stable_since=event.wall if unreliable else 0.0))
    task.origin, task.crashes = event.origin, task.crashes or event.crashes
    task.seen = task.seen or event.wall
    unsettle: list[Effect] = [Unsettle()] if task.state is State.SETTLING else []
    return unsettle + _queue(task, event.batch, Lane.LIVE if event.live else Lane.BACKLOG)


def _removed(task: PhotoTask) -> list[Effect]:
    if task.state is State.ARCHIVING:
        return []  # the archiver reports that too
    if task.state in IN_FLIGHT:
        # Its worker may have read it before it was removed: after any outcome, it is checked once more.
        task.tried.removed, task.pending, task.evidence = True, Pending(closed=True), Evidence()
        return []
    return [*_over(task), Forget()]


def _retry_asked(task: PhotoTask, event: RetryAsked) -> list[Effect]:
    if task.state is State.QUEUED and task.lane is Lane.BACKLOG:
        task.lane = Lane.LIVE
    if task.state not in {None, State.DEFERRED, State.COOLING}:
        return []
    _renew(task, Evidence())
    task.origin, task.seen = Origin.RETRY, event.wall
    return _queue(task, event.batch)


# ---- the end of an attempt ----


def _returned(task: PhotoTask, event: Returned) -> list[Effect]:
    if task.state is State.QUEUED:
        return _queue(task, first=True)
    _require(task, *IN_FLIGHT)
    effects: list[Effect] = [Restore(None if event.forget else task.tried.before)] if event.restore else []
    _queue(task, first=True)
    return _go_on(task, event.wall, effects)


def _decided(task: PhotoTask, event: Decided) -> list[Effect]:
    _require(task, State.RENDERING)
    attempt = task.tried
    effects: list[Effect] = [Record(attempt, event.decision, event.outcome)]
    if task.pending is None and event.denied and attempt.touched:
        task.pending = Pending(attempt.job.evidence.closed)
    match event.decision:
        case Commit() | Delete() | Fail():
            task.crashes = 0
            if isinstance(event.decision, Commit) and task.evidence.published is not None:
                task.evidence = replace(task.evidence, published=None)
            effects += _over(task)
        case Recheck():
            _recheck(task, attempt, event, event.decision)
            effects.append(Leave(task.batch))
        case RetryLater(memory_bytes=0):
            task.state, task.lane, task.origin = State.COOLING, Lane.RETRY, Origin.RETRY
            task.crashes += event.decision.alone
            seen = signature_of(event.outcome) or task.evidence.seen
            task.evidence = replace(task.evidence, seen=seen, listed=False, incomplete=None)
            _cool(task, event.due, _RETRIED_TOGETHER)
            effects.append(Leave(task.batch))
        case RetryLater(memory_bytes=memory_bytes):
            _queue(task, memory_bytes=memory_bytes)
        case Pause():
            _queue(task, first=True)
        case _ as unreachable:
            assert_never(unreachable)
    return _go_on(task, event.wall, effects)


def _recheck(task: PhotoTask, attempt: Attempt, event: Decided, decision: Recheck) -> None:
    """Let an incomplete photo be checked again, with the evidence about its writer that the next attempt needs."""
    evidence, signature = task.evidence, signature_of(event.outcome)
    tried = attempt.job.evidence
    stays = signature is not None and signature.same_content(tried.expected)
    since = tried.stable_since if stays or not tried.stable_since else event.wall
    # A file that is created empty, or whose date is set after it is closed, has one writer.
    later = decision.seconds > AT_ONCE_SECONDS and signature is not None and signature.size > 0
    done_before = attempt.before is not None and attempt.before.phase is Phase.DONE
    task.evidence = replace(
        evidence,
        seen=signature or evidence.seen,
        listed=signature is not None and since > 0,
        stable_since=since,
        closed=False,
        reopened=evidence.reopened or (tried.closed and later),
        incomplete=signature._replace(inode=0) if signature is not None and decision.until_changed else None,
        changed_ns=event.outcome.changed_ns if isinstance(event.outcome, Unready) else 0,
        published=tried.published if done_before else evidence.published,
    )
    task.state, task.lane, task.origin = State.COOLING, Lane.RECHECK, Origin.RETRY
    task.checks = task.checks + 1 if event.unchanged else 0
    task.gives_up = event.gives_up
    _cool(task, event.due, _RECHECKED_TOGETHER)


def _cool(task: PhotoTask, due: float | None, step: float) -> None:
    if due is None:
        task.state = None  # the next scan finds it
    else:
        task.due = _together(due, step)


def _go_on(task: PhotoTask, wall: float, effects: list[Effect]) -> list[Effect]:
    """Let a photo settle again if it changed while it was in flight or being archived."""
    pending, task.pending, task.attempt = task.pending, None, None
    if pending is not None:
        return effects + _settle(task, wall, pending.signature, closed=pending.closed)
    if task.state is State.ARCHIVING:
        task.state = None
    return effects


def signature_of(outcome: Outcome) -> FileSignature | None:
    """Return the file's signature at an attempt; None: it is not known."""
    return outcome.stamp if isinstance(outcome, Unready | Failed | Done | Unchanged) else None


# ---- entering a state ----


def _settle(task: PhotoTask, wall: float, signature: FileSignature | None, *, closed: bool) -> list[Effect]:
    leave: list[Effect] = [Leave(task.batch)] if task.state is State.QUEUED else []
    _renew(task, Evidence(signature, closed=closed))
    task.state, task.origin, task.seen = State.SETTLING, Origin.EVENT, wall
    return [*leave, Settle(closed)]


def _queue(
    task: PhotoTask, batch: int | None = None, lane: Lane = Lane.LIVE, *, first: bool = False, memory_bytes: int = 0
) -> list[Effect]:
    task.state, task.first, task.memory_bytes = State.QUEUED, first, memory_bytes
    task.lane = Lane.LARGE if memory_bytes else Lane.QUARANTINE if task.crashes else lane
    if batch is None:  # it is in a batch already
        return []
    task.batch = batch
    return [Join(batch)]


def _over(task: PhotoTask) -> list[Effect]:
    state, task.state = task.state, None
    if state is State.SETTLING:
        return [Unsettle()]
    return [Leave(task.batch)] if state in IN_BATCH else []


def _renew(task: PhotoTask, evidence: Evidence) -> None:
    """Reset a task whose photo has changed. Of the previous evidence, only what concerns its writers is kept."""
    before, task.evidence = task.evidence, evidence
    if before.reopened or before.created or before.published:
        task.evidence = replace(evidence, reopened=before.reopened, created=before.created, published=before.published)
    task.ready, task.checks, task.deferred = 0.0, 0, False


def _together(due: float, step: float) -> float:
    """Return a slightly later time, so that photos that are due at about the same time form one batch."""
    return math.ceil(due / step) * step
