"""The container image: the steps of the Dockerfile are run in a plain Debian, and the result is run as docker would.

No image is pulled: a root file system of mmdebstrap stands in for the `python` image, namespaces for docker.
`WATCHER_DEBIAN=FOLDER` keeps that root file system, and uses it again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from tests.e2e.harness import Finished, camera, fill, fingerprint, is_whole, temporary, tree, until

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "tests" / "e2e" / "container.sh")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REACH = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/pip.conf",
    "/etc/ssl/certs",
    "/root/.config/pip",
)  # an index is reached by
BASE = "python3-minimal,python3-venv,ca-certificates"


class Step(NamedTuple):
    stage: int
    verb: str
    rest: str


def steps() -> list[Step]:
    """Return the instructions of the Dockerfile in order, with the number of the stage of each."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    found = []
    stage = -1
    for line in filter(None, map(str.strip, text.splitlines())):
        verb, _, rest = line.partition(" ")
        stage += verb == "FROM"
        found.append(Step(stage, verb, rest.strip()))
    return found


def words(verb: str) -> list[str]:
    """Return the words of ENTRYPOINT, CMD or HEALTHCHECK."""
    (rest,) = (step.rest for step in steps() if step.verb == verb)
    parsed: list[str] = json.loads(rest[rest.index("[") :])
    return parsed


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for step in steps() if step.verb == "ENV" for pair in step.rest.split())


def test_what_the_image_is_built_from_is_let_through_to_it() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for step in steps()
        if step.verb == "COPY" and not step.rest.startswith("--from")
        for source in step.rest.split()[:-1]
    }
    assert all(any(source == name or source.startswith(f"{name}/") for name in kept) for source in copied)
    assert all((ROOT / source).exists() for source in copied | kept)


def test_docker_waits_longer_for_the_photos_in_work_than_one_may_take() -> None:
    found = re.search(r"stop_grace_period: (\d+)s", (ROOT / "compose.yaml").read_text())
    example = re.search(r"(?m)^timeout_seconds = ([\d.]+)", (ROOT / "config.example.toml").read_text())
    assert found
    assert example
    assert float(found[1]) > float(example[1])


def _unable() -> str:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "it takes Linux and root to run a container"
    missing = [tool for tool in ("mmdebstrap", "unshare", "nsenter", "setpriv", "ip") if not shutil.which(tool)]
    return f"not installed here: {', '.join(missing)}" if missing else ""


def _shell(root: Path, command: str) -> None:
    """Do one RUN line."""
    reach = {name: value for name, value in os.environ.items() if re.match(r"(?i)pip_|ssl_|.*_proxy$", name)}
    done = subprocess.run(
        ["bash", SCRIPT, "build", str(root), command],
        env={"PATH": PATH, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", **reach},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (command, done.stdout.decode()[-2000:], done.stderr.decode()[-4000:])


def _copy(step: Step, stages: list[Path]) -> None:
    """Do one COPY line."""
    *sources, target = re.sub(r"--from=\S+ ", "", step.rest).split()
    origin = stages[0] if step.rest.startswith("--from") else ROOT
    for source in sources:
        found = origin / source.lstrip("/")
        into = stages[step.stage] / target.lstrip("/")
        if target.endswith("/") and found.is_file():
            into = into / found.name
        into.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(
                found,
                into,
                symlinks=True,
                ignore=None if origin != ROOT else shutil.ignore_patterns("__pycache__", "_jpeg.*"),
            )
        else:
            shutil.copy2(found, into)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Build the image: the root file system of its last stage."""
    if reason := _unable():
        pytest.skip(reason)
    work = tmp_path_factory.mktemp("image")
    debian = Path(os.environ.get("WATCHER_DEBIAN") or work / "debian")
    if not (debian / "usr" / "bin" / "python3").exists():
        stale = 'Acquire::Check-Valid-Until "false"'  # a mirror that is behind does as well
        subprocess.run(
            ["mmdebstrap", "--variant=minbase", f"--include={BASE}", f"--aptopt={stale}", "stable", debian],
            stdin=subprocess.DEVNULL,
            check=True,
        )
    stages: list[Path] = []
    for step in steps():
        if step.verb == "FROM":
            stages.append(work / f"stage{step.stage}")
            subprocess.run(["cp", "-a", debian, stages[-1]], check=True)
            for name in REACH:
                if os.path.exists(name):
                    subprocess.run(["mkdir", "-p", f"{stages[-1]}{os.path.dirname(name)}"], check=True)
                    subprocess.run(["cp", "-aLT", "--remove-destination", name, f"{stages[-1]}{name}"], check=True)
        elif step.verb == "RUN":
            _shell(stages[step.stage], step.rest)
        elif step.verb == "COPY":
            _copy(step, stages)
    yield stages[-1]
    shutil.rmtree(work, ignore_errors=True)


class Container:
    """A running container with its volumes below `folder`."""

    def __init__(self, image: Path, folder: Path, env: Mapping[str, str] | None = None, user: str = "-") -> None:
        self.folder = folder
        for name in ("inbox", "output", "state", "config"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "pid").unlink(missing_ok=True)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", SCRIPT, "run", str(image), str(folder), user, *words("ENTRYPOINT"), *words("CMD")],
                env={"PATH": PATH, **environment(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until((folder / "pid").exists, "the container has started")
        self.init = int((folder / "pid").read_text())
        until(lambda: "scan.done" in self.log.read_text() or self.process.poll() is not None, "it has scanned", 60)

    def exec(self, *command: str) -> Finished:
        """Run a command in the container, as `docker exec` does."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.init), "-m", "-p", "-n", "-i", "-u", "-r", "-w", "--", *command],
            env={"PATH": PATH, **environment()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    def stop(self) -> int:
        """Send SIGTERM to PID 1, as `docker stop` does; its exit code."""
        os.kill(self.init, signal.SIGTERM)
        return self.process.wait(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
            self.process.wait(timeout=60)


def _made(folder: Path, count: int) -> None:
    """Wait until there are so many copies, and no temporary file any more."""
    output = folder / "output"
    until(lambda: len(tree(output)) == count and not temporary(output), f"{count} copies in {folder}", 60)


@pytest.mark.slow  # it makes a Debian and installs into it
def test_it_runs_without_a_config_as_the_user_it_is_told_and_drains_when_it_is_stopped(
    image: Path, tmp_path: Path
) -> None:
    env = {"PUID": "1234", "PGID": "2345", "UMASK": "027", "TZ": "Europe/Berlin"}
    with Container(image, tmp_path, env) as running:
        fill(tmp_path / "inbox", 3)
        _made(tmp_path, 3)
        for path in tree(tmp_path / "output").values():
            found = path.stat()
            assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o640)
        health = running.exec(*words("HEALTHCHECK"))
        assert (health.code, health.out) == (0, "ok\n"), health
        status = running.exec("watcher", "status", "--json")
        assert json.loads(status.out)["decoder"] == "native"
        assert json.loads(status.out)["inboxes"][0]["done"] == 3
        names = [path.read_text() for path in Path(f"/proc/{running.init}/task/{running.init}").glob("comm")]
        assert names == ["tini\n"]
        # a process whose parent has ended is handed to PID 1, which has to reap it
        assert running.exec("sh", "-c", "sh -c 'sleep 0.1 & echo $!'").code == 0
        states = "cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | cut -c1"
        until(lambda: "Z" not in running.exec("sh", "-c", states).out, "no zombie is left")
        before = fingerprint(tmp_path / "output")
        for number in range(3, 23):
            (tmp_path / "inbox" / f"p{number:03}.jpg").write_bytes(camera(number, 1500, 1000))
        assert running.stop() == 0, running.log.read_text()
        assert "stopped" in running.log.read_text()
        assert all(is_whole(path) for path in tree(tmp_path / "output").values())
        assert not temporary(tmp_path / "output")
    with Container(image, tmp_path, env) as again:
        _made(tmp_path, 23)
        after = fingerprint(tmp_path / "output")
        assert before.items() <= after.items()
        assert again.stop() == 0


@pytest.mark.slow  # the same
def test_it_runs_as_the_user_of_docker_with_a_config_of_its_own_and_is_healthy_without_metrics(
    image: Path, tmp_path: Path
) -> None:
    for name in ("inbox", "output", "state", "config"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, 4321, 4321)
    (tmp_path / "config" / "config.toml").write_text(
        '[rendition.small]\nwidth = 200\n[[inbox]]\npath = "/inbox"\noutput = "/output"\n'
    )
    with Container(image, tmp_path, user="4321:4321") as running:
        fill(tmp_path / "inbox", 1)
        _made(tmp_path, 1)
        assert list(tree(tmp_path / "output")) == ["small/p000.jpg"]
        assert (tmp_path / "output" / "small" / "p000.jpg").stat().st_uid == 4321
        health = running.exec(*words("HEALTHCHECK"))
        assert health.code == 0, health
        assert running.stop() == 0


@pytest.mark.slow  # the same
def test_a_wrong_user_number_is_refused_in_a_sentence(image: Path, tmp_path: Path) -> None:
    with Container(image, tmp_path, {"PUID": "anna"}) as refused:
        assert refused.process.wait(timeout=30) == 78
        assert "PUID and PGID must be numbers" in refused.log.read_text()
