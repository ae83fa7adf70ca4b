"""The page and the metrics over HTTP: the only package that knows Starlette, uvicorn and Prometheus's client.

Rules and theory of operation:
- One thread with an event loop of its own serves one application, at one address or at two. The daemon's loop only puts
  events into a bounded queue (`events`) and never waits for this thread; if that ends, rendering goes on.
- What the page is told live was written to the state file before; everything else is read from that file, by a
  connection of its own for each answer. So a browser that missed something asks again and is right.
- Nothing is served but the page itself, the metrics, what the state file says of the photos of the inboxes in the
  config, and their renditions: never an original, never by a path that a browser names (`serializers`, `files`).
- Who may ask is decided in one place, before any handler runs (`auth`).
- `server`, `app` and `metrics` are imported where something is served: the packages that they need are extras.
"""

from watcher.http.address import Address, listen
from watcher.http.events import Broadcaster
from watcher.http.ports import Records, Shown, Site

__all__ = ["Address", "Broadcaster", "Records", "Shown", "Site", "listen"]
