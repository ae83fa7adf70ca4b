"""The boundary where errors become exit codes: what the machine refuses is a sentence, a fault keeps its traceback."""

from __future__ import annotations

import errno
import os

import pytest

from watcher import cli
from watcher.errors import EXIT_BUG, EXIT_CONFIG


def ends(error: Exception) -> int | str | None:
    def fail() -> None:
        raise error

    return cli._guarded(fail)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk/x\x1b"), "'/disk/x\\x1b'): make room on that disk"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "ulimit -n"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "quota"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "TMPDIR"),
    ],
)
def test_what_the_machine_refuses_is_said_in_a_sentence(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(error) == EXIT_CONFIG
    text = " ".join(capsys.readouterr().err.split())
    assert said in text
    assert "Traceback" not in text


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError(errno.ENOENT, "gone"), KeyError(1)])
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(error) == EXIT_BUG
    assert "Traceback" in capsys.readouterr().err
