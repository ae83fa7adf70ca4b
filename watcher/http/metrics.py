"""Numbers for Prometheus at `/metrics`, and at `/healthz` whether all is well.

Theory of operation:
- Every request asks the daemon's loop by a message and waits for the answer: what is served is of that moment, and the
  loop waits for nothing. Requests at the same time share one question; a loop that does not answer gets no second one.
- Names follow Prometheus's conventions (base units, `_total`), and a label is as bounded as the config.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from itertools import accumulate

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from watcher.core.counters import HistogramSnapshot
from watcher.core.hooks import HookStatus
from watcher.core.status import Snapshot, StatusQuery
from watcher.text import shown

ANSWER_SECONDS = 5.0  # how long the loop may take to answer; Prometheus itself waits for 10
_DISK_SECONDS = 1.0  # how long a file system may
_AT_DISKS = 4  # threads that may hang on a dead mount


class MetricsHandlers:
    """What answers `/metrics` and `/healthz`; `post` takes a question to the daemon's loop."""

    def __init__(
        self, post: Callable[[StatusQuery], object], version: str, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._post = post
        self._version = version
        self._seconds = answer_seconds
        self._disks = Disks()
        self._limiter = CapacityLimiter(_AT_DISKS)
        self._question: asyncio.Future[Snapshot] | None = None

    def routes(self) -> list[Route]:
        """Return the routes of both."""
        return [Route("/metrics", self.metrics), Route("/healthz", self.healthz)]

    async def metrics(self, request: Request) -> Response:
        """Answer with all numbers, in the form that the client asks for."""
        snapshot = await self._ask()
        if snapshot is None:
            return self._silence()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(SnapshotCollector(snapshot, self._disks, self._version, time.time()))
        ProcessCollector(registry=registry)
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        text = await run_sync(encode, registry, limiter=self._limiter)
        return Response(text, headers={"content-type": kind})

    async def healthz(self, request: Request) -> Response:
        """Answer with 200, or with 503 and what keeps the daemon from its work, a line each."""
        del request
        snapshot = await self._ask()
        if snapshot is None:
            return self._silence()
        lines = [f"{shown(reason)}\n" for reason in snapshot.unavailable_reasons]
        hooks = [  # they keep no photo waiting, so all is well without them
            f"the hook on {hook.on} to {shown(hook.to)} fails: {shown(hook.last_error)}\n"
            for hook in snapshot.hooks
            if hook.last_error
        ]
        return PlainTextResponse("".join((lines or ["ok\n"]) + hooks), 503 if lines else 200)

    def _silence(self) -> Response:
        return PlainTextResponse(f"the loop has not answered for {self._seconds:g} s\n", 503)

    async def _ask(self) -> Snapshot | None:
        """Return what the loop says; None: it does not answer."""
        loop = asyncio.get_running_loop()
        question = self._question
        if question is None or question.done() or question.get_loop() is not loop:
            question = self._question = loop.create_future()
            self._post(StatusQuery(lambda snapshot: _answer(loop, question, snapshot)))
        try:
            return await asyncio.wait_for(asyncio.shield(question), self._seconds)
        except TimeoutError:
            return None


def _answer(loop: asyncio.AbstractEventLoop, question: asyncio.Future[Snapshot], snapshot: Snapshot) -> None:
    """Hand an answer over from the daemon's thread."""

    def give() -> None:
        if not question.done():
            question.set_result(snapshot)

    with contextlib.suppress(RuntimeError):  # that loop has ended
        loop.call_soon_threadsafe(give)


class Disks:
    """Free space of file systems; one that hangs costs one thread, and the others nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: dict[bytes, threading.Thread] = {}
        self._free: dict[bytes, int] = {}

    def free(self, folder: bytes) -> int | None:
        """Return how many bytes may be written there; None: its file system does not answer."""
        with self._lock:
            thread = self._asking.get(folder)
            if thread is None or not thread.is_alive():
                self._free.pop(folder, None)
                thread = threading.Thread(target=self._look, args=(folder,), name="disk space", daemon=True)
                self._asking[folder] = thread
                thread.start()
        thread.join(_DISK_SECONDS)
        return self._free.get(folder)

    def _look(self, folder: bytes) -> None:
        try:
            self._free[folder] = shutil.disk_usage(folder).free
        except OSError:
            self._free.pop(folder, None)


class SnapshotCollector(Collector):
    """One answer of the loop, as Prometheus takes it."""

    def __init__(self, snapshot: Snapshot, disks: Disks, version: str, now: float) -> None:
        self._snapshot = snapshot
        self._disks = disks
        self._version = version
        self._now = now  # wall clock

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        snapshot = self._snapshot
        info = GaugeMetricFamily("watcher_build_info", "Always 1; the version as a label.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
        photos = CounterMetricFamily(
            "watcher_photos",
            "Photos that were dealt with since the start: done, failed, unchanged, or vanished meanwhile.",
            labels=["inbox", "result"],
        )
        for (inbox, result), count in sorted(snapshot.results.items()):
            photos.add_metric([shown(inbox), result], count)
        yield photos
        yield from self._inboxes()
        if snapshot.hooks:
            yield from self._hooks()
        yield GaugeMetricFamily("watcher_in_flight_photos", "Photos in the workers.", snapshot.in_flight)
        yield GaugeMetricFamily("watcher_queued_photos", "Photos that wait for a worker.", snapshot.queued)
        yield GaugeMetricFamily("watcher_queued_messages", "Events and results for the loop.", snapshot.messages)
        yield CounterMetricFamily(
            "watcher_worker_losses", "Workers that died or had to be ended since the start.", snapshot.losses
        )
        yield CounterMetricFamily(
            "watcher_decoded_pixels", "Pixels of photos that were decoded since the start.", snapshot.progress.pixels
        )
        yield _histogram("watcher_batch_photos", "Photos of a batch, counted when all of it is told.", snapshot.batches)
        yield _histogram(
            "watcher_render_seconds", "Time that a worker took for all renditions of a photo.", snapshot.render
        )
        yield _histogram(
            "watcher_write_to_visible_seconds",
            "Time from the last write to a photo that was announced by the kernel until all its renditions were safe on"
            " disk. The last write is the modification time; of photos that were moved or copied here with an older"
            " one, the moment when they came to notice.",
            snapshot.visible,
        )

    def _inboxes(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("watcher_waiting_photos", "Photos that wait or are in work.", labels=["inbox"])
        oldest = GaugeMetricFamily(
            "watcher_oldest_waiting_seconds", "How long the oldest of those has waited; 0: none does.", labels=["inbox"]
        )
        known = GaugeMetricFamily(
            "watcher_known_photos",
            "Photos in the state file, over all runs: done or failed.",
            labels=["inbox", "state"],
        )
        missed = CounterMetricFamily(
            "watcher_missed_events", "Photos that a scan found and no event had told of.", labels=["inbox"]
        )
        free = GaugeMetricFamily(
            "watcher_output_free_bytes", "Room on the output's file system for this user.", labels=["output"]
        )
        for inbox in self._snapshot.inboxes:
            name = shown(inbox.path)
            waiting.add_metric([name], inbox.waiting or 0)
            since = inbox.oldest_waiting
            oldest.add_metric([name], 0.0 if since is None else max(0.0, self._now - since))
            if inbox.counts is not None:
                known.add_metric([name, "done"], inbox.counts.done)
                known.add_metric([name, "failed"], inbox.counts.failed)
            missed.add_metric([name], inbox.missed_events)
            room = self._disks.free(inbox.output)
            if room is not None:
                free.add_metric([shown(inbox.output)], room)
        yield from (waiting, oldest, known, missed, free)

    def _hooks(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "watcher_hook_waiting_documents", "Documents that a hook has yet to be sent.", labels=["on", "to"]
        )
        failed = CounterMetricFamily(
            "watcher_hook_given_up_documents",
            "Documents that a hook could not be sent for an hour, over all runs.",
            labels=["on", "to"],
        )
        failing = GaugeMetricFamily(
            "watcher_hook_failing", "1: the last try of a hook has failed; 0: it has not.", labels=["on", "to"]
        )
        found: dict[tuple[str, str], list[HookStatus]] = {}
        for hook in self._snapshot.hooks:  # several may look alike, since what may be secret is not shown
            found.setdefault((hook.on, shown(hook.to)), []).append(hook)
        for labels, hooks in found.items():
            waiting.add_metric(labels, sum(hook.waiting for hook in hooks))
            failed.add_metric(labels, sum(hook.failed for hook in hooks))
            failing.add_metric(labels, any(hook.last_error for hook in hooks))
        yield from (waiting, failed, failing)


def _histogram(name: str, text: str, spread: HistogramSnapshot) -> HistogramMetricFamily:
    bounds = [*(f"{bound:.15g}" if bound % 1 else f"{bound:.1f}" for bound in spread.bounds), "+Inf"]
    return HistogramMetricFamily(
        name, text, buckets=list(zip(bounds, accumulate(spread.counts), strict=True)), sum_value=spread.total
    )
