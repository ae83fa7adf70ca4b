"""What the daemon serves beside its work, and whether that can be done here. The page: see `paging`."""

from __future__ import annotations

import errno
import importlib.util
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from watcher import __version__
from watcher.config import Config
from watcher.core.status import StatusQuery
from watcher.engine.ports import Log
from watcher.errors import ConfigError, Fault
from watcher.pool import open_files

_PACKAGES = {  # what each extra brings
    "web": ("starlette", "uvicorn"),
    "metrics": ("prometheus_client",),
    "dask": ("distributed",),
}


def require_extras(config: Config, source: str, *, once: bool = False) -> None:
    """Raise ConfigError where the config asks for what is not installed; `once`: by a run that serves nothing."""
    faults = []
    asked = (
        ("web", "web.listen", config.web.listen, "leave `listen` out"),
        ("metrics", "metrics.listen", config.metrics.listen, "leave `listen` out"),
        ("dask", "executor.kind", "dask" if config.executor.kind == "dask" else None, 'write "processes"'),
    )
    for extra, key, value, otherwise in asked:
        wanted = value and not (once and key.endswith(".listen"))
        missing = [name for name in _PACKAGES[extra] if wanted and importlib.util.find_spec(name) is None]
        if missing:
            found = f"found {value!r}, and the Python package {missing[0].replace('_', '-')} is not there"
            faults.append(Fault(key, found, f"type `{pip()} install 'photo-watcher[{extra}]'`, or {otherwise}"))
    if faults:
        raise ConfigError(source, faults)


def pip() -> str:
    """Return how the pip is called that installs for this Python, which may be none that a shell finds by name."""
    beside = os.path.join(os.path.dirname(sys.executable), "pip")
    return shlex.quote(beside) if os.access(beside, os.X_OK) else f"{shlex.quote(sys.executable)} -m pip"


@contextmanager
def metrics(config: Config, source: str, post: Callable[[StatusQuery], object], log: Log) -> Iterator[None]:
    """Serve metrics while entered, if the config asks for it; raises ConfigError where that can't be done."""
    listen = config.metrics.listen
    if listen is None:
        yield
        return
    from watcher.http.metrics import Server  # noqa: PLC0415  # 60 ms, and not everybody has it

    try:
        server = Server(listen, post, __version__, open_files=open_files())
    except OSError as error:
        raise ConfigError(source, [_refused(listen, error)]) from error
    with server:
        if server.loopback:
            log.info("metrics.listening", address=server.address)
        else:
            text = "whoever reaches this address can read the names of your folders and how many photos they hold"
            log.warning("metrics.listening", address=server.address, text=text)
        yield


def _refused(listen: str, error: OSError) -> Fault:
    why = {
        errno.EADDRINUSE: ("where another program listens already", "write another port, or stop that program"),
        errno.EADDRNOTAVAIL: ("which is no address of this machine", "write 127.0.0.1, or an address that it has"),
        errno.EACCES: ("where this user may not listen", "write a port from 1024 up"),
    }
    if os.environ.get("INVOCATION_ID"):  # of a systemd service
        why[errno.EAFNOSUPPORT] = (
            "and the service's unit was written before that and allows no network",
            "type `watcher service install` again, as you did before: it writes the unit anew",
        )
    found, hint = why.get(error.errno or 0, (f"where nobody can listen ({error})", "write 127.0.0.1 and a port"))
    return Fault("metrics.listen", f"found {listen!r}, {found}", hint)
