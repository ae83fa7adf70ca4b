"""The service's part of `check`, and that of what is served: does the installed unit fit the config, who has access."""

from __future__ import annotations

import os
import plistlib
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPException
from typing import Literal
from urllib.parse import urlsplit

from watcher import paths
from watcher.app.service import UNIT_USER, describe, sudo, text_of
from watcher.app.settings import Source
from watcher.config import Config
from watcher.errors import ConfigError, PlaceError
from watcher.service import permissions
from watcher.service.process import holder

Point = tuple[Literal["ok", "warning", "fault"], str, str]
_SECONDS = 3.0  # to wait for an answer
_PATHS = {"page": "", "metrics": "metrics"}  # below the address
_SHOWN = 3  # lines of a unit that are named


def look_at_services(config: Config, name: str) -> Iterator[Point]:
    """Compare the installed services that work by this config with what would be written now."""
    for system in (False, True):
        with suppress(PlaceError):  # without a home this user has none
            path = paths.service_file(system=system)
            record = paths.service_record(path)
            if record is None or os.path.realpath(record.config) != os.path.realpath(name):
                continue
            who = permissions.account(record.user)
            if who is None:
                yield "fault", "service", f"{path} names the user {record.user}, and there is none"
                continue
            default = config.state or os.path.join(paths.service_state_folder(system=system), "state.db")
            state = None if record.state == default else record.state
            wanted = text_of(describe(Source(None, name, state, who.home), who, system=system), system=system)
            again = f"{sudo() if system else ''}{shlex.quote(paths.command())} service install{naming(name)}"
            again += f" --as {who.name}" if system and who.name != UNIT_USER else ""
            again += f" --state {shlex.quote(state)}" if state else ""
            with open(path, encoding="utf-8", errors="replace") as file:
                yield compared(path, file.read(), wanted, again)


def naming(config: str) -> str:
    """Return the option that a command needs to work by this config; empty: it finds it by itself."""
    try:
        found = paths.find_config(None, os.environ)
    except ConfigError:
        found = ""
    return "" if os.path.realpath(found) == os.path.realpath(config) else f" --config {shlex.quote(config)}"


def compared(path: str, there: str, wanted: str, again: str) -> Point:
    """Return whether the unit or plist that is there is what is wanted; `again`: what to type if not."""
    lacks = [line for line in _counting(wanted) if line not in _counting(there)]
    more = [line for line in _counting(there) if line not in _counting(wanted)]
    if not lacks + more:
        return "ok", "service", f"{path} fits this config"
    named = [f"lacks `{line}`" for line in lacks] + [f"has `{line}`" for line in more]
    said = ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")
    return "warning", "service", f"{path} is older than this config or this version: it {said}; type `{again}`"


def _counting(text: str) -> list[str]:
    """List the settings of a unit or plist that a config decides: not which Python it was installed by."""
    if text.startswith("<?xml"):
        found = plistlib.loads(text.encode())
        return [f"{key} = {found[key]}" for key in found if key not in {"ProgramArguments", "EnvironmentVariables"}]
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith(("#", "Environment="))]
    return [re.sub(r"^(Exec\w+)=\S*watcher ", r"\1=watcher ", line) for line in lines]


def look_at_http(config: Config, name: str, state: str) -> Iterator[Point]:
    """Find out who can open the page and the metrics: by asking the running daemon, or by trying to listen there."""
    from watcher.http import Address, listen  # noqa: PLC0415  # only where something is served

    web, metrics = config.web.listen, config.metrics.listen
    served = [("page", "web.listen", web), ("metrics", "metrics.listen", metrics if metrics != web else None)]
    runs = holder(state) is not None
    with ExitStack() as stack:
        for what, key, address in served:
            if address is None:
                continue
            host, _, port = address.rpartition(":")
            who = _reach(host.strip("[]"), port, what)
            if not runs:
                try:
                    found = listen(address, name, key)
                except ConfigError as error:
                    yield "fault", what, "; ".join(str(fault) for fault in error.faults)
                    continue
                stack.callback(found.close)  # until the other one has been tried, too
                yield "ok", what, f"{found.url}{_PATHS[what]} is served while `watcher run` runs; {who}"
            elif port != "0":  # else any that was free: its log says which
                yield _asked(what, Address((), host, int(port), loopback=False).url, who)


def _asked(what: str, url: str, who: str) -> Point:
    if _answers(url, what):
        return "ok", what, f"{url}{_PATHS[what]} answers; {who}"
    table = {"page": "web"}.get(what, what)
    restart = f"{sudo()}systemctl restart watcher" if os.geteuid() == 0 else "systemctl --user restart watcher"
    text = f"the running daemon does not answer at {url}: has it been started again since `[{table}]` was set?"
    return "warning", what, f"{text} If it is a service: `{restart}`"


def _reach(host: str, port: str, what: str) -> str:
    if host in {"localhost", "::1"} or host.startswith("127."):
        return f'this machine alone can open it; for others write `listen = "0.0.0.0:{port}"`'
    wall = ""
    with suppress(OSError), open("/etc/ufw/ufw.conf", encoding="utf-8", errors="replace") as file:
        if re.search(r"(?mi)^ENABLED=yes", file.read()):
            wall = f"; this machine has a firewall, which may keep them out: `sudo ufw allow {port}/tcp`"
    token = " with its token (`watcher web token`)" if what == "page" else ""
    return f"other machines can open it{token}{wall}"


def _answers(url: str, what: str) -> bool:
    """Return whether it is the page, or the metrics, that is there."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=_SECONDS)
    try:
        connection.request("GET", f"/{_PATHS[what]}")
        return (b"<title>watcher" if what == "page" else b"watcher_") in connection.getresponse().read()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
