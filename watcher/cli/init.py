"""`init`: write a commented starter config, make the inbox that it names, and print what to type next."""

from __future__ import annotations

import os
import pwd
import shlex
from contextlib import suppress

from watcher import paths
from watcher.config import starter
from watcher.errors import EXIT_OK, UsageError
from watcher.text import printable

_SITE = "/srv/photos"


def init(file: str | None, state_file: str | None, *, system: bool) -> int:
    """Write the starter config to `file`, or to where it is looked for (`system`: the site's); never over another."""
    path = os.path.abspath(file) if file else paths.candidates()[-1 if system else 0]
    pictures = _SITE if system else paths.user_pictures()
    inbox, output = (os.path.join(pictures, name.lower() if system else name) for name in ("Inbox", "Resized"))
    text = starter(inbox, output, os.path.abspath(state_file) if state_file else None)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists and is left as it is; name another file, or edit that one") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written ({error.strerror}); name another file") from error
    option = _on_a_line(f" --config {shlex.quote(path)}") if file else ""
    command = shlex.quote(paths.typed())
    root = "sudo " if system and os.environ.get("SUDO_USER") else ""
    print(_on_a_line(f"Wrote {path}, for photos in {inbox}. Next:"))
    if why := _make(inbox, os.environ.get("SUDO_USER") if system else None):
        print(_on_a_line(f"  mkdir -p {shlex.quote(inbox)}   # could not be made here ({why})"))
    print(f"  {root}{command} check{option}            # is it right, can it work here, and how much would it make?")
    if not system:
        print(f"  {command} run{option}              # watch, until you press Ctrl-C")
    print(f"  {root}{command} service install{option}  # watch from now on, also after a restart")
    return EXIT_OK


def _make(inbox: str, user: str | None) -> str:
    """Make the inbox where it is missing; it belongs to `user`, if one is named. Return why that can't be done."""
    if os.path.isdir(inbox):
        return ""
    try:
        os.makedirs(inbox)
        with suppress(KeyError):  # there is no user of that name
            if user and os.geteuid() == 0:
                owner = pwd.getpwnam(user)
                os.chown(inbox, owner.pw_uid, owner.pw_gid)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _on_a_line(text: str) -> str:
    return printable(text).replace("\n", "\\n")
