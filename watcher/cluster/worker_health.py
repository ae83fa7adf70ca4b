"""Decide whether a worker is the cause of a failure: try the same here, on a thread that may wait for the disk."""

from __future__ import annotations

import os
from collections.abc import Mapping

from watcher.cluster.remote import Answer
from watcher.core.types import Failed, FailureKind, Job, Vanished


def suspicious(answer: Answer) -> bool:
    """Return whether an answer may be the fault of the worker."""
    outcomes = [result.outcome for result in answer.results]
    return bool(answer.refusal) or any(
        isinstance(outcome, Vanished)
        or (isinstance(outcome, Failed) and outcome.kind in {FailureKind.INBOX, FailureKind.OUTPUT})
        for outcome in outcomes
    )


def misfit(answer: Answer, jobs: Mapping[int, Job]) -> str:
    """Return what is wrong with the worker, judged by its answer to `jobs` (by their numbers); empty: nothing.

    A photo may be missing, an inbox unreadable or an output not writable. Where this machine finds otherwise, the
    worker's mount is missing or the wrong one.
    """
    if answer.refusal:
        return answer.refusal
    for result in answer.results:
        ours = jobs[result.job.number]
        if why := _sees_less(result.outcome, result.job, ours):
            return why
    return ""


def _sees_less(outcome: object, theirs: Job, ours: Job) -> str:
    match outcome:
        case Vanished() if _is_there(ours.photo.absolute):
            name = os.fsdecode(theirs.photo.absolute)
            return f"{name} is not there, and {os.fsdecode(ours.photo.absolute)} is here: is the folder mounted there?"
        case Failed(reason=reason, kind=FailureKind.INBOX) if os.access(ours.photo.inbox, os.R_OK | os.X_OK):
            return f"{reason} ({os.fsdecode(theirs.photo.inbox)} there, and it can be read here)"
        case Failed(reason=reason, kind=FailureKind.OUTPUT) if os.access(ours.output_root, os.W_OK | os.X_OK):
            return f"{reason} ({os.fsdecode(theirs.output_root)} there, and it can be written here)"
    return ""


def _is_there(path: bytes) -> bool:
    """Return whether a photo is here, with no link in its path: no worker would follow a link."""
    return os.path.isfile(path) and os.path.realpath(path) == path
