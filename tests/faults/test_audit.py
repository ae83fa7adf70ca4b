"""CI fails on a known hole in what watcher stands on, and only warns where nobody can be asked."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pip_audit", reason="pip-audit is not installed: it is in the group `dev`")
pytestmark = pytest.mark.slow
AUDIT = Path(__file__).parents[2] / ".ci" / "audit.py"

# as api.osv.dev gives it, shortened
ADVISORY = {
    "id": "PYSEC-2022-10",
    "summary": "PIL.ImageMath.eval allows evaluation of arbitrary expressions",
    "aliases": ["CVE-2022-22817"],
    "modified": "2022-01-18T00:00:00Z",
    "affected": [
        {
            "package": {"name": "pillow", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0.0"}]}],
        }
    ],
}


class _Advisories(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # http.server's name
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = asked["package"]["name"] == "pillow" and int(asked["version"].split(".")[0]) < 9
        body = json.dumps({"vulns": [ADVISORY]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """A service that knows one advisory, at this address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Advisories) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def audit(folder: Path, required: list[str], installed: list[str], address: str) -> subprocess.CompletedProcess[str]:
    needs = json.dumps([*required, "never>=1; os_name == 'none'"])
    (folder / "pyproject.toml").write_text(
        f"[project]\ndependencies = []\n[project.optional-dependencies]\nextra = {needs}\n"
    )
    (folder / "installed.txt").write_text("\n".join([*installed, "photo-watcher @ file:///nowhere"]))
    arguments = [folder / "pyproject.toml", folder / "installed.txt", "--osv-url", address]
    # PyPI is out of reach, behind a proxy that is none
    proxies = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "no_proxy": "127.0.0.1", **proxies}
    command = [sys.executable, str(AUDIT), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_known_hole_in_what_may_be_or_was_installed_fails(tmp_path: Path, service: str) -> None:
    done = audit(tmp_path, ["pillow>=8.4.0", "rich>=14"], ["Pillow==8.4.1", "Typing_Extensions==4.16.0"], service)
    assert done.returncode == 1, done
    holes = sorted(line for line in done.stdout.splitlines() if line.startswith("KNOWN HOLE"))
    assert holes == [
        "KNOWN HOLE in Pillow==8.4.1 (installed): PYSEC-2022-10 (fixed in 9.0.0)",
        "KNOWN HOLE in pillow==8.4.0 (the oldest that may be installed): PYSEC-2022-10 (fixed in 9.0.0)",
    ]
    assert done.stdout.count("2 packages, 1 with known holes, 0 that nobody could be asked about") == 2


def test_without_a_known_hole_it_passes_and_where_nobody_can_be_asked_it_says_so(tmp_path: Path, service: str) -> None:
    done = audit(tmp_path, [], ["pillow==9.5.0"], service)
    assert (done.returncode, "1 packages, 0 with known holes, 0 that" in done.stdout) == (0, True), done
    done = audit(tmp_path, [], ["pillow==8.4.0"], "http://127.0.0.1:9/v1/query")
    assert done.returncode == 0, done
    assert done.stdout.count("warning: nobody could be asked about pillow==8.4.0") == 1
