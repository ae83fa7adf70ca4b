"""From a config to the service that works by it: what its unit or plist says, and what its user must be able to do."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from watcher import paths
from watcher.app.settings import Source, resolve
from watcher.config import Config
from watcher.engine.ports import InboxPlan
from watcher.errors import EXIT_CONFIG, ConfigError, Fault, UsageError, WatcherError
from watcher.service.definition import Record, Service, unsayable
from watcher.service.launchd_plist import plist
from watcher.service.permissions import Account, MissingAccess, RequiredAccess
from watcher.service.systemd_unit import system_unit, user_unit

_FIXED = ("/", "/home", "/srv", "/var")  # mount points whose disks don't come and go
UNIT_USER = "watcher"  # who the system's service runs as, unless told otherwise
ROOT_HOME = "/root"  # opening it to others is nothing to advise
_LOOPBACK = ("127.", "localhost:", "[::1]:")


class ServiceError(WatcherError):
    """There can be no such service here, as things are."""

    exit_code = EXIT_CONFIG


def describe(source: Source, who: Account, *, system: bool) -> Service:
    """Describe the service that works by a config as a user. Raises ConfigError where there can be none."""
    config, name = source.read()
    if source.state and config.state and os.path.abspath(source.state) != config.state:
        raise UsageError(f"{name} names the state file {config.state}: change it there, and leave --state out")
    settings = resolve(config, name, make_outputs=False)
    folder = paths.service_state_folder(system=system)
    named = source.state or config.state
    state = os.path.abspath(named) if named else os.path.join(folder, "state.db")
    writes = [path for plan in settings.inboxes for path in _written(plan)]
    reads = [os.fsdecode(plan.inbox) for plan in settings.inboxes if os.fsdecode(plan.inbox) not in writes]
    reads += dict.fromkeys(recipe.watermark.path for recipe in config.recipes.values() if recipe.watermark)
    listens, beyond = _talks(config)
    service = Service(
        record=Record(name, state, who.name),
        command=_command(name, source.state),
        program=tuple(dict.fromkeys((os.path.dirname(paths.command()), sys.prefix, sys.base_prefix))),
        reads=tuple(reads),
        writes=tuple(writes),
        inboxes=tuple(os.fsdecode(plan.inbox) for plan in settings.inboxes),
        mounted=tuple(path for path in writes if _mount_point(path) not in {*_FIXED, who.home}),
        state_folder=os.path.dirname(state) if named or not system or sys.platform == "darwin" else "",
        environment=_environment(folder, system=system),
        drain_seconds=config.retry.timeout_seconds,
        nice=config.nice,
        listens=listens,
        beyond_loopback=beyond,
        commands=tuple(hook.command[0] for hook in config.hooks if hook.command and "/" in hook.command[0]),
        log=paths.service_log(system=system),
    )
    faults = [
        Fault(
            "", f"found the path {path!r}", "rename it: a service manager takes no control characters, and only UTF-8"
        )
        for path in unsayable(service)
    ]
    if faults:
        raise ConfigError(name, faults)
    return service


def text_of(service: Service, *, system: bool) -> str:
    """Return the unit or plist of a service, as this platform's service manager reads it."""
    if sys.platform == "darwin":
        return plist(service, system=system).decode()
    return system_unit(service) if system else user_unit(service)


def _mount_point(path: str) -> str:
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def _command(config: str, state: str | None) -> tuple[str, ...]:
    own = ("--state", os.path.abspath(state)) if state else ()
    return (paths.command(), "run", "--config", config, *own)


def _environment(folder: str, *, system: bool) -> tuple[tuple[str, str], ...]:
    if system:
        return (("STATE_DIRECTORY", folder),) if sys.platform == "darwin" else ()  # systemd sets it by itself
    # what this shell has and a service manager does not: both are to mean the same state file
    return tuple((name, os.environ[name]) for name in ("XDG_STATE_HOME",) if os.environ.get(name))


def _written(plan: InboxPlan) -> Iterator[str]:
    yield os.fsdecode(plan.output)
    if plan.config.after != "keep":
        yield os.fsdecode(plan.inbox)
    if plan.config.after == "move" and plan.config.originals:
        yield os.path.realpath(plan.config.originals)


def _talks(config: Config) -> tuple[bool, bool]:
    """Return whether the daemon talks over the network, and whether with others than this machine."""
    pages = [page.listen for page in (config.web, config.metrics) if page.listen]
    called = _called(config)
    far = config.executor.kind == "dask" or any(not each.startswith(_LOOPBACK) for each in (*pages, *called))
    far = far or any(hook.command for hook in config.hooks)  # what a command does is not known
    return bool(pages or called) or far, far


def _called(config: Config) -> list[str]:
    """List the hosts that hooks call, each with a port or a colon at its end."""
    return [urlsplit(hook.url).netloc + ":" for hook in config.hooks if hook.url]


def opened_for_hooks(config: Config) -> list[str]:
    """Return what the sandbox of the system's unit allows for hooks, and what it does not."""
    found = []
    if any(not each.startswith(_LOOPBACK) for each in _called(config)):
        found.append("The service may use the network, since a hook calls a URL on another machine.")
    if any(hook.command for hook in config.hooks):
        found.append(
            "The service may use the network, since a hook runs a command. What it runs may write to the outputs alone:"
            " for more, `systemctl edit watcher` with `[Service]` and `ReadWritePaths=/its/folder`."
        )
    return found


def wishes(service: Service) -> list[RequiredAccess]:
    """List what the service's user must be able to do."""
    folders = [
        *(RequiredAccess(path, "tree") for path in service.inboxes),
        *(RequiredAccess(path, "rwx") for path in service.writes),
        *(RequiredAccess(path, "r") for path in service.reads if path not in service.inboxes),
    ]
    if service.state_folder:
        folders.append(RequiredAccess(service.state_folder, "own"))
    command = RequiredAccess(os.path.realpath(service.command[0]), "x")
    hooks = [RequiredAccess(path, "x") for path in service.commands]
    return [command, *hooks, *program(), RequiredAccess(service.record.config, "r"), *folders]


def program() -> list[RequiredAccess]:
    """List what a user must be able to do to run this program by this Python."""
    return [
        RequiredAccess(os.path.realpath(sys.executable), "x"),
        RequiredAccess(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "rx"),
        RequiredAccess(os.path.dirname(os.path.realpath(os.__file__)), "rx"),
    ]


def remedies(found: MissingAccess, who: Account) -> Iterator[str]:
    """Yield what a user lacks, then the exact line to type."""
    doing = {"x": "run", "rx": "read", "r": "read", "tree": "read", "rwx": "write in", "own": "keep its state file in"}[
        found.wish.rights
    ]
    yield f"{who.name} can't {doing} {found.wish.path}: {_reason(found)}"
    if found.wish.rights == "own":
        yield "    name a folder of its own with `state` in the config, or leave that out"
        return
    path, wish = shlex.quote(found.path), shlex.quote(found.wish.path)
    if not found.rights or found.read_only or found.path == ROOT_HOME:
        return
    acl = bool(shutil.which("setfacl"))
    if found.rights == "x":
        line = f"setfacl -m u:{who.name}:x {path}" if acl else f"chmod o+x {path}"
    elif found.wish.rights == "tree":
        line = f"setfacl -R -m u:{who.name}:rX,d:u:{who.name}:rX {wish}" if acl else f"chmod -R o+rX {wish}"
    elif found.wish.rights == "rwx":
        line = f"setfacl -R -m u:{who.name}:rwX,d:u:{who.name}:rwX {wish}" if acl else f"chown -R {who.name}: {wish}"
    else:
        line = f"chmod -R o+rX {wish}"
    yield f"    {sudo()}{line}"


def sudo() -> str:
    """Return what to put in front of a command that takes root: nothing in root's own shell."""
    return "" if os.geteuid() == 0 and not os.environ.get("SUDO_USER") else "sudo "


def _reason(found: MissingAccess) -> str:
    if not found.rights:
        hint = "make it, or mount it" if found.path == found.wish.path else "correct the path"
        return f"there is no {found.path}; {hint}"
    if found.read_only:
        return "its file system is mounted read-only; mount it with `rw`"
    return "permission is missing" if found.path == found.wish.path else f"{found.path} is closed to it"
