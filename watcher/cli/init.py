"""`init`: write a commented starter config, and say what to type next."""

from __future__ import annotations

import os
import shlex

from watcher import paths as places
from watcher.config import starter
from watcher.errors import EXIT_OK, UsageError
from watcher.text import printable


def init(file: str | None, state_file: str | None, *, system: bool) -> int:
    """Write the starter config to `file`, or to where it is looked for (`system`: the site's); never over another."""
    del state_file  # every command takes it, and this one has no use for it
    path = os.path.abspath(file) if file else places.candidates()[-1 if system else 0]
    if system:
        text = starter("/srv/photos/inbox", "/srv/photos/resized")
    else:
        pictures = places.user_pictures()
        text = starter(os.path.join(pictures, "Inbox"), os.path.join(pictures, "Resized"))
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists and is left as it is; name another file, or edit that one") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written ({error.strerror}); name another file") from error
    option = printable(f" --config {shlex.quote(path)}").replace("\n", "\\n") if file else ""
    print(f"Wrote {printable(path)}. Next:".replace("\n", "\\n"))
    print(f"  watcher check{option}            # is it right, can it work here, and how much would it make?")
    print(f"  watcher run{option}              # watch, until you press Ctrl-C")
    print(f"  watcher service install{option}  # watch from now on, also after a restart")
    return EXIT_OK
