"""Deliver documents of hooks: to a command, or to a URL.

Rules:
- A command gets nothing of ours but the document: no file, no lock, no secret of the environment. It ends, with all
  that it started in its process group, at its timeout, with the daemon, and when it is over itself.
- A URL is called at an address that was checked, and only there.
"""

from watcher.hooks.command import Stopped, environment, find_program, run

__all__ = ["Stopped", "environment", "find_program", "run"]
