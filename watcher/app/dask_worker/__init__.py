"""What renders on a machine of a cluster: a process of our own for each thread that asks, with all that the pool does.

Whoever runs the machine's workers (Dask) gives each job a thread of its own. That thread waits here while its process
works: so a photo that crashes, hangs or takes too much memory costs that process and nothing else, is blamed for it as
it would be at home, and the thread is free in time.
"""

from __future__ import annotations

from watcher.app.dask_worker.render import serve
from watcher.app.dask_worker.self_test import Inspection, Read, Write, inspect

__all__ = ["Inspection", "Read", "Write", "inspect", "serve"]
