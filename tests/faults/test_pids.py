"""A process number that was given away again: whoever has it now is not what the daemon once started."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import Place, fill, until

LAST = Path("/proc/sys/kernel/ns_last_pid")


def somebody_with(pid: int) -> subprocess.Popen[bytes]:
    """Start a process that has just this number."""
    for _ in range(200):
        LAST.write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "60"])
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    pytest.skip("the number could not be had")


@pytest.mark.skipif(os.geteuid() != 0 or not LAST.exists(), reason="only root may choose the next process number")
def test_nobody_is_killed_for_having_the_number_of_a_worker_that_died_while_idle(place: Place) -> None:
    with place.run() as daemon:
        fill(place.inbox, 8)
        daemon.settle(8)
        worker = daemon.events("photo.done")[0]["pid"]
        os.kill(worker, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{worker}").exists(), "it is gone")
        with somebody_with(worker) as bystander:
            try:
                fill(place.inbox, 4, 8)
                daemon.settle(12)
                assert bystander.poll() is None, "the daemon killed somebody else"
            finally:
                bystander.kill()
        assert daemon.stop() == 0
