"""The file that `watcher init` writes."""

from __future__ import annotations

import json
import re

from watcher.errors import ConfigError, Fault

_STARTER = """\
# Photos that are dropped into an inbox get resized copies in its output folder.
# All keys with their defaults: `man watcher`, CONFIG KEYS. Try this file with `watcher check`.
{state}
[[inbox]]
path = {inbox}
output = {output}
# Which files are photos, by name; left out: JPEGs, and HEICs where the extra for them is installed.
# include = ["*.jpg", "*.jpeg", "*.heic", "*.png"]
# exclude = ["raw/"]              # gitignore patterns for what to leave alone

# Each rendition is a folder in the output. A table may be copied for another size.
[rendition.web]
width = 2048
height = 2048           # the photo fits inside of both and is never enlarged
quality = 85            # 1 to 100; lower makes smaller files

# [rendition.thumb]
# width = 320
# height = 320
# fit = "cover"         # crop, so that the size is filled
"""


def starter(inbox: str, output: str, state: str | None = None) -> str:
    """Return the text of a short commented config for two folders, which names the state file if there is a choice.

    Raise ConfigError for a path that is not UTF-8, since no TOML file can name it.
    """
    paths = {"inbox[0].path": inbox, "inbox[0].output": output, "state": state or ""}
    faults = [
        Fault(key, "found a name that is not UTF-8", "write another path")
        for key, path in paths.items()
        if not path.isascii() and re.search("[\ud800-\udfff]", path)
    ]
    if faults:
        raise ConfigError("the starter config", faults)
    line = f"\nstate = {_quoted(state)}\n" if state else ""
    return _STARTER.format(inbox=_quoted(inbox), output=_quoted(output), state=line)


def _quoted(path: str) -> str:
    # a JSON text is a TOML text but for one character, which JSON leaves as it is
    return json.dumps(path, ensure_ascii=False).replace("\x7f", "\\u007f")
