"""launchd's property list for the daemon, with the reasons as comments.

launchd has no notification that the daemon is ready, no reload and no watchdog: SIGHUP is sent by hand, and the daemon
runs its own watchdog there. launchd waits 10 s between two starts.
"""

from __future__ import annotations

import math
import plistlib
from typing import Any

from watcher.service.definition import LABEL, Record, Service

_MARGIN_SECONDS = 30  # between the end of the slowest photo and the timeout of launchd
_REASONS = {
    "KeepAlive": "started again whenever it ends by a fault; asked to stop, it stays away",
    "ProcessType": "interactive programs come first",
    "ExitTimeOut": "what is in the workers may take `retry.timeout_seconds` of the config, then it is cut off",
    "StandardErrorPath": "launchd keeps no journal",
    "PhotoWatcher": "for watcher itself: what this was made for",
}


def plist(service: Service, *, system: bool) -> bytes:
    """Return the property list of an agent (a user's), or of a daemon (the system's)."""
    record = service.record
    content: dict[str, Any] = {
        "Label": LABEL,
        "ProgramArguments": list(service.command),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "ExitTimeOut": math.ceil(service.drain_seconds) + _MARGIN_SECONDS,
        "StandardOutPath": service.log,
        "StandardErrorPath": service.log,
        "Umask": 0o022,
        "PhotoWatcher": {"Config": record.config, "State": record.state, "User": record.user},
    }
    if service.environment:
        content["EnvironmentVariables"] = dict(service.environment)
    if system:
        content["UserName"] = record.user
    text = plistlib.dumps(content, sort_keys=False).decode()
    for key, reason in _REASONS.items():
        text = text.replace(f"\t<key>{key}</key>", f"\t<!-- {reason} -->\n\t<key>{key}</key>", 1)
    return text.encode()


def read_plist(text: bytes) -> Record | None:
    """Return what a property list was made for; None: it is not ours."""
    try:
        ours = plistlib.loads(text)["PhotoWatcher"]
        return Record(str(ours["Config"]), str(ours["State"]), str(ours["User"]))
    except Exception:  # noqa: BLE001  # for arbitrary file content, plistlib raises expat's errors and others
        return None
