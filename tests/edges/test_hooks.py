"""Hooks meet the world: real commands with all that they start, and real servers, good ones and bad ones."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import Server, serving
from watcher.app.explain_view import sentence
from watcher.app.hooks import look_at
from watcher.config import Hook
from watcher.core.history import Event
from watcher.hooks import Stopped, environment, find_program, run
from watcher.hooks.url import forbidden, post

LONG = 60.0  # no test waits for it
DOCUMENT = json.dumps({"event": "batch", "photos": [], "failed": []}).encode()


@pytest.fixture
def stop() -> Iterator[int]:
    read, write = os.pipe()
    yield read
    os.close(read)
    os.close(write)


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return sys.platform != "linux"
    return state != "Z"


# ---- commands ----


def test_a_command_gets_the_document_and_its_arguments_as_they_are(tmp_path: Path, stop: int) -> None:
    out = tmp_path / "out"
    script = 'import sys; open(sys.argv[1], "wb").write(sys.stdin.buffer.read() + sys.argv[2].encode())'
    assert run([sys.executable, "-c", script, str(out), "$HOME; `x` *"], DOCUMENT, LONG, stop) == ""
    assert out.read_bytes() == DOCUMENT + b"$HOME; `x` *"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", ""),
        ("exec >&- 2>&-; exit 0", ""),
        ("echo one; echo two >&2; exit 3", "exit code 3: two"),
        ("exit 4", "exit code 4"),
        ("kill -KILL $$", "exit code 137"),
        ("kill -PIPE $$; kill -XFSZ $$; exit 0", "exit code 141"),  # Python ignores these two; a command does not
        ("head -c 1000000 /dev/zero; echo; echo last; exit 1", "exit code 1: last"),
        ("printf 'a\\377b\\033'; exit 1", "exit code 1: a\ufffdb\x1b"),
    ],
)
def test_what_went_wrong_is_the_exit_code_and_the_last_line(script: str, reason: str, stop: int) -> None:
    assert run(["/bin/sh", "-c", script], DOCUMENT * 10_000, LONG, stop) == reason


def test_a_program_that_is_not_there_is_named(stop: int) -> None:
    assert run(["/no/such"], b"", LONG, stop) == "exit code 127: /no/such: No such file or directory"


def _family(folder: Path) -> list[str]:
    """Return a command that starts another process, notes both, and waits."""
    note = f"echo $! > {folder}/child; echo $$ > {folder}/parent.new; mv {folder}/parent.new {folder}/parent"
    script = f"sleep 1000 & {note}; wait"
    return ["/bin/sh", "-c", script]


def _pids(folder: Path) -> list[int]:
    return [int((folder / name).read_text()) for name in ("parent", "child")]


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path, stop: int) -> None:
    seconds = 0.5
    while True:  # on a busy machine the command may be ended before it has begun
        assert run(_family(tmp_path), DOCUMENT, seconds, stop) == f"it was ended after {seconds:g} s"
        if (tmp_path / "parent").exists():
            break
        seconds *= 2
    until(lambda: not any(map(alive, _pids(tmp_path))))


def test_what_a_command_leaves_behind_in_its_group_is_ended_and_not_waited_for(tmp_path: Path, stop: int) -> None:
    assert run(["/bin/sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/child"], DOCUMENT, LONG, stop) == ""
    child = int((tmp_path / "child").read_text())
    until(lambda: not alive(child))


def test_what_left_the_group_with_the_output_open_is_not_waited_for(tmp_path: Path, stop: int) -> None:
    """As a server that a command starts for good."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    open(sys.argv[1] + '.new', 'w').write(str(os.getpid()))\n"
        "    os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
        "    os.execvp('sleep', ['sleep', '1000'])\n"
        "while not os.path.exists(sys.argv[1]):\n"
        "    time.sleep(0.01)\n"
    )
    child = tmp_path / "child"
    assert run([sys.executable, "-S", str(script), str(child)], DOCUMENT, LONG, stop) == ""
    os.kill(int(child.read_text()), signal.SIGKILL)


def test_a_command_ends_when_the_daemon_is_killed(tmp_path: Path) -> None:
    script = "import os, sys; from watcher.hooks import run; run(sys.argv[1:], b'', 1000, os.pipe()[0])"
    daemon = subprocess.Popen([sys.executable, "-c", script, *_family(tmp_path)])
    until((tmp_path / "parent").exists)
    daemon.kill()
    daemon.wait()
    until(lambda: not any(map(alive, _pids(tmp_path))))


def test_a_command_ends_when_it_is_told_to_stop(tmp_path: Path) -> None:
    read, write = os.pipe()
    found: list[str] = []

    def work() -> None:
        try:
            run(_family(tmp_path), DOCUMENT, LONG, read)
        except Stopped:
            found.append("stopped")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    until((tmp_path / "parent").exists)
    os.write(write, b"x")
    thread.join()
    os.close(read)
    os.close(write)
    assert found == ["stopped"]
    until(lambda: not any(map(alive, _pids(tmp_path))))


def test_a_stopped_command_goes_on(tmp_path: Path, stop: int) -> None:
    script = "(while ! grep -q 'T' /proc/$$/stat; do :; done; kill -CONT $$) & kill -STOP $$; echo went on; exit 5"
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    assert run(["/bin/sh", "-c", script], DOCUMENT, LONG, stop) == "exit code 5: went on"
    del tmp_path


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_a_command_inherits_no_file_and_no_secret(tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_SECRET": "s",
        "WATCHER_TOKEN": "s",
        "LANG": "C.UTF-8",
        "LC_TIME": "C",
        "HOME": "/h",
    }.items():
        monkeypatch.setenv(name, value)
    lock = open(tmp_path / "lock", "w")  # noqa: SIM115  # held while the command runs
    os.set_inheritable(lock.fileno(), True)
    script = tmp_path / "script.py"
    script.write_text(
        "import json, os, sys\n"
        "open_files = {n: os.path.realpath(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')}\n"
        "json.dump([dict(os.environ), os.getcwd(), open_files], open(sys.argv[1], 'w'))\n"
    )
    assert run([sys.executable, "-S", str(script), str(tmp_path / "out")], DOCUMENT, LONG, stop) == ""
    lock.close()
    passed, folder, files = json.loads((tmp_path / "out").read_text())
    assert not any("SECRET" in name or "TOKEN" in name for name in passed)
    assert {name: passed[name] for name in ("LANG", "LC_TIME", "HOME")} == {
        "LANG": "C.UTF-8",
        "LC_TIME": "C",
        "HOME": "/h",
    }
    assert "PATH" in passed
    assert folder == "/"
    assert set(files) <= {"0", "1", "2", "3"}  # the last one lists them
    assert str(tmp_path / "lock") not in files.values()


def test_the_environment_has_a_path_even_if_the_daemon_has_none() -> None:
    assert environment({"TOKEN": "x"}) == {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def test_it_is_said_why_a_program_can_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert find_program(["sh"], {}) == ""
    assert find_program(["/bin/sh"], {}) == ""
    assert find_program(["no-such"], {"PATH": "/bin"}) == "there is no program 'no-such' on PATH (/bin)"
    assert find_program(["/no/such"], {}) == "there is no file '/no/such'"
    if os.getuid():
        assert "not executable" in find_program([str(tmp_path / "script")], {})


# ---- URLs ----


def test_a_url_is_sent_the_document_as_the_body_of_a_post() -> None:
    with serving(Server((204, {}, b""))) as server:
        assert post(server.url, DOCUMENT, LONG, "agent/1") == ""
        ((path, headers, body),) = server.got
    assert (path, body) == ("/hook?a=b", DOCUMENT)
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == "agent/1"
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"


def test_an_answer_that_is_no_success_is_told_with_its_first_line() -> None:
    with serving(Server((429, {}, b"slow down\nmore" + b"x" * 100_000))) as server:
        assert post(server.url, DOCUMENT, LONG, "a") == "it answered 429 Too Many Requests: slow down"


def test_a_redirect_is_not_followed() -> None:
    with serving(Server()) as other, serving(Server((307, {"Location": other.url}, b""))) as server:
        said = post(server.url, DOCUMENT, LONG, "a")
        to = f"http://127.0.0.1:{other.server_port}/…"
        assert said == f"it answered 307, a redirect to {to}; that is not followed: write where it leads"
        assert not other.got


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/hook/?a=b", "http://HOST/…"),
        ("https://u:p@other.example/hook?a=b", "https://other.example/…"),
        ("", "http://HOST/…"),
    ],
)
def test_no_reason_has_what_may_be_secret_in_the_url(location: str, shown: str) -> None:
    """Reasons are in the log and in `status`; servers like to answer with the address that was asked for."""
    with serving(Server((301, {"Location": location}, b""))) as server:
        said = post(server.url, DOCUMENT, LONG, "a")
        assert shown.replace("HOST", f"127.0.0.1:{server.server_port}") in said
        server.answer = (404, {}, b"cannot POST /hook?a=b (/hook, a=b)")
        assert post(server.url, DOCUMENT, LONG, "a") == "it answered 404 Not Found: cannot POST … (…, …)"


def test_a_server_that_is_not_there_is_told() -> None:
    with serving(Server()) as server:
        url = server.url
    assert post(url, DOCUMENT, LONG, "a") == "Connection refused"


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_server_that_does_not_come_to_an_end_is_left_at_the_timeout(begun: bytes) -> None:
    """One that sends a byte now and then would never run into a socket's own timeout."""
    over = threading.Event()

    def drip(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            try:
                client.sendall(begun)
                while begun and not over.wait(0.01):
                    client.sendall(b"x")
                over.wait()
            except OSError:
                over.wait()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        said = post(url, DOCUMENT, 0.3, "a")
        over.set()
        thread.join()
    assert said == "no answer within 0.3 s"


@pytest.mark.parametrize(
    ("host", "address", "allowed"),
    [
        ("example.org", "93.184.215.14", True),
        ("example.org", "2606:2800:21f:cb07::1", True),
        ("example.org", "127.0.0.1", False),
        ("example.org", "10.1.2.3", False),
        ("example.org", "192.168.1.5", False),
        ("example.org", "169.254.169.254", False),
        ("example.org", "::1", False),
        ("example.org", "fd00::1", False),
        ("example.org", "fe80::1%eth0", False),
        ("example.org", "::ffff:127.0.0.1", False),
        ("example.org", "0.0.0.0", False),  # noqa: S104  # nothing is bound
        ("192.168.1.5", "192.168.1.5", True),
        ("[::1]", "::1", True),
        ("localhost", "127.0.0.1", True),
        ("nas", "192.168.1.5", True),
        ("homeassistant.local", "192.168.1.5", True),
        ("ha.home.arpa", "192.168.1.5", True),
        ("local.example.org", "192.168.1.5", False),
    ],
)
def test_private_addresses_are_used_only_where_they_are_written_so(
    host: str, address: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))]
    )
    refused = forbidden(f"http://{host}/")
    assert bool(refused) != allowed
    assert allowed or address in refused


def test_nothing_is_sent_to_a_private_address_that_a_public_name_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Server()) as server:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.server_port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        said = post(f"http://example.org:{server.server_port}/", DOCUMENT, LONG, "a")
    assert "127.0.0.1, which is a private address" in said
    assert not server.got


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves to another address the second time is resolved once."""
    asked: list[object] = []
    with serving(Server()) as server:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.server_port))]
        resolve = socket.getaddrinfo

        def once(host: str, *rest: object, **more: object) -> object:
            if host == "printer.local":
                asked.append(host)
                return found
            return resolve(host, *rest, **more)  # type: ignore[arg-type]  # as they come

        monkeypatch.setattr(socket, "getaddrinfo", once)
        assert post(f"http://printer.local:{server.server_port}/", DOCUMENT, LONG, "a") == ""
        assert server.got[0][1]["Host"] == f"printer.local:{server.server_port}"
    assert asked == ["printer.local"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_a_certificate_is_verified_and_for_the_name_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "1"]
    subprocess.run([*words, "-keyout", key, "-out", certificate, *names], check=True, capture_output=True)
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with serving(server):
        url = f"https://localhost:{server.server_port}/"
        assert "certificate can't be trusted" in post(url, DOCUMENT, LONG, "a")
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        assert post(url, DOCUMENT, LONG, "a") == ""
        assert "certificate can't be trusted" in post(url.replace("localhost", "127.0.0.1"), DOCUMENT, LONG, "a")
    assert len(server.got) == 1


# ---- check ----


def test_check_says_which_hooks_can_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, *_: object, **__: object) -> object:
        if host == "away.example":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    settings = [
        Hook(on="batch", command=("/bin/sh", "-c", "x")),
        Hook(on="photo", command=("/no/such",)),
        Hook(on="failed", url="https://nas.local/x"),
        Hook(on="failed", url="https://inside.example/secret"),
        Hook(on="failed", url="https://away.example/secret"),
    ]
    assert list(look_at(settings)) == [
        ("ok", "hook", "/bin/sh, on batch"),
        ("fault", "hook", "there is no file '/no/such'"),
        ("ok", "hook", "POST to https://nas.local/…, on failed"),
        (
            "fault",
            "hook",
            "inside.example resolves to 10.0.0.7, which is a private address: write that in the URL if it is meant",
        ),
        ("warning", "hook", "away.example can't be resolved: Temporary failure in name resolution"),
    ]


# ---- why ----


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        ({"to": "/bin/x"}, "sent to the hook /bin/x"),
        ({"to": "/bin/x", "reason": "exit code 3"}, "the hook /bin/x could not be told of it for an hour: exit code 3"),
        ({"to": "/bin/x", "waits": True}, "waits to be sent to the hook /bin/x"),
        (
            {"to": "/bin/x", "waits": True, "error": "exit code 3"},
            "waits to be sent to the hook /bin/x, whose last try failed: exit code 3",
        ),
    ],
)
def test_why_says_in_words_what_a_hook_was_told_or_is_to_be(detail: dict[str, str], text: str) -> None:
    assert sentence(Event(0.0, "hook", detail), 0.0) == text
