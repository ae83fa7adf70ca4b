"""Who is measured beside `watcher`, and how each is called. A peer is installed, or it is left out."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
SHARP = os.environ.get("SHARP_HOME", ".")  # the folder where `npm install sharp` was run
OURS = "watcher once"
FLOOR = "floor"
SHARP_EQUAL = "sharp, fastShrinkOnLoad off"

Command = Callable[[Path, Path, Sequence[int]], list[str]]  # file that lists photos, output folder, sizes


@dataclass(frozen=True)
class Peer:
    """A program that makes the same renditions; output goes to OUTPUT/w<size>/<name>."""

    name: str
    command: Command
    seconds: float = 12.0  # about how long it shall run: slow ones get fewer photos
    env: tuple[tuple[str, str], ...] = ()


def installed() -> list[Peer]:
    """Give every peer that can run here, the fast ones first."""
    peers = []
    if shutil.which("node") and os.path.isdir(os.path.join(SHARP, "node_modules/sharp")):
        peers += [Peer(SHARP_EQUAL, _sharp()), Peer("sharp, default", _sharp("default"))]
        peers.append(Peer("sharp, off, three at a time", _sharp(), env=(("SHARP_IN_FLIGHT", "3"),)))
    if importlib.util.find_spec("pyvips"):
        peers.append(Peer("pyvips", _python("pyvips"), env=(("VIPS_CONCURRENCY", "1"),)))
    peers += [Peer(FLOOR, _python("floor")), Peer("article, pool of 2", _python("pool"), 8.0)]
    peers.append(Peer("article, serial", _python("serial"), 6.0))
    if shutil.which("vipsthumbnail"):
        peers.append(Peer("vipsthumbnail, two", _vipsthumbnail, 6.0, (("VIPS_CONCURRENCY", "1"),)))
    if shutil.which("mogrify"):
        limits = ("MAGICK_CONFIGURE_PATH", str(_HERE / "imagemagick"))
        peers.append(Peer("ImageMagick -P2", _mogrify, 6.0, (("OMP_NUM_THREADS", "1"), limits)))
    return peers


def versions() -> str:
    """Tell what is installed, in one line."""
    found = []
    said = "print(p.__version__, 'on libvips', '.'.join(str(p.version(i)) for i in range(3)))"
    asked = (
        ("Pillow", [sys.executable, "-c", "import PIL; print(PIL.__version__)"]),
        ("sharp", ["node", "-p", f"require({os.path.abspath(SHARP)!r} + '/node_modules/sharp').versions.sharp"]),
        ("pyvips", [sys.executable, "-c", f"import pyvips as p; {said}"]),
        ("vipsthumbnail", ["vipsthumbnail", "--vips-version"]),
        ("ImageMagick", ["mogrify", "-version"]),
    )
    for name, command in asked:
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = done.stdout.splitlines()
            if lines:
                found.append(f"{name} {lines[0].removeprefix('Version: ')[:40].strip()}")
    return "; ".join(found)


def _joined(sizes: Sequence[int]) -> str:
    return ",".join(map(str, sizes))


def _sharp(*mode: str) -> Command:
    def command(listing: Path, output: Path, sizes: Sequence[int]) -> list[str]:
        return ["node", str(_HERE / "sharp.mjs"), SHARP, str(listing), str(output), _joined(sizes), *mode]

    return command


def _python(name: str) -> Command:
    def command(listing: Path, output: Path, sizes: Sequence[int]) -> list[str]:
        script = str(_HERE / "python_peers.py")
        return [sys.executable, script, name, str(listing), str(output), _joined(sizes)]

    return command


def _by_xargs(listing: Path, lines: Sequence[str]) -> list[str]:
    """Run each command line over half of the photos, twice at a time."""
    count = len(listing.read_text().splitlines())
    # -n: photos per process, so that there are just two of them
    script = "\n".join(f"xargs -a '{listing}' -d '\\n' -P2 -n {-(-count // 2)} {line}" for line in lines)
    return ["sh", "-ec", script]


def _vipsthumbnail(listing: Path, output: Path, sizes: Sequence[int]) -> list[str]:
    return _by_xargs(listing, [f"vipsthumbnail -s '{s}x{s}>' -o '{output}/w{s}/%s.jpg[Q=85]'" for s in sizes])


def _mogrify(listing: Path, output: Path, sizes: Sequence[int]) -> list[str]:
    settings = "-auto-orient -quality 85 -sampling-factor 4:2:0 -filter Lanczos"
    hints = [f"-define jpeg:size={round(1.4 * s)}x{round(1.4 * s)}" for s in sizes]  # the margin that we have too
    lines = [
        f"mogrify -path '{output}/w{s}' {hint} {settings} -resize '{s}x{s}>'"
        for s, hint in zip(sizes, hints, strict=True)
    ]
    return _by_xargs(listing, lines)
