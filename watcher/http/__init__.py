"""The page: what became of which photo, live in a browser; the only room that knows Starlette and uvicorn.

Rules and theory of operation:
- A thread of its own with an event loop of its own. The daemon's loop only drops news into a bounded box (`news`) and
  never waits for this room; should the thread end, rendering goes on.
- What is told live was written to the state file before; everything else is read from that file, by a connection of
  its own for each answer. So a browser that missed something asks again and is right.
- Nothing is served but the page itself, what the state file says of the photos of the inboxes in the config, and
  their renditions: never an original, never by a path that a browser names (`names`, `files`).
- Who may ask is decided in one place, before any handler runs (`guard`).
- `server` is imported where a page is served: the packages that it needs are an extra.
"""

from watcher.http.address import Address, listen
from watcher.http.events import Broadcaster
from watcher.http.ports import Books, Shown, Site

__all__ = ["Address", "Books", "Broadcaster", "Shown", "Site", "listen"]
