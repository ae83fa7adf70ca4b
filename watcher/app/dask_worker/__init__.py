"""Render on a machine of a cluster: one process for each calling thread, with all that the local pool does.

Dask, which runs the machine's workers, gives each job its own thread. That thread waits here while its process works.
So a photo that crashes, hangs or takes too much memory ends only that process. The failure is attributed to the photo
as on the local machine, and the thread is free in time.
"""

from __future__ import annotations

from watcher.app.dask_worker.render import serve
from watcher.app.dask_worker.self_test import Inspection, Read, Write, inspect

__all__ = ["Inspection", "Read", "Write", "inspect", "serve"]
