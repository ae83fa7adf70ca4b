"""Ask for known holes in what watcher stands on: the oldest versions that it allows, and those that were installed.

    python .ci/audit.py pyproject.toml INSTALLED [pip-audit's options]
    python .ci/audit.py --floors pyproject.toml

The second prints those oldest versions, a line each, as pip takes them for constraints.

INSTALLED is what `pip freeze` says. Exit code 1: a hole is known. Where nobody can be asked (no network, a mirror
that knows no advisories) that is a warning and exit code 0: a step that fails with the network gets switched off.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

SERVICES = ("pypi", "osv")  # the second one is asked where the first can't tell


def floors(pyproject: Path) -> list[str]:
    """Give the oldest version that each requirement allows here."""
    found: dict[str, str] = {}
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    for text in (*project["dependencies"], *chain(*project.get("optional-dependencies", {}).values())):
        requirement = Requirement(text)
        oldest = [spec.version for spec in requirement.specifier if spec.operator in {">=", "==", "~="}]
        if oldest and (requirement.marker is None or requirement.marker.evaluate()):
            name = canonicalize_name(requirement.name)
            found[name] = min(oldest[0], found.get(name, oldest[0]), key=Version)
    return [f"{name}=={version}" for name, version in found.items()]


def ask(pins: list[str], options: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Give the holes known of each pin that has one, and why of others nothing is known."""
    holes: dict[str, list[str]] = {}
    untold = dict.fromkeys(pins, "")
    for service in SERVICES:
        if not untold:
            break
        for entry in _answers(list(untold), service, options):
            pin = next(pin for pin in untold if canonicalize_name(pin.partition("==")[0]) == entry["name"])
            if "skip_reason" in entry:
                untold[pin] = entry["skip_reason"]
                continue
            del untold[pin]
            if entry["vulns"]:
                holes[pin] = [_described(hole) for hole in entry["vulns"]]
    return holes, untold


def _answers(pins: list[str], service: str, options: list[str]) -> list[dict[str, object]]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins) + "\n")
        file.flush()
        arguments = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json", "-s", service]
        command = [sys.executable, "-m", "pip_audit", *arguments, "-r", file.name, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(f"{service} can't be asked: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1][:300]}")
        return []


def _described(hole: dict[str, object]) -> str:
    return f"{hole['id']} (fixed in {', '.join(hole['fix_versions']) or 'no version'})"


def main(pyproject: str, installed: str, *options: str) -> int:
    """Ask about both, and tell."""
    failed = False
    lines = [line.strip() for line in Path(installed).read_text(encoding="utf-8").splitlines()]
    # what was not installed from an index (`name @ file:…`) is our own wheel
    for what, pins in (
        ("the oldest that may be installed", floors(Path(pyproject))),
        ("installed", [line for line in lines if "==" in line]),
    ):
        holes, untold = ask(pins, list(options))
        for pin, known in holes.items():
            print(f"KNOWN HOLE in {pin} ({what}): {'; '.join(known)}")
        if untold:
            reason = next(filter(None, untold.values()), "no service answered")
            print(f"warning: nobody could be asked about {', '.join(untold)} ({what}): {reason}")
        counts = f"{len(pins)} packages, {len(holes)} with known holes, {len(untold)} that nobody could be asked about"
        print(f"{what}: {counts}")
        failed = failed or bool(holes)
    return int(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--floors"]:
        print(*floors(Path(sys.argv[2])), sep="\n")
        sys.exit()
    sys.exit(main(*sys.argv[1:]))
