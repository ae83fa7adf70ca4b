"""Run a command in a process group of its own, and end that group with the daemon: `guard.py ALIVE DONE COMMAND…`.

Runs as a script, in a Python of its own that imports next to nothing. ALIVE and DONE are pipes. The daemon holds the
other end of ALIVE, which a kill closes too, on every platform and whichever thread began this. The other end of DONE
tells the daemon that this has ended, whatever the command has left behind.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress


def main(alive: int, done: int, command: list[str]) -> int:
    """Run `command` to its end or to that of `alive`; return its exit code, 128 more than the signal that ended it."""
    for pipe in (alive, done):
        os.set_inheritable(pipe, False)
    woken, wake = os.pipe()  # not inherited by the command
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    group = os.fork()
    if group == 0:
        _become(command)
    with suppress(OSError):  # both do this, since either may be first
        os.setpgid(group, group)
    status = _wait(group, alive, woken)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _wait(group: int, alive: int, woken: int) -> int:
    """Wait until the command or the daemon ends; end what is left of the group, and return the command's status."""
    while True:
        ready, _, _ = select.select([alive, woken], [], [])
        ended, status = os.waitpid(group, os.WNOHANG)
        if ended or alive in ready:
            with suppress(OSError):  # there may be nothing left of it
                os.killpg(group, signal.SIGKILL)
            return status if ended else os.waitpid(group, 0)[1]
        os.read(woken, 1000)  # it was stopped, or goes on


def _become(command: list[str]) -> None:
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores two of them
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606  # what the config says, without a shell
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}".encode("utf-8", "surrogateescape"))
    os._exit(127)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
