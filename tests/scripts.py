"""Scripts of the repository that are no part of the package, loaded to be asked."""

from __future__ import annotations

import importlib.util
import types
from pathlib import Path


def loaded(script: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
