"""Workers that turn jobs into outcomes, whatever becomes of a worker: the only room that knows processes and executors.

Theory of operation:
- One persistent executor takes at most two bundles of jobs per worker: one that runs and one that waits for it. A
  worker makes the jobs of a bundle one by one and publishes them together; small photos would otherwise spend a fifth
  of their time on being handed over and synced to disk one by one.
- The loop's thread owns all bookkeeping. What happens in other threads only posts a WorkerReport, and `Pool.take` knows
  what it means. A result carries its job: nothing is matched up by order.
- A shared table tells, per job, which process began it when, and whether it was made and published (`worker`). So a
  job's time counts from when it began, and the job that a dead worker was at is found by the worker's pid.
- Whoever loses one worker loses its executor (that is how `ProcessPoolExecutor` is): the job in the dead worker is
  blamed, all others come back without blame, and the next job opens a new generation of workers (`lane`).
- A job that is to run `alone` goes to the quarantine, an executor of one worker, made on demand (`pool`).
- Workers ignore what a terminal or a service manager sends to everybody, so a drain is not disturbed; they are ended by
  SIGKILL only, and leave by themselves once their parent is gone (`teams`, `worker`).
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
