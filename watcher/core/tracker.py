"""All photos on their way, and the indexes over them, which follow from each task's state alone."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from watcher.core.lifecycle import apply
from watcher.core.queue import FairQueue
from watcher.core.task import IN_FLIGHT, Effect, Event, Lane, PhotoTask, State
from watcher.core.types import PhotoId

MOST_COOLING = 100_000  # photos that are looked at or tried again on a timer


class Tracker:
    """Owns every task. A photo has one or none, and a task is in one state."""

    def __init__(self) -> None:
        self.live, self.backlog = FairQueue(), FairQueue()
        self._tasks: dict[PhotoId, PhotoTask] = {}
        self._lines: defaultdict[tuple[State, Lane], dict[PhotoId, PhotoTask]] = defaultdict(dict)
        self._timers: list[tuple[float, PhotoId]] = []

    def __len__(self) -> int:
        """How many photos are on their way."""
        return len(self._tasks)

    def __iter__(self) -> Iterator[PhotoTask]:
        """List all tasks; it may change meanwhile."""
        return iter(list(self._tasks.values()))

    def get(self, photo: PhotoId) -> PhotoTask | None:
        """Return a photo's task; None: it has none."""
        return self._tasks.get(photo)

    def apply(self, photo: PhotoId, event: Event) -> list[Effect]:
        """Apply an event to a photo; return what follows from it."""
        task = self._tasks.get(photo) or PhotoTask(photo)
        state, lane, due = task.state, task.lane, task.due
        effects = apply(task, event)
        if (state, lane) != (task.state, task.lane) or task.first:
            if state is not None:
                self._remove(photo, state, lane)
            self._add(task)
        elif task.due != due:
            heapq.heappush(self._timers, (task.due, photo))
        return effects

    def _remove(self, photo: PhotoId, state: State, lane: Lane) -> None:
        del self._tasks[photo]
        queue = self._queue_of(state, lane)
        if queue is not None:
            queue.remove(photo)  # it is not in there if it was taken out to be leased
        else:
            self._lines[state, lane].pop(photo, None)

    def _add(self, task: PhotoTask) -> None:
        if task.state is None:
            return
        self._tasks[task.photo] = task
        queue = self._queue_of(task.state, task.lane)
        if queue is not None:
            queue.put(task, first=task.first)
        else:
            self._lines[task.state, task.lane][task.photo] = task
        if task.state in {State.DEFERRED, State.COOLING}:
            heapq.heappush(self._timers, (task.due, task.photo))

    def _queue_of(self, state: State, lane: Lane) -> FairQueue | None:
        if state is not State.QUEUED:
            return None
        return self.live if lane is Lane.LIVE else self.backlog if lane is Lane.BACKLOG else None

    # ---- by state ----

    def of(self, state: State, *lanes: Lane) -> Iterator[PhotoTask]:
        """List the tasks in a state, or in some lanes of it: of the queues, only quarantine and large."""
        lines = [self._lines[state, lane] for lane in lanes or Lane]
        return chain.from_iterable(line.values() for line in lines)

    def count(self, state: State, *lanes: Lane) -> int:
        """Count them."""
        return sum(len(self._lines[state, lane]) for lane in lanes or Lane)

    def first(self, state: State, *lanes: Lane) -> PhotoTask | None:
        """Return the first of them."""
        return next(self.of(state, *lanes), None)

    @property
    def in_flight(self) -> Iterable[PhotoTask]:
        """The photos whose attempt is recorded, and not over."""
        return chain.from_iterable(self.of(state) for state in IN_FLIGHT)

    @property
    def idle(self) -> bool:
        """Whether none waits for a worker, and none is in flight."""
        return not (len(self.live) or len(self.backlog) or any(self._in_line()))

    def _in_line(self) -> Iterator[PhotoTask]:
        return chain(self.of(State.QUEUED), self.in_flight)

    @property
    def queued(self) -> int:
        """How many wait for a worker, other than in quarantine or for memory."""
        return len(self.live) + len(self.backlog)

    @property
    def cooling(self) -> Iterator[PhotoTask]:
        """The photos that wait for their time."""
        return chain(self.of(State.DEFERRED), self.of(State.COOLING))

    @property
    def retries(self) -> int:
        """How many of them will certainly be tried again, and not only be looked at."""
        return self.count(State.DEFERRED) + self.count(State.COOLING, Lane.RETRY)

    @property
    def has_room(self) -> bool:
        """Whether one more may wait for its time; those beyond are found by the next scan."""
        return self.count(State.DEFERRED) + self.count(State.COOLING) < MOST_COOLING

    # ---- of an inbox ----

    def waiting(self, inbox: bytes) -> int:
        """Count the photos of an inbox that wait for a worker or are in flight."""
        others = sum(task.photo.inbox == inbox for task in self._in_line())
        return self.live.waiting(inbox) + self.backlog.waiting(inbox) + others

    def oldest(self, inbox: bytes) -> float | None:
        """Return when, by the wall clock, the photo of an inbox was noticed that has waited for longest."""
        heads = (task for queue in (self.live, self.backlog) if (task := queue.head(inbox)) is not None)
        others = (task for task in chain(self._in_line(), self.cooling) if task.photo.inbox == inbox)
        return min((task.seen for task in chain(heads, others)), default=None)

    # ---- queues and timers ----

    def take(self, allowed: Callable[[bytes], bool], most: int, *, live: bool) -> list[PhotoTask]:
        """Take photos out of the live queue, or the backlog, to be leased; they stay QUEUED until that is done."""
        queue, taken = self.live if live else self.backlog, list[PhotoTask]()
        while len(taken) < most and (task := queue.take(allowed)) is not None:
            taken.append(task)
        return taken

    def take_photo(self, photo: PhotoId) -> PhotoTask | None:
        """Take one photo out of these, if it is in there."""
        return self._tasks[photo] if self.live.remove(photo) or self.backlog.remove(photo) else None

    def deadline(self) -> float | None:
        """Return when the next photo that waits for its time is due."""
        while self._timers:
            due, photo = self._timers[0]
            task = self._tasks.get(photo)
            if task is not None and task.state in {State.DEFERRED, State.COOLING} and task.due == due:
                return due
            heapq.heappop(self._timers)  # it went on for another reason
        return None

    def due(self, now: float) -> list[PhotoTask]:
        """List the photos whose time has come, once."""
        due: dict[PhotoId, PhotoTask] = {}
        while (deadline := self.deadline()) is not None and deadline <= now:
            _, photo = heapq.heappop(self._timers)
            due[photo] = self._tasks[photo]
        return list(due.values())
