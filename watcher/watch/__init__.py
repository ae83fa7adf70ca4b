"""watchdog on one inbox, its supervision and its healing; the only room that knows watchdog.

Rules:
- The handler decides by name and posts; it never touches a file and lets no exception out (one would end watchdog's
  thread).
- At most `budget` events are on their way; beyond, one `WatchLost` says "look at everything" in place of them all.
- `WatchLost(healed=False)` is followed by a `WatchBack` once a new watch is in place, so that a scan which starts at
  the WatchBack misses nothing. `WatchLost(healed=True)` stands alone: the watch works, some events were lost.
- watchdog keeps its troubles to itself, so its threads run here in sub-classes that report them: a thread that dies, a
  queue that overflowed, a folder for which the kernel had no watch. What no thread can see, a root that was renamed,
  unmounted or mounted over, is found by comparing its (st_dev, st_ino) on a timer.
- watchdog reports folders that it finds inside a new one again as synthetic events; those are dropped, since
  `FolderSeen` means a folder and all below.
"""

from watcher.watch.errors import WatchError
from watcher.watch.supervisor import Supervisor
from watcher.watch.watch import Message, Watch

__all__ = ["Message", "Supervisor", "Watch", "WatchError"]
