"""The locale decides how text is shown, and nothing else: what one run has recorded, another one understands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import COMMAND, WEB, Finished, Place, camera

NAMES = ("日.jpg", "é.jpg", "größe/ü.jpg", "övrigt.jpg")  # the last one is excluded
COMMANDS = ("verify", "verify --json", "verify --prune", "check", "status --json", "list", "list --json")
WITHOUT_UTF8 = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def locales(folder: Path) -> list[dict[str, str]]:
    """Give the environments of locales that are not UTF-8: one that has ASCII alone, one that reads any byte."""
    found = [{"LC_ALL": "POSIX", **WITHOUT_UTF8}]
    if shutil.which("localedef"):
        made = subprocess.run(
            ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")],
            capture_output=True,
            check=False,
        )
        if made.returncode == 0:
            found.append({"LC_ALL": "en_US.ISO-8859-1", "LOCPATH": str(folder), **WITHOUT_UTF8})
    return found


def said(place: Place, *args: str, **environ: str) -> Finished:
    """Run a command in a locale; what is no UTF-8 in its output is replaced."""
    done = subprocess.run(
        [COMMAND, *args, "--config", str(place.config)],
        env={**place.env, **environ},
        cwd=place.root,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Finished(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@pytest.mark.slow  # starts most commands in each locale
def test_what_was_made_in_one_locale_is_known_in_every_other(place: Place, tmp_path: Path) -> None:
    heard = place.root / "heard"
    place.configure(
        {"größe": {**WEB, "format": ["jpeg", "webp"]}, "flat": {**WEB, "name": "flat/{folder}/ü-{stem}.{ext}"}},
        {"exclude": ["ö*"]},
        hook=[{"on": "photo", "command": ["/bin/sh", "-c", f"cat >> {heard}"]}],
    )
    for number, name in enumerate(NAMES):
        photo = os.fsencode(place.inbox) + b"/" + name.encode()
        os.makedirs(os.path.dirname(photo), exist_ok=True)
        Path(os.fsdecode(photo)).write_bytes(camera(number))
    everywhere = [{"LC_ALL": "C.UTF-8"}, *locales(tmp_path)]
    for locale in everywhere:
        shutil.rmtree(place.output, ignore_errors=True)
        place.state.unlink(missing_ok=True)
        heard.unlink(missing_ok=True)
        assert said(place, "once", **locale).code == 0
        told = heard.read_text().replace("}{", "}\n{").splitlines()
        assert sorted(json.loads(line)["photos"][0]["path"] for line in told) == [
            f"{place.inbox}/{name}" for name in sorted(NAMES[:3])
        ]
        listed = said(place, "list", "--json", LC_ALL="C.UTF-8").out
        for other in everywhere if locale == everywhere[0] else everywhere[:1]:
            for command in COMMANDS:
                finished = said(place, *command.split(), **other)
                assert (finished.code, finished.err) == (0, ""), (locale, other, command, finished)
                assert command != "list --json" or finished.out == listed
            again = said(place, "once", **other)
            assert not again.events("photo.done"), (locale, other, again)
            forecast = said(place, "once", "--dry-run", **other)
            assert (forecast.code, ": 0 new, 0 again" in forecast.out) == (0, True), (locale, other, forecast)


def test_a_config_that_the_locale_can_t_express_is_refused_with_what_to_set(place: Place) -> None:
    place.configure(inbox={"path": str(place.root / "in-日")})
    refused = said(place, "check", LC_ALL="POSIX", **WITHOUT_UTF8)
    assert (refused.code, refused.out) == (78, "")
    assert "in this locale (ascii; with LC_ALL=C.UTF-8 it can)" in refused.err
