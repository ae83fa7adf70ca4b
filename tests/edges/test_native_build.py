"""The build of the native decoder: wheels, editable installs and sdists, with the compilers that there are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import types
import zipfile
from pathlib import Path

import pytest

from tests.scripts import loaded
from watcher.render import library

ROOT = Path(__file__).parents[2]
FOLDER = "watcher/render/native"
SOURCE = '#include <stdint.h>\n__attribute__((visibility("default"))) int32_t answer(void) { return 42; }\n'
REAL = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), "")
needs_compiler = pytest.mark.skipif(not REAL, reason="no C compiler is installed here")


@pytest.fixture
def hook() -> types.ModuleType:
    return loaded(ROOT / "hatch_build.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout in small, with a decoder that compiles at once."""
    made = tmp_path / "project"
    (made / FOLDER).mkdir(parents=True)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore", "docs/watcher.1"):
        (made / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, made / name)
    shutil.copyfile(ROOT / "watcher/__init__.py", made / "watcher/__init__.py")
    shutil.copyfile(ROOT / "watcher/render/library.py", made / "watcher/render/library.py")
    (made / FOLDER / "jpeg.c").write_text(SOURCE)
    return made


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH, without a compiler."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("CC", "CFLAGS", "LDFLAGS", "WATCHER_DECODER"):
        monkeypatch.delenv(name, raising=False)
    return folder


def tool(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def compiler(folder: Path, name: str, options: str = "") -> str:
    """A program that is a C compiler, and needs the real PATH for its own tools."""
    return tool(folder, name, f'PATH={os.defpath}:/usr/local/bin:/opt/homebrew/bin exec {REAL} {options} "$@"')


def backend(project: Path, call: str) -> tuple[str, str]:
    """Call hatchling as pip does; gives its answer and all that it said."""
    code = f"import sys, hatchling.build as h; print(h.{call}, file=sys.__stderr__)"
    options = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=options, check=True, timeout=120, capture_output=True, text=True
    )
    return done.stderr.splitlines()[-1], done.stdout + done.stderr


def wheel(project: Path, tmp_path: Path) -> tuple[Path, str]:
    name, said = backend(project, f"build_wheel({str(tmp_path)!r})")
    return tmp_path / name, said


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def answer(folder: Path) -> str:
    """Load what is installed in `folder`, in a process of its own, by the way that the decoder goes."""
    code = "from watcher.render.library import load; found, why = load(); print(found and found.answer(), why)"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True, text=True).stdout


def unpacked(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


# ---- which compiler ----


@needs_compiler
@pytest.mark.parametrize("name", ["cc", "gcc", "clang"])
def test_any_of_the_usual_compilers_is_found_and_nothing_more_is_asked_for(
    hook: types.ModuleType, tools: Path, name: str
) -> None:
    assert not hook.a_compiler_works()
    compiler(tools, name)
    assert hook.a_compiler_works()


@needs_compiler
def test_the_compiler_that_the_environment_names_comes_first_with_its_arguments(
    hook: types.ModuleType, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tools, "cc", "exit 1")
    monkeypatch.setenv("CC", f"{compiler(tools, 'mine')} -Wall")
    assert hook.compilers() == [[str(tools / "mine"), "-Wall"], ["cc"]]
    assert hook.a_compiler_works()


@needs_compiler
def test_a_compiler_that_fails_lacks_its_headers_or_makes_what_cannot_be_loaded_is_passed_over(
    hook: types.ModuleType, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", tool(tools, "broken", "echo 'error: no licence' >&2; exit 1"))
    compiler(tools, "cc", "-nostdinc")
    compiler(tools, "gcc", "-c")  # an object file, as a stand-in for another machine's library
    assert not hook.a_compiler_works()
    monkeypatch.setenv("CC", str(tools / "not there"))
    compiler(tools, "clang")
    assert hook.a_compiler_works()


@needs_compiler
def test_a_compiler_is_a_build_requirement_only_where_none_works_and_one_can_be_had(
    project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def asked_for(kind: str) -> bool:
        return "ziglang" in backend(project, f"get_requires_for_build_{kind}()")[0]

    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf), "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    assert not asked_for("wheel")  # an install that asked for it would fail
    with zipfile.ZipFile(shelf / "ziglang-0.17.1-py3-none-any.whl", "w"):
        pass
    assert asked_for("wheel")
    assert asked_for("editable")
    assert not asked_for("sdist")
    monkeypatch.setenv("WATCHER_DECODER", "pillow")
    assert not asked_for("wheel")
    monkeypatch.delenv("WATCHER_DECODER")
    compiler(tools, "cc")
    assert not asked_for("wheel")


# ---- what is built ----


@needs_compiler
def test_a_wheel_has_the_library_for_every_python_of_its_platform_and_the_source_tree_is_left_as_it_was(
    project: Path, tools: Path, tmp_path: Path
) -> None:
    compiler(tools, "cc")
    before = files(project)
    made, _ = wheel(project, tmp_path / "first")
    again, _ = wheel(project, tmp_path / "again")
    assert files(project) == before
    assert made.read_bytes() == again.read_bytes()
    assert made.name.split("-")[2:4] == ["py3", "none"]
    assert "any" not in made.name
    installed = unpacked(made, tmp_path / "installed")
    assert "Root-Is-Purelib: false" in next(installed.glob("*.dist-info/WHEEL")).read_text()
    assert answer(installed).startswith("42 built with ")


def test_without_a_compiler_the_wheel_is_pure_and_one_line_says_so(project: Path, tools: Path, tmp_path: Path) -> None:
    del tools
    if shutil.which("zig") or _zig_is_installed():
        pytest.skip("ziglang is installed here")
    made, said = wheel(project, tmp_path / "made")
    assert made.name.endswith("-py3-none-any.whl")
    (line,) = [line for line in said.splitlines() if "decoder" in line]
    assert line == "The native JPEG decoder was not built, Pillow decodes: no C compiler"
    assert answer(unpacked(made, tmp_path / "installed")) == "None no library was built\n"


def _zig_is_installed() -> bool:
    return subprocess.run([sys.executable, "-c", "import ziglang"], check=False, capture_output=True).returncode == 0


@needs_compiler
def test_a_decoder_that_does_not_compile_costs_no_install_and_is_told_with_the_compiler_s_words(
    project: Path, tools: Path, tmp_path: Path
) -> None:
    compiler(tools, "cc")
    (project / FOLDER / "jpeg.c").write_text("#error this machine is too odd\n")
    made, said = wheel(project, tmp_path / "made")
    assert made.name.endswith("-py3-none-any.whl")
    assert "Pillow decodes: cc: " in said
    assert "this machine is too odd" in said


@needs_compiler
def test_the_sdist_brings_what_it_takes_to_build_the_library(project: Path, tools: Path, tmp_path: Path) -> None:
    compiler(tools, "cc")
    backend(project, "build_editable('made')")
    name, _ = backend(project, f"build_sdist({str(tmp_path)!r})")
    unpack = [sys.executable, "-m", "tarfile", "-e", str(tmp_path / name), str(tmp_path / "sdist")]
    subprocess.run(unpack, check=True, timeout=60)
    (source,) = (tmp_path / "sdist").iterdir()
    assert not [*source.rglob("_jpeg.*")]
    made, _ = wheel(source, tmp_path / "made")
    assert answer(unpacked(made, tmp_path / "installed")).startswith("42 ")


@needs_compiler
def test_an_editable_install_leaves_the_library_beside_its_source_and_nothing_else(
    project: Path, tools: Path, tmp_path: Path
) -> None:
    compiler(tools, "cc")
    before = files(project)
    for _ in range(2):
        backend(project, f"build_editable({str(tmp_path / 'made')!r})")
    built = f"{FOLDER}/{os.path.basename(library.LIBRARY)}"
    assert set(files(project)) - set(before) == {built}
    assert answer(project).startswith("42 ")
    (project / built).unlink()
    subprocess.run([sys.executable, "hatch_build.py"], cwd=project, check=True, timeout=120)
    assert answer(project).startswith("42 ")


# ---- a library of another source ----


@needs_compiler
def test_a_library_of_an_older_source_is_neither_used_nor_packed_and_the_next_install_makes_a_new_one(
    project: Path, tools: Path, tmp_path: Path
) -> None:
    compiler(tools, "cc")
    backend(project, f"build_editable({str(tmp_path / 'made')!r})")
    (project / FOLDER / "jpeg.c").write_text(SOURCE.replace("42", "43"))
    assert answer(project) == "None its library was built from another source; install watcher again\n"
    made, _ = wheel(project, tmp_path / "made")
    assert answer(unpacked(made, tmp_path / "installed")).startswith("43 ")
    backend(project, f"build_editable({str(tmp_path / 'made')!r})")
    assert answer(project).startswith("43 ")
    (tools / "cc").unlink()
    (project / FOLDER / "jpeg.c").write_text(SOURCE)
    pure, _ = wheel(project, tmp_path / "pure")
    assert _zig_is_installed() or not [name for name in zipfile.ZipFile(pure).namelist() if "_jpeg" in name]


@needs_compiler
def test_what_is_installed_over_a_library_in_use_is_not_taken_for_it(
    project: Path, tools: Path, tmp_path: Path
) -> None:
    compiler(tools, "cc")
    backend(project, f"build_editable({str(tmp_path / 'made')!r})")
    code = """
        import pathlib
        from watcher.render.library import load
        from hatch_build import put_beside_source
        source = pathlib.Path("watcher/render/native/jpeg.c")
        assert load()[0].answer() == 42
        source.write_text(source.read_text().replace("42", "43"))
        assert put_beside_source(".") == ""
        assert load()[0].answer() == 42
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=project, check=True, timeout=60)
    assert answer(project).startswith("43 ")


@needs_compiler
def test_a_file_that_is_no_library_of_ours_is_not_used(hook: types.ModuleType, tools: Path, tmp_path: Path) -> None:
    del hook, tools
    junk = tmp_path / "_jpeg.so"
    assert library.load(str(junk)) == (None, "no library was built")
    junk.write_bytes(b"no library")
    found, why = library.load(str(junk))
    assert found is None
    assert why.startswith("its library can't be used: ")
    subprocess.run([REAL, "-shared", "-fPIC", "-x", "c", os.devnull, "-o", junk], check=True, env={"PATH": os.defpath})
    found, why = library.load(str(junk))
    assert found is None
    assert "watcher_source" in why
