"""Folders and files: openat walks, publication, clean-up, archiving, mounts. Links are never followed."""
