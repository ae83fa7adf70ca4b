"""The program with a Dask cluster: what a user sees of it, near and away."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests import photos
from tests.dask_processes import TIMEOUT, Dask
from tests.e2e.harness import Place, fill, shows, until
from watcher.render.decoders.jpeg.markers import MAX_SCANS


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """Give a cluster of one worker with two threads, which no test may harm."""
    with Dask(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.begin_worker(threads=2)
        yield cluster


def join(place: Place, cluster: Dask, **more: object) -> None:
    place.configure(executor={"kind": "dask", "address": cluster.address, **more})


def endless(path: Path) -> None:
    """Write a photo that takes many seconds to decode, and looks old enough to be whole; see `faults/test_poison`."""
    data = photos.jpeg(Image.new("L", (12_000, 12_000)), progressive=True)
    scan, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    again = data[data.rindex(b"\xff\xc4", 0, scan) : end]
    path.write_bytes(data[:end] + again * (MAX_SCANS - data.count(b"\xff\xda")) + data[end:])
    os.utime(path, (1, 1))


def processes_at(photo: Path) -> list[int]:
    """Give the pids of all that have a photo open: a cluster's processes are not of the place."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(entry) == str(photo) for entry in folder.iterdir()):
                found.append(int(folder.parent.name))
        except OSError:
            continue
    return found


# ---- check ----


def test_check_asks_each_worker(place: Place, dask: Dask) -> None:
    join(place, dask)
    fill(place.inbox, 1)
    done = place.watcher("check", "--config", place.config)
    assert done.code == 0, done
    assert f"ok      cluster {dask.address}: 1 worker with 2 threads" in done.out
    assert f" on {socket.gethostname()}: a tiny photo in " in done.out
    assert "every folder read and written, versions as here, decoder " in done.out
    assert not place.output.exists()
    assert [path.name for path in place.root.glob(".watcher*")] == []


def test_check_says_what_a_worker_does_not_see(place: Place, dask: Dask, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = {str(place.inbox): "/not/there", str(place.output.parent): str(tmp_path / "other")}
    join(place, dask, paths=paths)
    place.output.mkdir()
    fill(place.inbox, 1)
    done = place.watcher("check", "--config", place.config)
    assert done.code == 78
    assert "the inbox /not/there: it can't be read there (No such file or directory); mount it there" in done.out
    assert "other/output: what this machine wrote is not to be read there" in done.out


def test_check_tells_another_folder_from_the_same(place: Place, dask: Dask, tmp_path: Path) -> None:
    (path,) = fill(place.inbox, 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / path.name).write_bytes(b"not that one")
    join(place, dask, paths={str(place.inbox): str(tmp_path / "other")})
    done = place.watcher("check", "--config", place.config)
    assert done.code == 78
    assert f"'{path.name}' in it is another one than here; mount the same one there" in done.out


@pytest.mark.slow
def test_check_says_in_time_that_nobody_answers(place: Place, tmp_path: Path) -> None:
    place.configure(executor={"kind": "dask", "address": "127.0.0.1:9"})
    done = place.watcher("check", "--config", place.config)
    assert done.code == 78
    assert "the scheduler can't be asked: connection refused; start it (`dask scheduler`), or correct" in done.out
    place.configure(executor={"kind": "dask", "scheduler_file": "not-there.json"})
    done = place.watcher("check", "--config", place.config)
    assert done.code == 78
    assert "no such file or directory; start it (`dask scheduler`), or correct `executor.scheduler_file`" in done.out
    with Dask(tmp_path) as lonely:
        join(place, lonely, fallback="processes")
        done = place.watcher("check", "--config", place.config)
    assert done.code == 0, "it can work here"
    assert "the scheduler has no workers: start `dask worker` on each machine" in done.out


# ---- once ----


def test_once_says_that_nobody_could_be_found_and_ends(place: Place) -> None:
    place.configure(executor={"kind": "dask", "address": "127.0.0.1:9"})
    fill(place.inbox, 3)
    hurried = (
        "import sys, watcher.app.cluster as c, watcher.cluster.client as d; from watcher.cli import main;"
        "c.GIVE_UP_SECONDS = d.CONNECT_SECONDS = 0.5;"
        f"sys.argv = ['watcher', 'once', '--config', {str(place.config)!r}]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", hurried], env=place.env, check=False, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 1, done
    assert "waiting: 3 photos that could not be made: the Dask cluster at 127.0.0.1:9 is away: " in done.stdout
    assert done.stdout.rstrip().partition("nothing made · 3 not made")[1]
    assert place.status()["inboxes"][0]["failed"] == 0


# ---- run ----


@pytest.mark.slow
def test_status_says_that_the_cluster_is_away_and_photos_wait_for_it(place: Place, tmp_path: Path) -> None:
    (tmp_path / "dask").mkdir()
    with Dask(tmp_path / "dask") as cluster:
        join(place, cluster)
        with place.run() as daemon:
            fill(place.inbox, 5)
            until(lambda: place.status()["executor"]["away_since"], "status knows")
            found = place.status()["executor"]
            assert (found["kind"], found["address"]) == ("dask", cluster.address)
            assert found["reason"] == "the scheduler has no workers"
            said = place.watcher("status", "--config", place.config).out
            assert f"the Dask cluster at {cluster.address} is away since " in said
            assert "photos wait for it" in said
            cluster.begin_worker("--nanny")  # whose workers may have no children, if it were for multiprocessing
            daemon.settle(5)
            why = place.watcher("why", str(place.inbox / "p000.jpg"), "--config", str(place.config)).out
            assert f" on {socket.gethostname()}" in why
            found = place.status()
            assert (found["workers"], found["executor"]["workers"], found["executor"]["away_since"]) == (1, 1, None)
            assert len(daemon.events("executor.lost")) == len(daemon.events("executor.back")) == 1
            assert daemon.stop() == 0
    assert shows(place.outputs("p003.jpg")[0], 3)


@pytest.mark.slow
def test_photos_are_made_here_while_the_cluster_is_away(place: Place, tmp_path: Path) -> None:
    (tmp_path / "dask").mkdir()
    with Dask(tmp_path / "dask") as cluster:
        join(place, cluster, fallback="processes")
        with place.run() as daemon:
            fill(place.inbox, 3)
            daemon.settle(3)
            status = partial(place.watcher, "status", "--config", place.config)
            until(lambda: "photos are made here meanwhile" in status().out, "status says where")
            here = {line["pid"] for line in daemon.events("photo.done")}
            worker = cluster.begin_worker()
            daemon.wait_for("executor.back")
            fill(place.inbox, 3, first=3)
            daemon.settle(6)
            there = {line["pid"] for line in daemon.events("photo.done")} - here
            assert len(there) == 1
            until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in here), "nobody is left waiting here")
            worker.kill()
            worker.wait()
            until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in there), "it took its own along", 10)
            fill(place.inbox, 3, first=6)
            daemon.settle(9)
            assert len(daemon.events("executor.fallback")) == 2
            assert daemon.made() == dict.fromkeys((f"p{number:03}.jpg" for number in range(9)), 1)
            assert daemon.stop() == 0


@pytest.mark.slow
def test_a_photo_that_never_ends_costs_a_process_and_no_dask_worker(place: Place, dask: Dask) -> None:
    place.configure(
        executor={"kind": "dask", "address": dask.address}, retry={"timeout_seconds": 1.0, "backoff_seconds": 0.1}
    )
    endless(place.inbox / "endless.jpg")
    fill(place.inbox, 6)
    done = place.once()
    assert done.code == 1
    assert done.out.splitlines()[-1].startswith("6 photos, 12 copies made in ")
    reason = f"took longer than 1 s in a worker (timeout_seconds) (on {socket.gethostname()})"
    assert f"failed: {place.inbox}/endless.jpg: {reason}" in done.out
    assert len(done.events("worker.lost")) == 2, "in company, then alone"
    assert not done.events("executor.lost")


@pytest.mark.slow
def test_a_photo_that_gets_its_process_killed_is_given_up_after_three_tries(place: Place, dask: Dask) -> None:
    place.configure(executor={"kind": "dask", "address": dask.address}, retry={"backoff_seconds": 0.1})
    photo = place.inbox / "endless.jpg"
    with place.run() as daemon:
        endless(photo)
        for number in range(1, 4):
            until(lambda: processes_at(photo), "it is in a process")
            os.kill(processes_at(photo)[0], signal.SIGKILL)
            daemon.wait_for("worker.lost", number)
        daemon.wait_for("photo.failed")
        (failed,) = place.status()["failed"]
        assert "was killed (SIGKILL" in failed["reason"]
        assert failed["attempts"] == 3
        assert not daemon.events("executor.lost")
        assert daemon.stop() == 0


# ---- TLS ----


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_a_cluster_may_ask_for_certificates(place: Place, tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*words, "-keyout", key, "-out", certificate, "-subj", "/CN=test", "-days", "1"],
        check=True,
        capture_output=True,
    )
    (tmp_path / "dask").mkdir()
    tls = ["--tls-ca-file", certificate, "--tls-cert", certificate, "--tls-key", key]
    with Dask(tmp_path / "dask", tls=tls) as cluster:
        cluster.begin_worker()
        fill(place.inbox, 1)
        join(place, cluster)
        without = place.watcher("check", "--config", place.config)
        assert without.code == 78
        assert "tls:// takes `tls_ca_file`, `tls_client_cert` and `tls_client_key`" in without.out
        join(place, cluster, tls_ca_file=certificate, tls_client_cert=certificate, tls_client_key=key)
        done = place.once()
    assert done.code == 0, done
    assert shows(place.outputs("p000.jpg")[0], 0)
