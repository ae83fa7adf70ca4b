"""`service`: have the service manager run the daemon for a config, from boot or login on."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
import tempfile

from watcher import paths
from watcher.app.check_service import naming
from watcher.app.service import (
    ROOT_HOME,
    UNIT_USER,
    ServiceError,
    describe,
    opened_for_hooks,
    remedies,
    sudo,
    text_of,
    wishes,
)
from watcher.app.settings import Source
from watcher.cli import service_people as people
from watcher.errors import EXIT_OK, ConfigError, Fault
from watcher.service import permissions, systemctl
from watcher.service.definition import LABEL, UNIT, Service, within
from watcher.service.permissions import Account
from watcher.service.systemctl import ServiceManager
from watcher.text import printable

_MOUNTED = ("/mnt/", "/media/", "/run/", "/net/", "/Volumes/")


def install(source: Source, *, system: bool, user: str | None, drop_group: str | None, dry_run: bool) -> int:
    """Write the unit or plist, and have it run from now on; what is so already is left alone."""
    who, known = _who(system=system, user=user)
    service = describe(Source(None, source.config, source.state, who.home), who, system=system)
    text, path = text_of(service, system=system), paths.service_file(system=system)
    if dry_run:
        print(f"# {path}{'' if known else f' (and the user {who.name}, who is not there yet)'}")
        print(text)
        return EXIT_OK
    manager = _usable(system=system, what="install")
    group = drop_group and people.group_of(drop_group)
    before = _read(path)
    if before is not None and paths.service_record(path) is None:
        raise ServiceError(f"{path} exists, and was not written by watcher; rename or remove it.")
    if not known:
        systemctl.add_account(who.name, who.home)
        print(f"Made the user {who.name}, whom the service runs as.")
        who = permissions.account(who.name) or who
    _make_folders(service, who)
    if group:
        people.open_to(group, service)
    _refuse_without_rights(service, who)
    fault = manager.faults(text)
    if fault:
        raise ServiceError(f"The service manager does not take this unit:\n{fault}")
    changed = before != text
    standing = manager.standing(path)
    if not changed and standing == systemctl.Standing(enabled=True, active=True):
        print(f"Nothing to do: {path} is installed, and the service runs.")
    else:
        if changed:
            _write(path, text)
            print(f"Wrote {path}.")
        _start(manager, path, changed=changed, system=system)
    people.link(system=system)
    if system and sys.platform != "darwin":
        config, _ = Source(None, source.config, source.state, who.home).read()
        for line in opened_for_hooks(config):
            print(line)
    _print_installed(service, who, system=system)
    return EXIT_OK


def show(source: Source, *, system: bool, user: str | None) -> int:
    """Print the unit or plist as it would be installed; on standard error, how that compares with what is there."""
    who, _ = _who(system=system, user=user)
    service = describe(Source(None, source.config, source.state, who.home), who, system=system)
    text, path = text_of(service, system=system), paths.service_file(system=system)
    print(text, end="")
    sys.stdout.flush()
    before = _read(path)
    if before is None:
        said = f"{path} is not there; `watcher service install` writes it"
    elif before == text:
        said = f"{path} is just this"
    else:
        said = f"{path} is there and says something else; `watcher service install` writes it anew"
    print(f"watcher: {said}", file=sys.stderr)
    return EXIT_OK


def uninstall(*, system: bool, dry_run: bool) -> int:
    """Stop the service and take its unit or plist away; photos, renditions, the config and what is remembered stay."""
    path = paths.service_file(system=system)
    record = paths.service_record(path)
    if record is None:
        if os.path.lexists(path):
            raise ServiceError(f"{path} was not written by watcher, and is left as it is.")
        print(f"Nothing to do: there is no {path}.")
        return EXIT_OK
    if dry_run:
        print(f"Would stop the service and remove {path}.")
        return EXIT_OK
    manager = _usable(system=system, what="uninstall")
    manager.stop(path)
    os.unlink(path)
    manager.forget()
    print(f"Stopped the service and removed {path}.")
    people.unlink(system=system)
    print(f"Left as they are: photos, renditions, the config {record.config} and the state file {record.state}.")
    if system and record.user == UNIT_USER:
        print(
            f"The user {UNIT_USER} is left too: what was made belongs to it. `{sudo()}userdel {UNIT_USER}` removes it."
        )
    return EXIT_OK


# ---- who, and with whom ----


def default_system() -> bool:
    """Return whether `service` means the system's: where root runs it."""
    return os.geteuid() == 0


def _who(*, system: bool, user: str | None) -> tuple[Account, bool]:
    """Return which user the service runs as, and whether that user exists."""
    if not system:
        if user is not None:
            raise ServiceError("--as goes with --system: a service of yours runs as you.")
        try:
            own = pwd.getpwuid(os.geteuid())
        except KeyError:
            raise ServiceError(
                f"The user number {os.geteuid()} is not in the list of users, and no service can run as it: add it, or"
                " use --system."
            ) from None
        return Account(own.pw_name, own.pw_uid, own.pw_gid, os.path.expanduser("~")), True
    name = user or UNIT_USER
    found = permissions.account(name)
    if found is not None:
        return found, True
    if user is not None:
        raise ServiceError(f"There is no user {user!r}: name one that is there, or leave --as out for `{UNIT_USER}`.")
    return Account(UNIT_USER, -1, -1, paths.service_state_folder(system=True)), False


def _usable(*, system: bool, what: str) -> ServiceManager:
    manager = systemctl.manager(system=system, unit=UNIT, label=LABEL)
    if system and os.geteuid() != 0:
        again = shlex.join([paths.command(), *sys.argv[1:]])
        raise ServiceError(f"To {what} a service of the whole system takes root: `sudo {again}`")
    reason = manager.absent()
    if reason:
        raise ServiceError(f"Can't {what} a service here: {reason}.")
    return manager


# ---- before anything is started ----


def _make_folders(service: Service, who: Account) -> None:
    """Make the folders that are missing, but for inboxes where disks are mounted: those are not to be made up."""
    drops = (permissions.account(os.environ.get("SUDO_USER", "root")) or who) if who.name == UNIT_USER else who
    owners = [
        (path, who if path in service.writes else drops) for path in service.inboxes if not path.startswith(_MOUNTED)
    ]
    outputs = [(path, who) for path in service.writes if path not in service.inboxes]
    state = [(service.state_folder, who)] if service.state_folder else []
    for path, owner in [*owners, *outputs, *state]:
        try:
            made = _make_folder(path, owner, 0o700 if path == service.state_folder else 0o755)
        except OSError as error:
            fault = Fault("", f"{path} can't be made ({error.strerror})", "make it yourself, or name another folder")
            raise ConfigError(service.record.config, [fault]) from error
        if made:
            print(f"Made the folder {printable(path)}, which belongs to {owner.name}.")


def _make_folder(path: str, owner: Account, mode: int) -> bool:
    """Make a folder and those above it, as far as they are missing; above it only the owner's home gets the owner."""
    missing: list[str] = []
    folder = path
    while not os.path.exists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for made in reversed(missing):
        os.mkdir(made, mode)
        if os.geteuid() != owner.uid and (made == path or within(made, owner.home)):
            os.chown(made, owner.uid, owner.gid)
    return bool(missing)


def _refuse_without_rights(service: Service, who: Account) -> None:
    found = permissions.obstacles(who, wishes(service))
    if not found:
        return
    lines = list(dict.fromkeys(line for obstacle in found for line in remedies(obstacle, who)))
    owner = _owner(service.inboxes[0])
    if who.name == UNIT_USER and owner not in {"", "root", UNIT_USER}:
        lines.append(f"Or have it run as the user whose photos they are: add `--as {owner}`.")
    data = (*service.inboxes, *service.writes, service.record.config)
    if any(not obstacle.wish.path.startswith(data) for obstacle in found):
        lines.append("A private folder is no place for a service's program: /opt/watcher, for example, is one.")
    if any(obstacle.path == ROOT_HOME and obstacle.wish.path.startswith(data) for obstacle in found):
        lines.append(
            f"{ROOT_HOME} is root's alone. For the whole machine, `{sudo()}watcher init --system` writes"
            f" {paths.candidates()[-1]} with folders in /srv: edit that, and add `--config {paths.candidates()[-1]}`."
        )
    raise ServiceError("Nothing was started, since the service could not work:\n  " + "\n  ".join(lines))


def _owner(path: str) -> str:
    try:
        return pwd.getpwuid(os.stat(path).st_uid).pw_name
    except (OSError, KeyError):  # it is not there; its owner has no name
        return ""


def _start(manager: ServiceManager, path: str, *, changed: bool, system: bool) -> None:
    try:
        manager.start(path, changed=changed)
    except systemctl.ControlError as error:
        raise ServiceError(f"{error}\nMore of it: `{_logs(system=system)}`") from error


# ---- files and words ----


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServiceError(f"{path} can't be read ({error.strerror}).") from error


def _write(path: str, text: str) -> None:
    """Replace a file as a whole: a service manager may read it at any moment."""
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".watcher-")
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.rename(temporary, path)
    except OSError as error:
        raise ServiceError(f"{path} can't be written ({error.strerror}).") from error


def _logs(*, system: bool) -> str:
    if sys.platform == "darwin":
        return f"tail -f {shlex.quote(paths.service_log(system=system))}"
    return "journalctl -u watcher -f" if system else "journalctl --user -u watcher -f"


def _print_installed(service: Service, who: Account, *, system: bool) -> None:
    root = sudo() if system else ""
    watcher = shlex.quote(paths.typed())
    ctl = "systemctl" if system else "systemctl --user"
    config = naming(service.record.config)
    for line in people.droppers(service):
        print(line)
    print("Next:")
    print(f"  {root}{watcher} status{config}   # what is done, waiting, failed")
    print(f"  {_logs(system=system)}   # what it says")
    if sys.platform != "darwin":
        print(f"  {root}{ctl} reload watcher   # after a change of the config; of its folders: `service install` again")
        if not system and not os.path.exists(f"/var/lib/systemd/linger/{who.name}"):
            print("It runs while you are logged in. To have it run from boot on:")
            print("  loginctl enable-linger")
