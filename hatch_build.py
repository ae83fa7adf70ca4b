"""Build the native JPEG decoder into the wheel, with whatever C compiler works here.

- A compiler does if this Python can load what it makes. Its own are tried ($CC, cc, gcc, clang); where none does,
  the `ziglang` wheel (100 MB: clang and its headers) is a build requirement, and `zig cc` compiles.
- Where that can't be had either, or WATCHER_DECODER=pillow is set, the wheel goes without, says so, and Pillow decodes.
- The library uses no Python, so one wheel a platform serves every version: `py3-none-PLATFORM`. It carries a digest of
  its source, so that `watcher.render.native` never uses a library of another source.
- `python hatch_build.py` builds it beside its source, as an editable install does.

Where PROJECT_URL names the repository's address, as it does for a release, it is in the wheel's metadata, and the links
and pictures of the README lead there: the package index shows the README without the files beside it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

FOLDER = "watcher/render/native"
LIBRARY = "_jpeg.dylib" if sys.platform == "darwin" else "_jpeg.so"
ZIG = "ziglang>=0.13"

_FLAGS = ["-std=c11", "-O3", "-g0", "-fPIC", "-shared", "-fvisibility=hidden", "-fstack-protector-strong"]
_OLDEST_MACOS = (11, 0)
_SYSTEM = ["-Wl,-z,relro,-z,now,-z,noexecstack"]
if sys.platform == "darwin":
    _SYSTEM = ["-mmacosx-version-min=" + ".".join(map(str, _OLDEST_MACOS))]
_SECONDS = 300.0  # for one compilation; zig builds parts of its C library first
_STAMP = """
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
__attribute__((visibility("default"), used)) const char watcher_source[] = "{digest}";
__attribute__((visibility("default"), used)) const char watcher_compiler[] = COMPILER;
"""
_LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).watcher_source"


def compilers() -> list[list[str]]:
    """Return the machine's C compilers in the order in which to try them."""
    named = shlex.split(os.environ.get("CC", ""))
    if sys.platform == "darwin" and subprocess.run(["xcode-select", "-p"], check=False, capture_output=True).returncode:
        return [named] if named else []  # there `cc` would open a window that offers to install one
    return [command for command in (named, ["cc"], ["gcc"], ["clang"]) if command and shutil.which(command[0])]


def zig() -> list[list[str]]:
    """Return the compiler of the `ziglang` wheel, if it is installed; not for this processor alone, as it would."""
    return [[sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]] if importlib.util.find_spec("ziglang") else []


def build(command: list[str], sources: list[str], digest: str, folder: str) -> str:
    """Compile `sources` into a library in `folder` and return what went wrong, if anything did."""
    stamp, library = os.path.join(folder, "stamp.c"), os.path.join(folder, LIBRARY)
    with open(stamp, "w", encoding="ascii") as file:
        file.write(_STAMP.replace("{digest}", digest))
    more = [word for name in ("CFLAGS", "LDFLAGS") for word in shlex.split(os.environ.get(name, ""))]
    caches = {name: os.path.join(folder, "zig") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    if wrong := _run([*command, *_FLAGS, *_SYSTEM, *more, "-o", library, stamp, *sources], caches):
        return wrong
    wrong = _run([sys.executable, "-c", _LOAD, library], {})
    return "" if "failed to map segment" in wrong else wrong  # nothing in this folder may be run: says nothing about it


def _run(command: list[str], environ: dict[str, str]) -> str:
    """Run a command and return what went wrong, if anything did."""
    options: dict[str, Any] = {"capture_output": True, "text": True, "errors": "replace", "timeout": _SECONDS}
    try:
        done = subprocess.run(command, check=False, env={**os.environ, **environ}, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if not done.returncode:
        return ""
    return next((line for line in done.stderr.splitlines() if "error" in line.lower()), f"exit code {done.returncode}")


def a_compiler_works() -> bool:
    """Return whether one of the machine's compilers makes a library that this Python can load."""
    with tempfile.TemporaryDirectory() as folder:
        return any(not build(command, [], "probe", folder) for command in compilers())


def zig_can_be_had() -> bool:
    """Return whether pip finds the wheel: a build requirement that can't be had would fail the install."""
    pip = [sys.executable, "-E", "-P", "-m", "pip"]  # the one outside of the build's environment, which has none
    if _run([*pip, "--version"], {}):
        return True  # another front end
    return not _run([*pip, "--retries", "1", "index", "versions", ZIG.partition(">")[0]], {})


def make(root: str, folder: str) -> str:
    """Compile the decoder of `root` into `folder` with the first compiler that can; return what went wrong."""
    if turned_off():
        return "turned off by WATCHER_DECODER=pillow"
    source = os.path.join(root, FOLDER, "jpeg.c")
    try:
        with open(source, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        return str(error)
    wrong = "no C compiler"
    for command in [*compilers(), *zig()]:
        if not (said := build(command, [source], digest, folder)):
            return ""
        wrong = f"{shlex.join(command)}: {said}"
    return wrong


def turned_off() -> bool:
    """Return whether the user wants no native decoder."""
    return os.environ.get("WATCHER_DECODER") == "pillow"


def put_beside_source(root: str) -> str:
    """Compile the decoder into the source tree; return what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        if wrong := make(root, folder):
            return wrong
        place = os.path.join(root, FOLDER, LIBRARY)
        try:
            shutil.copyfile(os.path.join(folder, LIBRARY), f"{place}.new")
            os.replace(f"{place}.new", place)  # a process that has it loaded keeps its own
        except OSError as error:
            return str(error)
    return ""


def platform_tag() -> str:
    """Return the platform of a wheel with a library made here."""
    from packaging.tags import mac_platforms, platform_tags  # noqa: PLC0415 - comes with hatchling

    if sys.platform == "darwin":
        return next(iter(mac_platforms(_OLDEST_MACOS)))
    found_by_auditwheel = ("manylinux", "musllinux")
    return next(tag for tag in platform_tags() if not tag.startswith(found_by_auditwheel))


class NativeDecoder(BuildHookInterface[Any]):
    """The part that hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for a compiler where the machine has none."""
        return [] if turned_off() or a_compiler_works() or not zig_can_be_had() else [ZIG]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the library to the wheel; an editable install finds it beside its source."""
        if version == "editable":
            wrong = put_beside_source(self.root)
        else:
            self._scratch = tempfile.TemporaryDirectory()
            wrong = make(self.root, self._scratch.name)
        if wrong:
            self.app.display_warning(f"The native JPEG decoder was not built, Pillow decodes: {wrong}")
        elif version != "editable":
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform_tag()}"
            build_data["force_include"][os.path.join(self._scratch.name, LIBRARY)] = f"{FOLDER}/{LIBRARY}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel by now."""
        del version, build_data, artifact_path
        with suppress(AttributeError):
            self._scratch.cleanup()


class Addresses(MetadataHookInterface):
    """The README and the project's addresses."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Add both to the metadata."""
        with open(os.path.join(self.root, "README.md"), encoding="utf-8") as file:
            text = file.read()
        metadata["urls"] = {}
        if repository := os.environ.get("PROJECT_URL", "").rstrip("/"):
            text = absolute(text, repository, os.environ.get("PROJECT_REF", "HEAD"))
            metadata["urls"] = {
                "Repository": repository,
                "Documentation": f"{repository}/tree/HEAD/docs",
                "Changelog": f"{repository}/blob/HEAD/CHANGELOG.md",
                "Issues": f"{repository}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(text: str, repository: str, ref: str) -> str:
    """Return a Markdown text whose relative links and pictures lead to a repository, as it is at a tag or branch."""

    def lead(found: re.Match[str]) -> str:
        kind = "raw" if found["picture"] else "blob"
        return f"{found['picture']}[{found['text']}]({repository}/{kind}/{ref}/{found['target']})"

    return re.sub(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<target>[^)\s]+)\)", lead, text)


if __name__ == "__main__":
    sys.exit(put_beside_source(os.path.dirname(os.path.abspath(__file__))) or None)
