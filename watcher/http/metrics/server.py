"""The HTTP server: two paths, a bounded number of requests, and nothing that reaches the loop."""

from __future__ import annotations

import contextlib
import http.server
import io
import ipaddress
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from watcher.core.status import StatusQuery
from watcher.errors import tell_fault
from watcher.http.metrics.collector import SnapshotCollector
from watcher.http.metrics.query import ANSWER_SECONDS, Disks, SnapshotClient
from watcher.http.visitors import Admission, host_name, is_loopback, most_connections
from watcher.text import shown

_PEER_SECONDS = 10.0  # how long whoever asks may take to say what, and then to take the answer
_PAUSE_SECONDS = 0.2  # after a request that could not be taken
_MOST_CONNECTIONS = 16  # at the same time


class _Until(io.RawIOBase):
    """What comes from a socket until a time is over: a time-out of the socket would begin anew with each byte."""

    def __init__(self, source: socket.socket, seconds: float) -> None:
        self._source = source
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 — as the base has it
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._source.settimeout(left)
        return self._source.recv_into(buffer)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = _PEER_SECONDS
    server_version, sys_version = "watcher", ""

    def setup(self) -> None:
        """Give a whole request its time, not each part of it."""
        super().setup()
        self.rfile = io.BufferedReader(_Until(self.connection, self.timeout))

    def do_GET(self) -> None:
        """Answer."""
        self.server.busy(self.connection)
        self.connection.settimeout(self.timeout)
        hosts = [host_name(host.strip()) for host in self.headers.get_all("Host", [])]
        if len(hosts) > 1 or None in hosts:
            self._send(400, "a request has one Host, and it names a host\n")
            return
        if self.server.loopback and not all(map(is_loopback, filter(None, hosts))):
            self._send(403, "this is not a name of this machine's loopback address\n")
            return
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/healthz":
            self._healthz()
        else:
            self._send(404, "there are /metrics and /healthz\n")

    do_HEAD = do_GET  # noqa: N815 — as the base has it

    def _metrics(self) -> None:
        vitals = self.server.asker.ask()
        if vitals is None:
            self._send(503, self.server.silence)
            return
        registry = CollectorRegistry(auto_describe=False)
        registry.register(SnapshotCollector(vitals, self.server.disks, self.server.version, time.time()))
        ProcessCollector(registry=registry)
        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        self._send(200, encode(registry), kind)

    def _healthz(self) -> None:
        vitals = self.server.asker.ask()
        ailments = (self.server.silence.rstrip(),) if vitals is None else vitals.ailments
        lines = [shown(ailment) + "\n" for ailment in ailments]
        self._send(503 if ailments else 200, "".join(lines) or "ok\n")

    def _send(self, code: int, body: str | bytes, kind: str = "text/plain; charset=utf-8") -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 — the base's name for it
        """Say nothing of requests: Prometheus comes every few seconds."""


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        family: socket.AddressFamily,
        address: Any,  # noqa: ANN401 - depends on the family
        asker: SnapshotClient,
        version: str,
        most: int,
    ) -> None:
        self.address_family = family
        self.asker = asker
        self.version = version
        self.disks = Disks()
        self.silence = f"the loop has not answered for {asker.patience:g} s\n"
        self._admission: Admission[socket.socket] = Admission(most)
        self._lock = threading.Lock()  # guards it
        super().__init__(address, _Handler)
        self.loopback = ipaddress.ip_address(str(self.server_address[0]).partition("%")[0]).is_loopback

    def busy(self, request: socket.socket) -> None:
        """Note that a request is here as a whole."""
        with self._lock:
            self._admission.busy(request)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # the base asks a name server for our name, which may take long

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(_PAUSE_SECONDS)  # out of descriptors: who waits goes on waiting, and asks at once again
            raise

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 — as the base has it
        victim: Any
        with self._lock:
            victim = self._admission.enter(request, client_address[0])
        if victim is request:
            self.shutdown_request(request)
            return
        if victim is not None:
            with contextlib.suppress(OSError):  # it has gone by itself
                victim.shutdown(socket.SHUT_RDWR)  # whoever waits for it wakes up, and closes it
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 — as the base has it
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._admission.leave(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 — as the base has it
        """Let whoever went away in the midst go, and whoever no thread could be had for."""
        with self._lock:
            self._admission.leave(request)


class Server:
    """Serves while entered, on threads of its own. Raises OSError where it can't listen there."""

    def __init__(
        self,
        listen: str,
        post: Callable[[StatusQuery], object],
        version: str,
        patience: float = ANSWER_SECONDS,
        *,
        open_files: int = 1024,
    ) -> None:
        host, _, port = listen.rpartition(":")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        most = most_connections(_MOST_CONNECTIONS, open_files)
        self._server = _Server(family, address, SnapshotClient(post, patience), version, most)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)

    @property
    def address(self) -> str:
        """Where it listens, HOST:PORT."""
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if self._server.address_family == socket.AF_INET6 else f"{host!s}:{port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self._server.loopback

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with contextlib.suppress(OSError), socket.socket(self._server.address_family) as last:
            last.settimeout(1.0)
            last.connect(self._server.server_address)  # wakes the thread
        self._thread.join(1.0)
        self._server.server_close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                self._server.handle_request()  # waits for one without polling, which `serve_forever` does
            except Exception as error:  # noqa: BLE001 — whatever it is, whoever asks is to be answered again
                tell_fault(error)
                time.sleep(_PAUSE_SECONDS)
