"""Ask for known holes in what watcher stands on: the oldest versions that it allows, and those that were installed.

    python .ci/audit.py pyproject.toml INSTALLED [pip-audit's options]

INSTALLED is what `pip freeze` says. Exit code 1: a hole is known. Where nobody can be asked (no network, a mirror
that knows no advisories) that is a warning and exit code 0: a step that fails with the network gets switched off.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

SERVICES = ("pypi", "osv")  # the second one is asked where the first can't tell


def floors(pyproject: Path) -> list[str]:
    """Give the oldest version that each requirement allows here."""
    found = []
    for text in tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]:
        requirement = Requirement(text)
        oldest = [spec.version for spec in requirement.specifier if spec.operator in {">=", "==", "~="}]
        if oldest and (requirement.marker is None or requirement.marker.evaluate()):
            found.append(f"{requirement.name}=={oldest[0]}")
    return found


def ask(pins: list[str], options: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Give the holes known of each pin that has one, and why of others nothing is known."""
    holes: dict[str, list[str]] = {}
    untold = dict.fromkeys(pins, "")
    for service in SERVICES:
        if not untold:
            break
        for entry in _answers(list(untold), service, options):
            pin = next((pin for pin in untold if pin.lower().startswith(entry["name"].lower() + "==")), None)
            if pin is None:
                continue
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
    sys.exit(main(*sys.argv[1:]))
