"""A parsed config file becomes a frozen Config, or every fault in it at once.

Rules:
- Pure: a mapping in (as `tomllib` gives it), a Config out. The folders that paths are relative to are arguments.
- The models know types, bounds and known keys, and each field's description is the text that completes "write …":
  so a hint can never disagree with the check that it belongs to.
- What concerns more than one key is checked on the raw mapping, so that one wrong number hides no other fault.
- Strict: `"5"` is no number and `true` is none either; a whole number will do for a fraction.
"""

from watcher.config.lines import with_lines
from watcher.config.overlap import overlaps
from watcher.config.parser import for_pair, parse
from watcher.config.starter import starter
from watcher.config.tables import DEFAULTS, Batch, Config, Executor, Hook, Inbox, Mark, included

__all__ = [
    "DEFAULTS",
    "Batch",
    "Config",
    "Executor",
    "Hook",
    "Inbox",
    "Mark",
    "for_pair",
    "included",
    "overlaps",
    "parse",
    "starter",
    "with_lines",
]
