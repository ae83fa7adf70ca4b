"""Photos that come out of an archive, unpacked into the inbox."""

from __future__ import annotations

import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.transports.local import cut_off
from tests.transports.road import Kind, Road, absent, first_line


class _Archive(Road):
    kind = Kind.CLOSES

    def pack(self, source: Path, name: str) -> Path:
        """Make an archive that holds a photo or a folder under its name in the inbox."""
        raise NotImplementedError

    def unpack(self, archive: Path) -> tuple[str | Path, ...]:
        raise NotImplementedError

    def put(self, source: Path, name: str) -> None:
        self.ground.run(*self.unpack(self.pack(source, name)))

    def put_tree(self, source: Path, name: str) -> None:
        self.put(source, name)

    def interrupt(self, source: Path, name: str) -> None:
        cut_off(self.ground, source, *self.unpack(self.pack(source, name)))

    def new(self, suffix: str) -> Path:
        return Path(tempfile.mkdtemp(dir=self.ground.root)) / f"photos.{suffix}"


class Tar(_Archive):
    name = "tar"

    @classmethod
    def missing(cls) -> str:
        return absent("tar")

    @classmethod
    def versions(cls) -> str:
        return first_line("tar", "--version")

    def pack(self, source: Path, name: str) -> Path:
        archive = self.new("tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(source, name)
        return archive

    def unpack(self, archive: Path) -> tuple[str | Path, ...]:
        return "tar", "-xf", archive, "-C", self.inbox


class Unzip(_Archive):
    name = "unzip"

    @classmethod
    def missing(cls) -> str:
        return absent("unzip")

    @classmethod
    def versions(cls) -> str:
        return first_line("unzip", "-v").partition(" of ")[0]

    def pack(self, source: Path, name: str) -> Path:
        archive = self.new("zip")
        files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
            for path in files:
                zipped.write(path, Path(name) / path.relative_to(source))
        return archive

    def unpack(self, archive: Path) -> tuple[str | Path, ...]:
        return "unzip", "-o", "-q", archive, "-d", self.inbox


ROADS: tuple[type[Road], ...] = (Tar, Unzip)
