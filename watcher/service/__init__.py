"""The description of the daemon for a service manager: systemd's unit and launchd's plist, as text.

Rules:
- Pure: values in, text out. The caller finds out which paths, users and limits exist.
- The text records what it was made for (in a unit: the section `[X-Watcher]`, which systemd ignores), so that a file
  which is not ours is never overwritten or removed, and `watcher status` finds the state file of the service.
- `systemd/` in the source contains an example of each, made from a plain config; a test keeps them equal to this.
"""
