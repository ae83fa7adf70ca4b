"""Folders and files: openat walks, publication, clean-up, archiving, mounts. Never follows a link."""
