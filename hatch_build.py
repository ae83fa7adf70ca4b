"""Build the native JPEG decoder into the wheel, with whatever C compiler works here.

- A compiler is one that turns `watcher/render/native/jpeg.c`'s headers into a library that this Python can load: $CC, cc, gcc,
  clang. Where none does, the `ziglang` wheel (100 MB, clang with its headers) is a build requirement, and `zig cc` compiles.
- Where that can't be had either, or WATCHER_DECODER=pillow is set, the wheel is built without, says so, and Pillow decodes.
- The library uses no Python, so one wheel a platform serves every version: `py3-none-PLATFORM`. It carries a digest of its
  source, which `watcher.render.native` compares: a library of another source is never used.
- `python hatch_build.py` builds it beside its source, as an editable install does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "watcher/render/native"
LIBRARY = "_jpeg.dylib" if sys.platform == "darwin" else "_jpeg.so"
ZIG = "ziglang>=0.13"

_FLAGS = ["-std=c11", "-O3", "-g0", "-fPIC", "-shared", "-fvisibility=hidden", "-fstack-protector-strong"]
_OLDEST_MACOS = "11.0"
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
_LOAD = "import ctypes, sys; print(ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(sys.argv[1]), 'watcher_source'))))"


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
    system = [f"-mmacosx-version-min={_OLDEST_MACOS}"] if sys.platform == "darwin" else ["-Wl,-z,relro,-z,now,-z,noexecstack"]
    flags = [*_FLAGS, *system, *shlex.split(os.environ.get("CFLAGS", "")), *shlex.split(os.environ.get("LDFLAGS", ""))]
    caches = {name: os.path.join(folder, "zig") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    try:
        for line in ([*command, *flags, "-o", library, stamp, *sources], [sys.executable, "-c", _LOAD, library]):
            subprocess.run(
                line, check=True, capture_output=True, text=True, errors="replace", timeout=_SECONDS, env={**os.environ, **caches}
            )
    except subprocess.CalledProcessError as error:
        if "failed to map segment" in error.stderr:
            return ""  # a folder that nothing may be run from (noexec) says nothing about the library
        return next((text for text in error.stderr.splitlines() if "error" in text.lower()), f"exit code {error.returncode}")
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""


def a_compiler_works() -> bool:
    """Return whether one of the machine's compilers makes a library that this Python can load."""
    with tempfile.TemporaryDirectory() as folder:
        return any(not build(command, [], "probe", folder) for command in compilers())


def zig_can_be_had() -> bool:
    """Return whether pip finds the wheel, by its own configuration; a build requirement that it lacks would fail the install."""
    pip = [sys.executable, "-E", "-P", "-m", "pip"]  # the one outside of the build's environment, which has none
    try:
        if subprocess.run([*pip, "--version"], check=False, capture_output=True, timeout=60).returncode:
            return True  # another front end
        look = [*pip, "--retries", "1", "index", "versions", ZIG.partition(">")[0]]
        return subprocess.run(look, check=False, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def make(root: str, folder: str) -> str:
    """Compile the decoder in `root` into `folder` with the first compiler that can; return what went wrong, if anything did."""
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
    """Compile the decoder into the source tree; return what went wrong, if anything did."""
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
        return next(iter(mac_platforms((int(_OLDEST_MACOS.partition(".")[0]), 0))))
    return next(tag for tag in platform_tags() if not tag.startswith(("manylinux", "musllinux")))  # auditwheel finds those


class NativeDecoder(BuildHookInterface):
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


if __name__ == "__main__":
    sys.exit(put_beside_source(os.path.dirname(os.path.abspath(__file__))))
