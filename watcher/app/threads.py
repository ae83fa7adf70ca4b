"""What becomes of the daemon when one of its threads ends by a fault of the program."""

from __future__ import annotations

import threading

from watcher.engine.ports import Log


class Threads:
    """Tells of every fault in a thread, in the log, and remembers a thread that has ended by one."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.ended = ""
        """Which thread has ended, in a sentence; empty: none. A new start heals it, and nothing else."""

    def fault(self, fault: threading.ExceptHookArgs) -> None:
        """Hear of one; for `threading.excepthook`. A thread that goes on names none: see `tell_fault`."""
        if fault.exc_type is SystemExit:
            return
        thread = fault.thread or threading.current_thread()
        self._log.error("internal.error", thread=thread.name, exc_info=fault.exc_value)
        healed = type(thread).__module__.startswith("watchdog")  # its watch is set up anew
        if fault.thread is not None and not healed:
            self.ended = f"the thread {thread.name!r} has ended by a fault of the program, {fault.exc_value!r}"
