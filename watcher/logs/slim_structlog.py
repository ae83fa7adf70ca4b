"""structlog without rich, which it would load for another look of tracebacks than ours: 25 ms and 7 MB a process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from types import ModuleType

_ABSENT = cast("ModuleType", None)  # what an import takes for "is not installed"

if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = _ABSENT
    try:
        import structlog
    finally:
        del sys.modules["rich"]

__all__ = ["structlog"]
