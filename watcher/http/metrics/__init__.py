"""Numbers for Prometheus at `/metrics`, and at `/healthz` whether all is well: the only room that knows its client.

Theory of operation:
- Every request asks the loop by a message and waits for the answer in its own thread: what it serves is of that
  moment, and the loop waits for nobody. A loop that does not answer in time is what there is to tell then.
- Names follow Prometheus' conventions (base units, `_total`), and a label is as bounded as the config.
- Nothing that happens here reaches the loop: whoever floods this server, or makes it die, stops no photo.
"""

from __future__ import annotations

from watcher.http.metrics.server import Server

__all__ = ["Server"]
