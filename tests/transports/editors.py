"""Programs that change photos where they lie, each in its own way of saving."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from tests.transports.card import Version
from tests.transports.local import cut_off
from tests.transports.road import Kind, Road, absent, first_line


class _Editor(Road):
    edits = recodes = True
    cannot: ClassVar = {"overwrite": "each edit is a newer version of what lay there"}
    tool: ClassVar[str]

    @classmethod
    def missing(cls) -> str:
        return absent(cls.tool)

    def edit(self, target: Path) -> tuple[str | Path, ...]:
        """Give the command that changes a photo, or all in a folder."""
        raise NotImplementedError

    def put(self, source: Path, name: str) -> None:
        del source  # it lies there already
        self.ground.run(*self.edit(self.inbox / name))

    def interrupt(self, source: Path, name: str) -> None:
        cut_off(self.ground, source, *self.edit(self.inbox / name))


class Exiftool(_Editor):
    name, kind, tool = "exiftool -overwrite_original", Kind.RENAMES, "exiftool"
    how = "-overwrite_original"

    @classmethod
    def versions(cls) -> str:
        return f"ExifTool {first_line('exiftool', '-ver')}"

    def edited(self, version: Version) -> Version:
        return replace(version, copyright=f"{version.copyright}, edited")

    def edit(self, target: Path) -> tuple[str | Path, ...]:
        return "exiftool", "-q", "-r", self.how, "-Copyright<${Copyright}, edited", target

    def put_tree(self, source: Path, name: str) -> None:
        self.put(source, name)

    def resume(self, source: Path, name: str) -> None:
        """Remove what was left, as its message says, and do it again."""
        (self.inbox / f"{name}_exiftool_tmp").unlink(missing_ok=True)
        self.put(source, name)


class ExiftoolInPlace(Exiftool):
    name, kind = "exiftool -overwrite_original_in_place", Kind.CLOSES
    how = "-overwrite_original_in_place"


class Jpegtran(_Editor):
    name, kind, tool = "jpegtran -outfile onto itself", Kind.CLOSES, "jpegtran"

    @classmethod
    def versions(cls) -> str:
        return first_line("jpegtran", "-version")

    def edited(self, version: Version) -> Version:
        return version.flipped()

    def edit(self, target: Path) -> tuple[str | Path, ...]:
        return self.flip(target, target)

    def flip(self, source: Path, target: Path) -> tuple[str | Path, ...]:
        return "jpegtran", "-copy", "all", "-flip", "vertical", "-outfile", target, source

    def resume(self, source: Path, name: str) -> None:
        """Do it again from elsewhere: what lay there is lost."""
        self.ground.run(*self.flip(source, self.inbox / name))


class JpegtranRedirected(Road):
    """The shell makes the file and jpegtran fills it; the original lies elsewhere."""

    name, kind, recodes = "jpegtran > file", Kind.CLOSES, True

    @classmethod
    def missing(cls) -> str:
        return absent("jpegtran")

    @classmethod
    def versions(cls) -> str:
        return Jpegtran.versions()

    def command_for(self, source: Path, name: str) -> tuple[str | Path, ...]:
        return "sh", "-c", 'jpegtran -copy all -optimize "$1" >"$2"', "sh", source, self.inbox / name

    def put(self, source: Path, name: str) -> None:
        self.ground.run(*self.command_for(source, name))

    def interrupt(self, source: Path, name: str) -> None:
        cut_off(self.ground, source, *self.command_for(source, name))


class Mogrify(_Editor):
    name, kind, tool = "mogrify", Kind.CLOSES, "mogrify"

    @classmethod
    def versions(cls) -> str:
        return " ".join(first_line("mogrify", "-version").removeprefix("Version: ").split()[:3])

    def edited(self, version: Version) -> Version:
        return version.flipped()

    def edit(self, target: Path) -> tuple[str | Path, ...]:
        return "mogrify", "-flip", target

    def resume(self, source: Path, name: str) -> None:
        """Do it again elsewhere, and bring that in: what lay there is lost."""
        copy = self.ground.root / source.name
        shutil.copy(source, copy)
        self.ground.run(*self.edit(copy))
        copy.rename(self.inbox / name)


ROADS: tuple[type[Road], ...] = (Exiftool, ExiftoolInPlace, Jpegtran, JpegtranRedirected, Mogrify)
