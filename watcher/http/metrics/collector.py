"""The daemon's numbers by their names for Prometheus, each with its help."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from watcher.core.counters import HistogramSnapshot
from watcher.core.status import Snapshot
from watcher.http.metrics.query import Disks
from watcher.text import shown


class SnapshotCollector(Collector):
    """One answer of the loop, as Prometheus takes it."""

    def __init__(self, vitals: Snapshot, disks: Disks, version: str, now: float) -> None:
        self._vitals = vitals
        self._disks = disks
        self._version = version
        self._now = now  # wall clock

    def collect(self) -> Iterator[Metric]:
        """Give all metrics."""
        vitals = self._vitals
        info = GaugeMetricFamily("watcher_build_info", "Always 1; the version as a label.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
        photos = CounterMetricFamily(
            "watcher_photos",
            "Photos that were dealt with since the start: done, failed, unchanged, or vanished meanwhile.",
            labels=["inbox", "result"],
        )
        for (inbox, result), count in sorted(vitals.results.items()):
            photos.add_metric([shown(inbox), result], count)
        yield photos
        yield from self._inboxes()
        yield GaugeMetricFamily("watcher_in_flight_photos", "Photos in the workers.", vitals.in_flight)
        yield GaugeMetricFamily("watcher_queued_photos", "Photos that wait for a worker.", vitals.queued)
        yield GaugeMetricFamily("watcher_queued_messages", "Events and results for the loop.", vitals.messages)
        yield CounterMetricFamily(
            "watcher_worker_losses", "Workers that died or had to be ended since the start.", vitals.losses
        )
        yield CounterMetricFamily(
            "watcher_decoded_pixels", "Pixels of photos that were decoded since the start.", vitals.progress.pixels
        )
        yield _histogram("watcher_batch_photos", "Photos of a batch, counted when all of it is told.", vitals.batches)
        yield _histogram(
            "watcher_render_seconds", "Time that a worker took for all renditions of a photo.", vitals.render
        )
        yield _histogram(
            "watcher_write_to_visible_seconds",
            "Time from the last write to a photo that was announced by the kernel until all its renditions were safe on"
            " disk. The last write is the modification time; of photos that were moved or copied here with an older"
            " one, the moment when they came to notice.",
            vitals.visible,
        )

    def _inboxes(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("watcher_waiting_photos", "Photos that wait or are in work.", labels=["inbox"])
        oldest = GaugeMetricFamily(
            "watcher_oldest_waiting_seconds", "How long the oldest of those has waited; 0: none does.", labels=["inbox"]
        )
        known = GaugeMetricFamily(
            "watcher_known_photos", "Photos on the books, over all runs: done or failed.", labels=["inbox", "state"]
        )
        missed = CounterMetricFamily(
            "watcher_missed_events", "Photos that a scan found and no event had told of.", labels=["inbox"]
        )
        free = GaugeMetricFamily(
            "watcher_output_free_bytes", "Room on the output's file system for this user.", labels=["output"]
        )
        for inbox in self._vitals.inboxes:
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


def _histogram(name: str, text: str, spread: HistogramSnapshot) -> HistogramMetricFamily:
    bounds = [*(f"{bound:.15g}" if bound % 1 else f"{bound:.1f}" for bound in spread.bounds), "+Inf"]
    return HistogramMetricFamily(
        name, text, buckets=list(zip(bounds, accumulate(spread.counts), strict=True)), sum_value=spread.total
    )
