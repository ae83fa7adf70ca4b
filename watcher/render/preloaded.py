"""All that a worker may need, loaded into the server that workers are forked from.

So a worker is ready soon, and one that starts after `pip install -U` goes on with what its daemon has: by then other
files may lie where its own were. Nothing is run here: a thread that a library starts would not survive the fork.
"""

from __future__ import annotations

import importlib
from contextlib import suppress

from PIL import Image

from watcher.render import bundle, library
from watcher.render import setup as about

Image.preinit()
library.load()  # a worker that loads it again, whatever lies there by then, gets this one
_PLUGINS = ("PIL.MpoImagePlugin", "PIL.WebPImagePlugin", "PIL.AvifImagePlugin", "PIL.TiffImagePlugin", "PIL.ImageCms")
for _name in (*_PLUGINS, "cykooz_resizer", "pillow_heif"):
    with suppress(ImportError):  # some builds and platforms lack one; who needs it says so
        importlib.import_module(_name)

__all__ = ["about", "bundle"]
