"""The folders that are written to, at the start: what is wrong with the config, and what may yet come back.

Rule: only what a person must mend in the config is a fault. A folder that can't be made or written just now may be on a
disk that is not plugged in or a share that is away: it is waited for, as an inbox is.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.core.output_paths import top_folders
from watcher.core.volumes import Holder
from watcher.engine.ports import InboxPlan, Settings
from watcher.errors import ConfigError, Fault
from watcher.text import shown

if TYPE_CHECKING:
    from watcher.store import Queries  # `status` needs no database for this


def held(settings: Settings, source: str, state: str, records: Queries | None, *, claim: bool = True) -> Settings:
    """Return the settings with who holds each output; with `claim`, that is written to it.

    Raises ConfigError where an output belongs to an inbox that is none of these settings'.
    """
    from watcher.fs.faults import Abort  # noqa: PLC0415  # `status` needs none of this
    from watcher.fs.openat import open_root  # noqa: PLC0415  # the same
    from watcher.fs.output_mark import TakenError, look_at  # noqa: PLC0415  # the same
    from watcher.fs.output_mark import claim as claim_tree  # noqa: PLC0415  # the same

    found: list[Fault] = []
    plans = []
    for number, plan in enumerate(settings.inboxes):
        known = records is not None and _knows(records, plan)
        holder = Holder(plan.inbox, _inode(plan.inbox), os.path.realpath(os.fsencode(state)), known)
        plans.append(replace(plan, holder=holder))
        folders = top_folders(plan.wanted)
        try:
            if not claim or plan.away:
                look_at(plan.output, holder, folders)
            else:
                root = open_root(plan.output, create=False)
                try:
                    claim_tree(root, plan.output, holder, folders)
                finally:
                    os.close(root)
        except TakenError as taken:
            found.append(Fault(f"inbox[{number}].output", f"found {taken.found}", taken.hint))
        except (OSError, Abort):  # it has just gone away: the first photo says so
            continue
    if found:
        raise ConfigError(source, found)
    return replace(settings, inboxes=tuple(plans))


def _knows(records: Queries, plan: InboxPlan) -> bool:
    """Return whether the state file knows of outputs of an inbox in its tree."""
    was = records.report(plan.inbox)
    return was is not None and was.output == plan.output and records.counts(plan.inbox).done > 0


def _inode(folder: bytes) -> int:
    try:
        return os.stat(folder).st_ino
    except OSError:
        return 0


def faults(key: str, folder: bytes) -> list[Fault]:
    """Return what is wrong with a folder whatever is plugged in: a part of its path is no folder, or can't be one."""
    try:
        os.lstat(folder)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return [Fault(key, f"found {shown(folder)}, which is too long a path", "name a folder")]
    at = folder
    while not os.path.lexists(at) and at != os.path.dirname(at):
        at = os.path.dirname(at)
    if os.path.lexists(at) and not os.path.isdir(at):
        return [Fault(key, f"found {shown(at)}, which is no folder", "name a folder")]
    return []


def away(folder: bytes) -> str:
    """Make a folder, and return why it can't be written to now; empty: it can."""
    try:
        os.makedirs(folder, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return ""
        why = "can't be written"
    except OSError as error:
        why = f"can't be made ({error.strerror})"
    hint = "mount its disk or share, if it lies on one, or let this user write there"
    if os.environ.get("INVOCATION_ID") and os.getppid() == 1:
        hint += "; a service may write to new folders after `watcher service install`, done again"
    return f"{shown(folder)} {why}: {hint}"
