"""The units for scheduler and workers: what systemd says of them, and photos made by them in a booted machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.cluster import DASK
from tests.e2e.harness import camera, is_whole, toml, until
from tests.e2e.machine import PHOTOS, ROOT, WATCHER, Machine, build_wheel, drop, unable

UNITS = ("watcher-dask-scheduler.service", "watcher-dask-worker.service")
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
REASON = unable()


def text(unit: str) -> str:
    return (ROOT / "systemd" / unit).read_text(encoding="utf-8")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_fault_in_a_unit_and_little_that_it_exposes(tmp_path: Path, unit: str) -> None:
    path = tmp_path / unit
    path.write_text(text(unit).replace("/opt/watcher/bin/dask", DASK).replace("User=watcher", "User=root"))
    words = ["systemd-analyze", "verify", "--system", "--man=no", "--recursive-errors=no", str(path)]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert unit not in done.stderr
    assert done.returncode == 0, done.stderr
    path.write_text(text(unit))
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(path)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.skipif(bool(REASON), reason=REASON)
def test_photos_are_made_by_the_units_and_go_on_being_made_after_the_scheduler_was_restarted(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        wheel = build_wheel(ROOT, machine.wheels)
        machine.make_environment()
        machine.install_wheel(wheel.name)
        script = "#!/opt/watcher/bin/python\nfrom dask.__main__ import main\nmain()\n"  # as pip makes it
        machine.must("sh", "-c", f"printf '{script}' >/opt/watcher/bin/dask && chmod 755 /opt/watcher/bin/dask")
        machine.must("useradd", "--system", "watcher")
        inbox, output = machine.photos / "inbox", machine.photos / "resized"
        inbox.mkdir()
        output.mkdir()
        machine.must("chown", "watcher:", f"{PHOTOS}/resized")
        for unit in UNITS:
            (machine.wheels / unit).write_text(text(unit).replace("scheduler.example", "127.0.0.1"))
            machine.must("cp", f"/opt/wheels/{unit}", f"/etc/systemd/system/{unit}")
        machine.must("systemctl", "enable", "--now", *UNITS)

        lines = ["[executor]", 'kind = "dask"', 'address = "tcp://127.0.0.1:8786"', "[rendition.web]", "width = 300"]
        lines += ["[[inbox]]", f"path = {toml(f'{PHOTOS}/inbox')}", f"output = {toml(f'{PHOTOS}/resized')}"]
        (machine.photos / "photos.toml").write_text("\n".join(lines))
        daemon = [WATCHER, "run", "--config", f"{PHOTOS}/photos.toml", "--state", "/var/lib/state.db"]
        machine.must("systemd-run", "--unit=watcher", *daemon)
        list(drop(inbox, [("a.jpg", camera(1))]))
        until((output / "web" / "a.jpg").exists, "the photo is made", 60)
        assert machine.must("stat", "--format=%U", f"{PHOTOS}/resized/web/a.jpg") == "watcher\n"  # by the worker

        machine.must("systemctl", "restart", UNITS[0])
        list(drop(inbox, [("b.jpg", camera(2))]))
        until((output / "web" / "b.jpg").exists, "the worker has found its scheduler again", 60)
        assert is_whole(output / "web" / "b.jpg")
