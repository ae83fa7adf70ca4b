"""Folders that are one and the same, or lie in each other, although their paths don't say so: told with real mounts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.mounting import needs_mounts

# what is mounted below a tmpfs (`in out other originals` are there), the folders of the inboxes, and what is said
CASES: dict[str, tuple[list[str], list[list[str | None]], str]] = {
    "nothing": ([], [["in", "out", "originals"], ["other", "out2", None]], ""),
    "the output is a sub-folder of the inbox": (
        ["mkdir -p in/a/b", "mount --bind in/a/b out"],
        [["in", "out", None]],
        "inbox[0].output found '/out', another name for a folder inside the inbox '/in'",
    ),
    "the output lies in one": (
        ["mkdir -p in/a", "mount --bind in/a out"],
        [["in", "out/deep/er", None]],
        "inbox[0].output found '/out/deep/er', another name for a folder inside the inbox '/in'",
    ),
    "the inbox is a second mount of the output": (
        ["mount --bind out in"],
        [["in", "out", None]],
        "inbox[0].output found '/out', another name for a folder inside the inbox '/in'",
    ),
    "the inbox is a rendition": (
        ["mkdir out/web", "mount --bind out/web in"],
        [["in", "out", None]],
        "inbox[0].output found '/out', another name for a folder whose renditions meet the inbox '/in'",
    ),
    "the output is mounted in the inbox": (
        ["mkdir in/m", "mount --bind out in/m"],
        [["in", "out", None]],
        "inbox[0].output found '/out', another name for a folder inside the inbox '/in'",
    ),
    "a rendition is mounted in the inbox": (
        ["mkdir -p in/m out/web/trip", "mount --bind out/web/trip in/m"],
        [["in", "out", None]],
        "inbox[0].output found '/out', another name for a folder whose renditions meet the inbox '/in'",
    ),
    "the inbox is mounted in a rendition": (
        ["mkdir -p out/web/m", "mount --bind in out/web/m"],
        [["in", "out", None]],
        "inbox[0].output found '/out', another name for a folder whose renditions meet the inbox '/in'",
    ),
    "an inbox is a sub-folder of another": (
        ["mkdir in/a", "mount --bind in/a other"],
        [["in", "out", None], ["other", "out2", None]],
        "inbox[1].path found '/other', another name for a folder inside the inbox '/in'",
    ),
    "a part of an inbox is mounted in another": (
        ["mkdir in/a other/m", "mount --bind in/a other/m"],
        [["in", "out", None], ["other", "out2", None]],
        "inbox[1].path found '/other', another name for a folder inside the inbox '/in'",
    ),
    "two inboxes have one output": (
        ["mkdir out2", "mount --bind out out2"],
        [["in", "out", None], ["other", "out2", None]],
        "inbox[1].output found '/out2', another name for the output of inbox[0]",
    ),
    "two outputs have one rendition": (
        ["mkdir -p out/web out2/web", "mount --bind out/web out2/web"],
        [["in", "out", None], ["other", "out2", None]],
        "inbox[1].output found '/out2', another name for a folder whose renditions meet those of inbox[0]",
    ),
    "the originals go into the inbox": (
        ["mkdir in/a", "mount --bind in/a originals"],
        [["in", "out", "originals/deep"]],
        "inbox[0].originals found '/originals/deep', another name for a folder inside the inbox '/in'",
    ),
    "the originals go into a rendition": (
        ["mkdir out/web", "mount --bind out/web originals"],
        [["in", "out", "originals"]],
        "inbox[0].originals found '/originals', another name for a folder that meets the renditions of inbox[0]",
    ),
    "the output lies in the upper layer of the inbox": (
        [
            "mkdir low up work",
            "mount -t overlay overlay -o lowerdir=$PWD/low,upperdir=$PWD/up,workdir=$PWD/work in",
        ],
        [["in", "up/a", None]],
        "inbox[0].output found '/up/a', another name for a folder inside the inbox '/in'",
    ),
    "the output is written to the inbox by an overlay": (
        [
            "mkdir low work",
            "mount -t overlay overlay -o lowerdir=$PWD/low,upperdir=$PWD/in,workdir=$PWD/work out",
        ],
        [["in", "out/a", None]],
        "inbox[0].output found '/out/a', another name for a folder inside the inbox '/in'",
    ),
    "the inbox is but a lower layer of the output": (
        ["mkdir up work", "mount -t overlay overlay -o lowerdir=$PWD/in,upperdir=$PWD/up,workdir=$PWD/work out"],
        [["in", "out/a", None]],
        "",
    ),
    "the sub-folder is hidden by another mount": (
        ["mkdir in/a", "mount --bind in/a out", "mount -t tmpfs none in/a"],
        [["in", "out", None]],
        "",
    ),
    "the inbox is a disk mounted in the output": (
        ["mkdir out/in", "mount -t tmpfs none out/in"],
        [["out/in", "out", None]],
        "",
    ),
    "two inboxes hold one folder of somebody else": (
        ["mkdir shared in/m other/m", "mount --bind shared in/m", "mount --bind shared other/m"],
        [["in", "out", None], ["other", "out2", None]],
        "",
    ),
}

SCRIPT = """
import json, os, subprocess, sys
from watcher.app.overlapping import met_otherwise
root, cases = sys.argv[1], json.load(sys.stdin)
told = {}
for name, (commands, inboxes, _) in cases.items():
    here = ["mount -t tmpfs none " + root, "cd " + root, "mkdir in out other originals", *commands]
    subprocess.run(["sh", "-e", "-c", "\\n".join(here)], check=True)
    trios = [tuple(path and os.fsencode(root + "/" + path) for path in trio) for trio in inboxes]
    faults = met_otherwise(trios, [[b"web"]] * len(trios))
    told[name] = [f"{fault.key} {fault.found}".replace(root, "").replace('"', "'") for fault in faults]
    os.chdir("/")
    subprocess.run(["umount", "--recursive", root], check=True)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Go through all cases in a mount namespace of their own."""
    command = ["unshare", "--mount", sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("root"))]
    run = subprocess.run(
        command, input=json.dumps(CASES), capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, list[str]] = json.loads(run.stdout)
    return found


@needs_mounts
@pytest.mark.parametrize("case", CASES)
def test_what_is_mounted_twice_is_told_from_what_only_looks_like_it(told: dict[str, list[str]], case: str) -> None:
    expected = CASES[case][2]
    assert told[case][:1] == [expected] * bool(expected)
