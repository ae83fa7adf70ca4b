"""What the core and the loop may not touch, beyond imports: no file, no clock, nothing to wait for."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import watcher

ROOT = Path(watcher.__file__).parent
CORE = ("config", "core", "errors", "text")
DAEMON = sorted((ROOT / "engine").rglob("*.py"))

# names and paths as text; nothing that asks the file system
PURE_OS = {
    "os.fsdecode",
    "os.fsencode",
    "os.path.isabs",
    "os.path.join",
    "os.path.normpath",
    "os.path.basename",
    "os.path.dirname",
}
# what the loop is made of: it has its clocks, files and threads from others
OF_THE_LOOP = {
    "__future__",
    "contextlib",
    "collections",
    "dataclasses",
    "enum",
    "heapq",
    "itertools",
    "math",
    "os",
    "queue",
    "random",
    "typing",
    "watcher",
}
BUILTINS = {"open", "input", "exec", "eval", "__import__"}


def core() -> Iterator[Path]:
    for room in CORE:
        yield from [ROOT / f"{room}.py"] if (ROOT / f"{room}.py").exists() else sorted((ROOT / room).rglob("*.py"))


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def touched(tree: ast.Module) -> set[str]:
    """Give what a module uses of `os`, the longest names only, and the builtins that it calls which reach outside."""
    names = {dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)}
    of_os = {name for name in names if name.startswith("os.") and not any(n.startswith(name + ".") for n in names)}
    called = {dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return of_os | (called & BUILTINS)


def imported(tree: ast.Module) -> set[str]:
    """Give the top-level names of all that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {item.name.partition(".")[0] for item in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
            assert node.module != "os", "write `os.name`, so that this test sees it"
    return names


@pytest.mark.parametrize("path", [*core(), *DAEMON], ids=lambda path: str(path.relative_to(ROOT)))
def test_core_and_loop_take_names_apart_and_touch_no_file(path: Path) -> None:  # invariants 1 and 11
    assert touched(ast.parse(path.read_text())) <= PURE_OS


@pytest.mark.parametrize("path", DAEMON, ids=lambda path: path.name)
def test_the_loop_has_no_clock_thread_or_process_of_its_own(path: Path) -> None:  # invariant 11
    assert imported(ast.parse(path.read_text())) <= OF_THE_LOOP


def test_the_loop_waits_in_one_place_only() -> None:  # invariant 11
    """Nothing else in the daemon may block: `get` with a timeout is where it sleeps, and it is woken by any message."""
    waits = [
        f"{path.name}:{node.lineno}"
        for path in DAEMON
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and any(word.arg in {"timeout", "block"} for word in node.keywords)
    ]
    assert len(waits) == 1
    assert waits[0].startswith("loop.py")


def test_time_is_an_argument_in_the_core() -> None:  # invariant 1
    """The core may not even be handed a clock: nothing in it is called `monotonic` or `time`."""
    clocks = {"monotonic", "time", "now_ns", "perf_counter", "utcnow"}
    for path in core():
        calls = {
            dotted(node.func).rpartition(".")[2]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        }
        assert not calls & clocks, path


def test_the_core_can_be_imported_without_any_edge() -> None:  # invariant 1
    import subprocess  # noqa: PLC0415  # a fresh interpreter has imported nothing yet

    modules = ", ".join(f"watcher.{name}" for name in CORE if name != "config")
    edges = ["sqlite3", "watchdog", "PIL", "concurrent.futures", "multiprocessing", "structlog", "platformdirs"]
    script = f"import sys; import {modules}; print([name for name in {edges} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_table_of_invariants_names_the_tests_that_cite_them() -> None:
    tests = Path(__file__).parents[1]
    cited: dict[str, set[str]] = {}
    for path in tests.rglob("test_*.py"):
        name = path.relative_to(tests).with_suffix("").as_posix().replace("test_", "")
        for numbers in re.findall(r"# .*\binvariants? ([\d and]+)(?: ----)?$", path.read_text(), re.MULTILINE):
            for number in re.findall(r"\d+", numbers):
                cited.setdefault(number, set()).add(name)
    table = (tests.parent / "docs" / "architecture.md").read_text().partition("## Invariants")[2].partition("## ")[0]
    rows = re.findall(r"^\| (\d+) \| .* \| (.*) \|$", table, re.MULTILINE)
    assert {number: set(re.findall(r"`([^`]+)`", names)) for number, names in rows} == cited
    assert len(rows) == 11
