"""After `service install`: who may drop photos into the inboxes, and how the command and its man page are found."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress

from watcher import paths as places
from watcher.app.service import ServiceError, sudo
from watcher.service.definition import Service
from watcher.text import printable

_GROUP_WRITES = stat.S_IRGRP | stat.S_IWGRP | stat.S_IXGRP


# ---- who drops photos ----


def group_of(name: str) -> grp.struct_group:
    """Look a group up; raises ServiceError where there is none."""
    try:
        return grp.getgrnam(name)
    except KeyError:
        root = sudo()
        raise ServiceError(
            f"There is no group {name!r}. Make it, and add the people who drop photos:\n"
            f"  {root}groupadd {shlex.quote(name)}\n  {root}usermod -aG {shlex.quote(name)} NAME"
        ) from None


def open_to(group: grp.struct_group, service: Service) -> None:
    """Let a group drop photos into the inboxes; what they make there belongs to the group too."""
    for path in service.inboxes:
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)
            os.chown(path, -1, group.gr_gid)
            os.chmod(path, mode | _GROUP_WRITES | stat.S_ISGID)
        except OSError as error:
            raise ServiceError(f"{path} can't be opened to {group.gr_name} ({error.strerror}).") from error


def droppers(service: Service) -> Iterator[str]:
    """Say who may drop photos into each inbox, and where that is root or the service alone, what to type."""
    for path in service.inboxes:
        with suppress(OSError):  # it is on a disk that is away
            yield _dropper(path, service.record.user)


def _dropper(path: str, user: str) -> str:
    found = os.stat(path)
    if found.st_mode & stat.S_IWOTH:
        return f"Everybody can drop photos into {printable(path)}."
    who = [] if found.st_uid == 0 else [_name(found.st_uid)]
    if found.st_mode & stat.S_IWGRP and found.st_gid != 0:
        who.append(f"members of the group {_group_name(found.st_gid)}")
    if "system.posix_acl_access" in (os.listxattr(path) if hasattr(os, "listxattr") else ()):
        who.append("those whom its access list names (`getfacl`)")
    if any(name != user for name in who):
        return f"{' and '.join(who)} can drop photos into {printable(path)}."
    command, folder = f"{sudo()}{shlex.quote(places.command())}", shlex.quote(path)
    one = f"{sudo()}setfacl -m u:NAME:rwx {folder}" if shutil.which("setfacl") else f"{sudo()}chown NAME {folder}"
    return (
        f"Only {' and '.join(['root', *who])} can drop photos into {printable(path)}. To let others:\n"
        f"  {one}   # one person\n"
        f"  {command} service install --drop-group users   # the members of a group"
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


# ---- the command and its man page ----


def link(*, system: bool) -> None:
    """Put the command on the PATH and its man page beside it, unless something is there; say what was done."""
    if places.typed() == "watcher":
        return
    for name, source in _links(system=system):
        if not os.path.exists(source) or os.path.lexists(name):
            continue
        try:
            os.makedirs(os.path.dirname(name), exist_ok=True)
            os.symlink(source, name)
        except OSError as error:
            again = f"{sudo() if system else ''}ln -s {shlex.quote(source)} {shlex.quote(name)}"
            print(f"{printable(name)} can't be made ({error.strerror}): `{again}`")
        else:
            print(f"Made the link {printable(name)}.")
    folder = os.path.dirname(_links(system=system)[0][0])
    if folder not in os.environ.get("PATH", "").split(os.pathsep):
        print(
            f"{printable(folder)} is not on your PATH: log in anew, or type `export PATH={shlex.quote(folder)}:$PATH`"
        )


def unlink(*, system: bool) -> None:
    """Remove the links that `link` made."""
    for name, source in _links(system=system):
        with suppress(OSError):
            if os.readlink(name) == source:
                os.unlink(name)
                print(f"Removed the link {printable(name)}.")


def _links(*, system: bool) -> list[tuple[str, str]]:
    base = "/usr/local" if system else os.path.expanduser("~/.local")
    page = "share/man/man1/watcher.1"
    return [(f"{base}/bin/watcher", places.command()), (f"{base}/{page}", os.path.join(sys.prefix, page))]
