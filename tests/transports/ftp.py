"""vsftpd as our own process, with `lftp` and `curl` as cameras and phones use FTP."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

from tests.transports.clients import cut, rate, temporary, user, version_of, which
from tests.transports.road import Kind, Road, absent

_SERVER = """\
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
run_as_launching_user=YES
anonymous_enable=YES
no_anon_password=YES
local_enable=NO
ftp_username={user}
anon_root={inbox}
anon_umask=022
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
allow_writeable_chroot=YES
secure_chroot_dir={root}/empty
xferlog_enable=NO
"""


def _vsftpd_version() -> str:
    """Ask it: it answers to its standard input."""
    read, write = os.pipe()
    with os.fdopen(read) as answer:
        subprocess.run([which("vsftpd"), "-v"], stdin=write, capture_output=True, check=False, timeout=10)
        os.close(write)
        return answer.read().strip().removeprefix("vsftpd: version ")


class _Ftp(Road):
    kind = Kind.CLOSES
    client = ""

    @classmethod
    def missing(cls) -> str:
        return absent("vsftpd", cls.client)

    @classmethod
    def versions(cls) -> str:
        return f"vsftpd {_vsftpd_version()}, {cls.client} {version_of([cls.client, '--version'])}"

    def open(self) -> None:
        root, port = self.ground.root, self.ground.free_port()
        (root / "empty").mkdir()
        places = {"root": root, "port": port, "inbox": self.ground.inbox, "user": user()}
        (root / "vsftpd.conf").write_text(_SERVER.format_map(places))
        self.url = f"ftp://127.0.0.1:{port}"
        self.ground.serve(which("vsftpd"), root / "vsftpd.conf", port=port)


class Lftp(_Ftp):
    name = "FTP, lftp put, put -c, mirror"
    client = "lftp"

    def script(self, *commands: str) -> str:
        return "; ".join(["set cmd:fail-exit yes", "set net:max-retries 1", *commands[:-1], commands[-1]])

    def send(self, command: str) -> None:
        self.ground.run("lftp", "-c", self.script(f"open {self.url}", command))

    def put(self, source: Path, name: str) -> None:
        self.send(f'put "{source}" -o "{name}"')

    def make_folder(self, name: str) -> None:
        self.send(f'mkdir -p -f "{name}"')

    def put_tree(self, source: Path, name: str) -> None:
        self.send(f'set xfer:use-temp-file yes; mirror -R "{source}" "{name}"')  # `.in.IMG_0001.JPG`, then its name

    def interrupt(self, source: Path, name: str) -> None:
        slowly = (f"set net:limit-rate {rate(source)}", "set net:limit-max 65536")
        client = self.ground.start(
            "lftp", "-c", self.script(*slowly, f"open {self.url}", f'put "{source}" -o "{name}"')
        )
        cut(client, source, self.ground.inbox, name)

    def resume(self, source: Path, name: str) -> None:
        self.send(f'put -c "{source}" -o "{name}"')


class Curl(_Ftp):
    """The date of the photo is set afterwards, as FileZilla does."""

    name = "FTP, curl STOR or APPE, MDTM"
    client = "curl"

    def put(self, source: Path, name: str) -> None:
        self.ground.run("curl", *self.upload(source, name))

    def upload(self, source: Path, name: str) -> list[str]:
        date = ("-Q", f"-MDTM 20260704120000 {name.rpartition('/')[2]}")
        return ["-sS", "--ftp-create-dirs", "-T", str(source), f"{self.url}/{quote(name)}", *date]

    def make_folder(self, name: str) -> None:
        """Leave it to the first upload."""

    def interrupt(self, source: Path, name: str) -> None:
        client = self.ground.start("curl", "--limit-rate", str(rate(source)), *self.upload(source, name))
        cut(client, source, self.ground.inbox, f"*{name}*")

    def resume(self, source: Path, name: str) -> None:
        self.ground.run("curl", "-C", "-", "-a", *self.upload(source, name))


class CurlRenames(Curl):
    """A tethered camera: it sends to a name of its own, and renames when all is there."""

    name = "FTP, curl STOR, MDTM, RNFR, RNTO"
    kind = Kind.RENAMES

    def upload(self, source: Path, name: str) -> list[str]:
        coming, last = temporary(source, name), name.rpartition("/")[2]
        return [*super().upload(source, coming), "-Q", f"-RNFR {Path(coming).name}", "-Q", f"-RNTO {last}"]


ROADS: tuple[type[Road], ...] = (Lftp, Curl, CurlRenames)
