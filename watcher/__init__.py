"""watcher: photos dropped into a folder become resized copies, whole and once each."""

__version__ = "0.1.0"
