"""Workers that turn jobs into outcomes, even if a worker dies: the only module that knows processes and executors.

Theory of operation:
- One persistent executor takes at most two bundles of jobs per worker: one that runs and one that is queued behind it.
  A worker makes the jobs of a bundle one by one and publishes them together. Otherwise small photos would spend a fifth
  of their time on being transferred and synced to disk one by one.
- The loop's thread owns all state. Other threads only post a WorkerReport, and `Pool.take` interprets it. A result
  carries its job: nothing is matched by order.
- A shared table records, per job, which process began it and when, and whether it was made and published (`worker`).
  So a job's time counts from when it began, and the job of a dead worker is found by the worker's pid.
- When one worker is lost, its whole executor is lost (this is how `ProcessPoolExecutor` works). The dead worker's job
  is marked as failed, all other jobs come back without a failure, and the next job starts a new generation of workers
  (`supervisor`).
- A job that must run `alone` goes to the quarantine, an executor of one worker, made on demand (`pool`).
- Workers ignore signals that a terminal or a service manager sends to the whole process group, so a drain is not
  disturbed. They are ended by SIGKILL only, and exit by themselves once their parent is gone (`executors`, `worker`).
"""

from __future__ import annotations

from watcher.pool.launch import allow_children, prepare
from watcher.pool.limits import available_cpus, available_memory, open_files
from watcher.pool.machine import require_machine, shortages
from watcher.pool.pool import Pool

__all__ = [
    "Pool",
    "allow_children",
    "available_cpus",
    "available_memory",
    "open_files",
    "prepare",
    "require_machine",
    "shortages",
]
