"""NFS and SMB mounted, on a kernel of its own: by the machine that the daemon runs on, and by one that sends photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.e2e.harness import Place
from tests.transports import samba
from tests.transports.clients import version_of, which
from tests.transports.guest import Guest, GuestPlace, kernel, no_guest
from tests.transports.mounts import Behind
from tests.transports.road import Kind, Road, absent

_NFS_SERVER = """\
NFS_CORE_PARAM {
  Protocols = 4; NFS_Port = %(port)d; MNT_Port = 0; Enable_NLM = false; Enable_RQUOTA = false;
  allow_set_io_flusher_fail = true;
}
NFSv4 {
  RecoveryBackend = fs; RecoveryRoot = "%(root)s"; Grace_Period = 1; Lease_Lifetime = 5; Only_Numeric_Owners = true;
}
MDCACHE { Dir_Chunk = 0; }
EXPORT {
  Export_Id = 1; Path = "%(folder)s"; Pseudo = /photos; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
  Protocols = 4; Transports = TCP; Attr_Expiration_Time = 0; FSAL { Name = VFS; }
}
"""


class _Mounted(Behind):
    """The daemon's machine has mounted the folder in which photos are written on the server."""

    modules: tuple[str, ...]
    lag = 1.0  # for which both are told to believe what they know of folders and files

    def open(self) -> None:
        self.served.mkdir()
        self.guest = Guest(self.ground)
        self.guest.boot(self.modules, self.mount(self.serve()))

    def serve(self) -> int:
        """Start the server: its port."""
        raise NotImplementedError

    def mount(self, port: int) -> str:
        """Give the command that mounts what it serves as the inbox."""
        raise NotImplementedError

    def place(self, home: Path) -> Place:
        self._place = GuestPlace(home, self.guest)
        return self._place

    @property
    def command(self) -> Sequence[str]:
        return self._place.via


class Nfs(_Mounted):
    name = "NFS 4.1, mounted"
    modules = ("nfsv4",)

    @classmethod
    def missing(cls) -> str:
        return no_guest() or absent("ganesha.nfsd", "mount.nfs4")

    @classmethod
    def versions(cls) -> str:
        return f"nfs-ganesha {version_of([which('ganesha.nfsd'), '-v'])}, {kernel()}"

    def serve(self) -> int:
        port = self.ground.free_port()
        config, log = self.ground.root / "ganesha.conf", self.ground.root / "ganesha.log"
        config.write_text(_NFS_SERVER % {"port": port, "root": self.ground.root, "folder": self.served})
        options = ("-F", "-f", config, "-L", log, "-p", self.ground.root / "ganesha.pid")
        self.ground.serve(which("ganesha.nfsd"), *options, port=port, start_new_session=True)
        return port

    def mount(self, port: int) -> str:
        options = f"port={port},vers=4.1,soft,actimeo=1"
        return f"mount -t nfs4 -o {options} {self.guest.here}:/photos {self.inbox}"


class Cifs(samba.Plain, _Mounted):
    """Photos come by another client of the share: what is written behind Samba's back breaks no lease of a client."""

    name = "SMB 3.1.1, mounted"
    kind = Kind.SCANNED
    modules = ("cifs",)

    @classmethod
    def missing(cls) -> str:
        return no_guest() or samba.no_server() or absent("mount.cifs")

    @classmethod
    def versions(cls) -> str:
        return f"{super().versions()}, {kernel()}"

    def open(self) -> None:
        _Mounted.open(self)

    def serve(self) -> int:
        self.port = samba.serve(self.ground, self.served, interfaces=f"lo {self.guest.here}/30")
        return self.port

    def mount(self, port: int) -> str:
        return cifs(self.guest, port, self.inbox)


def cifs(guest: Guest, port: int, point: Path) -> str:
    """Give the command that mounts a share in a guest."""
    return f"mount -t cifs -o port={port},guest,vers=3.1.1 //{guest.here}/{samba.SHARE} {point}"


class CifsClient(Road):
    """Another machine has mounted the inbox by SMB, and copies photos into it."""

    name = "Samba, cp on a cifs mount"
    kind = Kind.REOPENS
    lag = 1.0  # a closed file is closed on the server a second later, in case that it is opened again (`closetimeo`)

    @classmethod
    def missing(cls) -> str:
        return Cifs.missing()

    @classmethod
    def versions(cls) -> str:
        return Cifs.versions()

    def open(self) -> None:
        self.guest = Guest(self.ground)
        self.point = self.ground.root / "share"
        self.point.mkdir()
        port = samba.serve(self.ground, self.inbox, interfaces=f"lo {self.guest.here}/30")
        self.guest.boot(("cifs",), cifs(self.guest, port, self.point))

    def put(self, source: Path, name: str) -> None:
        self.guest.run(f"cp '{source}' '{self.point / name}'")

    def put_tree(self, source: Path, name: str) -> None:
        self.guest.run(f"cp -r '{source}' '{self.point / name}'")

    def interrupt(self, source: Path, name: str) -> None:
        blocks = source.stat().st_size // 2 // 512
        self.guest.run(f"ulimit -f {blocks}; cp '{source}' '{self.point / name}'", check=False)

    def resume(self, source: Path, name: str) -> None:
        there = (self.inbox / name).stat().st_size
        options = f"skip={there} iflag=skip_bytes oflag=append conv=notrunc"
        self.guest.run(f"dd 'if={source}' 'of={self.point / name}' {options}")


ROADS: tuple[type[Road], ...] = (CifsClient, Cifs, Nfs)
