"""The same place as in `tests/e2e`, and the same look behind it."""

from tests.e2e.conftest import place

__all__ = ["place"]
