"""What is asked by those who serve: the loop by a message, file systems by threads that may hang."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable

from watcher.core.status import Snapshot, StatusQuery

ANSWER_SECONDS = 5.0  # how long the loop may take to answer; Prometheus itself waits for 10
_DISK_SECONDS = 1.0  # how long a file system may


class _Answer:
    def __init__(self) -> None:
        self.here = threading.Event()
        self.vitals: Snapshot | None = None

    def give(self, vitals: Snapshot) -> None:
        self.vitals = vitals
        self.here.set()


class SnapshotClient:
    """Asks the loop, one question at a time: who asks meanwhile gets the same answer, a stuck loop no further one."""

    def __init__(self, post: Callable[[StatusQuery], object], patience: float = ANSWER_SECONDS) -> None:
        self._post = post
        self.patience = patience
        self._lock = threading.Lock()
        self._open: _Answer | None = None

    def ask(self) -> Snapshot | None:
        """Give what the loop says; None: it does not answer."""
        with self._lock:
            answer = self._open
            if answer is None or answer.here.is_set():
                answer = self._open = _Answer()
                self._post(StatusQuery(answer.give))
        answer.here.wait(self.patience)
        return answer.vitals


class Disks:
    """Room on file systems; one that hangs costs one thread, and the others nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: dict[bytes, threading.Thread] = {}
        self._free: dict[bytes, int] = {}

    def free(self, folder: bytes) -> int | None:
        """Tell how many bytes may be written there; None: its file system does not answer."""
        with self._lock:
            thread = self._asking.get(folder)
            if thread is None or not thread.is_alive():
                self._free.pop(folder, None)
                thread = threading.Thread(target=self._look, args=(folder,), name="disk room", daemon=True)
                self._asking[folder] = thread
                thread.start()
        thread.join(_DISK_SECONDS)
        return self._free.get(folder)

    def _look(self, folder: bytes) -> None:
        try:
            self._free[folder] = shutil.disk_usage(folder).free
        except OSError:
            self._free.pop(folder, None)
