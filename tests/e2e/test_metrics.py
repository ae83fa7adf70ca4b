"""Metrics and health of the installed command, as somebody sees them who asks over HTTP."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.harness import Place, Running, fill, until
from watcher.errors import EXIT_CONFIG


def get(daemon: Running, path: str) -> tuple[int, str]:
    address = daemon.events("metrics.listening")[0]["address"]
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def sample(text: str, start: str) -> float:
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return float(line.rpartition(" ")[2])


def test_a_daemon_tells_prometheus_what_it_did_and_whether_all_is_well(place: Place) -> None:
    place.configure(metrics={"listen": "127.0.0.1:0"})
    with place.run() as daemon:
        assert get(daemon, "/healthz") == (200, "ok\n")
        fill(place.inbox, 3)
        (place.inbox / "bad.jpg").write_bytes(b"no photo")
        daemon.settle(3)
        daemon.wait_for("photo.failed")
        _, text = get(daemon, "/metrics")
        inbox = f'inbox="{place.inbox.resolve()}"'
        assert sample(text, f'watcher_photos_total{{{inbox},result="done"}}') == 3
        assert sample(text, f'watcher_photos_total{{{inbox},result="failed"}}') == 1
        assert sample(text, "watcher_write_to_visible_seconds_count") == 3
        assert 0 < sample(text, "watcher_write_to_visible_seconds_sum") < 60
        assert sample(text, "watcher_decoded_pixels_total") == 3 * 600 * 400
        assert sample(text, "watcher_output_free_bytes") > 0
        assert daemon.stop() == 0


@pytest.mark.slow
def test_an_inbox_that_is_away_is_told_for_as_long_as_it_is(place: Place) -> None:
    place.configure(metrics={"listen": "127.0.0.1:0"}, inbox={"watch": "poll", "poll_seconds": 0.2})
    with place.run() as daemon:
        place.inbox.rename(place.root / "away")
        until(lambda: get(daemon, "/healthz")[0] == 503, "the missing inbox is told")
        assert "is not reachable" in get(daemon, "/healthz")[1]
        (place.root / "away").rename(place.inbox)
        until(lambda: get(daemon, "/healthz")[0] == 200, "all is well again")


def test_a_port_that_is_taken_is_a_fault_of_the_config(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        place.configure(metrics={"listen": listen})
        done = place.watcher("run", "--config", place.config)
    assert done.code == EXIT_CONFIG
    assert f'metrics.listen: found "{listen}", where another program listens already; write another port' in done.err


@pytest.mark.slow
def test_an_address_that_others_reach_must_be_asked_for_and_is_warned_of(place: Place) -> None:
    place.configure(metrics={"listen": "0.0.0.0:0"})
    with place.run() as daemon:
        (line,) = daemon.events("metrics.listening")
        assert line["level"] == "warning"
        assert "see folder names" in line["text"]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_page_and_metrics_have_one_address_or_each_its_own(place: Place, *, shared: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    place.configure(web={"listen": listen}, metrics={"listen": listen if shared else "127.0.0.1:0"})
    with place.run() as daemon:
        assert get(daemon, "/healthz") == (200, "ok\n")
        assert daemon.events("web.listening")[0]["url"] == f"http://{listen}/"
        with urllib.request.urlopen(f"http://{listen}/api/summary", timeout=20) as answer:
            assert answer.status == 200
        assert get(daemon, "/api/summary")[0] == (200 if shared else 404)
        assert len(daemon.events("metrics.listening")) == 1


@pytest.mark.parametrize("command", [pytest.param("run", marks=pytest.mark.slow), "check"])
def test_without_the_extra_it_is_said_what_to_install(place: Place, command: str) -> None:
    place.configure(metrics={"listen": "127.0.0.1:0"}, web={"listen": "127.0.0.1:1"})
    program = f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("prometheus_client", "uvicorn") else find(name, *rest)
sys.argv = ["watcher", "{command}", "--config", {str(place.config)!r}]
from watcher.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=place.env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == EXIT_CONFIG
    pip = f"{sys.executable} -m pip"
    assert "metrics.listen: found '127.0.0.1:0', and the Python package prometheus-client is not there" in done.stderr
    assert f"`{pip} install 'photo-watcher[metrics]'`" in done.stderr
    assert "web.listen: found '127.0.0.1:1', and the Python package uvicorn is not there" in done.stderr
    assert f"`{pip} install 'photo-watcher[web]'`" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed")
def test_names_and_helps_are_as_prometheus_wants_them(place: Place, tmp_path: Path) -> None:
    place.configure(metrics={"listen": "127.0.0.1:0"})
    with place.run() as daemon:
        fill(place.inbox, 1)
        daemon.settle(1)
        (tmp_path / "metrics").write_text(get(daemon, "/metrics")[1])
    with (tmp_path / "metrics").open() as text:
        done = subprocess.run(
            ["promtool", "check", "metrics"], stdin=text, capture_output=True, text=True, check=False, timeout=60
        )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
