"""How a run starts: workers' imports begin first, and nothing is loaded or started that nobody needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.e2e.harness import COMMAND, Place, fill

BEGIN = """
import json, sys
from multiprocessing import forkserver
from watcher.app.preload import begin
from watcher.app.settings import Source
from watcher.errors import ConfigError
fault = ""
try:
    begin(Source(None, sys.argv[1], None))
except ConfigError as error:
    fault = str(error)
heavy = [name for name in ("structlog", "watcher.app.run", "PIL") if name in sys.modules]
print(json.dumps([forkserver._forkserver._forkserver_pid is not None, heavy, fault]))
"""


def _python(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=place.env, capture_output=True, text=True, check=True, timeout=60
    )


def _begin(place: Place) -> tuple[bool, list[str], str]:
    done = _python(place, "-c", BEGIN, str(place.config))
    started, heavy, fault = json.loads(done.stdout)
    return started, heavy, fault


@pytest.mark.skipif(sys.platform == "darwin", reason="workers have no server there")
def test_what_workers_come_from_starts_before_the_command_itself_has_loaded(place: Place) -> None:
    assert _begin(place) == (True, [], "")


def test_nothing_is_started_for_a_config_that_is_wrong(place: Place) -> None:
    place.configure(nonsense=1)
    started, _, fault = _begin(place)
    assert not started
    assert "nonsense" in fault


def test_once_loads_nothing_that_it_does_not_need(place: Place) -> None:
    fill(place.inbox, 1)
    done = _python(place, "-X", "importtime", COMMAND, "once", "--config", str(place.config))
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]  # its workers' too
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert {"structlog", "PIL.Image"} <= loaded
    assert not loaded & {"watchdog.events", "rich.console", "fastapi", "distributed", "prometheus_client"}


def test_a_long_tmpdir_and_a_folder_that_is_gone_are_no_reason_to_fail(place: Place) -> None:
    long = place.root / ("t" * 110)
    long.mkdir()
    place.env["TMPDIR"] = str(long)
    fill(place.inbox, 1)
    place.configure()
    place.within = ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh"]
    assert place.once().code == 0
    assert (place.output / "web" / "p000.jpg").exists()


def test_too_few_descriptors_are_said_before_anything_begins_and_by_check_too(place: Place) -> None:
    fill(place.inbox, 1)
    place.configure()
    place.within = ["sh", "-c", 'ulimit -n 30 && exec "$@"', "sh"]
    for command in ("check", "once", "run"):
        done = place.watcher(command, "--config", place.config)
        assert done.code == 78
        assert "This process may have 30 files open at once" in done.out + done.err
        assert "Traceback" not in done.err
    assert not (place.output / "web").exists()
