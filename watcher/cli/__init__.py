"""The command line: where the parts meet, and where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from watcher.cli import stdio
from watcher.errors import EXIT_BUG, EXIT_CONFIG, EXIT_OK, ConfigError, WatcherError
from watcher.text import printable

_INTERRUPTED = 130  # as shells call a command that Ctrl-C ended


def main() -> None:
    """Run the command line; the entry point of `watcher`."""
    stdio.prepare()
    code = _guarded(_run)
    sys.exit(_guarded(stdio.finish) or code)


def _run() -> None:
    # pydantic would look through all that is installed for plugins: 15 ms of a command that takes 150
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from watcher.cli.app import app  # noqa: PLC0415  # an import that fails is a fault of the program like any other

    app()


def _guarded(act: Callable[[], None]) -> int | str | None:
    """Do something, and turn however it ends into an exit code, and into a message where that is called for."""
    try:
        act()
    except SystemExit as ended:
        return ended.code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except WatcherError as error:
        if text := str(_located(error)):
            _complain(text)
        return error.exit_code
    except Exception as error:  # noqa: BLE001  # the one boundary where a fault of the program ends
        if isinstance(error, FileNotFoundError) and not _is_somewhere():
            _complain("The current directory no longer exists: go to another one with `cd`.")
            return EXIT_CONFIG
        if refusal := _refused(error):
            _complain(refusal)
            return EXIT_CONFIG
        import traceback  # noqa: PLC0415  # only for a fault of the program

        if not _journaled(traceback.format_exc().rstrip("\n")):
            traceback.print_exc()
        return EXIT_BUG
    return EXIT_OK


def _located(error: WatcherError) -> WatcherError:
    """Return a fault of the config with the lines that it is about."""
    if not isinstance(error, ConfigError):
        return error
    from watcher.app.settings import located  # noqa: PLC0415  # only for a fault

    return located(error)


def _refused(error: Exception) -> str:
    """Return what the system refuses that every program needs; empty: that is not what has happened."""
    if isinstance(error, MemoryError):
        return "There is not enough memory for this (`ulimit -v`, MemoryMax= of a service, or the machine's own)."
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "This user may start no more threads (`ulimit -u`, TasksMax= of a service): raise that limit."
    if not isinstance(error, OSError):
        return ""
    if error.errno == errno.ENOENT and "temporary directory" in str(error):
        return "No folder for temporary files can be written: name one by TMPDIR."
    what = f": {error.filename!r}" if isinstance(error.filename, str) else ""
    remedies = {
        errno.ENOSPC: "make room on that disk",
        errno.EDQUOT: "make room, or have the quota raised",
        errno.EMFILE: "raise the limit of open files (`ulimit -n`, LimitNOFILE= of a service)",
        errno.ENFILE: "too many files are open on this machine; end some programs",
        errno.ENOMEM: "end some programs, or raise the limit of memory",
    }
    remedy = remedies.get(error.errno or 0)
    return f"The system refuses to go on ({error.strerror}{what}): {remedy}." if remedy else ""


def _is_somewhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _complain(text: str) -> None:
    """Print to standard error what is wrong: in colour on a terminal, and with control characters escaped."""
    if _journaled(f"watcher: {text}"):
        return
    from rich.console import Console  # noqa: PLC0415  # 20 ms that only an error needs
    from rich.text import Text  # noqa: PLC0415  # the same

    console = Console(stderr=True)
    message = Text("watcher: ", style="bold red" if console.is_terminal else "")
    message.append(printable(text), style="not bold")
    console.print(message, soft_wrap=not console.is_terminal)


def _journaled(text: str) -> bool:
    """Write an error to systemd's journal if standard error is that, and return whether it is."""
    if not os.environ.get("JOURNAL_STREAM"):
        return False
    from watcher import logs  # noqa: PLC0415  # 70 ms that only a service has to spend

    if not logs.is_journal(sys.stderr):
        return False
    sys.stderr.write(logs.with_priority("error", printable(text)))
    return True
