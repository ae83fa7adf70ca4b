"""Samba: its server as our own process, `smbclient` to it, plainly and with all that a Mac does around a photo."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from tests.e2e.harness import until
from tests.transports.clients import is_open, version_of, which
from tests.transports.road import Ground, Kind, Road, absent

SHARE = "photos"
_SERVER = """\
[global]
server role = standalone server
map to guest = Bad User
guest account = {user}
smb ports = {port}
interfaces = {interfaces}
bind interfaces only = yes
{places}
log file = {root}/log
disable netbios = yes
disable spoolss = yes
load printers = no
printcap name = /dev/null
smb2 max write = {block}
[photos]
path = {folder}
read only = no
guest ok = yes
create mask = 0644
{more}
"""
_PLACES = ("private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir")
_BLOCK = 65536  # bytes in one write; smbclient would take 8 MB, and a photo that is cut off would have nothing
_ONCE = "2020:05:04-12:00:00"  # when the photo was taken, which a Mac sets once all is written


def serve(ground: Ground, folder: Path, more: str = "", *, interfaces: str = "lo") -> int:
    """Serve a folder as the share `photos`, to everybody, on a port of its own: that port."""
    port = ground.free_port()
    root = Path(tempfile.mkdtemp(prefix="smb"))  # a socket's path has room for 100 characters
    ground.stack.callback(shutil.rmtree, root)
    for place in _PLACES:
        (root / place).mkdir()
    places = "\n".join(f"{place} = {root / place}" for place in _PLACES)
    text = {
        "user": getpass.getuser(),
        "port": port,
        "places": places,
        "root": root,
        "folder": folder,
        "more": more,
        "block": _BLOCK,
    }
    config = ground.root / "smb.conf"
    config.write_text(_SERVER.format_map({**text, "interfaces": interfaces}))
    smbd = which("smbd")
    # in a session of its own: when it ends, it ends all of its process group
    command = (smbd, "--foreground", "--no-process-group", f"--configfile={config}", "--debug-stdout")
    ground.serve(*command, port=port, start_new_session=True)
    return port


def no_server() -> str:
    """Say why there can be no server of Samba here; empty: there can."""
    return absent("smbd", "smbclient") or ("smbd changes its user, which takes root" if os.geteuid() != 0 else "")


class Plain(Road):
    name = "Samba, smbclient put"
    kind = Kind.CLOSES
    fruit: ClassVar[str] = ""

    @classmethod
    def missing(cls) -> str:
        return no_server()

    @classmethod
    def versions(cls) -> str:
        return f"Samba {version_of([which('smbd'), '--version'])}"

    def open(self) -> None:
        self.port = serve(self.ground, self.inbox, self.fruit)

    def smb(self, *lines: str, port: int = 0, check: bool = True) -> None:
        share = f"//127.0.0.1/{SHARE}"
        config = f"--configfile={self.ground.root / 'smb.conf'}"
        said = self.ground.run(
            "smbclient", share, config, "-p", str(port or self.port), "-N", "-c", "; ".join(lines), check=check
        ).stdout
        if check and "NT_STATUS" in said:  # its exit code tells of the last line alone
            raise RuntimeError(said)

    def lines(self, source: Path, name: str) -> list[str]:
        return [f'put "{source}" "{name}"']

    def put(self, source: Path, name: str) -> None:
        self.smb(*self.lines(source, name))

    def put_tree(self, source: Path, name: str) -> None:
        self.smb(f'lcd "{source.parent}"', "recurse ON", "prompt OFF", f'mput "{name}"')

    def make_folder(self, name: str) -> None:
        self.smb(f'mkdir "{name}"')

    def interrupt(self, source: Path, name: str) -> None:
        with _cut_line(self.port, source.stat().st_size // 2) as port:
            self.smb(*self.lines(source, name), port=port, check=False)
        until(lambda: not is_open(self.landing or self.inbox, name), "the server has noticed")

    def resume(self, source: Path, name: str) -> None:
        self.put(source, name)  # its `reput` would write the rest to the beginning (4.17.12), and cut the file there


@contextmanager
def _cut_line(port: int, size: int) -> Iterator[int]:
    """Give the port of a line to `port` that is cut once `size` bytes have gone over it."""

    def carry() -> None:
        client = listener.accept()[0]
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=_carry, args=(server, client, 1 << 40))
            back.start()
            _carry(client, server, size)
            server.shutdown(socket.SHUT_WR)  # it still takes what has come; closed at once, it would lose that
            client.shutdown(socket.SHUT_RDWR)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=carry)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def _carry(source: socket.socket, target: socket.socket, most: int) -> None:
    with contextlib.suppress(ConnectionError):
        while most > 0 and (data := source.recv(min(_BLOCK, most))):
            most -= len(data)
            with contextlib.suppress(OSError):  # it is cut at the other end: the rest is still taken
                target.sendall(data)


class Mac(Plain):
    """As the Finder copies: an empty file first, attributes, more than one handle, forks, the date last of all.

    Streams go where `vfs_fruit` puts them: into `._` duplicates beside the photos.
    """

    name = "Samba with vfs_fruit, as a Mac"
    kind = Kind.REOPENS
    fruit = "vfs objects = fruit streams_xattr"

    @classmethod
    def missing(cls) -> str:
        there = list(Path("/usr/lib").glob("*/samba/vfs/fruit.so"))
        return super().missing() or ("" if there else "Samba's module fruit is not installed")

    def open(self) -> None:
        super().open()
        self.fork, self.empty = (self.ground.root / name for name in ("fork", "empty"))
        self.fork.write_bytes(os.urandom(3000))
        self.empty.write_bytes(b"")

    def lines(self, source: Path, name: str) -> list[str]:
        opened = [f'open "{name}"']  # it stays open until all is done
        first = f'put "{self.empty}" "{name}"'
        return [first, *self.before(name), *opened, *super().lines(source, name), *self.after(name)]

    def before(self, name: str) -> list[str]:
        return [f'put "{self.fork}" "{name}:{stream}"' for stream in ("AFP_Resource", "com.apple.provenance")]

    def after(self, name: str) -> list[str]:
        return [f'put "{self.fork}" "{_beside(name, ".DS_Store")}"', f'utimes "{name}" ' + " ".join([_ONCE] * 4)]

    def put_tree(self, source: Path, name: str) -> None:
        Road.put_tree(self, source, name)


class MacWithoutFruit(Mac):
    """A server that knows no streams: the Mac itself writes the duplicates."""

    name = "Samba without it, as a Mac"
    fruit = ""
    missing = Plain.missing

    def before(self, name: str) -> list[str]:
        return [f'put "{self.fork}" "{_beside(name, "._" + Path(name).name)}"']


def _beside(name: str, other: str) -> str:
    return str(Path(name).with_name(other))


ROADS: tuple[type[Road], ...] = (Plain, Mac, MacWithoutFruit)
