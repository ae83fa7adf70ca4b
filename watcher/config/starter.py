"""The file that `watcher init` writes."""

from __future__ import annotations

import json
import re

from watcher.errors import ConfigError, Fault

_STARTER = """\
# Photos that are dropped into an inbox get resized copies in its output folder.
# All keys with their defaults: `man watcher`, CONFIG KEYS. Try this file with `watcher check`.

[[inbox]]
path = {inbox}
output = {output}
# include = ["*.jpg", "*.jpeg"]   # which files are photos, by name
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


def starter(inbox: str, output: str) -> str:
    """Return the text of a short commented config for two folders.

    Raise ConfigError for a folder whose name is not UTF-8, since no TOML file can name it.
    """
    folders = {"inbox": inbox, "output": output}
    faults = [
        Fault(f"inbox[0].{key.replace('inbox', 'path')}", "found a name that is not UTF-8", "write another folder")
        for key, folder in folders.items()
        if not folder.isascii() and re.search("[\ud800-\udfff]", folder)
    ]
    if faults:
        raise ConfigError("the starter config", faults)
    # a JSON text is a TOML text but for one character, which JSON leaves as it is
    quoted = {key: json.dumps(folder, ensure_ascii=False).replace("\x7f", "\\u007f") for key, folder in folders.items()}
    return _STARTER.format(**quoted)
