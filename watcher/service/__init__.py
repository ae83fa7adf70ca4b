"""What a service manager is told about the daemon: systemd's unit and launchd's plist, as text.

Rules:
- Pure: values in, text out. Which paths, users and limits there are is for the caller to find out.
- What is written names what it was made for (in a unit: the section `[X-Watcher]`, which systemd leaves alone), so that
  a file which is not ours is never overwritten or removed, and `watcher status` finds the state file of the service.
- `systemd/` in the source holds an example of each, made from a plain config; a test keeps them equal to this.
"""
