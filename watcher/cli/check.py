"""`check`: is this config right, and can it work on this machine? Each point with its remedy."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from watcher import paths
from watcher.app.background import lost_volume
from watcher.app.check_service import look_at_http, look_at_services, naming
from watcher.app.estimate import Forecast, forecast
from watcher.app.hooks import look_at
from watcher.app.outputs import held
from watcher.app.serve import require_extras
from watcher.app.service import program, remedies, sudo
from watcher.app.settings import Source, resolve
from watcher.config import Config
from watcher.core.formats import INPUTS, readable, to_install
from watcher.core.output_paths import top_folders
from watcher.core.status import left_alone
from watcher.core.volumes import belongs_on
from watcher.engine.ports import InboxPlan
from watcher.errors import EXIT_CONFIG, EXIT_OK, PlaceError, UsageError
from watcher.fs import mounts
from watcher.fs.traits import probe
from watcher.pool import available_cpus, available_memory, require_machine, shortages
from watcher.render import describe
from watcher.service import permissions
from watcher.store import Queries, unwritable
from watcher.text import counted, printable, size, user_name, utf8_bytes

_LITTLE_ROOM = 1_000_000_000  # bytes: about 3,000 renditions of 2048 pixels


class Finding(NamedTuple):
    """One point that was looked at."""

    level: Literal["ok", "warning", "fault"]
    what: str
    found: str


def check(config_file: str | None, state_file: str | None, *, user: str | None, for_reload: bool) -> int:
    """Print what was looked at, and what to do where something is not as it must be."""
    source = Source(None, config_file, state_file)
    if user is not None:
        source = _as(user, source)
    config, name = source.read()
    require_extras(config, name)
    settings = resolve(config, name, make_outputs=False)
    path = source.state_path(config)
    reader = Queries.open_to_read(path)
    try:
        settings = held(settings, name, path, reader, claim=False)
        if for_reload:
            return EXIT_OK
        findings = [Finding("ok", "config", name), *_user(name)]
        for plan in settings.inboxes:
            findings += _inbox(plan, config, reader)
    finally:
        if reader is not None:
            reader.close()
    findings.append(_state(path))
    findings += [Finding(*point) for point in (*look_at_services(config, name), *look_at_http(config, name, path))]
    findings += [Finding(*point) for point in look_at(config.hooks)]
    findings += _machine(config)
    if config.executor.kind == "dask":
        from watcher.app.cluster import look_at_cluster  # noqa: PLC0415  # not everybody has it

        findings += [Finding(*point) for point in look_at_cluster(config, settings.inboxes)]
    _show(findings)
    return EXIT_CONFIG if any(finding.level == "fault" for finding in findings) else EXIT_OK


def _as(user: str, source: Source) -> Source:
    """Have this process go on as a user, and return where the settings come from then: the config is looked for before.

    Raises UsageError where that can't be done.
    """
    who = permissions.account(user)
    if who is None:
        raise UsageError(
            f"There is no user {user!r}; `watcher service install` makes the one that its service runs as."
        )
    source = Source(None, paths.find_config(source.config, os.environ), source.state, who.home)
    if os.geteuid() == who.uid:
        return source
    if os.geteuid() != 0:
        raise UsageError(f"--as takes root: `sudo {shlex.join([paths.command(), *sys.argv[1:]])}`")
    if missing := permissions.obstacles(who, program()):
        raise UsageError(
            "\n  ".join(["This user can't run the program:", *(line for one in missing for line in remedies(one, who))])
        )
    permissions.become(who)
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        del os.environ[name]
    os.environ |= {"HOME": who.home, "USER": who.name, "LOGNAME": who.name}
    return source


def _machine(config: Config) -> Iterator[Finding]:
    yield Finding("ok", "python", sys.version.split()[0])
    for part, version in describe().items():
        yield Finding("ok", part, version)
    if config.executor.kind == "dask" and config.executor.fallback == "none":
        return  # the cluster has them
    workers = config.workers or available_cpus()
    memory = config.memory_mb * 1_000_000 or available_memory() // 2
    yield from _workers(workers, len(config.inboxes), memory)


def _workers(workers: int, inboxes: int, memory: int) -> Iterator[Finding]:
    try:
        require_machine(workers, inboxes)
    except PlaceError as error:
        yield Finding("fault", "workers", str(error))
        return
    short = [*shortages()]
    yield from (Finding("warning", "workers", f"{found} (a daemon waits until that has passed)") for found in short)
    if not short:
        yield Finding("ok", "workers", f"{workers}, with {size(memory)} for decoded pictures")


def _user(config: str) -> Iterator[Finding]:
    number = os.geteuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = ""  # a container's number without a name
    yield Finding("ok", "user", f"{name} ({number}): permissions are checked for this user" if name else str(number))
    others = {
        record.user for record in paths.installed() if os.path.realpath(record.config) == os.path.realpath(config)
    }
    for user in others - {name}:
        yield Finding(
            "warning",
            "user",
            f"the service runs as {user}: `{sudo()}{paths.typed()} check --as {user}{naming(config)}`",
        )


def _state(path: str) -> Finding:
    if mounts.watch_advice(os.fsencode(os.path.dirname(path)))[0] == "poll":
        return Finding("fault", "state file", f"{path} lies on a network file system; name a local place with `state`")
    reader = Queries.open_to_read(path)
    if reader is not None:
        reader.close()
        if why := unwritable(path):
            return Finding("fault", "state file", f"{path}: {why}")
        return Finding("ok", "state file", path)
    folder = os.path.dirname(path)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("fault", "state file", f"{path} can't be made; let this user write in {folder}")
    return Finding("ok", "state file", f"{path} (not there yet)")


def _inbox(plan: InboxPlan, config: Config, reader: Queries | None) -> Iterator[Finding]:
    what = f"inbox {os.fsdecode(plan.inbox)}"
    if not os.path.isdir(plan.inbox):
        variable = re.search(r"\$\{?\w+\}?", os.fsdecode(plan.inbox))
        hint = f"; the variable `{variable[0]}` is not expanded" if variable else ""
        yield Finding("fault", what, f"there is no such folder; make it, or correct `path`{hint}")
        return
    if not os.access(plan.inbox, os.R_OK | os.X_OK):
        yield Finding("fault", what, "it can't be read; `chmod +rx` it, or run as a user who can")
        return
    found = forecast(plan, config, reader)
    if found.reason:
        yield Finding("warning", what, found.reason)
    if endings := unreadable(plan.config.include):
        wanted = [kind for kind in INPUTS.values() if any(name.lower().endswith(kind.extensions) for name in endings)]
        extras = {kind.extra: kind for kind in wanted if kind.extra}
        remedy = "".join(f"; for {kind.label} `{to_install(extra)}`" for extra, kind in extras.items())
        text = f"`include` takes {', '.join(endings)}: such files can't be read here, and fail{remedy}"
        yield Finding("warning", what, text)
    if left := left_alone(found.left_alone):
        yield Finding("ok", what, f"left alone: {left}")
    selection = plan.config.selection
    watch, why = mounts.watch_advice(plan.inbox, selection.enters)
    if plan.config.watch == "auto" and watch == "poll":
        seconds = plan.config.poll_seconds
        yield Finding("warning", what, f"{counted(found.photos, 'photo')}; looked through every {seconds:g} s: {why}")
    else:
        place = mounts.file_system(plan.inbox)
        yield Finding("ok", what, f"{counted(found.photos, 'photo')} in {counted(found.folders, 'folder')}, on {place}")
        yield from _limits(what, found.folders)
    yield from _output(plan, found, reader)
    yield from _after(plan, reader)


def unreadable(include: Iterable[str]) -> list[str]:
    """Return the patterns of `include` that end as no kind of file does that can be read here."""
    known = tuple(extension for name in readable() for extension in INPUTS[name].extensions)
    return [name for name in include if re.search(r"\.\w+$", name) and not name.lower().endswith(known)]


def _limits(what: str, folders: int) -> Iterator[Finding]:
    most = mounts.inotify_limits().get("max_user_watches", 0)
    if most and folders > most * 0.8:
        remedy = f"sudo sysctl fs.inotify.max_user_watches={max(folders * 2, 524288)}"
        yield Finding("warning", what, f"{folders} folders, and this user may watch {most}: `{remedy}`")


def _after(plan: InboxPlan, reader: Queries | None) -> Iterator[Finding]:
    """Look whether originals can be taken away, where that is asked for."""
    if plan.config.after == "keep":
        return
    what = f"inbox {os.fsdecode(plan.inbox)}"
    if not os.access(plan.inbox, os.W_OK | os.X_OK):
        remedy = f'this user can\'t write there, so originals stay (`after = "{plan.config.after}"`); `chmod u+w` it'
        yield Finding("fault", what, remedy)
    if plan.originals is None:
        return
    what, folder = f"originals {os.fsdecode(plan.originals)}", plan.originals
    was = reader.report(plan.inbox) if reader is not None else None
    before = was.originals[1] if was is not None and was.originals and was.originals[0] == folder else b""
    if fault := lost_volume(folder, before, plan.originals_volume):
        yield Finding("fault", what, fault)
        return
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("fault", what, f"this user can't write in {os.fsdecode(folder)}; let it, or correct `originals`")
        return
    there = "moved there by a rename"
    if os.stat(folder).st_dev != os.stat(plan.inbox).st_dev:
        there = "another file system: originals are copied there, compared, then removed"
    yield Finding("ok", what, f"{size(shutil.disk_usage(folder).free)} free; {there}")


def _output(plan: InboxPlan, found: Forecast, reader: Queries | None) -> Iterator[Finding]:
    what = f"output {os.fsdecode(plan.output)}"
    was = reader.report(plan.inbox) if reader is not None else None
    volume = was.volume if was is not None and was.output == plan.output else b""
    if belongs_on(volume, plan.volume, bare=plan.bare) != plan.volume:
        yield Finding("fault", what, f"it was on a volume at {os.fsdecode(volume)} that is not mounted now; mount it")
        return
    folder = plan.output
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        remedy = "let it, mount the disk or share that belongs there, or correct `output`"
        yield Finding("fault", what, f"this user can't write in {os.fsdecode(folder)}; {remedy}")
        return
    if closed := list(_closed(plan)):
        yield from (Finding("fault", what, fault) for fault in closed)
        return
    traits = probe(folder)
    if traits is not None and traits.weaker:
        yield Finding("warning", what, traits.weaker)
    usage = shutil.disk_usage(folder)
    if not usage.total:
        yield Finding("ok", what, f"on {mounts.file_system(folder)}, which does not tell how much room it has")
        return
    free = usage.free
    room = f"{size(free)} free on {mounts.file_system(folder)}"
    wanted = found.bytes
    if wanted:
        room += f", and about {size(wanted)} are still to be made"
    if wanted > free:
        yield Finding("warning", what, f"{room}: make room, or name another `output`")
    else:
        yield Finding("warning" if free - wanted < _LITTLE_ROOM else "ok", what, room)


def _closed(plan: InboxPlan) -> Iterator[str]:
    """Yield why nothing can be written to renditions' own folders, as far as these are there."""
    for name in top_folders(plan.wanted):
        folder = plan.output + b"/" + utf8_bytes(name)
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        shown = os.fsdecode(folder)
        if folder.startswith(plan.output + b"/") and (os.path.islink(folder) or not os.path.isdir(folder)):
            yield f"{shown} is no folder, and a rendition needs it; move it away"
        elif not os.access(folder, os.W_OK | os.X_OK):
            owner = os.stat(folder).st_uid
            remedy = (
                f"`chmod u+rwx {shlex.quote(shown)}`"
                if owner == os.geteuid()
                else f"have {user_name(owner)} let it, whose it is"
            )
            yield f"this user can't write in {shown}; {remedy}"


def _show(findings: list[Finding]) -> None:
    from rich.console import Console  # noqa: PLC0415  # after everything that may fail
    from rich.text import Text  # noqa: PLC0415  # the same

    console = Console(highlight=False)
    colours = {"ok": "green", "warning": "yellow", "fault": "bold red"}
    for finding in findings:
        line = Text(f"{finding.level:8}", style=colours[finding.level])
        line.append(printable(f"{finding.what}: {finding.found}").replace("\n", "\\n"), style="default not bold")
        console.print(line, soft_wrap=True)
