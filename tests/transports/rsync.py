"""rsync: over a local path, over ssh, to its own daemon; with a temporary name, in place, going on with a part."""

from __future__ import annotations

import os
from pathlib import Path

from tests.transports import ssh
from tests.transports.clients import cut, rate, version_of
from tests.transports.road import Kind, Road, absent


class Rsync(Road):
    name = "rsync"
    kind = Kind.RENAMES
    options: tuple[str, ...] = ("-a",)
    leftover = ".{}.*"  # the name while it comes, in the folder of the photo

    @classmethod
    def missing(cls) -> str:
        return absent("rsync")

    @classmethod
    def versions(cls) -> str:
        return f"rsync {version_of(['rsync', '--version'])}"

    def to(self, name: str) -> str:
        return str(self.ground.inbox / name)

    def put(self, source: Path, name: str) -> None:
        self.ground.run("rsync", *self.options, source, self.to(name))

    def put_tree(self, source: Path, name: str) -> None:
        self.ground.run("rsync", *self.options, "-r", f"{source}/", f"{self.to(name)}/")

    def interrupt(self, source: Path, name: str) -> None:
        limit = f"--bwlimit={rate(source) // 1024}"
        client = self.ground.start("rsync", limit, *self.options, source, self.to(name))
        cut(client, source, self.ground.inbox, self.leftover.format(name))


class RsyncInPlace(Rsync):
    name = "rsync --inplace"
    kind = Kind.CLOSES
    options = ("-a", "--inplace")
    leftover = "{}"


class RsyncAppends(Rsync):
    """The part that an interrupted run leaves is renamed into place, and grows there."""

    name = "rsync --partial --append"
    kind = Kind.CLOSES
    options = ("-a", "--partial", "--append")
    leftover = "{}"

    def overwrite(self, source: Path, name: str) -> None:
        self.ground.run("rsync", "-a", "--partial", source, self.to(name))  # --append is for files that only grow


class RsyncAppendsVerified(RsyncAppends):
    """Where what lies there is no part of the photo, all is sent again in the same run: a mixture is closed between."""

    name = "rsync --partial --append-verify"
    kind = Kind.REOPENS
    options = ("-a", "--partial", "--append-verify")

    def overwrite(self, source: Path, name: str) -> None:
        self.put(source, name)


class RsyncSsh(Rsync):
    name = "rsync over ssh"

    @classmethod
    def missing(cls) -> str:
        return super().missing() or ssh.Scp.missing()

    @classmethod
    def versions(cls) -> str:
        return f"{super().versions()}, {ssh.Scp.versions()}"

    def open(self) -> None:
        self.line = ssh.Line(self.ground)
        self.options = ("-a", "-e", " ".join(["ssh", *self.line.shared]))

    def to(self, name: str) -> str:
        return f"{ssh.HOST}:{self.ground.inbox / name}"


class RsyncDaemon(Rsync):
    name = "rsync daemon, --partial"
    options = ("-a", "--partial")

    def open(self) -> None:
        port, config = self.ground.free_port(), self.ground.root / "rsyncd.conf"
        config.write_text(
            f"port = {port}\naddress = 127.0.0.1\nuse chroot = no\nreverse lookup = no\n"
            f"[inbox]\npath = {self.ground.inbox}\nread only = no\nuid = {os.getuid()}\ngid = {os.getgid()}\n"
        )
        self.url = f"rsync://127.0.0.1:{port}/inbox/"
        self.ground.serve("rsync", "--daemon", "--no-detach", f"--config={config}", port=port)

    def to(self, name: str) -> str:
        return self.url + name


ROADS: tuple[type[Road], ...] = (Rsync, RsyncInPlace, RsyncAppends, RsyncAppendsVerified, RsyncSsh, RsyncDaemon)
