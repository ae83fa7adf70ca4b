"""Units and plists: what they say, and what systemd's own tools and Python's reader of plists say of them."""

from __future__ import annotations

import itertools
import os
import plistlib
import re
import shutil
import subprocess
import types
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.harness import COMMAND
from tests.scripts import loaded
from watcher.app.check_service import compared
from watcher.app.service import describe, opened_for_hooks
from watcher.app.settings import Source
from watcher.service.definition import Record, Service, unsayable
from watcher.service.launchd_plist import plist, read_plist
from watcher.service.permissions import Account
from watcher.service.systemd_unit import read_unit, system_unit, user_unit

SYSTEMD = Path(__file__).parents[2] / "systemd"
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")


@pytest.fixture(scope="module")
def examples() -> types.ModuleType:
    return loaded(SYSTEMD / "examples.py")


@pytest.fixture
def service(examples: types.ModuleType) -> Service:
    found: Service = examples.SYSTEM
    return found


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_examples_are_what_is_installed_but_for_the_paths(examples: types.ModuleType) -> None:
    for path, text in examples.examples().items():
        assert path.read_text(encoding="utf-8") == text, "run `python systemd/examples.py`"


@needs_systemd
@pytest.mark.parametrize("whose", ["system", "user"])
@pytest.mark.parametrize("listens", [False, True])
def test_systemd_finds_no_fault_in_a_unit(service: Service, tmp_path: Path, whose: str, *, listens: bool) -> None:
    service = replace(
        service,
        command=(COMMAND, *service.command[1:]),
        listens=listens,
        beyond_loopback=listens and whose == "user",
        record=replace(service.record, user="root"),
        reads=("/srv/in", "/tmp/in", '/srv/a "b" 100% $x\\;', "/srv/out/in"),  # noqa: S108  # only named
        writes=("/srv/out", "/home/x"),
    )
    path = tmp_path / "watcher.service"
    path.write_text(system_unit(service) if whose == "system" else user_unit(service))
    words = ["systemd-analyze", "verify", f"--{whose}", "--man=no", "--recursive-errors=no", str(path)]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}  # what a user's systemd has
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert "watcher.service" not in done.stderr
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_the_system_unit_is_exposed_to_little(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "watcher.service"
    worst = replace(service, reads=("/home/x/in", "/tmp/in"), listens=True, beyond_loopback=True)  # noqa: S108
    mounted = replace(service, mounted=service.writes)
    for each, most in ((service, 0.4), (mounted, 1.0), (worst, 1.5)):
        path.write_text(system_unit(each))
        words = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert float(done.stdout.splitlines()[-1].partition(": ")[2].split()[0]) <= most, done.stdout


def test_every_line_of_a_unit_that_is_not_plain_has_its_reason() -> None:
    plain = re.compile(
        r"\[|Description=|Documentation=|User=|Exec\w+=|RestartSec|IOSched|Private|Protect|Restrict|SystemCall|LockP"
        r"|WantedBy|Config|State|Ambient|IPAddress|ReadWrite"
    )
    for path in SYSTEMD.rglob("*.service"):
        text = path.read_text().splitlines()
        for before, line in itertools.pairwise(text):
            if line and not line.startswith("#") and not plain.match(line):
                assert before.startswith("#"), f"{path}: {line}"


def test_a_page_opens_the_way_to_the_network_no_further_than_asked(service: Service) -> None:
    assert "PrivateNetwork=yes" in lines(system_unit(service))
    local = lines(system_unit(replace(service, listens=True)))
    assert "PrivateNetwork=yes" not in local
    assert {"IPAddressDeny=any", "IPAddressAllow=localhost"} <= set(local)
    assert "IPAddressDeny=any" not in lines(system_unit(replace(service, listens=True, beyond_loopback=True)))


def test_a_home_is_hidden_unless_something_in_it_is_needed(service: Service) -> None:
    assert "ProtectHome=yes" in lines(system_unit(service))
    for needed in (
        replace(service, reads=("/home/anna/in",)),
        replace(service, program=("/root/venv",)),
        replace(service, commands=("/home/anna/publish",)),
        replace(service, record=replace(service.record, config="/home/anna/c.toml")),
    ):
        assert "ProtectHome=read-only" in lines(system_unit(needed))


def test_only_outputs_can_be_written_and_an_inbox_below_one_can_not(service: Service) -> None:
    text = lines(system_unit(replace(service, writes=("/srv/out", "/srv/out/more"), reads=("/srv/in", "/srv/out/in"))))
    assert "ReadWritePaths=/srv/out" in text
    assert "ReadOnlyPaths=/srv/out/in" in text


def test_an_output_on_a_disk_that_comes_and_goes_is_not_held_on_to(service: Service) -> None:
    text = lines(system_unit(replace(service, writes=("/srv/out", "/mnt/disk/out"), mounted=("/mnt/disk/out",))))
    assert {"ProtectSystem=full", "ReadWritePaths=/srv/out", "ProtectHome=yes"} <= set(text)
    text = lines(system_unit(replace(service, writes=("/home/anna/nas/out",), mounted=("/home/anna/nas/out",))))
    assert "ProtectHome=no" in text
    assert not [line for line in text if line.startswith("ReadWritePaths")]


def test_the_service_is_given_longer_to_stop_than_its_slowest_photo(service: Service) -> None:
    slow = replace(service, drain_seconds=600.5)
    assert "TimeoutStopSec=631" in lines(system_unit(slow))
    assert plistlib.loads(plist(slow, system=True))["ExitTimeOut"] == 631


def test_a_unit_says_how_nice_the_service_is(service: Service) -> None:
    assert "Nice=10" in lines(system_unit(service))
    assert "Nice=3" in lines(user_unit(replace(service, nice=3)))


def test_a_reload_asks_the_daemon_then_fails_where_the_config_is_wrong(service: Service) -> None:
    lines = user_unit(replace(service, command=("/opt/my watcher", "run", "--config", "/etc/$1.toml"))).splitlines()
    assert [line for line in lines if line.startswith("ExecReload=")] == [
        "ExecReload=kill -HUP $MAINPID",
        'ExecReload="/opt/my watcher" check --for-reload --config /etc/$$1.toml',
    ]


def test_a_plist_says_what_launchd_has_to_know(service: Service) -> None:
    found = plistlib.loads(plist(replace(service, log="/l", environment=(("A", "b"),)), system=True))
    assert found["ProgramArguments"] == list(service.command)
    assert found["KeepAlive"] == {"SuccessfulExit": False}
    assert found["ProcessType"] == "Background"
    assert (found["StandardOutPath"], found["UserName"]) == ("/l", "watcher")
    assert found["EnvironmentVariables"] == {"A": "b"}
    assert "UserName" not in plistlib.loads(plist(service, system=False))


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).map("/".__add__)


@given(st.builds(Record, TEXT, TEXT, TEXT))
def test_what_a_service_was_made_for_is_read_back_from_its_unit_or_plist(record: Record) -> None:
    service = Service(record=record, command=("/w",), program=(), reads=(), writes=("/o",), drain_seconds=1)
    assert read_unit(system_unit(service)) == record
    assert read_unit(user_unit(service)) == record
    if all(
        sign >= " " and sign not in "\ufffe\uffff"
        for text in (record.config, record.state, record.user)
        for sign in text
    ):
        assert read_plist(plist(service, system=False)) == record


@given(st.text() | st.builds("[X-Watcher]\n{}\nConfig={}\n".format, st.text(), st.text()), st.binary())
def test_what_is_not_ours_is_told_as_such(text: str, raw: bytes) -> None:
    assert read_unit(text) is None
    assert read_plist(raw) is None
    assert read_plist(plistlib.dumps({"PhotoWatcher": {"Config": 1}})) is None


@pytest.mark.parametrize("path", ["/srv/a\nb", "/srv/a\x7f", "/srv/\udcff"])
def test_a_path_that_no_unit_can_name_is_told(service: Service, path: str) -> None:
    assert list(unsayable(replace(service, reads=(path,)))) == [path]
    assert not list(unsayable(service))


def test_a_plist_that_is_older_than_its_config_is_told_from_another_python_s(service: Service) -> None:
    there = plist(service, system=True).decode()
    assert compared("/x.plist", there, there, "again")[0] == "ok"
    elsewhere = replace(service, command=("/opt/watcher", *service.command[1:]))
    assert compared("/x.plist", plist(elsewhere, system=True).decode(), there, "again")[0] == "ok"
    slow = replace(service, drain_seconds=600.5)
    level, _, said = compared("/x.plist", there, plist(slow, system=True).decode(), "again")
    assert level == "warning"
    assert "lacks `ExitTimeOut = 631`" in said


def test_a_hook_opens_what_it_needs_and_no_more(tmp_path: Path) -> None:
    def unit(*hooks: str) -> tuple[list[str], list[str]]:
        config = tmp_path / "config.toml"
        text = "".join(f'[[hook]]\non = "photo"\n{hook}\n' for hook in hooks)
        config.write_text(f'{text}[[inbox]]\npath = "/srv/in"\noutput = "/srv/out"\n')
        source = Source(None, str(config), None)
        found = describe(source, Account("watcher", 1, 1, "/var/lib/watcher"), system=True)
        return lines(system_unit(found)), opened_for_hooks(source.read()[0])

    assert "PrivateNetwork=yes" in unit()[0]
    local, said = unit('url = "http://127.0.0.1:8123/x"', 'url = "http://localhost/x"')
    assert {"IPAddressDeny=any", "IPAddressAllow=localhost"} <= set(local)
    assert not said
    far, said = unit('url = "http://127.0.0.1:8123/x"', 'url = "https://ntfy.sh/x"')
    assert not [line for line in far if line.startswith(("IPAddress", "PrivateNetwork"))]
    assert said == ["The service may use the network, since a hook calls a URL on another machine."]
    command, said = unit('command = ["/home/anna/publish"]')
    assert not [line for line in command if line.startswith(("IPAddress", "PrivateNetwork"))]
    assert "ReadWritePaths=" in said[0]
