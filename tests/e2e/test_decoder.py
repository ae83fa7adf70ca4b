"""Which JPEG decoder is in use, and why: told by `check`, `status` and the log alike, and chosen by the environment."""

from __future__ import annotations

import pytest

from tests.e2e.harness import Place, fill
from watcher.render import jpeg_decoder

OFF = ("pillow", "turned off by WATCHER_DECODER=pillow")


@pytest.mark.parametrize("off", [False, True], ids=["as installed", "turned off"])
def test_check_status_and_one_of_the_first_lines_of_the_log_tell_the_same_decoder(
    place: Place, monkeypatch: pytest.MonkeyPatch, off: bool
) -> None:
    monkeypatch.delenv("WATCHER_DECODER", raising=False)
    place.env.pop("WATCHER_DECODER", None)
    if off:
        place.env["WATCHER_DECODER"] = "pillow"
    name, why = OFF if off else jpeg_decoder()
    fill(place.inbox, 1)
    assert place.status()["decoder"] == name
    assert f"decoder: {name} ({why})" in place.watcher("check", "--config", place.config).out
    made = place.once()
    (line,) = made.events("decoder.ready")
    assert (line["decoder"], line["reason"]) == (name, why)
    assert made.err.index("decoder.ready") < made.err.index("scan.done")
    assert made.events("decoder.fallback") == []  # the workers agree


def test_status_tells_the_decoder_of_the_daemon_and_not_its_own(place: Place) -> None:
    place.env["WATCHER_DECODER"] = "pillow"
    with place.run():
        place.env.pop("WATCHER_DECODER")
        assert place.status()["decoder"] == "pillow"
