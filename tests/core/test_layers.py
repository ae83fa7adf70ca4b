"""Which package may use which outside thing. That imports point down is checked by import-linter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import watcher

ROOT = Path(watcher.__file__).parent

# outside thing -> the only packages that import it
OWNERS = {
    "PIL": {"render"},
    "cykooz": {"render"},
    "cykooz_resizer": {"render"},
    "watchdog": {"watch"},
    "sqlite3": {"store"},
    "structlog": {"logs"},
    "logging": {"logs", "watch", "cluster"},  # watchdog says on a logger that it lost events; Dask has a log of its own
    "multiprocessing": {"pool"},
    "concurrent": {"pool"},
    "subprocess": {"service", "hooks"},
    "urllib3": {"hooks"},
    "blake3": {"render"},
    "platformdirs": {"paths"},
    "tomllib": {"paths", "config"},  # the config; and which line a fault of it stands in
    "pydantic": {"config"},
    "pydantic_core": {"config"},
    "starlette": {"http"},
    "uvicorn": {"http"},
    "anyio": {"http"},
    "asyncio": {"http", "cluster"},
    "distributed": {"cluster"},
    "typer": {"cli"},
    "prometheus_client": {"http"},
    "rich": {"app", "cli"},
    "fcntl": {
        "service",
        "pool",
        "render",
        "fs",
    },  # the lock; the pipe that shows a worker its parent's end; reflinks
}


def _package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


MOST_LINES = 350  # beyond 300 a module wants a second look at what it is for
MORE_LINES = {
    "core/lifecycle.py": 370,  # the whole table of a photo
    "store/store.py": 380,  # one class, most of it SQL
}
MODULES = sorted(ROOT.rglob("*.py"))


def test_each_outside_thing_has_one_owner() -> None:
    strangers = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        for name in set(_imports(path))
        if name in OWNERS and _package(path) not in OWNERS[name]
    ]
    assert not strangers


def test_no_module_outgrows_its_package() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert not {name: count for name, count in lines.items() if count > MORE_LINES.get(name, MOST_LINES)}
