"""From the command line and the config file to settings, and from settings to the real parts."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from watcher import paths
from watcher.app import outputs
from watcher.app.overlapping import met_otherwise
from watcher.config import Config, Inbox, for_pair, overlaps, parse, with_lines
from watcher.core.messages import WatchReady
from watcher.core.output_paths import top_folders
from watcher.core.stability import Look
from watcher.core.status import BY_CHOICE
from watcher.core.types import Origin
from watcher.engine.ports import InboxParts, InboxPlan, Post, Settings
from watcher.errors import ConfigError, Fault, StateError, WatcherError, tell_fault
from watcher.fs import mounts
from watcher.store import refuse_other_file
from watcher.text import printable, utf8_bytes

if TYPE_CHECKING:
    from watcher.watch import Supervisor, Watch  # watchdog costs 60 ms, and `status` needs none of it


@dataclass(frozen=True, slots=True)
class Source:
    """Where the settings come from, so that they can be read again."""

    pair: tuple[str, str] | None
    config: str | None  # of --config
    state: str | None  # of --state
    home: str | None = None  # what `~` stands for in the config; None: the home of the user who runs it
    level: Literal["debug", "warning"] | None = None  # of the log, by -v or -q; None: the config's

    def command(self, *words: str) -> str:
        """Return a command on the same inboxes, as a person types it."""
        options = [f"--{name}={value}" for name in ("config", "state") if (value := getattr(self, name))]
        return printable(shlex.join(["watcher", *words, *(self.pair or ()), *options]))

    def read(self, *, require_inbox: bool = True) -> tuple[Config, str]:
        """Read the config; it, and a name for where it came from. Raises ConfigError."""
        config, name = self._read(require_inbox=require_inbox)
        if self.level is not None:
            config = config.model_copy(update={"log": config.log.model_copy(update={"level": self.level})})
        return config, name

    def _read(self, *, require_inbox: bool) -> tuple[Config, str]:
        if self.pair is not None:
            base = None
            if self.config or os.environ.get("WATCHER_CONFIG"):
                base, _ = self._read_file(require_inbox=False)
            inbox, output = map(os.path.abspath, self.pair)
            return for_pair(inbox, output, base), "the command line"
        return self._read_file(require_inbox=require_inbox)

    def _read_file(self, *, require_inbox: bool) -> tuple[Config, str]:
        path = paths.find_config(self.config, os.environ)
        folder, home = os.path.dirname(path), self.home or paths.home_of(path)
        data = paths.read_toml(path)
        read = paths.read_file
        return parse(data, source=path, base=folder, home=home, require_inbox=require_inbox, read=read), path

    def state_path(self, config: Config) -> str:
        """Return where the state file lies; raise StateError where something else lies there."""
        path = self._state_path(config)
        refuse_other_file(path)
        return path

    def _state_path(self, config: Config) -> str:
        if self.state:
            return os.path.abspath(self.state)
        if self.pair is not None and not config.state:
            inbox, output = map(os.fsencode, self.pair)
            return paths.pair_state_path(inbox, output, os.environ)
        file = paths.find_config(self.config, os.environ) if self.pair is None else None
        path = paths.state_path(None, config.state, os.environ, file)
        if not _may_read(path):
            raise StateError(
                f"The state file {path} can't be read by this user: it belongs to the service or to another user."
                f" Ask as that user, or as root: `sudo {shlex.join([paths.command(), *sys.argv[1:]])}`"
            )
        return path


def located(error: ConfigError) -> ConfigError:
    """Return a fault of the config with the lines of its file, if it comes from one that can be read."""
    try:
        if not os.path.isfile(error.source):  # a pipe can't be read again
            return error
        with open(error.source, encoding="utf-8-sig", errors="replace") as file:
            return with_lines(error, file.read(paths.MOST_BYTES))
    except OSError:
        return error


def _may_read(path: str) -> bool:
    folder = os.path.dirname(path)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return os.access(folder, os.X_OK) and (not os.path.exists(path) or os.access(path, os.R_OK))


def resolve(config: Config, source: str, *, make_outputs: bool = True) -> Settings:
    """Turn a config into what exists on this machine: paths resolved, outputs made. Raises ConfigError."""
    trios: list[tuple[bytes, bytes, bytes | None]] = []
    for inbox in config.inboxes:
        resolved = [os.path.realpath(os.fsencode(path)) for path in (inbox.path, inbox.output)]
        originals = os.path.realpath(os.fsencode(inbox.originals)) if inbox.originals else None
        trios.append((resolved[0], resolved[1], originals))
    wanted = [{name: config.recipes[name] for name in inbox.renditions} for inbox in config.inboxes]
    renditions = [[utf8_bytes(folder) for folder in top_folders(each)] for each in wanted]
    faults = overlaps(trios, renditions) or met_otherwise(trios, renditions)
    for number, (path, output, originals) in enumerate(trios):
        key = f"inbox[{number}]"
        if os.path.exists(path) and not os.path.isdir(path):
            faults.append(Fault(f"{key}.path", f"found {os.fsdecode(path)!r}, which is no folder", "name a folder"))
        faults += outputs.faults(f"{key}.output", output)
        if originals is not None and config.inboxes[number].after == "move":
            faults += outputs.faults(f"{key}.originals", originals)
    if faults:
        raise ConfigError(source, faults)
    return Settings(config, tuple(map(partial(_plan, config, make_outputs), config.inboxes, trios)))


def _plan(config: Config, make_outputs: bool, inbox: Inbox, trio: tuple[bytes, bytes, bytes | None]) -> InboxPlan:
    from watcher.fs.traits import Traits, probe  # noqa: PLC0415  # `status` needs none of it
    from watcher.fs.volume import highest_on_device, is_bare  # noqa: PLC0415  # the same

    path, output, originals = trio
    originals = originals if inbox.after == "move" else None
    away, traits = "", None
    wanted = {name: config.recipes[name] for name in inbox.renditions}
    if make_outputs:
        away = outputs.away(output)
        traits = probe(output)
        if originals is not None:
            outputs.away(originals)  # an original that can't be put there stays, and says so
    traits = traits or Traits(folds=make_outputs)  # not known of one that is away
    return InboxPlan(
        inbox=path,
        output=output,
        config=inbox,
        wanted=wanted,
        originals=originals,
        originals_volume=b"" if originals is None else mounts.mount_point(originals),
        volume=b"" if away else highest_on_device(output),
        bare=is_bare(output, top_folders(wanted)),
        folds_case=traits.folds,
        away=away,
        weaker=traits.weaker,
    )


class RealInbox:
    """The watch and the scanner of one inbox; see `watcher.engine.ports.InboxParts`."""

    def __init__(self, plan: InboxPlan, post: Post, hub: Hub) -> None:
        from watcher.scan import Scanner  # noqa: PLC0415  # `status` needs none of this

        config = plan.config
        self._plan = plan
        self._post = post
        self._hub = hub
        self._selection = config.selection
        self._scanner = Scanner(plan.inbox, self._selection, post)
        self._watch = None if hub.supervisor is None or config.watch == "poll" else self._make_watch()
        self._closed = False

    def _make_watch(self) -> Watch | None:
        from watcher.watch import Watch  # noqa: PLC0415  # `once` needs none of this

        return Watch(
            self._plan.inbox,
            recursive=self._plan.config.recursive,
            takes=self._selection.takes,
            enters=self._selection.enters,
            post=self._post,
            silence=self._silence,
        )

    def _silence(self) -> str:
        from watcher.fs.mounts import watch_advice  # noqa: PLC0415  # `once` needs none of this

        if self._plan.config.watch != "auto":
            return ""
        advice, reason = watch_advice(self._plan.inbox, self._selection.enters)
        return reason if advice == "poll" else ""

    def open(self) -> None:
        """Set up the watch on a thread of its own, since a large tree takes a while and a dead mount for ever."""
        threading.Thread(target=self._open, name="open watch", daemon=True).start()

    def _open(self) -> None:
        native, reason = True, ""
        if self._hub.supervisor is None:
            native, reason = False, "`watcher once` looks through it once"
        elif self._watch is None:
            native, reason = False, BY_CHOICE
        else:
            try:
                self._watch.start()
            except WatcherError as error:
                native, reason = False, str(error)
            except Exception as error:  # noqa: BLE001  # whatever it is, the inbox is to be looked through
                tell_fault(error)
                native, reason = False, f"a fault of the program: {error!r}"
            if not self._closed:
                self._hub.supervisor.add(self._watch)
        self._post(WatchReady(self._plan.inbox, native, reason))

    def scan(self, number: int, origin: Origin, folder: bytes = b"") -> bool:
        """Scan the inbox, or a folder of it."""
        return self._scanner.request(number, origin, folder)

    def examine(self, paths: Sequence[bytes], folders: Sequence[bytes]) -> None:
        """Check whether known photos and folders still exist."""
        self._scanner.examine(paths, folders)

    def look(self, looks: Sequence[Look]) -> None:
        """Check photos that wait until they change."""
        self._scanner.look(looks)

    def ack(self) -> None:
        """Let the scanner go on."""
        self._scanner.ack()

    def digested(self, events: int) -> None:
        """Let the watch post more events."""
        if self._watch is not None:
            self._watch.digested(events)

    def close(self) -> None:
        """End both."""
        self._closed = True
        self._scanner.close()
        if self._watch is not None and self._hub.supervisor is not None:
            self._hub.supervisor.remove(self._watch)
            self._watch.close()


class Hub:
    """What the inboxes of one daemon share."""

    def __init__(self, *, watching: bool) -> None:
        # all that an inbox may need which comes by a reload: `pip install -U` may have replaced the files by then
        from watcher import scan  # noqa: F401, PLC0415  # `status` needs none of this
        from watcher.core import selection as select  # noqa: F401, PLC0415  # `status` needs none of this
        from watcher.fs import mounts  # noqa: F401, PLC0415  # `status` needs none of this

        self.supervisor: Supervisor | None = None
        if watching:
            from watcher.watch import Supervisor  # noqa: PLC0415  # `once` needs none

            self.supervisor = Supervisor()

    def open(self, plan: InboxPlan, post: Post) -> InboxParts:
        """Make the parts of one inbox."""
        return RealInbox(plan, post, self)

    def watch_fault(self) -> str:
        """Return why the watches can't do their work in this process any more; empty: they can."""
        return "" if self.supervisor is None else self.supervisor.fault()

    def close(self) -> None:
        """End what they share."""
        if self.supervisor is not None:
            self.supervisor.close()
