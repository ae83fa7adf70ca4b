"""`watcher check`: what it says of the installed service and of who can open the page."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import THUMB, WEB, Place
from tests.faults.processes import without_privilege

linux = pytest.mark.skipif(sys.platform != "linux", reason="the units are systemd's")


def said_of(place: Place, what: str, code: int = 0) -> str:
    """Run `check`, and return its line about one thing; empty: there is none."""
    done = place.watcher("check", "--config", place.config)
    assert done.code == code, done
    return next((line for line in done.out.splitlines() if line.split()[1] == f"{what}:"), "")


# ---- the service ----


@linux
@pytest.mark.slow
def test_an_installed_unit_that_is_older_than_its_config_is_named_with_what_it_lacks(place: Place) -> None:
    assert not said_of(place, "service")
    unit = Path(place.env["XDG_CONFIG_HOME"]) / "systemd" / "user" / "watcher.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(place.watcher("service", "show", "--user", "--config", place.config).out)
    assert said_of(place, "service") == f"ok      service: {unit} fits this config"
    elsewhere = unit.read_text().replace("ExecStart=", "ExecStart=/opt/").replace("ExecReload=/", "ExecReload=/opt/")
    unit.write_text(f"# a comment\n{elsewhere}")
    assert said_of(place, "service").startswith("ok"), "another Python's fits as well"
    place.configure(retry={"timeout_seconds": 600})
    line = said_of(place, "service")
    assert line.startswith(f"warning service: {unit} is older than this config"), line
    assert "lacks `TimeoutStopSec=630`" in line
    assert line.endswith("watcher service install`")


@linux
def test_a_reload_is_checked_for_what_it_would_refuse_and_for_nothing_else(place: Place) -> None:
    place.configure(inbox={"path": str(place.root / "away")})
    done = place.watcher("check", "--for-reload", "--config", place.config)
    assert (done.code, done.out, done.err) == (0, "", ""), "an inbox that is away is waited for"
    place.configure(workers=-1)
    done = place.watcher("check", "--for-reload", "--config", place.config)
    assert done.code == 78
    assert "workers: found -1" in done.err


def test_folders_of_renditions_that_can_t_be_written_are_faults_with_what_to_type(place: Place) -> None:
    place.configure({"web": WEB, "thumb": {**THUMB, "name": "small/thumb/{folder}/{stem}.{ext}"}, "new": WEB})
    web, small = place.output / "web", place.output / "small"
    for folder in (web, small / "thumb"):
        folder.mkdir(parents=True)
    place.within = without_privilege()
    assert place.watcher("check", "--config", place.config).code == 0
    web.chmod(0o555)
    small.chmod(0o555)  # what is in it may be written
    done = place.watcher("check", "--config", place.config)
    assert done.code == 78, done
    faults = [line for line in done.out.splitlines() if line.startswith("fault")]
    assert faults == [f"fault   output {place.output}: this user can't write in {web}; `chmod u+rwx {web}`"]
    web.rmdir()
    web.write_text("no folder")
    small.chmod(0o755)
    (small / "thumb").rmdir()
    small.chmod(0o555)
    done = place.watcher("check", "--config", place.config)
    assert (done.code, done.out.count("fault")) == (78, 2), done
    assert f"{web} is no folder" in done.out
    assert f"can't write in {small};" in done.out


def test_a_user_that_is_not_there_can_t_be_looked_at_as(place: Place) -> None:
    done = place.watcher("check", "--as", "nobody-of-that-name", "--config", place.config)
    assert done.code == 2
    assert "There is no user 'nobody-of-that-name'" in done.err


# ---- the page and the metrics ----


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_who_can_open_the_page_is_said_before_it_is_served(place: Place) -> None:
    port = free_port()
    place.configure(web={"listen": f"127.0.0.1:{port}"})
    line = said_of(place, "page")
    assert line.startswith(
        f"ok      page: http://127.0.0.1:{port}/ is served while `watcher run` runs; this machine alone"
    )
    assert f'`listen = "0.0.0.0:{port}"`' in line
    place.configure(web={"listen": f"0.0.0.0:{port}"})
    assert "other machines can open it with its token" in said_of(place, "page")
    place.configure(web={"listen": "203.0.113.7:8424"})
    assert "which is no address of this machine" in said_of(place, "page", 78)


def test_metrics_that_can_t_be_served_are_a_fault_also_where_the_page_takes_their_place(place: Place) -> None:
    port = free_port()
    place.configure(web={"listen": f"127.0.0.1:{port}"}, metrics={"listen": f"127.0.0.1:{free_port()}"})
    assert "/metrics is served while `watcher run` runs; this machine alone can open it" in said_of(place, "metrics")
    place.configure(metrics={"listen": "203.0.113.7:9464"})
    assert "metrics.listen: found" in said_of(place, "metrics", 78)
    place.configure(web={"listen": f"0.0.0.0:{port}"}, metrics={"listen": f"127.0.0.1:{port}"})
    assert "where another program listens already" in said_of(place, "metrics", 78)


def test_another_program_in_the_page_s_place_is_a_fault(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        place.configure(web={"listen": f"127.0.0.1:{stranger.getsockname()[1]}"})
        assert "where another program listens already" in said_of(place, "page", 78)


@pytest.mark.slow
def test_a_running_daemon_is_asked_whether_its_page_and_its_metrics_answer(place: Place) -> None:
    with place.run():
        place.configure(web={"listen": f"127.0.0.1:{free_port()}"}, metrics={"listen": f"127.0.0.1:{free_port()}"})
        for what in ("page", "metrics"):
            line = said_of(place, what)
            assert line.startswith(f"warning {what}: the running daemon does not answer at"), line
            assert "systemctl" in line
    with place.run():
        assert "/ answers; this machine alone can open it" in said_of(place, "page")
        assert "/metrics answers; this machine alone can open it" in said_of(place, "metrics")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is told so")
def test_root_is_told_that_the_service_runs_as_another_user(place: Place) -> None:
    unit = Path(place.env["XDG_CONFIG_HOME"]) / "systemd" / "user" / "watcher.service"
    unit.parent.mkdir(parents=True)
    shown = place.watcher("service", "show", "--user", "--config", place.config).out
    unit.write_text(shown.replace('User="root"', 'User="daemon"'))
    done = place.watcher("check", "--config", place.config)
    assert "warning user: the service runs as daemon: `" in done.out
    assert " check --as daemon`" in done.out
