"""watcher: photos dropped into a folder become resized copies, whole and once each."""

__version__ = "1.0.0rc1"
