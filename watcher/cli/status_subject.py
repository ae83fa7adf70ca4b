"""Whose status is asked for: that of the config, of two folders, or of a daemon that is found because it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from watcher import paths
from watcher.app.settings import Source
from watcher.config import Config, for_pair
from watcher.core.status import InboxStatus
from watcher.errors import ConfigError, Fault
from watcher.service import process
from watcher.store import Queries

NO_CONFIG = "no config file"  # the source of the fault that there is none


@dataclass(frozen=True, slots=True)
class RunningPair:
    """A daemon that runs on two folders."""

    state: str
    pid: int
    inbox: str
    output: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What `status` shows."""

    config: Config
    state: str  # path of the state file
    by_config: bool = True  # `config` was read; False: made from what the running daemon reports
    fault: str = ""  # why the config can't be read that a running daemon was started with
    others: tuple[RunningPair, ...] = ()  # daemons beside it


def find_subject(pair: tuple[str, str] | None, config_file: str | None, state_file: str | None) -> Subject:
    """Return what is asked for. Without a config that can be read it is the daemon that runs, if just one does.

    Raise ConfigError where none does, or several do.
    """
    source = Source(pair, config_file, state_file)
    try:
        config, _ = source.read()
    except ConfigError as error:
        found = None if pair is not None else _running(error, config_file, state_file)
        if found is None:
            raise
        return found
    state = source.state_path(config)
    others = tuple(_pairs(except_for=state)) if pair is None and state_file is None else ()
    return Subject(config, state, others=others)


def _running(error: ConfigError, config_file: str | None, state_file: str | None) -> Subject | None:
    """Return the daemon that runs although there is no config, or a wrong one."""
    if error.source == NO_CONFIG and state_file is None:
        pairs = list(_pairs())
        if len(pairs) > 1:
            hint = "ask for one: `watcher status INBOX OUTPUT`"
            found = [Fault("", f"process {item.pid} runs on {item.inbox} \u2192 {item.output}", hint) for item in pairs]
            raise ConfigError("several daemons run", found)
        return Subject(for_pair(pairs[0].inbox, pairs[0].output), pairs[0].state, by_config=False) if pairs else None
    if error.source == NO_CONFIG:
        return _of_state(os.path.abspath(state_file or ""), "")
    named = paths.find_config(config_file, os.environ)
    states = [os.path.abspath(state_file)] if state_file else [*_named_in(named), *paths.all_state_paths(os.environ)]
    found_by_state = (_of_state(state, str(error)) for state in states if _meta(state, "config") == named)
    return next((found for found in found_by_state if found is not None), None)


def _named_in(config: str) -> Iterator[str]:
    """Return the state file that a config names which is wrong otherwise."""
    try:
        state = paths.read_toml(config).get("state")
    except ConfigError:
        return
    if isinstance(state, str) and state:
        yield os.path.join(os.path.dirname(config), os.path.expanduser(state))


def _of_state(state: str, fault: str) -> Subject | None:
    """Return what the daemon that holds a state file reports; None: none does."""
    if process.holding(state) is None:
        return None
    reports = _reports(state)
    if any(report.config_fault for report in reports):  # it is said of the inboxes that it has now
        reports = [report for report in reports if report.config_fault]
    configs = [for_pair(os.fsdecode(report.path), os.fsdecode(report.output)) for report in reports]
    if not configs:
        return None
    inboxes = tuple(inbox for config in configs for inbox in config.inboxes)
    return Subject(configs[0].model_copy(update={"inboxes": inboxes}), state, by_config=False, fault=fault)


def _pairs(except_for: str = "") -> Iterator[RunningPair]:
    """List the daemons of this user that run on two folders."""
    for state in paths.all_state_paths(os.environ):
        if state == except_for or not os.access(state, os.R_OK):
            continue
        holder = process.holding(state)
        if holder is None:
            continue
        for report in _reports(state):
            if paths.pair_state_path(report.path, report.output, os.environ) == state:
                yield RunningPair(state, holder.pid, os.fsdecode(report.path), os.fsdecode(report.output))


def _reports(state: str) -> list[InboxStatus]:
    reader = Queries.open_to_read(state)
    if reader is None:
        return []
    with reader:
        return [report for inbox in reader.inboxes() if (report := reader.report(inbox)) is not None]


def _meta(state: str, key: str) -> object:
    reader = Queries.open_to_read(state) if os.access(state, os.R_OK) else None
    if reader is None:
        return None
    with reader:
        return reader.meta(key)
