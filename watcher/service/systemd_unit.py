"""systemd units, for version 252 (Debian 12) and newer; each line that is not obvious is explained in the unit.

Because of 252 it is not `Type=notify-reload` (253), there is no `RestartSteps=` (254), and the user unit has no
`StateDirectory=`, which meant a folder beside the user's configs until 254.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

from watcher.service.definition import Record, Service, outermost, within

_MARGIN_SECONDS = 30  # between the end of the slowest photo and the timeout of systemd
_HOMES = ("/home", "/root", "/run/user")

_HEAD = """\
# Resized copies of photos dropped into a folder. Written by `watcher service install` for the config named below:
# run that again when folders, `[web]`, `[metrics]` or hooks change in it. For changes of your own use
# `{edit}`; what stands there is kept.

[Unit]
Description=Resized copies of photos dropped into a folder
Documentation=man:watcher(1)
"""
_MOUNTS = """\
# the disks that photos come from and go to are mounted first
RequiresMountsFor={paths}
"""
_RUN = """
[Service]
# it says when it watches, so that what is started after it can drop photos at once, and how it is meanwhile
Type=notify
# the main process alone speaks for the service, not its workers
NotifyAccess=main
ExecStart={command}
{environment}\
# SIGHUP: read the config again; a wrong one is refused, and work goes on by the old one
ExecReload=kill -HUP $MAINPID
# this makes `systemctl reload` fail with a wrong config
ExecReload={check}
# a million photos take a while until all of their folders are watched
TimeoutStartSec=10min

# SIGTERM goes to the main process alone, so that its workers finish what they have begun; what is left then is killed
KillMode=mixed
# what is in the workers may take `retry.timeout_seconds` of the config; then it is cut off, and done again next time
TimeoutStopSec={stop}
# no sign of life for so long means that it hangs: it is ended and started anew
WatchdogSec=60
# a worker that the kernel kills for its memory costs one photo, not the service
OOMPolicy=continue
# whatever else ends it: go on, soon, and however often; nothing is lost or made twice by that
Restart=on-failure
RestartSec=5
# 78: the config is wrong; 75: another instance has the state file. A restart would change neither
RestartPreventExitStatus=78 75
# a crash, or the watchdog, leaves a traceback of every thread in the journal
Environment=PYTHONFAULTHANDLER=1

# interactive programs come first
Nice={nice}
IOSchedulingClass=best-effort
IOSchedulingPriority=7
"""
_CONFINED = """
# no way to gain privileges
NoNewPrivileges=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RestrictRealtime=yes
# no memory that is both writable and executable: what an exploit in a photo would need
MemoryDenyWriteExecute=yes
# the system calls of ordinary services, without those for administrators; one that is refused fails and does not kill
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @keyring @obsolete
SystemCallErrorNumber=EPERM
"""
_SYSTEM = """
User={user}
# state.db, which remembers what is done, in /var/lib/watcher; only this user reads it
StateDirectory=watcher
StateDirectoryMode=0750
# renditions are for others to see, so they get the usual rights
UMask=0022
# no core dumps: they would hold people's photos
LimitCORE=0
"""
_SANDBOX = """\
# no capabilities of root
CapabilityBoundingSet=
AmbientCapabilities=
{system}\
{home}\
{tmp}\
PrivateDevices=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
# other users' processes are not seen; /proc itself is, since inotify's limits and the memory's size are read there
ProtectProc=invisible
RestrictNamespaces=yes
{network}"""
_STRICT = """\
# the whole system can be read and not written, but for the folders named here and those of the service's own
ProtectSystem=strict
"""
_ONLY_SYSTEM = """\
# what is the system's can be read and not written. An output lies on a disk of its own: named here, the service would
# hold on to that after it is unmounted, and not see it when it is mounted again
ProtectSystem=full
"""
_NO_NETWORK = """\
# no network: AF_UNIX is for systemd and its own workers
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
"""
_LOOPBACK = """\
# it serves `[web]` or `[metrics]`, or has hooks, for this machine alone
IPAddressDeny=any
IPAddressAllow=localhost
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
"""
_NETWORK = """\
# it serves `[web]` or `[metrics]`, has its photos made, or has hooks, beyond this machine: the config asks for it
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
"""
_TAIL = """
[Install]
WantedBy={target}

# for watcher itself; systemd passes over sections whose names begin with X-
[X-Watcher]
Config={config}
State={state}
User={user}
"""


def system_unit(service: Service) -> str:
    """Return the text of the unit for a service of the whole system."""
    return "".join(
        [
            _HEAD.format(edit="systemctl edit watcher"),
            _mounts(service),
            _run(service),
            _SYSTEM.format(user=service.record.user),
            _sandbox(service),
            _CONFINED,
            _tail(service, "multi-user.target"),
        ]
    )


def user_unit(service: Service) -> str:
    """Return the text of the unit for a user's own service: without the sandbox, which only root can set up."""
    return "".join(
        [
            _HEAD.format(edit="systemctl --user edit watcher"),
            _mounts(service),
            _run(service),
            _CONFINED,
            _tail(service, "default.target"),
        ]
    )


def read_unit(text: str) -> Record | None:
    """Return what a unit was made for; None: it is not ours."""
    _, mark, ours = text.partition("\n[X-Watcher]\n")
    values = dict(line.split("=", 1) for line in ours.splitlines() if "=" in line)
    try:
        return Record(*(str(json.loads(values[key])) for key in ("Config", "State", "User"))) if mark else None
    except (KeyError, ValueError):
        return None


def _mounts(service: Service) -> str:
    paths = sorted({*service.reads, *service.writes, *filter(None, [service.state_folder])})
    return _MOUNTS.format(paths=_words(paths))


def _run(service: Service) -> str:
    environment = "".join(f"Environment={_word(f'{name}={value}')}\n" for name, value in service.environment)
    program, *words = service.command
    check = (program, "check", "--for-reload", *words[1:])
    return _RUN.format(
        command=_command(service.command),
        check=_command(check),
        environment=environment,
        nice=service.nice,
        stop=math.ceil(service.drain_seconds) + _MARGIN_SECONDS,
    )


def _sandbox(service: Service) -> str:
    writes = outermost([*service.writes, *filter(None, [service.state_folder])])
    named = [path for path in writes if path not in service.mounted]
    system = _ONLY_SYSTEM if service.mounted else _STRICT
    if named:
        system += f"ReadWritePaths={_words(named)}\n"
    inside = [path for path in service.reads if any(within(path, folder) for folder in named)]
    if inside:
        system += f"ReadOnlyPaths={_words(inside)}\n"
    if any(within(path, folder) for path in service.mounted for folder in _HOMES):
        home = "# a disk is mounted in a home folder, see above\nProtectHome=no\n"
    elif service.needs(*_HOMES):
        home = "# what it needs lies in a home folder\nProtectHome=read-only\n"
    else:
        home = "ProtectHome=yes\n"
    if service.needs("/tmp", "/var/tmp"):  # noqa: S108  # only checked, not written to
        tmp = "# what it needs lies in /tmp, where its workers' socket is too\nReadWritePaths=/tmp\n"
    else:
        tmp = "PrivateTmp=yes\n"
    served = _NETWORK if service.beyond_loopback else _LOOPBACK
    network = served if service.listens else _NO_NETWORK
    return _SANDBOX.format(system=system, home=home, tmp=tmp, network=network)


def _tail(service: Service, target: str) -> str:
    record = service.record
    texts = (json.dumps(text, ensure_ascii=False) for text in (record.config, record.state, record.user))
    return _TAIL.format(target=target, **dict(zip(("config", "state", "user"), texts, strict=True)))


def _command(words: Iterable[str]) -> str:
    return " ".join(_word(word).replace("$", "$$") for word in words)


def _words(words: Iterable[str]) -> str:
    return " ".join(map(_word, words))


def _word(word: str) -> str:
    """Quote a word for a unit file: there, `%` begins a specifier, and a backslash begins an escape."""
    word = word.replace("%", "%%")
    if word and not any(sign in " \t\"'\\;" for sign in word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
