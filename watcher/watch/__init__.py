"""Watch one inbox with watchdog, supervise the watch and restore it; the only module that knows watchdog.

Rules:
- The handler decides by name and posts. It never opens or changes a file and raises no exception (one would end
  watchdog's thread).
- At most `budget` events are pending; beyond that, one `WatchLost` requests a full scan in place of the others.
- `WatchLost(healed=False)` is followed by a `WatchBack` once a new watch is set up, so that a scan which starts at
  the WatchBack misses nothing. `WatchLost(healed=True)` has no WatchBack: the watch works, some events were lost.
- watchdog does not report its errors, so its threads run here in sub-classes that report them: a thread that died, a
  queue that overflowed, a folder for which the kernel had no watch. No thread can detect that a root was renamed,
  unmounted or mounted over: this is found by comparing its (st_dev, st_ino) on a timer.
- watchdog reports folders that it finds inside a new one again as synthetic events. Those are dropped, since
  `FolderSeen` means a folder and all below.
"""

from watcher.watch.errors import WatchError
from watcher.watch.supervisor import Supervisor
from watcher.watch.watch import Message, Watch

__all__ = ["Message", "Supervisor", "Watch", "WatchError"]
