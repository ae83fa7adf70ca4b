"""A Dask cluster whose workers turn jobs into outcomes: the only room that knows Dask.

Theory of operation:
- The watching, deciding and remembering stay in the daemon. What leaves it are bundles of jobs; what comes back are
  results, each with its job. The loop's thread owns all bookkeeping (`pool`); a thread of its own talks to the
  scheduler (`link`), and what happens there becomes an event on a queue and a report that wakes the loop.
- A task is opaque to the scheduler: `pickle.loads`, and bytes whose loading does the work (`tasks`). So the scheduler
  needs nothing of ours, and does not take part in our versions.
- Whoever runs a Dask worker gets one process of ours per thread of it, which renders: with the same deadline, limit of
  memory and finding of the guilty as at home. So no photo ever ends or blocks a Dask worker.
- Every bundle that was handed out is answered once: with results, or by coming back undone because its worker, the
  scheduler or the way there was lost. What comes later than that is not listened to.
- A worker that can't do its work, while this machine could, is left out for a while (`fitness`): another version, a
  mount that is missing. A cluster without any worker is away, as one without a scheduler is.
"""

from __future__ import annotations

from watcher.cluster.check import Survey, survey
from watcher.cluster.fallback import Fallback
from watcher.cluster.path_map import Paths
from watcher.cluster.pool import Cluster
from watcher.cluster.remote import Serve
from watcher.cluster.settings import Target

__all__ = ["Cluster", "Fallback", "Paths", "Serve", "Survey", "Target", "survey"]
