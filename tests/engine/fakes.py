"""A world for the loop to live in: a clock that stands still, folders and workers that tests move by hand.

The state file is a real one, since it is quick; the rest keeps the promises of `watcher.engine.ports`, of the pool
and of the scanner. Nothing sleeps: `World.wait` moves the clock from deadline to deadline, and fails where the loop
would not sleep although nothing is left for it to do.
"""

from __future__ import annotations

import json
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from watcher.config import Hook, parse
from watcher.core.layout import OldOutput, sized
from watcher.core.messages import (
    Entry,
    FolderSeen,
    Gone,
    HookAnswered,
    Listing,
    Looked,
    OutputsRemoved,
    Pruned,
    PutBack,
    Reload,
    ScanDone,
    Seen,
    Stop,
    TakenAway,
    WatchReady,
    WorkerReport,
)
from watcher.core.observer import BatchDone, PhotoDone, PhotoFailed
from watcher.core.orphans import Orphan
from watcher.core.records import Phase, PhotoRecord
from watcher.core.selection import name_of_hidden
from watcher.core.stability import FAILING_SECONDS, Look
from watcher.core.status import ExecutorStatus, InboxStatus
from watcher.core.task import IN_BATCH, Lane, State
from watcher.core.tracker import Tracker
from watcher.core.types import (
    Done,
    DuplicateCandidate,
    Failed,
    FailureKind,
    FileSignature,
    Job,
    Made,
    Origin,
    Outcome,
    PhotoId,
    Rendering,
    Result,
    ReusableRendition,
    Unchanged,
    Unready,
    Vanished,
)
from watcher.engine.build import Dependencies
from watcher.engine.inbox import InboxState
from watcher.engine.jobs import Limits
from watcher.engine.loop import Daemon
from watcher.engine.ports import InboxParts, InboxPlan, Message, Original, Post, Reloaded, Settings
from watcher.store import Store

IN, OUT = b"/in", b"/out"
SPINS = 200  # turns at one moment: more is a loop that does not sleep


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall

    def move_to(self, now: float) -> None:
        self.wall += now - self.now
        self.now = now


class ListLog:
    """Keeps every line."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    debug = info = warning = error = __call__

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.lines if name == event]


class FakePool:
    """Takes jobs, and hands them back when the test says what became of them; twice as many as workers at a time."""

    def __init__(self, post: Callable[[WorkerReport], None], workers: int = 2) -> None:
        self.slots = 2 * workers
        self.most = 1  # jobs that are taken together
        self.jobs: dict[int, Job] = {}  # in flight, in the order of submission
        self.submitted: list[Job] = []
        self.bundles: list[tuple[Job, ...]] = []
        self.closed = False
        self.losses = 0
        self.liveness_seconds = 300.0
        self.unavailable_reason = ""
        self.gave_up = False
        self.told: ExecutorStatus | None = None  # of the workers, for `status`
        self._post = post
        self._ready: list[Result] = []

    @property
    def free(self) -> int:
        return self.slots - sum(any(job.number in self.jobs for job in b if not job.alone) for b in self.bundles)

    def info(self) -> ExecutorStatus | None:
        return self.told

    def bundle_size(self, waiting: int) -> int:
        return max(1, min(self.most, waiting))

    def submit(self, *jobs: Job) -> None:
        assert not self.closed
        assert jobs[0].alone or self.free > 0, "more jobs than the pool takes"
        exchanged = all(job.photo in {duplicate.photo for duplicate in one.duplicates} for one, job in pairwise(jobs))
        assert len(jobs) <= self.most or exchanged, "more jobs than the pool takes together"
        self.bundles.append(jobs)
        for job in jobs:
            assert job.photo not in {other.photo for other in self.jobs.values()}, "a photo in two workers"
            self.jobs[job.number] = job
            self.submitted.append(job)

    def finish(self, job: Job, outcome: Outcome | None, *log: tuple[str, str], host: str = "") -> None:
        del self.jobs[job.number]
        self._ready.append(Result(job, outcome, log, host=host))
        self._post(WorkerReport(job.number, 1))

    def take(self, report: WorkerReport) -> list[Result]:
        assert report.generation == 1
        ready = [result for result in self._ready if result.job.number == report.number]
        self._ready = [result for result in self._ready if result.job.number != report.number]
        return ready

    def deadline(self) -> float | None:
        return None

    def check(self, now: float) -> list[Result]:
        assert now > 0
        return []

    def close(self, *, wait: bool) -> list[Job]:
        assert not wait
        self.closed = True
        return list(self.jobs.values())


@dataclass(frozen=True)
class File:
    """A file in an inbox; `kind` decides what a worker finds: good, truncated, bad, crash, passing or heavy."""

    stamp: FileSignature
    kind: str = "good"
    content: str = ""  # what a digest would tell
    changed_ns: int = 0  # ctime
    width: int = 10  # pixels

    @property
    def digest(self) -> bytes:
        return self.content.encode()


class FakeInbox:
    """The watch and the scanner of one inbox: requests are answered when the test says so."""

    def __init__(self, world: World, plan: InboxPlan) -> None:
        self.world = world
        self.inbox = plan.inbox
        self.opened = False
        self.closed = False
        self.requests: deque[tuple[int, Origin, bytes]] = deque()
        self.doubtful: list[tuple[bytes, bool]] = []
        self.looked = 0  # photos that waited until they change
        self.scans: list[tuple[int, Origin, bytes]] = []  # all that were ever asked for
        self.posted = 0  # listings
        self.acks = 0
        self.events = 0  # that were posted
        self.digests = 0

    def open(self) -> None:
        self.opened = True

    def scan(self, number: int, origin: Origin, folder: bytes = b"") -> bool:
        assert not self.closed
        self.scans.append((number, origin, folder))
        if any(covering in {b"", folder} for _, _, covering in self.requests):
            return False
        if not folder:
            self.requests.clear()
        self.requests.append((number, origin, folder))
        return True

    def examine(self, paths: Sequence[bytes], folders: Sequence[bytes]) -> None:
        self.doubtful += [(path, False) for path in paths]
        self.doubtful += [(folder, True) for folder in folders]

    def look(self, looks: Sequence[Look]) -> None:
        self.looked += len(looks)
        seen = {look: self.world.files.get(PhotoId(self.inbox, look.path)) for look in looks}
        changed = ((look.path, file.stamp) for look, file in seen.items() if file and not look.is_same(file.stamp, 0))
        self.world.messages.put(Looked(self.inbox, tuple(changed)))

    def ack(self) -> None:
        self.acks += 1

    def digested(self, events: int) -> None:
        self.digests += events

    def close(self) -> None:
        self.closed = True

    def answer(self) -> Iterator[Message]:
        """Do what was asked for, as far as messages tell."""
        here = {photo.path: file for photo, file in self.world.files.items() if photo.inbox == self.inbox}
        doubtful, self.doubtful = self.doubtful, []
        if self.world.reachable:
            paths = tuple(path for path, is_folder in doubtful if not is_folder and path not in here)
            gone = [
                folder
                for folder, is_folder in doubtful
                if is_folder and not any(path.startswith(folder + b"/") for path in here)
            ]
            if paths or gone:
                yield Gone(self.inbox, paths, tuple(gone), self.world.root)
        if not self.requests:
            return
        number, origin, folder = self.requests.popleft()
        if not self.world.reachable:
            yield ScanDone(self.inbox, number, origin, folder, 0, 0, 0.1, complete=False, reason="not there")
            return
        folders: dict[bytes, list[Entry]] = {folder: []}
        for path, file in here.items():
            if not folder or path.startswith(folder + b"/"):
                entry = Entry(path.rpartition(b"/")[2], file.stamp, file.changed_ns)
                folders.setdefault(path.rpartition(b"/")[0], []).append(entry)
        for name, found in folders.items():
            self.posted += 1
            hidden = tuple(entry.name for entry in found if name_of_hidden(entry.name))
            entries = tuple(entry for entry in found if entry.name not in hidden)
            yield Listing(self.inbox, number, name, entries, last=True, hidden=hidden)
        photos = sum(map(len, folders.values()))
        yield ScanDone(
            self.inbox,
            number,
            origin,
            folder,
            photos,
            len(folders),
            0.1,
            complete=not self.world.half,
            reason=self.world.half,
            root=self.world.root,
            left_alone=self.world.left_alone,
        )


class FakeManager:
    """Notes what it is told."""

    reads_status = True

    def __init__(self, alive_seconds: float | None) -> None:
        self.alive_seconds = alive_seconds
        self.said: list[str] = []  # without signs of life and status lines
        self.statuses: list[str] = []
        self.lives = 0

    def ready(self) -> None:
        self.said.append("ready")

    def status(self, text: str) -> None:
        assert text not in self.statuses[-1:], "told twice"
        self.statuses.append(text)

    def reloading(self) -> None:
        self.said.append("reloading")

    def stopping(self) -> None:
        self.said.append("stopping")

    def extend(self, seconds: float) -> None:
        self.said.append(f"extend {seconds:g}")

    def alive(self) -> None:
        self.lives += 1


class ListObserver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[PhotoDone | PhotoFailed | BatchDone] = []
        self.photo_done = self.photo_failed = self.batch_done = self.told.append


class World:
    """One daemon, its inboxes and its workers, over any number of restarts."""

    def __init__(
        self,
        state_path: str,
        *,
        once: bool = False,
        memory: int = 0,
        workers: int = 2,
        alive_seconds: float | None = None,
    ) -> None:
        self.clock = Clock()
        self.log = ListLog()
        self.observer = ListObserver()
        self.files: dict[PhotoId, File] = {}
        self.outputs: dict[
            bytes, tuple[FileSignature, str]
        ] = {}  # path in the output tree → of which photo, which recipe
        self.worked: list[tuple[PhotoId, FileSignature]] = []  # every time that a worker decoded something
        self.made_of: dict[bytes, str] = {}  # path in the output tree → of which content
        self.leaving: list[Original] = []  # that are to be taken away
        self.hidden: list[PhotoId] = []  # that are to have their names again
        self.left_alone: tuple[tuple[str, int], ...] = ()  # what a scan finds that is no photo
        self.volume = b"/disk"  # that originals are on
        self.originals: dict[bytes, File] = {}  # that were
        self.stuck = ""  # why none can be
        self.file_tasks: list[
            tuple[int, tuple[ReusableRendition, ...], int]
        ] = []  # removals that were asked for and wait
        self.prunings: list[tuple[int, Orphan]] = []  # that were asked for and wait
        self.width = 10  # pixels, of photos that come
        self.cut_off = False  # workers die when all is in its place, before they remove what that has replaced
        self.full: FailureKind | None = None  # the outputs can't be written: DISK_FULL or OUTPUT
        self.reachable = True
        self.half = ""  # why a scan of the whole inbox can't read all of it
        self.root = (1, 1)
        self.raw: dict[str, Any] = {"rendition": {"web": {"width": 100}}, "inbox": [{"path": "/in", "output": "/out"}]}
        self.once = once
        self.memory = memory
        self.workers = workers
        self.reloads = 0
        self.cleanups: list[list[bytes]] = []
        self._state_path = state_path
        self._alive_seconds = alive_seconds
        self.watch_fault = ""
        self._inode = 0
        self.store = Store.open(state_path)
        self._build()

    def _build(self) -> None:
        self.delivering: list[tuple[int, int, dict[str, Any]]] = []  # hook, entry of the outbox, document
        self.messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.pool = FakePool(self.messages.put, self.workers)
        self.manager = FakeManager(self._alive_seconds)
        self.inboxes: dict[bytes, FakeInbox] = {}
        self.store._db.execute("PRAGMA busy_timeout = 0")
        settings = self.settings()
        config = settings.config
        outside = Dependencies(
            store=self.store,
            pool=self.pool,
            limits=Limits(
                attempts=config.retry.attempts,
                max_pixels=10**9,
                quiet_seconds=config.batch.quiet_seconds,
                open_seconds=config.batch.max_wait_seconds,
                memory_bytes=self.memory,
                share_bytes=self.memory // self.workers,
                once=self.once,
            ),
            messages=self.messages,
            open_inbox=self._open_inbox,
            reload=self._reload,
            clean_up=self._clean_up,
            manager=self.manager,
            watch_fault=lambda: self.watch_fault,
            observers=[self.observer],
            file_tasks=self,
            hook_runner=self,
            clock=self.clock,
            log=self.log,
        )
        self.daemon = Daemon(settings, outside, once=self.once)

    def settings(self) -> Settings:
        config = parse(self.raw, source="test", base="/", home="/home")
        plans = tuple(
            InboxPlan(
                inbox=inbox.path.encode(),
                output=inbox.output.encode(),
                config=inbox,
                wanted={name: config.recipes[name] for name in inbox.renditions},
                originals=inbox.originals.encode() if inbox.originals and inbox.after == "move" else None,
            )
            for inbox in config.inboxes
        )
        return Settings(config, plans)

    def _open_inbox(self, plan: InboxPlan, post: Post) -> InboxParts:
        assert post == self.messages.put
        self.inboxes[plan.inbox] = FakeInbox(self, plan)
        return self.inboxes[plan.inbox]

    def deliver(self, hook: int, settings: Hook, number: int) -> None:
        """Take a document for a hook; `told` says what became of it."""
        assert all(busy != hook for busy, _, _ in self.delivering), "two documents for one hook at a time"
        document = self.store.outbox.document(number)
        assert document is not None
        self.delivering.append((hook, number, json.loads(document)))
        assert settings in self.daemon.settings.config.hooks

    def told(self, error: str = "") -> dict[str, Any]:
        """Say what became of the document that was taken first; return that."""
        hook, number, document = self.delivering.pop(0)
        self.tell(HookAnswered(hook, number, error))
        return document

    def _reload(self) -> None:
        self.reloads += 1

    def _clean_up(self, outputs: Iterable[bytes]) -> bool:
        self.cleanups.append(sorted(outputs))
        return True

    # ---- what happens to the daemon ----

    def start(self, *, native: bool = True) -> World:
        """Start, and answer the watch and the first scan."""
        self.daemon.start()
        for inbox in list(self.inboxes):
            self.tell(WatchReady(inbox, native, "" if native else "because"))
        self.scan()
        return self

    def tell(self, *messages: Message) -> None:
        """Let the loop digest messages, all in one turn."""
        for message in messages[1:]:
            self.messages.put(message)
        self.daemon.turn(messages[0])
        self.rest()

    def rest(self) -> None:
        """Do what is due now."""
        for _ in range(SPINS):
            deadline = self.daemon.deadline()
            if self.messages.empty() and (deadline is None or deadline > self.clock.now):
                return
            try:
                message: Message | None = self.messages.get_nowait()
            except queue.Empty:
                message = None
            self.daemon.turn(message)
        raise AssertionError(f"the loop does not sleep: deadline {deadline}, now {self.clock.now}")

    def wait(self, seconds: float) -> None:
        """Let time pass, and the loop do what is due at each moment."""
        until = self.clock.now + seconds
        self.rest()
        while (deadline := self.daemon.deadline()) is not None and deadline <= until:
            self.clock.move_to(deadline)
            self.rest()
        self.clock.move_to(until)

    def scan(self) -> None:
        """Let every scanner answer all that it was asked."""
        for _ in range(SPINS):
            asked = [inbox for inbox in self.inboxes.values() if not inbox.closed]
            messages = [message for inbox in asked for message in inbox.answer()]
            if not messages:
                return
            for message in messages:
                self.tell(message)
        raise AssertionError("scans follow each other without end")

    def stop(self) -> None:
        """Stop in good order, what is in the workers finished."""
        self.tell(Stop("SIGTERM"))
        while self.pool.jobs:
            self.work()
        assert self.daemon.finished()
        self.daemon.finish()
        self.store.close()

    def restart(self, *, kill: bool = False) -> None:
        """End the daemon, by SIGKILL or in good order, and start it again over the same state file."""
        if kill:
            self.store.close()
        else:
            self.stop()
        self.clock.move_to(self.clock.now + 1.0)
        self.store = Store.open(self._state_path)
        self._build()

    def close(self) -> None:
        """Let go of the state file."""
        self.store.close()

    def reload(self) -> None:
        """Have the config read again."""
        self.tell(Reload())
        self.tell(Reloaded(self.settings()))
        for inbox, parts in list(self.inboxes.items()):
            if not parts.closed:
                self.tell(WatchReady(inbox, native=True, reason=""))

    # ---- what happens in the inbox ----

    def put(
        self, path: str | bytes, kind: str = "good", *, inbox: bytes = IN, size: int = 0, content: str = ""
    ) -> PhotoId:
        """Write a file, of which no event tells; what has another content has another size, unless told otherwise."""
        photo = PhotoId(inbox, path.encode() if isinstance(path, str) else path)
        self._inode += 1
        # Some time ago, so that it counts as settled; a different time for each, so that each is a change.
        mtime_ns = int(self.clock.wall) * 10**9 - 20 * 10**9 + self._inode
        size = size or (sum(content.encode()) if content else 100_000 + self._inode)
        stamp = FileSignature(size, mtime_ns, self._inode)
        self.files[photo] = File(stamp, kind, content or f"#{self._inode}", width=self.width)
        return photo

    def drop(
        self,
        path: str | bytes,
        kind: str = "good",
        *,
        complete: bool = True,
        inbox: bytes = IN,
        size: int = 0,
        content: str = "",
    ) -> PhotoId:
        """Write a file, and let the kernel tell."""
        photo = self.put(path, kind, inbox=inbox, size=size, content=content)
        self.event(Seen(inbox, photo.path, complete, self.files[photo].stamp))
        return photo

    def move(self, path: str, to: str, *, told: bool = True) -> PhotoId:
        """Rename a file; `told`: the kernel tells."""
        source, target = PhotoId(IN, path.encode()), PhotoId(IN, to.encode())
        self.files[target] = self.files.pop(source)
        if told:
            self.inboxes[IN].events += 2
            self.tell(Seen(IN, target.path, True, self.files[target].stamp), Gone(IN, (source.path,)))
        return target

    def exchange(self, one: str, other: str, *, told: bool = True) -> None:
        """Exchange two names in one step."""
        first, second = PhotoId(IN, one.encode()), PhotoId(IN, other.encode())
        self.files[first], self.files[second] = self.files[second], self.files[first]
        if told:
            for to, source in ((second, first), (first, second)):
                self.event(Seen(IN, to.path, True, self.files[to].stamp))
                self.event(Seen(IN, source.path, False, self.files[source].stamp, touched=True))

    def move_folder(self, folder: str, to: str, *, told: bool = True) -> None:
        """Rename a folder; `told`: the kernel tells."""
        prefix = folder.encode() + b"/"
        for photo in [photo for photo in self.files if photo.path.startswith(prefix)]:
            self.files[PhotoId(IN, to.encode() + b"/" + photo.path[len(prefix) :])] = self.files.pop(photo)
        if told:
            self.event(FolderSeen(IN, to.encode()))
            self.event(Gone(IN, folders=(folder.encode(),)))

    def event(self, event: Seen | FolderSeen | Gone) -> None:
        self.inboxes[event.inbox].events += 1
        self.tell(event)

    # ---- what happens in the workers ----

    def job(self, path: str | bytes = "", *, inbox: bytes = IN) -> Job:
        """Give the job that is in flight for a photo; without a path: the only one."""
        if not path:
            (job,) = self.pool.jobs.values()
            return job
        photo = PhotoId(inbox, path.encode() if isinstance(path, str) else path)
        (job,) = (job for job in self.pool.jobs.values() if job.photo == photo)
        return job

    def flying(self) -> list[str]:
        return [job.photo.path.decode() for job in self.pool.jobs.values()]

    def end(self, outcome: Outcome | None, path: str | bytes = "") -> None:
        """Say what became of a job."""
        self.pool.finish(self.job(path), outcome)
        self.rest()

    def work(self, path: str | bytes = "") -> None:
        """Let a worker do what it would: on one photo, or on all that are in flight now."""
        if path:
            self.pool.finish(self.job(path), self.outcome(self.job(path)))
        else:
            for bundle in list(self.pool.bundles):
                self.work_bundle(bundle)
        self.rest()

    def work_bundle(self, bundle: Sequence[Job]) -> None:
        """Let a worker do what it would on photos that it has together, as far as they have not come back."""
        jobs = [job for job in bundle if job.number in self.pool.jobs]
        for job, outcome in zip(jobs, self.outcomes(jobs), strict=True):
            self.pool.finish(job, outcome)

    def work_all(self) -> None:
        """Work until nothing is in flight any more."""
        for _ in range(5 * SPINS):
            if not self.pool.jobs:
                return
            self.work()
        raise AssertionError(f"work without end: {self.flying()}")

    def outcome(self, job: Job) -> Outcome:
        """Give what `render` would answer, see there."""
        return self.outcomes([job])[0]

    def outcomes(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Return what `render_all` would: all are made before any output is replaced."""
        jobs = [self._sized(job) for job in jobs]
        outcomes = [self._make(job) for job in jobs]
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Done):
                self._publish(job, outcome.stamp)
        return [
            replace(outcome, old_stays=bool(self._old(job))) if isinstance(outcome, Done) else outcome
            for job, outcome in zip(jobs, outcomes, strict=True)
        ]

    def _sized(self, job: Job) -> Job:
        """Return a job with the size in the paths that have one."""
        renderings = []
        for item in job.renderings:
            width = self._width(job, item)
            renderings.append(replace(item, output=sized(item.output, width, width)))
        return replace(job, renderings=tuple(renderings))

    def _width(self, job: Job, rendering: Rendering) -> int:
        file = self.files.get(job.photo)
        return min(file.width if file else 0, rendering.recipe.width or 0)

    def _publish(self, job: Job, stamp: FileSignature) -> None:
        for rendering in job.renderings:
            self.outputs[rendering.output] = (stamp, rendering.recipe.fingerprint)
            self.made_of[rendering.output] = self.files[job.photo].content
        if not self.cut_off:
            self._replace(job)

    def _replace(self, job: Job) -> None:
        """Remove what was made anew under another path, as `fs.relocate` does: if it is what is recorded."""
        for old, output in self._old(job):
            if (old.size, old.digest) == (100, output_digest(self.made_of[output])):
                del self.outputs[output]

    def _old(self, job: Job) -> list[tuple[OldOutput, bytes]]:
        """List what lies where outputs were that were made anew under another path."""
        there = self.outputs.keys() - {rendering.output for rendering in job.renderings}
        old = [rendering.old for rendering in job.renderings if rendering.old]
        return [(each, output) for each in old for output in each.outputs if output in there]

    def _make(self, job: Job) -> Outcome:
        file = self.files.get(job.photo)
        if file is None:
            return Vanished("gone")
        stamp, kind = file.stamp, file.kind
        if job.failed_at and file.changed_ns / 1e9 > job.failed_at - FAILING_SECONDS:
            job = replace(job, done=None)
        wanted = [r for r in job.renderings if not (stamp.same_content(job.done) and r.name in job.current)]
        if early := _at_first_sight(job, file, wanted):
            return early
        if job.adopt:
            wanted = [r for r in wanted if not self._proves(r, file)]
        duplicate, copied = self._copies(job, file, wanted)
        wanted = [r for r in wanted if r not in copied]
        own = (
            {item.output for item in duplicate.reusable}
            if duplicate is not None and duplicate.photo == job.photo
            else set()
        )
        # of its own it keeps what lies there: only its date has changed
        copied = [r for r in copied if r.output not in own and self.outputs.get(r.output, (None, ""))[0] != stamp]
        if wanted:
            self.worked.append((job.photo, stamp))
            faults: dict[str, Outcome] = {
                "truncated": Unready(stamp, "truncated"),
                "bad": Failed("no JPEG", FailureKind.PHOTO, stamp),
                "crash": Failed("the worker died", FailureKind.CRASH),
                "passing": Failed("I/O error", FailureKind.PASSING, stamp),
            }
            if kind in faults:
                return faults[kind]
            if self.full:
                return Failed("no room", self.full, stamp)
        made = tuple(
            Made(
                r.name,
                r.output,
                self._width(job, r),
                self._width(job, r),
                100,
                output_digest(file.content),
                adopted=r not in (*wanted, *copied),
                copied=r in copied,
            )
            for r in job.renderings
        )
        return Done(stamp, made, 1000, 1000, 0.1, 1, file.digest, duplicate)

    def _proves(self, rendering: Rendering, file: File) -> bool:
        """Tell whether what lies there is taken over: by its time, its recipe and the content that it was made of."""
        there, content = self.outputs.get(rendering.output), self.made_of.get(rendering.output)
        looks = (file.stamp.mtime_ns, rendering.recipe.fingerprint)
        return there is not None and (there[0].mtime_ns, there[1]) == looks and content == file.content

    def _copies(
        self, job: Job, file: File, wanted: list[Rendering]
    ) -> tuple[DuplicateCandidate | None, list[Rendering]]:
        """Give what need not be made, and thanks to whom; a copy of another photo's rendition fails the test."""
        for duplicate in job.duplicates:
            if duplicate.digest != file.digest:
                continue
            reusable = {item.fingerprint: item.output for item in duplicate.reusable}
            found = []
            for rendering in wanted:
                output = reusable.get(rendering.recipe.fingerprint, b"")
                there = self.outputs.get(output)
                if there and there[0].mtime_ns == duplicate.mtime_ns and there[1] == rendering.recipe.fingerprint:
                    assert self.made_of[output] == file.content, "another photo's rendition"
                    found.append(rendering)
            if found:
                return duplicate, found
        return None, []

    # ---- file tasks ----

    def remove(self, number: int, output_root: bytes, outputs: Sequence[ReusableRendition], mtime_ns: int) -> None:
        assert output_root == OUT
        self.file_tasks.append((number, tuple(outputs), mtime_ns))

    def prune(self, number: int, orphan: Orphan) -> None:
        self.prunings.append((number, orphan))

    def take_away(self, original: Original) -> None:
        assert original.outputs
        assert all(path.startswith(OUT + b"/") and size for path, size in original.outputs)
        self.leaving.append(original)

    def put_back(self, photo: PhotoId) -> None:
        self.hidden.append(photo)

    def take_all_away(self) -> None:
        """Do what was asked for with originals: by name and content, never over another."""
        while self.leaving:
            original = self.leaving.pop(0)
            photo = original.photo
            if self.stuck:
                self.tell(TakenAway(photo, None, self.stuck))
                continue
            file = self.files.get(photo)
            if file is None or file.stamp != original.stamp:
                self.tell(TakenAway(photo, None))
                continue
            if file.digest != original.digest:
                self.tell(TakenAway(photo, None, other=True))
                continue
            where = b"" if original.originals is None else original.originals + b"/" + photo.path
            while where in self.originals:
                where += b"+"
            self.originals[where] = self.files.pop(photo)
            self.tell(Gone(photo.inbox, (photo.path,)), TakenAway(photo, where, volume=self.volume))
            self.inboxes[photo.inbox].events += 1
        while self.hidden:
            photo = self.hidden.pop(0)
            file = self.files.pop(photo, None)
            name = name_of_hidden(photo.name)
            if file is not None and name is not None:
                folder = photo.folder + b"/" if photo.folder else b""
                self.files[PhotoId(photo.inbox, folder + name)] = file
            self.tell(PutBack(photo, file is not None))

    def do_file_tasks(self) -> None:
        """Do what was asked for."""
        while self.file_tasks:
            number, outputs, mtime_ns = self.file_tasks.pop(0)
            self.remove_outputs(outputs, mtime_ns)
            self.tell(OutputsRemoved(number))
        while self.prunings:
            number, orphan = self.prunings.pop(0)
            self.tell(Pruned(number, *self._prune(orphan)))

    def _prune(self, orphan: Orphan) -> tuple[tuple[bytes, ...], tuple[tuple[bytes, str], ...]]:
        """Remove the outputs of an orphan as `fs.prune` does; give what was removed, and what was kept and why."""
        removed, kept = list[bytes](), list[tuple[bytes, str]]()
        there = not self.reachable or orphan.root != self.root
        there = there or (orphan.gone and (orphan.photo in self.files or orphan.archives))
        for place in orphan.places:
            output = OUT + b"/" + place.output
            if place.output not in self.outputs:
                continue
            if there or (100, output_digest(self.made_of[place.output])) not in place.contents:
                kept.append((output, "there"))
            else:
                del self.outputs[place.output]
                removed.append(output)
        return tuple(removed), tuple(kept)

    def remove_outputs(self, outputs: Iterable[ReusableRendition], mtime_ns: int) -> None:
        for item in outputs:
            if item.output in self.outputs and self.outputs[item.output][0].mtime_ns == mtime_ns:
                del self.outputs[item.output]

    def done(self, path: str | bytes = "") -> Done:
        """Give the outcome of a photo that was made."""
        return done_of(self.job(path), self.files[self.job(path).photo].stamp)

    def reported(self, inbox: bytes = IN) -> InboxStatus:
        """Return what `status` shows of an inbox."""
        report = self.store.report(inbox)
        assert report is not None
        return report

    def inbox_state(self, inbox: bytes = IN) -> InboxState:
        return self.daemon._by_path[inbox]

    # ---- what is recorded ----

    def known(self, path: str | bytes, inbox: bytes = IN) -> PhotoRecord | None:
        photo = PhotoId(inbox, path.encode() if isinstance(path, str) else path)
        return self.daemon.records.known(photo)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the state file, as another program could."""
        import sqlite3  # noqa: PLC0415  # for this alone

        other = sqlite3.connect(self._state_path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()

    def check(self) -> None:
        """Hold what must be true at every moment between two turns."""
        tracker, batches = self.daemon.photos.tracker, self.daemon.batches._batches.values()
        check_indexes(tracker)
        tasks = list(tracker)
        settling = {task.photo for task in tasks if task.state is State.SETTLING}
        states = self.daemon._by_path.items()
        assert settling == {PhotoId(inbox, path) for inbox, state in states for path in state.debouncer._paths}
        for batch in batches:
            assert batch.outstanding >= 0
            assert batch.open or batch.outstanding, "a batch that ended and was never told"
        assert sum(batch.outstanding for batch in batches) == sum(task.state in IN_BATCH for task in tasks)
        if not self.daemon.stops:
            assert set(self.pool.jobs) == {task.tried.job.number for task in tracker.of(State.RENDERING)}

    def leased(self, inbox: bytes = IN) -> list[tuple[PhotoId, PhotoRecord]]:
        """Return the photos with an attempt that has begun and has no result, as they are recorded."""
        return [found for phase in Phase for found in self.store.photos(inbox, phase) if found[1].leased]

    def check_settled(self) -> None:
        """Hold what must be true once nothing is left to do."""
        self.wait(1.0)
        self.check()
        assert self.daemon.photos.tracker.idle
        for inbox in self.inboxes.values():
            if not inbox.closed:
                assert inbox.acks >= inbox.posted, "a scanner waits for ever"
                assert inbox.digests >= inbox.events, "a watch holds its events back for ever"
        assert not [found for path in self.store.inboxes() for found in self.leased(path)]
        assert sum(batch.outstanding for batch in self.daemon.batches._batches.values()) == 0
        told = sum(batch["files"] for batch in self.log.of("batch.done"))
        assert told == len(self.log.of("photo.done")) + len(self.log.of("photo.failed"))
        assert sum(batch["failed"] for batch in self.log.of("batch.done")) == len(self.log.of("photo.failed"))


def check_indexes(tracker: Tracker) -> None:
    """Hold that each task is in the index of its state, and in no other."""
    indexed = {task.photo: (state, lane) for (state, lane), line in tracker._lines.items() for task in line.values()}
    for line, lane in ((tracker.live, Lane.LIVE), (tracker.backlog, Lane.BACKLOG)):
        queued = [photo for photos in line._inboxes.values() for photo in photos]
        assert len(line) == len(queued)
        assert not indexed.keys() & set(queued), "a photo in two places"
        indexed.update((photo, (State.QUEUED, lane)) for photo in queued)
    assert indexed == {task.photo: (task.state, task.lane) for task in tracker}
    assert sum(map(len, tracker._lines.values())) + tracker.queued == len(tracker), "a photo in two places"


def _at_first_sight(job: Job, file: File, wanted: list[Rendering]) -> Outcome | None:
    stamp = file.stamp
    if not wanted:
        return Unchanged(stamp)
    if stamp.same_content(job.evidence.incomplete):
        return Unready(stamp, "as it was")
    if job.evidence.expected is not None and not stamp.same_content(job.evidence.expected):
        return Unready(stamp, "still changing", settling=True)
    back = [key for key, content in job.returned if content == file.digest]
    return Unchanged(stamp, back[0]) if back else None


def done_of(job: Job, stamp: FileSignature) -> Done:
    made = tuple(Made(r.name, r.output, 10, 10, 100) for r in job.renderings)
    return Done(stamp, made, 1000, 1000, 0.1, 1)


def output_digest(content: str) -> bytes:
    """Give what is recorded of an output's bytes: they follow from the photo's content."""
    return content.encode()[:8].ljust(8, b"-")


def failed(kind: FailureKind, reason: str = "because", stamp: FileSignature | None = None) -> Failed:
    return Failed(reason, kind, stamp)


def changed(file: File) -> File:
    return replace(file, stamp=file.stamp._replace(size=file.stamp.size + 1))
