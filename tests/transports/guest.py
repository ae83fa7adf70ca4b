"""A machine of its own for file systems that this kernel does not know: User Mode Linux, which needs no virtualisation.

Its root is ours (`hostfs`), so that programs and photos lie where they lie here. It boots in two seconds, is connected
by a line of its own, and runs what `enter.py` asks for.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from tests.e2e.harness import Place, Rendition
from tests.transports.clients import version_of, which
from tests.transports.road import Ground, absent

_MODULES = Path("/usr/lib/uml/modules")
_MEMORY = "700M"
_LINES = itertools.count()
_INIT = """\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
mkdir -p /dev/shm; mount -t tmpfs shm /dev/shm
cd {here}
echo {here}/modprobe > /proc/sys/kernel/modprobe
ip link set lo up; ip addr add {guest}/30 dev vec0; ip link set vec0 up
{{ {script}; }} > boot.log 2>&1 && touch booted
job() {{
    # what it says is written at once, for whoever reads along
    {{ sh $1.sh >$1.out; echo $? >$1.part; }} 2>&1 | dd of=$1.err oflag=sync bs=64k status=none
    mv $1.part $1.code
}}
while read -r what number; do
    case $what in
        run) job $number & ;;
        end) kill -TERM $(cat /run/$number) ;;
        off) break ;;
    esac
done
sync; umount -a -l -t nfs4,cifs; echo o > /proc/sysrq-trigger; sleep 9
"""


def no_guest() -> str:
    """Say why there can be no guest here; empty: there can."""
    if missing := absent("linux.uml", "modprobe", "ip"):
        return missing
    line = ("dev", f"try{os.getpid()}", "mode", "tap")
    if subprocess.run(["ip", "tuntap", "add", *line], capture_output=True, check=False).returncode != 0:
        return "a line to a machine in a kernel of its own (tun) takes root"
    subprocess.run(["ip", "tuntap", "del", *line], check=True)
    return _refused()


@lru_cache(maxsize=1)
def _refused() -> str:
    """Say why this processor can't run a guest; empty: it can.

    That of Debian 12 (6.1) can't set the registers of a processor with AMX: its first program ends it.
    """
    options = "mem=64M rootfstype=hostfs rootflags=/ init=/bin/true con=null con0=fd:0,fd:1"
    command = ["linux.uml", *options.split()]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return "User Mode Linux can't run on this processor" if b"set fp regs failed" in found.stdout + found.stderr else ""


def kernel() -> str:
    return f"User Mode Linux {version_of(['linux.uml', '--version'])}"


class Guest:
    """A booted guest.

    Attributes:
        here, there: addresses of this machine and of the guest, on their line.

    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.folder = ground.root / "guest"
        self.folder.mkdir()
        number = (os.getpid() + 1009 * next(_LINES)) % 16384  # two at once have different ones
        self.here, self.there = (f"198.18.{number // 64}.{number % 64 * 4 + end}" for end in (1, 2))
        self._line = f"uml{number}"
        ground.run("ip", "tuntap", "add", "dev", self._line, "mode", "tap")
        ground.stack.callback(ground.run, "ip", "link", "del", self._line)
        ground.run("ip", "addr", "add", f"{self.here}/30", "dev", self._line)
        ground.run("ip", "link", "set", self._line, "up")

    def boot(self, modules: Sequence[str], script: str) -> None:
        """Boot it, load modules, and run a script there; it is switched off with the ground."""
        tree = next(_MODULES.iterdir())
        (self.folder / "lib/modules").mkdir(parents=True)
        (self.folder / "lib/modules" / tree.name).symlink_to(tree)
        modprobe = self.folder / "modprobe"
        modprobe.write_text(f'#!/bin/sh\nexec {which("modprobe")} -d {self.folder} "$@"\n')
        modprobe.chmod(0o755)
        script = f"./modprobe -a {' '.join(modules)} && {script}"
        init = self.folder / "init"
        init.write_text(_INIT.format(here=self.folder, guest=self.there, script=script))
        init.chmod(0o755)
        os.mkfifo(self.folder / "requests")
        requests = os.open(self.folder / "requests", os.O_RDWR)
        self.ground.stack.callback(os.close, requests)
        booted = self.folder / "booted"
        command = [
            *("linux.uml", f"mem={_MEMORY}", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}", "quiet"),
            *("con0=fd:0,fd:1", "con=null", "ssl=null", f"vec0:transport=tap,ifname={self._line},gro=1"),
        ]
        process = self.ground.serve(*command, ready=booted.exists, stdin=requests, start_new_session=True)
        self.ground.stack.callback(process.wait, 10)
        self.ground.stack.callback(os.write, requests, b"off x\n")

    def enter(self, *more: str) -> list[str]:
        """Give what starts a command in the guest."""
        return [sys.executable, str(Path(__file__).with_name("enter.py")), str(self.folder), *more]

    def run(self, command: str, *, check: bool = True) -> None:
        """Run a line of shell there."""
        self.ground.run(*self.enter("sh", "-c", command), check=check)


class GuestPlace(Place):
    """A place whose commands run in a guest. Its state file lies there too; between two daemons it is here."""

    def __init__(self, root: Path, guest: Guest) -> None:
        super().__init__(root)
        self.within = guest.enter()
        self.state = root / "books" / "state.db"
        self.state.parent.mkdir()
        self.via = guest.enter("--books", str(self.state.parent))

    def configure(
        self,
        renditions: Mapping[str, Rendition] | None = None,
        inbox: Mapping[str, object] | None = None,
        *,
        more_inboxes: Iterable[Mapping[str, object]] = (),
        **top: object,
    ) -> None:
        super().configure(renditions, inbox, more_inboxes=more_inboxes, **{"state": "/run/books/state.db", **top})
