"""The service in a real systemd: from a built wheel and no config to photos made, through all that befalls it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from tests import photos
from tests.e2e.harness import camera, is_whole, temporary, toml, until
from tests.e2e.machine import PHOTOS, ROOT, WATCHER, Machine, build_wheel, drop, unable
from watcher.render import jpeg_decoder

REASON = unable()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(REASON), reason=REASON)]

CONFIG = f"{PHOTOS}/photos.toml"
STATE = "/var/lib/watcher/state.db"
ODD = 'in "100%" $HOME; \\x #1'  # all that a unit file could take for its own


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("machine")) as booted:
        wheel = build_wheel(ROOT, booted.wheels)
        booted.make_environment()
        booted.install_wheel(wheel.name)
        yield booted


class Site:
    """A config for the service, and what became of the photos in its inbox."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.inbox = machine.photos / ODD
        self.output = machine.photos / "resized"
        self.inbox.mkdir(exist_ok=True)
        self.dropped: list[str] = []

    def configure(self, *extra: str, width: int = 300) -> None:
        inbox = f"[[inbox]]\npath = {toml(f'{PHOTOS}/{ODD}')}\noutput = {toml(f'{PHOTOS}/resized')}"
        text = ["workers = 2", *extra, '[log]\nlevel = "debug"', "[batch]\nquiet_seconds = 0.2"]
        (self.machine.photos / "photos.toml").write_text("\n".join([*text, f"[rendition.web]\nwidth = {width}", inbox]))

    def drop(self, count: int) -> None:
        first = len(self.dropped)
        self.dropped += drop(self.inbox, [(f"p{n:03}.jpg", camera(n)) for n in range(first, first + count)])

    def drop_much(self, count: int) -> None:
        """Drop photos that keep the workers busy, each with a content of its own."""
        first = len(self.dropped)
        large = camera(first, 6000, 4000)
        data = (
            (f"p{n:03}.jpg", photos.spliced(large, photos.segment(0xFE, b"%d" % n)))
            for n in range(first, first + count)
        )
        self.dropped += drop(self.inbox, data)
        until(lambda: self.made() > first, "the first of them is made")

    def made(self) -> int:
        return sum(1 for name in self.dropped if (self.output / "web" / name).exists())

    def complete(self) -> None:
        """Wait until every photo is made, and look at what was made."""
        until(lambda: self.made() == len(self.dropped), "every photo has its rendition")
        assert all(is_whole(self.output / "web" / name) for name in self.dropped)
        told = f"1 inbox, 0 waiting, {len(self.dropped)} done, 0 failed"
        until(lambda: self.machine.show("StatusText")["StatusText"] == told, f"systemd is told: {told}")
        assert self.status()["inboxes"][0]["done"] == len(self.dropped)
        until(lambda: not temporary(self.output), "what dead workers left is removed")

    def status(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.machine.must(WATCHER, "status", "--json")))

    def events(self) -> list[dict[str, object]]:
        lines = map(json.loads, self.machine.journal("json").splitlines())
        return [line for line in lines if "WATCHER_EVENT" in line]

    def has(self, event: str) -> Callable[[], bool]:
        return lambda: any(line["WATCHER_EVENT"] == event for line in self.events())


@pytest.fixture(scope="module")
def installed(machine: Machine) -> Site:
    site = Site(machine)
    site.configure()
    drop_in(machine, "soon", "RestartSec=100ms")
    machine.must(WATCHER, "service", "install", "--system", "--config", CONFIG)
    return site


@pytest.fixture
def site(installed: Site) -> Iterator[Site]:
    """A service that runs, and that runs again when the test is over."""
    installed.machine.must("systemctl", "start", "watcher.service")
    yield installed
    installed.machine.must("systemctl", "start", "watcher.service")
    installed.complete()


def drop_in(machine: Machine, name: str, line: str) -> None:
    folder = "/etc/systemd/system/watcher.service.d"
    machine.must("sh", "-c", f"mkdir -p {folder} && printf '[Service]\\n%s\\n' '{line}' >{folder}/{name}.conf")
    machine.must("systemctl", "daemon-reload")


def pids(machine: Machine) -> set[int]:
    return set(machine.processes())


# ---- from nothing to a service, and back ----


def test_three_commands_lead_from_nothing_to_a_service_and_one_back(machine: Machine) -> None:
    inbox, output = machine.photos / "inbox", machine.photos / "resized"
    text = (ROOT / "docs" / "service.md").read_text().partition("```sh\n")[2].partition("```")[0]
    pip, *commands = [shlex.split(line.removeprefix("sudo "), comments=True) for line in text.splitlines()]
    assert pip[-1] == "."  # the fixture installs a wheel, since there is no network in the machine
    assert [command[0] for command in commands] == [WATCHER] * 2
    said = "".join(machine.must(*command) for command in commands)
    assert "Made the user watcher" in said
    assert "journalctl -u watcher -f" in said
    list(drop(inbox, [("a.jpg", camera(1))]))
    until((output / "web" / "a.jpg").exists, "the photo is made")
    assert (output / "web" / "a.jpg").stat().st_uid != 0
    # which finds config and state by itself
    until(lambda: "done        1" in machine.must(WATCHER, "status"), "status tells of it")

    unit = machine.must("cat", "/etc/systemd/system/watcher.service")
    since = machine.show("ExecMainStartTimestampMonotonic")
    assert "Nothing to do" in machine.must(WATCHER, "service", "install")
    assert machine.show("ExecMainStartTimestampMonotonic") == since
    assert machine.must(WATCHER, "service", "show") == unit
    assert unit in machine.must(WATCHER, "service", "install", "--dry-run")

    path = ["env", "PATH=/usr/local/bin:/usr/bin:/bin"]
    assert "done        1" in machine.must(*path, "watcher", "status")
    assert machine.must(*path, "watcher", "service", "show") == unit, "by its link it is the same program"
    if shutil.which("man"):
        assert machine.must(*path, "man", "--where", "watcher").endswith("/share/man/man1/watcher.1\n")
    photographers_drop(machine, said)

    stranger = machine.run(WATCHER, "status", user="daemon")
    assert stranger.code == 78
    assert f"`sudo {WATCHER} status`" in stranger.err

    assert "Left as they are" in machine.must(WATCHER, "service", "uninstall")
    assert machine.run("systemctl", "is-enabled", "watcher.service").code != 0
    assert not pids(machine)
    assert (inbox / "a.jpg").exists()
    assert (output / "web" / "a.jpg").exists()
    machine.must("test", "-s", STATE)
    machine.must("test", "-s", "/etc/xdg/watcher/config.toml")
    assert machine.run("test", "-L", "/usr/local/bin/watcher").code != 0
    assert "Nothing to do" in machine.must(WATCHER, "service", "uninstall")
    machine.must("rm", "-r", "/var/lib/watcher", "/etc/xdg/watcher", f"{PHOTOS}/inbox", f"{PHOTOS}/resized")


def photographers_drop(machine: Machine, said: str) -> None:
    """Let others than root drop photos, by what `service install` says of it."""
    assert f"Only root can drop photos into {PHOTOS}/inbox. To let others:" in said
    hint = next(line for line in said.splitlines() if line.endswith("# one person"))
    (machine.photos / "theirs.jpg").write_bytes(camera(3))
    machine.must("groupadd", "photographers")
    for name, groups in (("bob", ["-G", "photographers"]), ("carl", [])):
        machine.must("useradd", *groups, name)
        copy = ["cp", f"{PHOTOS}/theirs.jpg", f"{PHOTOS}/inbox/{name}.jpg"]
        assert machine.run(*copy, user=name).code != 0
        if groups:
            told = machine.must(WATCHER, "service", "install", "--drop-group", "photographers")
            assert f"members of the group photographers can drop photos into {PHOTOS}/inbox." in told
            assert "Nothing to do" in told, "the service goes on"
        else:
            machine.must(*shlex.split(hint.replace("NAME", name), comments=True))
        machine.must(*copy, user=name)
        until((machine.photos / "resized" / "web" / f"{name}.jpg").exists, f"what {name} dropped is made")
    machine.must("rm", f"{PHOTOS}/theirs.jpg")
    refused = machine.run(WATCHER, "service", "install", "--drop-group", "nobodys")
    assert refused.code == 78
    assert "usermod -aG nobodys NAME" in refused.err


def test_nothing_is_started_before_its_user_can_read_and_write_and_the_lines_to_type_make_it_so(
    machine: Machine,
) -> None:
    closed = machine.photos / "closed"
    for path in (closed / "in" / "sub", closed / "out"):
        path.mkdir(parents=True)
    (closed / "in" / "sub" / "a.jpg").write_bytes(camera(1))
    (closed / "in" / "sub" / "a.jpg").chmod(0o600)
    closed.chmod(0o700)
    config = machine.photos / "closed.toml"
    config.write_text(f"[[inbox]]\npath = '{PHOTOS}/closed/in'\noutput = '{PHOTOS}/closed/out'\n")
    config.chmod(0o600)
    install = [WATCHER, "service", "install", "--config", f"{PHOTOS}/closed.toml"]
    said = ""
    for _ in range(4):  # what lies behind a closed door shows when it is open
        refused = machine.run(*install)
        if refused.code == 0:
            break
        assert refused.code == 78, refused
        assert "Nothing was started" in refused.err
        assert machine.run("systemctl", "cat", "watcher.service").code != 0
        said += refused.err
        lines = [line.strip() for line in refused.err.splitlines() if line.startswith("    ")]
        assert lines, refused
        for line in lines:
            machine.must(*shlex.split(line))
    assert f"chmod o+x {PHOTOS}/closed" in said or f"setfacl -m u:watcher:x {PHOTOS}/closed" in said
    until((closed / "out" / "web" / "sub" / "a.jpg").exists, "the photo is made")
    machine.must(WATCHER, "service", "uninstall")
    machine.must("rm", "-r", "/var/lib/watcher", f"{PHOTOS}/closed", f"{PHOTOS}/closed.toml")


def test_root_s_own_folders_are_no_place_for_a_service_and_nobody_is_told_to_open_them(machine: Machine) -> None:
    machine.must(WATCHER, "init")
    refused = machine.run(WATCHER, "service", "install")
    assert refused.code == 78
    assert "watcher init --system` writes /etc/xdg/watcher/config.toml" in refused.err
    assert "chmod" not in refused.err
    machine.must("rm", "-r", "/root/.config/watcher", "/root/Pictures")


# ---- at work ----


def test_photos_are_made_under_the_hardened_unit_by_the_resizer_and_the_decoder_that_are_fast(site: Site) -> None:
    site.drop(3)
    site.complete()
    rating = site.machine.must("systemd-analyze", "security", "watcher.service", "--no-pager").splitlines()[-1]
    assert float(rating.split(":")[1].split()[0]) <= 1.5
    assert site.machine.show("ProtectSystem", "WatchdogUSec") == {"ProtectSystem": "strict", "WatchdogUSec": "1min"}
    maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids(site.machine))
    assert ("cykooz" in maps) == bool([*distributions(name="cykooz-resizer")])  # there are no wheels for some machines
    assert ("/_jpeg.so" in maps) == (jpeg_decoder()[0] == "native")  # nor compilers on all
    assert not [line["MESSAGE"] for line in site.events() if str(line["PRIORITY"]) < "5"]  # warnings and worse


def test_a_reload_takes_a_good_config_and_refuses_a_bad_one(site: Site) -> None:
    site.configure(width=200)
    site.machine.must("systemctl", "reload", "watcher.service")
    until(site.has("config.reloaded"), "the config is reloaded")
    until(lambda: size(site.output / "web" / site.dropped[0]) == (200, 133), "old photos are made anew")
    (site.machine.photos / "photos.toml").write_text("workers = -1\n")
    assert site.machine.run("systemctl", "reload", "watcher.service").code != 0, "who asked for it is told"
    until(site.has("config.rejected"), "the config is refused")
    assert "1 | workers = -1" in site.machine.journal(), "its line is shown"
    older = "works by an older config"
    until(lambda: older in site.machine.show("StatusText")["StatusText"], "systemd's status line says so")
    assert site.machine.show("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
    site.drop(1)
    until(lambda: site.made() == len(site.dropped), "it goes on by the old one")
    assert size(site.output / "web" / site.dropped[-1]) == (200, 133)
    site.configure()
    site.machine.must("systemctl", "reload", "watcher.service")
    until(lambda: size(site.output / "web" / site.dropped[0]) == (300, 200), "all is as before")


def test_a_page_that_the_unit_does_not_allow_yet_is_named_by_check_and_by_the_service_that_fails(site: Site) -> None:
    machine = site.machine
    check = [WATCHER, "check", "--config", CONFIG]
    assert "watcher.service fits this config" in machine.must(*check)
    site.configure('[web]\nlisten = "127.0.0.1:8424"')
    assert "lacks `RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6`" in machine.must(*check)
    assert machine.run("systemctl", "restart", "watcher.service").code != 0
    assert "allows no network; type `watcher service install` again" in machine.journal()
    machine.must(WATCHER, "service", "install", "--config", CONFIG)
    assert "page: http://127.0.0.1:8424/ answers" in machine.must(*check)
    site.configure()
    machine.must(WATCHER, "service", "install", "--config", CONFIG)


LISTENER = """\
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        open("/srv/photos/posted.new", "wb").write(body)
        os.rename("/srv/photos/posted.new", "/srv/photos/posted.json")
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 8099), Handler)
open("/srv/photos/listening", "w").close()
server.serve_forever()
"""
COMMAND = """\
#!/opt/watcher/bin/python
import json, os, socket, sys
document = json.load(sys.stdin)
socket.create_connection(("127.0.0.1", 8099)).close()
try:
    open("/srv/photos/elsewhere", "w")
except OSError as error:
    document["elsewhere"] = error.strerror
output = document["output"]
json.dump(document, open(f"{output}/told.new", "w"))
os.rename(f"{output}/told.new", f"{output}/told.json")
"""


def test_hooks_reach_the_network_once_the_unit_was_written_for_them_and_never_before_or_after(site: Site) -> None:
    machine, program = site.machine, site.machine.photos / "tell"
    program.write_text(COMMAND)
    program.chmod(0o755)
    (machine.photos / "listener.py").write_text(LISTENER)
    machine.must("systemd-run", "--unit=listener", "/opt/watcher/bin/python", f"{PHOTOS}/listener.py")
    until((machine.photos / "listening").exists, "the server for hooks listens")
    tables = [f'command = ["{PHOTOS}/tell"]', 'url = "http://127.0.0.1:8099/told"']
    site.configure(*(f'[[hook]]\non = "photo"\n{table}' for table in tables))
    before = reloads(site)
    machine.must("systemctl", "reload", "watcher.service")
    until(lambda: reloads(site) > before, "the daemon knows of its hooks")
    site.drop(1)
    until(lambda: len(refused(site)) == 2, "both hooks fail without a network")
    assert all("Address family not supported by protocol" in reason for reason in refused(site).values())
    assert network_of(main_of(site)) != network_of(machine.init)

    said = machine.must(WATCHER, "service", "install", "--config", CONFIG)
    assert "The service may use the network, since a hook runs a command" in said
    delivered = site.output / "told.json", machine.photos / "posted.json"
    for path in delivered:
        until(path.exists, f"what waited is delivered: {path.name}")
    told, posted = (json.loads(path.read_text()) for path in delivered)
    assert told.pop("elsewhere") == "Read-only file system", "what a hook runs may write to the outputs alone"
    for document in (told, posted):
        assert [photo["path"] for photo in document["photos"]] == [f"{PHOTOS}/{ODD}/{site.dropped[-1]}"]
    assert network_of(main_of(site)) == network_of(machine.init)

    site.configure()
    assert "network" not in machine.must(WATCHER, "service", "install", "--config", CONFIG)
    assert network_of(main_of(site)) != network_of(machine.init)
    machine.must("systemctl", "stop", "listener.service")
    delivered[0].unlink()


def reloads(site: Site) -> int:
    return sum(line["WATCHER_EVENT"] == "config.reloaded" for line in site.events())


def refused(site: Site) -> dict[object, str]:
    """Return the reasons why hooks have failed, by what they are."""
    failed = (line for line in site.events() if line["WATCHER_EVENT"] == "hook.failed")
    return {line["WATCHER_TO"]: str(line["WATCHER_REASON"]) for line in failed}


def network_of(pid: int) -> str:
    """Return the network namespace of a process, by the host's number."""
    return os.readlink(f"/proc/{pid}/ns/net")


def test_check_looks_at_rights_as_the_user_of_the_service(site: Site) -> None:
    machine = site.machine
    check = [WATCHER, "check", "--config", CONFIG]
    assert "the service runs as watcher" in machine.must(*check)
    assert "user: watcher (" in machine.must(*check, "--as", "watcher")
    closed = machine.photos / "closed.toml"
    (machine.photos / "closed").mkdir(mode=0o700)
    closed.write_text(f"[[inbox]]\npath = '{PHOTOS}/closed'\noutput = '{PHOTOS}/resized/closed'\n")
    check = [WATCHER, "check", "--config", f"{PHOTOS}/closed.toml", "--state", STATE]
    machine.must(*check)
    found = machine.run(*check, "--as", "watcher")
    assert found.code == 78
    assert f"fault   inbox {PHOTOS}/closed: it can't be read" in found.out
    stranger = machine.run(*check, "--as", "watcher", user="daemon")
    assert stranger.code == 2
    assert f"--as takes root: `sudo {WATCHER} check" in stranger.err
    machine.must("rm", "-r", f"{PHOTOS}/closed", f"{PHOTOS}/closed.toml")


def test_a_stop_in_mid_batch_finishes_what_is_begun_and_leaves_nothing(site: Site) -> None:
    site.drop_much(50)
    site.machine.must("systemctl", "stop", "watcher.service")
    assert site.made() < len(site.dropped), "it was stopped in time"
    assert not pids(site.machine)
    assert not temporary(site.output)
    assert site.machine.show("Result", "NRestarts") == {"Result": "success", "NRestarts": "0"}
    assert site.has("stopped")()
    assert "BrokenProcessPool" not in site.machine.journal()
    site.machine.must("systemctl", "start", "watcher.service")
    site.complete()
    made = [line for line in site.events() if line["WATCHER_EVENT"] == "photo.done" and "WATCHER_RENDITIONS" in line]
    times = Counter(line["WATCHER_PATH"] for line in made)
    assert {times[f"{PHOTOS}/{ODD}/{name}"] for name in site.dropped[-50:]} == {1}, "each was made once"


def test_killed_in_mid_batch_it_is_started_again_leaves_no_orphans_and_completes_the_work(site: Site) -> None:
    site.drop_much(20)
    before = pids(site.machine)
    os.kill(main_of(site), signal.SIGKILL)
    assert site.made() < len(site.dropped), "it was killed in time"
    until(lambda: int(site.machine.show("NRestarts")["NRestarts"]) > 0, "systemd starts it again")
    until(lambda: not before & pids(site.machine), "none of the old processes is left")
    site.complete()


def test_hung_it_is_ended_and_started_again_by_the_watchdog(site: Site) -> None:
    drop_in(site.machine, "watchdog", "WatchdogSec=3")
    site.machine.must("systemctl", "restart", "watcher.service")
    before = pids(site.machine)
    os.kill(main_of(site), signal.SIGSTOP)
    site.drop(2)
    until(lambda: int(site.machine.show("NRestarts")["NRestarts"]) > 0, "systemd starts it again")
    assert "Fatal Python error: Aborted" in site.machine.journal()
    until(lambda: not before & pids(site.machine), "none of the old processes is left")
    site.complete()
    drop_in(site.machine, "watchdog", "WatchdogSec=60")
    site.machine.must("systemctl", "restart", "watcher.service")


def test_a_wrong_config_is_one_failure_and_no_storm(site: Site) -> None:
    (site.machine.photos / "photos.toml").write_text("workers = -1\n")
    assert site.machine.run("systemctl", "restart", "watcher.service").code != 0
    found = site.machine.show("ActiveState", "ExecMainStatus", "NRestarts")
    assert found == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}  # and not `activating`
    assert "workers: found -1" in site.machine.journal()
    site.configure()


def test_a_second_instance_is_one_failure_and_no_storm(site: Site) -> None:
    site.machine.must("systemctl", "stop", "watcher.service")
    code = f"from watcher.service.process import Lock; Lock('{STATE}').acquire(); print(flush=True); time.sleep(60)"
    site.machine.must(
        "systemd-run", "--unit=holder", "--uid=watcher", "/opt/watcher/bin/python", "-c", f"import time; {code}"
    )
    until(lambda: "pid" in site.machine.run("cat", f"{STATE}.lock").out, "the state file is held")
    refused = site.machine.run(WATCHER, "service", "install", "--config", CONFIG)
    assert refused.code == 78
    assert "is in use by process" in refused.err, "what the service said is told at once"
    found = site.machine.show("ActiveState", "ExecMainStatus", "NRestarts")
    assert found == {"ActiveState": "failed", "ExecMainStatus": "75", "NRestarts": "0"}
    site.machine.must("systemctl", "stop", "holder.service")


def test_photos_dropped_while_the_machine_was_off_are_made_when_it_is_back(site: Site) -> None:
    site.drop(3)
    site.machine.cut_power()
    for path in temporary(
        site.output
    ):  # a machine in namespaces comes back as another container: that waits for an hour
        path.unlink()
    site.drop(5)
    site.machine.power_on()
    until(lambda: site.machine.show("ActiveState")["ActiveState"] == "active", "the service came with the machine")
    site.complete()


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_an_upgrade_leaves_the_running_daemon_alone_until_it_is_started_again(site: Site, tmp_path: Path) -> None:
    machine = site.machine
    machine.install_wheel(next_version(tmp_path / "a", machine, "0.8.0", breaks=True))
    assert machine.run(WATCHER, "--version").code != 0, "nothing of it can be loaded"
    before = len(site.dropped)
    site.drop(2)
    until(lambda: site.made() == before + 2, "it goes on")
    worker = max(pids(machine))
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in pids(machine), "a worker is lost")
    site.drop(2)
    until(lambda: site.made() == before + 4, "a new one takes over")
    site.configure("[retry]\nattempts = 2", width=200)
    machine.run("systemctl", "reload", "watcher.service")  # the program that is to check the config is broken
    until(lambda: size(site.output / "web" / site.dropped[-1]) == (200, 133), "it reloads")
    daemon = machine.show("MainPID")["MainPID"]
    lines = [json.loads(line) for line in machine.journal("json").splitlines()]
    assert not [line for line in lines if line["_PID"] == daemon and "Traceback" in line["MESSAGE"]]
    site.configure()
    machine.install_wheel(next_version(tmp_path / "b", machine, "0.8.1", breaks=False))
    machine.must("systemctl", "restart", "watcher.service")
    until(lambda: {size(site.output / "web" / name) for name in site.dropped} == {(300, 200)}, "it makes all anew")
    site.complete()
    assert site.status()["version"] == "0.8.1"


def next_version(folder: Path, machine: Machine, version: str, *, breaks: bool) -> str:
    """Build a wheel of another version; its name."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "tests", "examples", "__pycache__"))
    for path in (folder / "watcher").rglob("*.py"):
        if path == folder / "watcher" / "__init__.py":
            path.write_text(f'__version__ = "{version}"\n')
        elif breaks:
            path.write_text("raise ImportError('a running daemon has no business with this')\n")
    wheel = build_wheel(folder, folder / "dist")
    shutil.copy(wheel, machine.wheels)
    return wheel.name


def test_a_disk_that_is_unplugged_and_plugged_in_again_is_let_go_and_seen_again(machine: Machine) -> None:
    plug = "mount -t tmpfs tmpfs /mnt/disk && mkdir /mnt/disk/in && install -d -m 777 /mnt/disk/out"
    machine.must("sh", "-c", f"mkdir -p /mnt/disk && {plug}")
    config = machine.photos / "disk.toml"
    config.write_text("[[inbox]]\npath = '/mnt/disk/in'\noutput = '/mnt/disk/out'\n")
    machine.must(WATCHER, "service", "install", "--config", f"{PHOTOS}/disk.toml")
    (machine.photos / "a.jpg").write_bytes(camera(1))
    made = ("test", "-s", "/mnt/disk/out/web/a.jpg")
    machine.must("cp", f"{PHOTOS}/a.jpg", "/mnt/disk/in/")
    until(lambda: machine.run(*made).code == 0, "the photo is made")
    until(lambda: machine.run("umount", "/mnt/disk").code == 0, "the disk can be taken out")
    mounts = Path(f"/proc/{min(pids(machine))}/mountinfo").read_text()
    assert "/mnt/disk" not in mounts, "the service has let go of it"
    until(lambda: "watch.lost" in machine.journal(), "the service notices")
    machine.must("sh", "-c", plug)
    machine.must("cp", f"{PHOTOS}/a.jpg", "/mnt/disk/in/")
    until(lambda: machine.run(*made).code == 0, "the photo on the new disk is made")
    machine.must(WATCHER, "service", "uninstall")
    machine.must("umount", "/mnt/disk")


def test_a_user_has_a_service_of_their_own(machine: Machine) -> None:
    machine.must("useradd", "--create-home", "anna")
    uid = machine.must("id", "-u", "anna").strip()
    runtime = f"/run/user/{uid}"
    machine.must("sh", "-c", f"mkdir -p /run/user && install -d -m 700 -o anna -g anna {runtime}")
    # what logind does when somebody logs in; it can't run here
    own = ["--property=Delegate=yes", "--property=Type=notify", f"--setenv=XDG_RUNTIME_DIR={runtime}"]
    manager = ["--unit=manager-of-anna", f"--uid={uid}", "--setenv=HOME=/home/anna", *own]
    machine.must("systemd-run", *manager, "/lib/systemd/systemd", "--user")

    def anna(*words: str) -> str:
        return machine.must(*words, user="anna", env=[f"XDG_RUNTIME_DIR={runtime}"])

    anna(WATCHER, "init")
    assert "loginctl enable-linger" in anna(WATCHER, "service", "install")
    machine.must("chmod", "755", "/home/anna")
    (machine.photos / "hers.jpg").write_bytes(camera(7))
    anna("cp", f"{PHOTOS}/hers.jpg", "/home/anna/Pictures/Inbox/")
    until(lambda: "done        1" in anna(WATCHER, "status"), "her photo is made")
    anna("test", "-s", "/home/anna/Pictures/Resized/web/hers.jpg")
    anna("systemctl", "--user", "reload", "watcher")
    assert "Nothing to do" in anna(WATCHER, "service", "install")
    anna(WATCHER, "service", "uninstall")
    anna("test", "-s", "/home/anna/Pictures/Resized/web/hers.jpg")
    active = machine.run("systemctl", "--user", "is-active", "watcher", user="anna", env=[f"XDG_RUNTIME_DIR={runtime}"])
    assert active.out == "inactive\n"
    refused = machine.run(WATCHER, "service", "install", user="anna")
    assert refused.code == 78
    assert "log in directly" in refused.err
    assert machine.run(WATCHER, "service", "install", "--system", user="anna").code == 78


def main_of(site: Site) -> int:
    """Give the host's number of the service's main process: of all of them it was the first."""
    return min(pids(site.machine))
