"""A Dask cluster whose workers turn jobs into outcomes. No other package depends on Dask.

Theory of operation:
- The daemon watches, decides and keeps all state. It sends bundles of jobs and receives results, each with its job.
  The loop's thread owns all bookkeeping (`pool`). A separate thread talks to the scheduler (`connection`); what happens
  there becomes an event on a queue, and a report that wakes the loop.
- A task is opaque to the scheduler: it is `pickle.loads`, and bytes whose loading does the work (`remote`). So the
  scheduler needs no code of watcher's, and its version of watcher does not matter.
- A Dask worker gets one rendering process of watcher's for each of its threads, with the same deadline, memory limit
  and attribution of crashes as on the local machine. So no photo ever ends or blocks a Dask worker.
- Every submitted bundle is answered once: with results, or returned undone because its worker, the scheduler or the
  connection was lost. An answer that arrives later is ignored.
- A worker that can't do its work, while this machine could, is left out for a while (`worker_health`): it has another
  version, or a mount is missing. A cluster without any worker is unavailable, as is one without a scheduler.
"""

from __future__ import annotations

from watcher.cluster.check import Survey, survey
from watcher.cluster.fallback import Fallback
from watcher.cluster.pool import Cluster
from watcher.cluster.remote import Serve
from watcher.cluster.settings import Paths, Target

__all__ = ["Cluster", "Fallback", "Paths", "Serve", "Survey", "Target", "survey"]
