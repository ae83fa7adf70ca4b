"""The mount table: whose events can be trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.fs.mounts import file_system, inotify_limits, watch_advice

TABLE = r"""27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 27 0:40 / /mnt/nas rw - nfs4 host:/export rw,vers=4.2
31 27 0:41 / /mnt/my\040share\011x rw,relatime shared:5 master:2 - cifs //host/s rw
32 27 0:42 / /mnt/usb rw - fuseblk /dev/sdb1 rw
33 27 0:43 / /mnt/ssh rw - fuse.sshfs host: rw
34 27 0:44 / /mnt/merged rw - overlay overlay rw,lowerdir=/srv/low\:er:/srv/base,upperdir=/srv/up,workdir=/srv/work
35 27 0:45 / /mnt/x/y rw - nfs host:/y rw
36 27 0:46 / /mnt/x rw - tmpfs tmpfs rw
37 27 0:47 / /mnt/twice rw - nfs host:/z rw
38 37 0:48 / /mnt/twice rw - xfs /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("path", "way", "kind"),
    [
        (b"/home/me/inbox", "native", "ext4"),
        (b"/mnt/nas", "poll", "nfs4"),
        (b"/mnt/nas/photos/in", "poll", "nfs4"),
        (b"/mnt/nasty", "native", "ext4"),
        (b"/mnt/my share\tx/in", "poll", "cifs"),
        (b"/mnt/usb/DCIM", "native", "fuseblk"),
        (b"/mnt/ssh", "poll", "fuse.sshfs"),
        (b"/mnt/merged/in", "native", "overlay"),
        (b"/srv/base/in", "poll", "ext4"),
        (b"/srv/low:er", "poll", "ext4"),
        (b"/srv/up/in", "poll", "ext4"),
        (b"/srv/other", "native", "ext4"),
        (b"/mnt/x/y/in", "native", "tmpfs"),  # a later mount hides the share
        (b"/mnt/twice/in", "native", "xfs"),  # and so it does at the same point
    ],
)
def test_the_mount_on_which_a_folder_lies_decides(path: bytes, way: str, kind: str) -> None:
    found, reason = watch_advice(path, mountinfo=TABLE)
    assert (found, file_system(path, mountinfo=TABLE)) == (way, kind)
    assert reason


@pytest.mark.parametrize(
    ("path", "entered", "way"),
    [
        (b"/mnt", True, "poll"),
        (b"/mnt", False, "native"),  # a folder that nobody enters may say what it likes
        (b"/mnt/x", True, "native"),  # a share that is hidden by a later mount
        (b"/mnt/twice", True, "native"),
        (b"/mnt/nasty", True, "native"),
        (b"/home", True, "native"),
    ],
)
def test_a_share_below_a_folder_counts_where_it_is_entered(path: bytes, entered: bool, way: str) -> None:
    asked: list[bytes] = []

    def enters(folder: bytes) -> bool:
        asked.append(folder)
        return entered

    assert watch_advice(path, enters, mountinfo=TABLE)[0] == way
    assert set(asked) <= {b"nas", b"my share\tx", b"ssh"}
    assert watch_advice(path, mountinfo=TABLE)[0] == "native", "unless nobody asks for what is below"


def test_the_reason_names_the_file_system_and_where_it_is_mounted() -> None:
    assert (
        watch_advice(b"/mnt/nas/in", mountinfo=TABLE)[1]
        == "nfs4 on /mnt/nas does not announce what others change there"
    )
    assert "/srv/base is a layer of the overlay on /mnt/merged" in watch_advice(b"/srv/base/in", mountinfo=TABLE)[1]
    assert "from below" in watch_advice(b"/mnt/merged/in", mountinfo=TABLE)[1]


def test_without_a_table_the_system_is_trusted() -> None:
    assert watch_advice(b"/any", mountinfo="")[0] == "native"
    assert file_system(b"/any", mountinfo="") == ""


@given(st.text(), st.binary())
def test_no_table_and_no_path_raises(text: str, path: bytes) -> None:
    for table in (
        text,
        TABLE + text,
        "1 1 0:1 / / rw - ext4 x rw\n" + text,
        "1 2 0:1 / / rw - a b c\n2 1 0:1 / / rw - a b c\n",
    ):
        assert watch_advice(path, mountinfo=table)[0] in {"native", "poll"}


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_this_machine_has_limits_and_a_file_system_under_each_folder(tmp_path: Path) -> None:
    limits = inotify_limits()
    assert set(limits) == {"max_user_watches", "max_user_instances", "max_queued_events"}
    assert all(value > 0 for value in limits.values())
    found = subprocess.run(
        ["stat", "-f", "-c", "%T", "/proc"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert file_system(b"/proc") == found == "proc"
    assert file_system(os.fsencode(tmp_path.resolve()))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root to mount")
def test_a_real_overlay_and_its_layers_are_told_apart(tmp_path: Path) -> None:
    script = """
mount -t tmpfs none "$1" && cd "$1" && mkdir "low er" up work merged plain &&
mount -t overlay overlay -o "lowerdir=$1/low er,upperdir=$1/up,workdir=$1/work" merged && exec "$2" -c "$3" "$1"
"""
    code = """
import os, sys
from watcher.fs.mounts import file_system, watch_advice
for name in ("low er", "up", "merged", "plain"):
    path = os.fsencode(os.path.join(sys.argv[1], name))
    print(name, watch_advice(path)[0], file_system(path))
"""
    run = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", tmp_path, sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    if run.returncode:
        pytest.skip(f"no mounts here: {run.stderr.strip()}")
    assert run.stdout.splitlines() == [
        "low er poll tmpfs",
        "up poll tmpfs",
        "merged native overlay",
        "plain native tmpfs",
    ]
