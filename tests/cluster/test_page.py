"""docs/cluster.md is true: its commands run as they are written, but for the port, and its configs are right."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.cluster.cluster import free_port
from tests.dask_processes import KNOWN
from tests.e2e.harness import COMMAND, Place, tree, until
from watcher.config import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")


def blocks(language: str, section: str) -> list[str]:
    within = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", within, re.DOTALL)


@contextmanager
def running(place: Place, lines: list[str], port: str) -> Iterator[None]:
    """Run the commands of a block as a shell does; those that end in `&` go on until the end."""
    with ExitStack() as stack:
        for line in lines:
            words = shlex.split(line.replace("8786", port), comments=True)
            if words[0] == "pip":
                continue  # it is installed here
            if words[-1] == "&":
                stack.enter_context(beside(place, words[:-1]))
            elif words[0] == "watcher":
                if words[1] == "check":  # a person types it later
                    until(lambda: KNOWN in (place.root / "beside.log").read_text(), "the scheduler knows a worker")
                done = place.watcher(*words[1:])
                assert done.code == 0, done
            else:
                subprocess.run(["sh", "-c", line], cwd=place.root, check=True, capture_output=True)
        yield


@contextmanager
def beside(place: Place, words: list[str]) -> Iterator[None]:
    command = [str(Path(COMMAND).with_name(words[0])), *words[1:]]
    env = {**place.env, "TMPDIR": str(place.root)}
    with (place.root / "beside.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=place.root, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.slow
def test_a_cluster_on_one_machine_is_tried_as_it_is_written(place: Place) -> None:
    port = str(free_port())
    (text,) = blocks("toml", "Try it on one machine")
    (commands,) = blocks("sh", "Try it on one machine")
    (place.root / "cluster.toml").write_text(text.replace("8786", port))
    shutil.copytree(ROOT / "examples" / "photos", place.root / "examples" / "photos")
    with running(place, commands.splitlines(), port):
        made = tree(place.root / "resized" / "web")
        assert made.keys() == {path.name for path in (ROOT / "examples" / "photos").glob("*.jpg")}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed here")
def test_a_cluster_with_certificates_is_set_up_as_it_is_written(place: Place) -> None:
    port = str(free_port())
    keys, commands = blocks("sh", "Certificates")
    (text,) = blocks("toml", "Certificates")
    (place.root / "photos.toml").write_text(
        f'{text.replace("8786", port)}[[inbox]]\npath = "{place.inbox}"\noutput = "{place.output}"\n'
    )
    asked = ["watcher check --config photos.toml"]
    with running(place, [*keys.splitlines(), *commands.splitlines(), *asked], port):
        pass
    (place.root / "key.pem").unlink()
    assert place.watcher("check", "--config", "photos.toml").code == 78


def test_the_configs_are_right_and_what_is_linked_exists() -> None:
    for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL):
        whole = text if "[executor]" in text else f'[executor]\nkind = "dask"\naddress = "tcp://a:1"\n{text}'
        more = "" if "[[inbox]]" in whole else '[[inbox]]\npath = "/a"\noutput = "/b"\n'
        assert (
            parse(tomllib.loads(whole + more), source="page", base="/nowhere", home="/home/a").executor.kind == "dask"
        )
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for variable in re.findall(r"DASK_\w+=\w+", PAGE):
        assert f"Environment={variable}" in (ROOT / "systemd" / "watcher-dask-scheduler.service").read_text()
