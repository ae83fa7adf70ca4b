"""WebDAV: rclone's server and nginx's as our own processes, `curl` and `rclone` to them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from tests.transports.clients import cut, rate, temporary, version_of, which
from tests.transports.road import Kind, Road, absent

_NGINX = """\
daemon off;
master_process off;
pid {root}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {root}/body;
    server {{
        listen 127.0.0.1:{port};
        root {inbox};
        dav_methods PUT DELETE MKCOL COPY MOVE;
        create_full_put_path on;
    }}
}}
"""


class _Curl(Road):
    """Anything that curl can PUT to."""

    cannot: ClassVar[Mapping[str, str]] = {"resume": "PUT sends all of it again"}
    server = ""
    url = ""

    @classmethod
    def missing(cls) -> str:
        return absent(cls.server, "curl")

    @classmethod
    def versions(cls) -> str:
        server = version_of([which(cls.server), "version" if cls.server == "rclone" else "-v"])
        return f"{cls.server} {server}, curl {version_of(['curl', '--version'])}"

    def at(self, name: str) -> str:
        return f"{self.url}/{quote(name)}"

    def put(self, source: Path, name: str) -> None:
        self.ground.run("curl", "-sSf", "-T", source, self.at(name))

    def make_folder(self, name: str) -> None:
        self.ground.run("curl", "-sSf", "-X", "MKCOL", self.at(name) + "/")

    def interrupt(self, source: Path, name: str) -> None:
        client = self.ground.start("curl", "-sSf", "--limit-rate", str(rate(source)), "-T", source, self.at(name))
        cut(client, source, *self.comes_as(name))

    def comes_as(self, name: str) -> tuple[Path, str]:
        """Give the folder in which a photo grows, and the pattern of what it is called there."""
        return self.ground.inbox, name


class RcloneCurl(_Curl):
    name = "WebDAV, rclone, curl PUT"
    kind = Kind.CLOSES
    server = "rclone"

    def open(self) -> None:
        port = self.ground.free_port()
        self.url = f"http://127.0.0.1:{port}"
        no_config = ("--config", os.devnull, "--cache-dir", self.ground.root / "cache")
        self.ground.serve(
            "rclone", *no_config, "serve", "webdav", "--addr", f"127.0.0.1:{port}", self.ground.inbox, port=port
        )


class RcloneCurlMoves(RcloneCurl):
    name = "WebDAV, rclone, curl PUT, MOVE"
    kind = Kind.RENAMES

    def put(self, source: Path, name: str) -> None:
        coming = temporary(source, name)
        super().put(source, coming)
        headers = ("-H", f"Destination: {self.at(name)}", "-H", "Overwrite: T")
        self.ground.run("curl", "-sSf", "-X", "MOVE", *headers, self.at(coming))

    def interrupt(self, source: Path, name: str) -> None:
        super().interrupt(source, temporary(source, name))


class RcloneCopy(RcloneCurl):
    name = "WebDAV, rclone, rclone copy"

    @classmethod
    def missing(cls) -> str:
        return absent("rclone")

    @classmethod
    def versions(cls) -> str:
        return f"rclone {version_of(['rclone', 'version'])}, both sides"

    def open(self) -> None:
        super().open()
        self.client = ("rclone", "--config", os.devnull, "--webdav-url", self.url)

    def put(self, source: Path, name: str) -> None:
        self.ground.run(*self.client, "copyto", source, f":webdav:{name}")

    def put_tree(self, source: Path, name: str) -> None:
        self.ground.run(*self.client, "copy", source, f":webdav:{name}")

    def interrupt(self, source: Path, name: str) -> None:
        limit = ("--bwlimit", f"{rate(source)}B")
        cut(
            self.ground.start(*self.client, *limit, "copyto", source, f":webdav:{name}"),
            source,
            self.ground.inbox,
            name,
        )


class Nginx(_Curl):
    """The body gathers outside the inbox and is renamed into place; folders come into being with their first photo."""

    name = "WebDAV, nginx, curl PUT"
    kind = Kind.RENAMES
    server = "nginx"

    def open(self) -> None:
        root, port = self.ground.root, self.ground.free_port()
        self.url = f"http://127.0.0.1:{port}"
        (root / "nginx.conf").write_text(_NGINX.format(root=root, port=port, inbox=self.ground.inbox))
        self.ground.serve(which("nginx"), "-c", root / "nginx.conf", "-p", root, "-e", "stderr", port=port)

    def make_folder(self, name: str) -> None:
        """Leave it to the first upload."""

    def comes_as(self, name: str) -> tuple[Path, str]:
        del name
        return self.ground.root / "body", "0*"


ROADS: tuple[type[Road], ...] = (RcloneCurl, RcloneCurlMoves, RcloneCopy, Nginx)
