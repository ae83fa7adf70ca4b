"""All tasks, and the indexes over them. The indexes depend only on each task's state."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from watcher.core.lifecycle import apply
from watcher.core.queue import FairQueue
from watcher.core.task import IN_FLIGHT, Effect, Event, Lane, PhotoTask, State
from watcher.core.types import PhotoId

MOST_COOLING = 100_000  # photos that are checked or tried again on a timer


class Tracker:
    """Owns every task. A photo has one task or none, and a task has one state."""

    def __init__(self) -> None:
        self.live, self.backlog = FairQueue(), FairQueue()
        self._tasks: dict[PhotoId, PhotoTask] = {}
        self._lines: defaultdict[tuple[State, Lane], dict[PhotoId, PhotoTask]] = defaultdict(dict)
        self._timers: list[tuple[float, PhotoId]] = []

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self._tasks)

    def __iter__(self) -> Iterator[PhotoTask]:
        """Iterate over all tasks. The tracker may change meanwhile."""
        return iter(list(self._tasks.values()))

    def get(self, photo: PhotoId) -> PhotoTask | None:
        """Return the task of a photo; None: it has no task."""
        return self._tasks.get(photo)

    def apply(self, photo: PhotoId, event: Event) -> list[Effect]:
        """Apply an event to a photo. Return its effects."""
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
            queue.remove(photo)  # it is not in the queue if it was taken to be leased
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
        """Iterate over the tasks in a state, or in some lanes of it. Of QUEUED: only quarantine and large."""
        lines = [self._lines[state, lane] for lane in lanes or Lane]
        return chain.from_iterable(line.values() for line in lines)

    def count(self, state: State, *lanes: Lane) -> int:
        """Return the number of these tasks."""
        return sum(len(self._lines[state, lane]) for lane in lanes or Lane)

    def first(self, state: State, *lanes: Lane) -> PhotoTask | None:
        """Return the first of these tasks; None: there is none."""
        return next(self.of(state, *lanes), None)

    @property
    def in_flight(self) -> Iterable[PhotoTask]:
        """The tasks whose attempt is recorded and has not ended."""
        return chain.from_iterable(self.of(state) for state in IN_FLIGHT)

    @property
    def idle(self) -> bool:
        """Whether no task waits for a worker or is in flight."""
        return not (len(self.live) or len(self.backlog) or any(self._in_line()))

    def _in_line(self) -> Iterator[PhotoTask]:
        return chain(self.of(State.QUEUED), self.in_flight)

    @property
    def queued(self) -> int:
        """The number of tasks that wait for a worker, without those in quarantine or waiting for memory."""
        return len(self.live) + len(self.backlog)

    @property
    def cooling(self) -> Iterator[PhotoTask]:
        """The tasks that wait for a timer."""
        return chain(self.of(State.DEFERRED), self.of(State.COOLING))

    @property
    def retries(self) -> int:
        """The number of cooling tasks that will certainly be tried again, and not only checked."""
        return self.count(State.DEFERRED) + self.count(State.COOLING, Lane.RETRY)

    @property
    def has_room(self) -> bool:
        """Whether one more task may wait for a timer. Photos beyond the limit are found by the next scan."""
        return self.count(State.DEFERRED) + self.count(State.COOLING) < MOST_COOLING

    # ---- of an inbox ----

    def waiting(self, inbox: bytes) -> int:
        """Return the number of photos of an inbox that wait for a worker or are in flight."""
        others = sum(task.photo.inbox == inbox for task in self._in_line())
        return self.live.waiting(inbox) + self.backlog.waiting(inbox) + others

    def oldest(self, inbox: bytes) -> float | None:
        """Return when, by the wall clock, the longest waiting photo of an inbox was found; None: none waits."""
        heads = (task for queue in (self.live, self.backlog) if (task := queue.head(inbox)) is not None)
        others = (task for task in chain(self._in_line(), self.cooling) if task.photo.inbox == inbox)
        return min((task.seen for task in chain(heads, others)), default=None)

    # ---- queues and timers ----

    def take(self, allowed: Callable[[bytes], bool], most: int, *, live: bool) -> list[PhotoTask]:
        """Take photos from the live queue, or the backlog, to be leased. They stay QUEUED until they are leased."""
        queue, taken = self.live if live else self.backlog, list[PhotoTask]()
        while len(taken) < most and (task := queue.take(allowed)) is not None:
            taken.append(task)
        return taken

    def take_photo(self, photo: PhotoId) -> PhotoTask | None:
        """Take one photo from these queues; None: it is in neither."""
        return self._tasks[photo] if self.live.remove(photo) or self.backlog.remove(photo) else None

    def deadline(self) -> float | None:
        """Return when the next timer is due; None: there is none."""
        while self._timers:
            due, photo = self._timers[0]
            task = self._tasks.get(photo)
            if task is not None and task.state in {State.DEFERRED, State.COOLING} and task.due == due:
                return due
            heapq.heappop(self._timers)  # the task has left this state for another reason
        return None

    def due(self, now: float) -> list[PhotoTask]:
        """Return the tasks whose timers are due, each once."""
        due: dict[PhotoId, PhotoTask] = {}
        while (deadline := self.deadline()) is not None and deadline <= now:
            _, photo = heapq.heappop(self._timers)
            due[photo] = self._tasks[photo]
        return list(due.values())
