"""OpenSSH: its server as our own process with keys of its own, `scp` and `sftp` to it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.e2e.harness import until
from tests.transports.clients import cut, rate, temporary, user, version_of, which
from tests.transports.road import Ground, Kind, Road, absent

HOST = "box"
_SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host
AuthorizedKeysFile {root}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
Subsystem sftp internal-sftp
"""
_CLIENT = """\
Host box
HostName 127.0.0.1
Port {port}
User {user}
IdentityFile {root}/user
IdentitiesOnly yes
UserKnownHostsFile {root}/known
BatchMode yes
LogLevel ERROR
ControlPath {socket}
"""


class Line:
    """A running sshd, and the options of clients: `shared`, on one connection, which saves half a second; `alone`."""

    def __init__(self, ground: Ground) -> None:
        root, port = ground.root, ground.free_port()
        for name in ("host", "user"):
            ground.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / name)
        short = Path(tempfile.mkdtemp(prefix="ssh"))  # a socket's path has room for 100 characters
        ground.stack.callback(shutil.rmtree, short)
        self.root, self.port = root, port
        places = {"root": root, "port": port, "user": user(), "socket": short / "s"}
        (root / "sshd_config").write_text(_SERVER.format_map(places))
        (root / "ssh_config").write_text(_CLIENT.format_map(places))
        (root / "known").write_text(f"[127.0.0.1]:{port} {(root / 'host.pub').read_text()}")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # it shuts itself in there before a log-in; its unit makes it
        ground.serve(
            which("sshd"), "-D", "-e", "-f", root / "sshd_config", port=port
        )  # it insists on its absolute path
        ground.start("ssh", "-F", root / "ssh_config", "-M", "-N", HOST)
        until((short / "s").exists, "the connection is there")
        self.shared = ["-F", str(root / "ssh_config")]
        self.alone = [*self.shared, "-o", "ControlPath=none"]


class _Ssh(Road):
    kind = Kind.CLOSES

    @classmethod
    def missing(cls) -> str:
        return absent("sshd", "scp", "sftp")

    @classmethod
    def versions(cls) -> str:
        return f"OpenSSH {version_of(['ssh', '-V'])}"

    def open(self) -> None:
        self.line = Line(self.ground)

    def there(self, name: str) -> str:
        return str(self.ground.inbox / name)


class Scp(_Ssh):
    name = "scp"
    cannot: ClassVar[Mapping[str, str]] = {"resume": "scp sends all of it again"}

    def put(self, source: Path, name: str) -> None:
        self.ground.run("scp", *self.line.shared, source, f"{HOST}:{self.there(name)}")

    def put_tree(self, source: Path, name: str) -> None:
        self.ground.run("scp", "-r", *self.line.shared, source, f"{HOST}:{self.there(name)}")

    def interrupt(self, source: Path, name: str) -> None:
        limit = str(rate(source) * 8 // 1000)  # it counts in kbit/s
        client = self.ground.start("scp", "-l", limit, *self.line.alone, source, f"{HOST}:{self.there(name)}")
        cut(client, source, self.ground.inbox, name)


class Sftp(_Ssh):
    name = "sftp put -p, put -a"

    def batch(self, *lines: str) -> Path:
        with tempfile.NamedTemporaryFile("w", dir=self.ground.root, suffix=".sftp", delete=False) as file:
            file.write("".join(f"{line}\n" for line in lines))
        return Path(file.name)

    def lines(self, put: str, source: Path, name: str) -> list[str]:
        return [f'{put} "{source}" "{self.there(name)}"']

    def send(self, *lines: str) -> None:
        self.ground.run("sftp", "-q", "-b", self.batch(*lines), *self.line.shared, HOST)

    def put(self, source: Path, name: str) -> None:
        self.send(*self.lines("put -p", source, name))

    def put_tree(self, source: Path, name: str) -> None:
        self.send(f'put -r "{source}" "{self.there(name)}"')

    def interrupt(self, source: Path, name: str) -> None:
        limit = str(rate(source) * 8 // 1000)
        batch = self.batch(*self.lines("put -p", source, name))
        client = self.ground.start("sftp", "-q", "-l", limit, "-b", batch, *self.line.alone, HOST)
        cut(client, source, self.ground.inbox, f"*{name}*")

    def resume(self, source: Path, name: str) -> None:
        self.send(*self.lines("put -a", source, name))


class SftpRenames(Sftp):
    """As careful programs do it; `rename` replaces what has the name."""

    name = "sftp, temporary name"
    kind = Kind.RENAMES

    def lines(self, put: str, source: Path, name: str) -> list[str]:
        coming = self.there(temporary(source, name))
        return [f'{put} "{source}" "{coming}"', f'rename "{coming}" "{self.there(name)}"']

    def put_tree(self, source: Path, name: str) -> None:
        Road.put_tree(self, source, name)


class SftpDates(_Ssh):
    """As WinSCP, FileZilla and many phones do it: the photo's own date is set when the file is already closed."""

    name = "sftp, date set afterwards (rclone)"
    cannot: ClassVar[Mapping[str, str]] = {
        "resume": "rclone sends all of it again",
        "two_writers": "rclone takes away, or sends again, what another has changed meanwhile",
    }

    @classmethod
    def missing(cls) -> str:
        return super().missing() or absent("rclone")

    @classmethod
    def versions(cls) -> str:
        return f"{super().versions()}, rclone {version_of(['rclone', 'version'])}"

    def client(self, *options: str) -> tuple[str | Path, ...]:
        there = {"host": "127.0.0.1", "port": self.line.port, "user": user()}
        keys = {"key-file": self.line.root / "user", "known-hosts-file": self.line.root / "known"}
        settings = [f"--sftp-{name}={value}" for name, value in {**there, **keys}.items()]
        return "rclone", f"--config={os.devnull}", "--sftp-disable-hashcheck", *settings, *options

    def put(self, source: Path, name: str) -> None:
        self.ground.run(*self.client("copyto"), source, f":sftp:{self.there(name)}")

    def put_tree(self, source: Path, name: str) -> None:
        self.ground.run(*self.client("copy"), source, f":sftp:{self.there(name)}")

    def interrupt(self, source: Path, name: str) -> None:
        client = self.client(f"--bwlimit={rate(source)}B", "copyto")
        cut(self.ground.start(*client, source, f":sftp:{self.there(name)}"), source, self.ground.inbox, name)


ROADS: tuple[type[Road], ...] = (Scp, Sftp, SftpRenames, SftpDates)
