"""Anything that can happen to an inbox and to the daemon, in any order: then the outputs are those of the photos there.

Nothing is modelled step by step. Once things have settled, the inbox is looked at, and what lies there says what the
outputs and the books must be. Names are few, so that they are met again and again.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import wraps
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from PIL import Image

from tests.e2e.harness import Place, Rendition, Running, camera, is_whole, shows, temporary, until
from tests.faults.mounting import Filler, can_mount, mounted
from tests.faults.processes import open_files, threads
from tests.faults.records import rows, standing

NUMBERS = (1, 2, 3, 4, 5, 6)
PHOTOS = {camera(number): number for number in NUMBERS}
BYTES = {number: data for data, number in PHOTOS.items()}
FOLDERS = ("", "a", "a/b", "c")
CONFIGS: tuple[dict[str, Rendition], ...] = (
    {"web": {"width": 300, "height": 300}, "thumb": {"width": 90, "height": 90, "fit": "cover"}},
    {"web": {"width": 200, "height": 200}, "thumb": {"width": 90, "height": 90, "fit": "cover"}},
    {"web": {"width": 300, "height": 300}, "tiny": {"width": 48, "height": 48}},
)
SIZES = (
    {"web": (300, 200), "thumb": (90, 90)},
    {"web": (200, 133), "thumb": (90, 90)},
    {"web": (300, 200), "tiny": (48, 32)},
)
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
MOST_EVENTS = int(QUEUE.read_text()) if QUEUE.exists() else 1_000_000
LONG = int(os.environ.get("WATCHER_MODEL_EXAMPLES", "20"))
# Open files, threads, processes. With two workers an idle daemon has up to 37, 13 and 5: beside its loop there are four
# threads that watch, one each for scans, mounts and signals, one each for clean-up, reloading and file tasks once there
# was one, and two of the executor.
MOST_USED = (40, 13, 6)
SETTLED = 120.0  # seconds; what may be of two versions waits for one minute of them where nobody tells

folders = st.sampled_from(FOLDERS)
names = st.sampled_from([f"{letter}.jpg" for letter in "pqr"])
numbers = st.sampled_from(NUMBERS)
any_one = st.integers(0, 1000)  # picks from whatever there is


REACHED: Counter[str] = Counter()  # how often each step did something


def _step(act: Callable[..., bool | None]) -> Callable[..., None]:
    """Count a step that did something; it gives False where there was nothing to be done."""
    REACHED[act.__name__] = 0

    @wraps(act)
    def counted(self: Inbox, **arguments: object) -> None:
        REACHED[act.__name__] += act(self, **arguments) is not False

    return counted


def _tracks_resources(pid: int) -> bool:
    """Tell whether it is multiprocessing's own helper, which complains on standard error about its own death."""
    with suppress(OSError):
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return True  # it is gone


class Inbox(RuleBasedStateMachine):
    """An inbox at the mercy of the world, and a daemon over it."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        root = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="watcher-model-")))
        self.place = Place(root)
        self.outside = root / "outside"
        self.outside.mkdir()
        self.away = root / "away"
        self.counter = 0
        self.config = 0
        self.filler: Filler | None = None
        if can_mount():
            self.stack.enter_context(mounted(self.place.output, "-t", "tmpfs", "-o", "size=8m"))
        self._configure()
        self.daemon = self._start()

    def _configure(self) -> None:
        self.place.configure(
            CONFIGS[self.config],
            inbox={"rescan_seconds": 5, "poll_seconds": 1},
            retry={"attempts": 50, "backoff_seconds": 0.001},  # killed at random, a photo may be in a worker each time
            workers=2,
        )

    def _start(self) -> Running:
        daemon = Running(self.place, "run", "--config", str(self.place.config), ready=False)
        until(lambda: daemon.events("watch.started") or daemon.process.poll() is not None, "it begins")
        return daemon

    def _close(self) -> None:
        """See the daemon out: nobody may be left."""
        self.daemon.__exit__(None, None, None)

    @initialize(number=numbers)
    def begin(self, number: int) -> None:
        (self.place.inbox / "p.jpg").write_bytes(BYTES[number])

    # ---- what there is ----

    def new(self) -> Path:
        self.counter += 1
        return self.outside / f"{self.counter}"

    def there(self) -> list[Path]:
        return sorted(path for path in self.place.inbox.rglob("*.jpg") if path.is_file() and not path.is_symlink())

    def at(self, folder: str, name: str) -> Path:
        path = self.place.inbox / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def here(self) -> bool:
        return self.place.inbox.exists()

    # ---- what users do ----

    @precondition(here)
    @rule(folder=folders)
    @_step
    def make_a_folder(self, folder: str) -> None:
        (self.place.inbox / folder).mkdir(parents=True, exist_ok=True)

    @precondition(here)
    @rule(folder=folders, name=names, number=numbers)
    @_step
    def write(self, folder: str, name: str, number: int) -> None:
        path = self.at(folder, name)
        if path.is_symlink():
            path.unlink()
        path.write_bytes(BYTES[number])

    @precondition(here)
    @rule(folder=folders, name=names, number=numbers, pause=st.sampled_from((0.02, 0.3)))
    @_step
    def write_slowly(self, folder: str, name: str, number: int, pause: float) -> None:
        path = self.at(folder, name)
        path.unlink(missing_ok=True)
        with path.open("wb", buffering=0) as file:
            for part in range(3):
                file.write(BYTES[number][len(BYTES[number]) * part // 3 : len(BYTES[number]) * (part + 1) // 3])
                time.sleep(pause)  # a slow writer

    @precondition(here)
    @rule(folder=folders, name=names, number=numbers)
    @_step
    def write_a_part(self, folder: str, name: str, number: int) -> None:
        path = self.at(folder, name)
        path.unlink(missing_ok=True)
        path.write_bytes(BYTES[number][: len(BYTES[number]) // 2])

    @precondition(here)
    @rule(folder=folders, name=names, number=numbers)
    @_step
    def move_in(self, folder: str, name: str, number: int) -> None:
        new = self.new()
        new.write_bytes(BYTES[number])
        new.rename(self.at(folder, name))

    @precondition(here)
    @rule(folder=st.sampled_from(FOLDERS[1:]), number=numbers)
    @_step
    def move_a_tree_in(self, folder: str, number: int) -> bool:
        target = self.place.inbox / folder
        if target.exists() or not target.parent.exists():
            return False
        new = self.new()
        (new / "b").mkdir(parents=True)
        (new / "p.jpg").write_bytes(BYTES[number])
        (new / "b" / "q.jpg").write_bytes(BYTES[NUMBERS[number % len(NUMBERS)]])
        new.rename(target)
        return True

    @precondition(here)
    @rule(which=any_one, folder=folders, name=names)
    @_step
    def rename(self, which: int, folder: str, name: str) -> bool:
        there = self.there()
        if there:
            there[which % len(there)].rename(self.at(folder, name))
        return bool(there)

    @precondition(here)
    @rule(which=any_one, folder=folders, name=names)
    @_step
    def link(self, which: int, folder: str, name: str) -> bool:
        there, path = self.there(), self.at(folder, name)
        if not there or path.exists() or path.is_symlink():
            return False
        os.link(there[which % len(there)], path)
        return True

    @precondition(here)
    @rule(folder=folders, name=names)
    @_step
    def put_a_symbolic_link(self, folder: str, name: str) -> None:
        secret = self.new()
        secret.write_bytes(BYTES[1])
        path = self.at(folder, name)
        path.unlink(missing_ok=True)
        path.symlink_to(secret)

    @precondition(here)
    @rule(which=any_one)
    @_step
    def move_out(self, which: int) -> bool:
        there = self.there()
        if there:
            there[which % len(there)].rename(self.new())
        return bool(there)

    @precondition(here)
    @rule(folder=st.sampled_from(FOLDERS[1:]))
    @_step
    def remove_a_tree(self, folder: str) -> bool:
        was = (self.place.inbox / folder).exists()
        shutil.rmtree(self.place.inbox / folder, ignore_errors=True)
        return was

    @precondition(here)
    @rule(which=any_one, new=st.sampled_from(("a", "c", "d")))
    @_step
    def rename_a_tree(self, which: int, new: str) -> bool:
        trees = sorted(path for path in self.place.inbox.iterdir() if path.is_dir())
        target = self.place.inbox / new
        if not trees or target.exists():
            return False
        trees[which % len(trees)].rename(target)
        return True

    # ---- what happens to them ----

    @rule()
    @_step
    def take_the_inbox_away_or_bring_it_back(self) -> None:
        if self.here():
            self.place.inbox.rename(self.away)
        else:
            self.away.rename(self.place.inbox)

    @precondition(lambda self: can_mount() and self.filler is None)
    @rule()
    @_step
    def fill_the_disk(self) -> None:
        self.filler = Filler(self.place.output, spare=20_000)

    @precondition(lambda self: self.filler is not None)
    @rule()
    @_step
    def make_room(self) -> None:
        assert self.filler is not None
        self.filler.remove()
        self.filler = None

    @precondition(lambda self: self.here() and MOST_EVENTS < 50_000)
    @rule(folder=folders, name=names, number=numbers)
    @_step
    def let_events_overflow(self, folder: str, name: str, number: int) -> None:
        self.daemon.send(signal.SIGSTOP)
        one, other = self.place.inbox / "one.txt", self.place.inbox / "other.txt"
        one.touch()
        for _ in range(
            MOST_EVENTS // 4 + 1
        ):  # there and back are four events; it is no photo, but that is ours to know
            one.rename(other)
            other.rename(one)
        self.at(folder, name).unlink(missing_ok=True)
        self.at(folder, name).write_bytes(BYTES[number])
        self.daemon.send(signal.SIGCONT)

    @rule(which=any_one)
    @_step
    def kill_a_process_of_the_pool(self, which: int) -> bool:
        others = [pid for pid in self.place.left() if pid != self.daemon.process.pid and not _tracks_resources(pid)]
        if others:
            with suppress(ProcessLookupError):
                os.kill(others[which % len(others)], signal.SIGKILL)
        return bool(others)

    @rule()
    @_step
    def kill_the_daemon(self) -> None:
        self.daemon.process.kill()
        self._close()
        self.daemon = self._start()

    @rule()
    @_step
    def stop_and_start(self) -> None:
        assert self.daemon.stop() == 0, "".join(self.daemon.lines[-30:])
        self._close()
        self.daemon = self._start()

    @rule(config=st.integers(0, len(CONFIGS) - 1))
    @_step
    def change_the_config(self, config: int) -> None:
        self.config = config
        self._configure()
        self.daemon.send(signal.SIGHUP)

    @rule(seconds=st.sampled_from((0.0, 0.1, 0.7)))
    @_step
    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    @rule()
    @_step
    def settle(self) -> None:
        """Let the world be in order, and look."""
        if not self.here():
            self.away.rename(self.place.inbox)
        if self.filler is not None:
            self.make_room()
        deadline = time.monotonic() + SETTLED
        while (wrong := next(self._wrong(), None)) is not None:
            log = "".join(self.daemon.lines[-60:])
            assert self.daemon.process.poll() is None, log
            assert time.monotonic() < deadline, f"{wrong}\n{log}"
            time.sleep(0.1)
        deadline = time.monotonic() + SETTLED
        while not all(used <= most for used, most in zip(self._used(), MOST_USED, strict=True)):
            assert time.monotonic() < deadline, (self._used(), self.place.left(), self.daemon.lines[-60:])
            time.sleep(0.1)

    def _used(self) -> tuple[int, int, int]:
        pid = self.daemon.process.pid
        return open_files(pid), threads(pid), len(self.place.left())

    # ---- what must hold in the end ----

    def _wrong(self) -> Iterator[str]:
        """Tell what is not yet as it must be."""
        whole = 0
        there = self.there()
        for photo in there:
            number = PHOTOS.get(photo.read_bytes())
            whole += number is not None
            if number is not None:
                yield from self._wrong_outputs(photo.relative_to(self.place.inbox), number)
        found = standing(self.place)
        if found != (True, whole, 0, len(there) - whole):
            yield f"the books tell {found} of {whole} whole photos in {len(there)}"

    def _wrong_outputs(self, photo: Path, number: int) -> Iterator[str]:
        for rendition, size in SIZES[self.config].items():
            path = self.place.output / rendition / photo
            if not path.is_file() or not is_whole(path):
                yield f"{path} is not there"
                continue
            with Image.open(path) as image:
                right = image.size == size
            if not right or not shows(path, number):
                yield f"{path} is of another photo or recipe"

    def teardown(self) -> None:
        try:
            self.settle()
            assert self.daemon.stop() == 0, "".join(self.daemon.lines[-30:])
            assert not any("Traceback" in line for line in self.daemon.lines), "".join(self.daemon.lines)
            self._close()
            assert not temporary(self.place.output)
            assert all(is_whole(path) for path in self.place.output.rglob("*.jpg") if path.is_file())
            rows(self.place.state)
            finished = self.place.once()
            again = [line for line in finished.events("photo.done") if line["renditions"]]
            assert not again, "nothing was left to do"
        finally:
            self.daemon.process.kill()
            self._close()
            self.stack.close()


def _profile(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # the world is not repeatable enough for shrinking
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        derandomize=True,  # what a run finds, the next one finds; WATCHER_MODEL_EXAMPLES goes further
    )


@pytest.mark.slow
def test_whatever_happens_the_outputs_are_those_of_the_photos_there() -> None:
    run_state_machine_as_test(Inbox, settings=_profile(2, 15))


@pytest.mark.parametrize(
    ("examples", "steps"),
    [pytest.param(4, 25, marks=pytest.mark.soak), pytest.param(LONG, 30, marks=pytest.mark.soak)],
)
def test_whatever_happens_for_long_the_outputs_are_those_of_the_photos_there(examples: int, steps: int) -> None:
    run_state_machine_as_test(Inbox, settings=_profile(examples, steps))
    print(f"{REACHED.total()} steps, each so often: {dict(REACHED.most_common())}")
    if examples >= LONG:
        never = {step for step, often in REACHED.items() if not often}
        never -= set() if can_mount() else {"fill_the_disk", "make_room"}
        assert len(never) <= 2, never  # each example draws which steps it does without
