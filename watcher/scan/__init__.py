"""The walk of an inbox: which files are photos, and their current size, date and inode."""

from watcher.scan.scanner import Scanner
from watcher.scan.walk import Walk, walk

__all__ = ["Scanner", "Walk", "walk"]
