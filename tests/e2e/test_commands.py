"""What the commands say, what they refuse, and with which exit code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.harness import BOTH, COMMAND, THUMB, WEB, Finished, Place, fill, fingerprint, tree, until
from tests.faults.mounting import needs_mounts, volume


def _refused(done: Finished, code: int) -> str:
    """Check that a command was refused as people can bear it; what it said."""
    assert done.code == code, done
    assert "Traceback" not in done.err
    assert done.out == ""
    return done.err


# ---- usage ----


@pytest.mark.parametrize(
    "args",
    [["nonsense"], ["once", "only-one-folder"], ["run", "--nope"], ["once", "a", "b", "c"], ["status", "--json=3"]],
)
def test_a_wrong_command_line_exits_with_2(place: Place, args: list[str]) -> None:
    assert _refused(place.watcher(*args), 2)


def test_python_m_is_the_same_command(place: Place) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "watcher", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, place.watcher("--version").out)


# ---- config ----

FAULTY = """
workers = -1
colour = "blue"

[retry]
attemps = 3

[rendition.web]
width = "wide"
fit = "insde"

[rendition.nothing]
quality = 101

[[inbox]]
path = "in"
rendition = ["web"]
"""


@pytest.mark.parametrize("command", ["run", "once", "check", "status"])
def test_all_faults_of_a_config_are_told_at_once_with_their_place_and_exit_code_78(place: Place, command: str) -> None:
    place.config.write_text(FAULTY)
    said = _refused(place.watcher(command, "--config", place.config), 78)
    for key in (
        "workers", "colour", "retry.attemps", "rendition.web.width", "rendition.web.fit", "rendition.nothing",
        "inbox[0].output", "inbox[0].rendition",
    ):  # fmt: skip
        assert key in said, key
    assert "attempts" in said, "the nearest known key"
    assert "renditions" in said, "the nearest known key"
    assert '| fit = "insde"' in said, "the line that is wrong"
    assert not place.state.exists()


def test_a_config_that_is_no_toml_or_not_there_is_refused_with_its_place(place: Place) -> None:
    place.config.write_text("workers = \n")
    assert "line 1" in _refused(place.watcher("once", "--config", place.config), 78)
    place.config.write_text('[[inbox]]\npath = "C:\\Users\\anna"\n')
    said = _refused(place.watcher("once", "--config", place.config), 78)
    assert r"write `\\` for one backslash, or use single quotes" in said
    assert r'    2 | path = "C:\Users\anna"' in said
    assert "nowhere.toml" in _refused(place.watcher("once", "--config", "nowhere.toml"), 78)
    said = _refused(place.watcher("run"), 78)
    assert "WATCHER_CONFIG" in said
    assert "watcher init" in said


def test_a_config_that_comes_through_a_pipe_is_read_once(place: Place) -> None:
    pipe = place.root / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("workers = -1\n",))
    writer.start()
    assert "workers: found -1" in _refused(place.watcher("check", "--config", pipe, seconds=20.0), 78)
    writer.join()


@pytest.mark.parametrize(
    ("inbox", "output"),
    [("inbox", "inbox/out"), ("inbox", "inbox"), ("inbox/web", "inbox"), ("a-file", "output"), ("inbox", "a-file")],
)
def test_folders_that_cannot_work_together_are_refused_before_anything_is_made(
    place: Place, inbox: str, output: str
) -> None:
    (place.root / "a-file").write_bytes(b"x")
    (place.inbox / "web").mkdir()
    before = set(tree(place.root))
    done = place.watcher("once", place.root / inbox, place.root / output)
    _refused(done, 78)
    assert set(tree(place.root)) == before


def test_the_same_output_for_two_inboxes_is_refused(place: Place) -> None:
    other = place.root / "other"
    other.mkdir()
    place.configure(more_inboxes=[{"path": str(other), "output": str(place.output)}])
    assert "inbox[1]" in _refused(place.once(), 78)


@needs_mounts
def test_a_folder_in_an_inbox_s_way_is_refused_under_another_name_of_it_too(place: Place) -> None:
    fill(place.inbox, 1)
    twice, aside = place.root / "twice", str(place.root / "aside")
    twice.mkdir()
    with volume(place.inbox, twice):
        for inbox, output in ((place.inbox, twice / "resized"), (place.inbox, twice)):
            assert "another name" in _refused(place.watcher("once", inbox, output), 78)
        place.configure(more_inboxes=[{"path": str(twice), "output": aside}])
        assert "inbox[1].path" in _refused(place.once(), 78)
        place.configure(inbox={"after": "move", "originals": str(twice / "done")})
        assert "inbox[0].originals" in _refused(place.once(), 78)
    assert tree(place.inbox).keys() == {"p000.jpg"}


def test_an_inbox_that_is_not_there_is_refused_where_it_was_named_on_the_command_line(place: Place) -> None:
    assert "nowhere" in _refused(place.watcher("once", "nowhere", "output"), 78)


def test_init_writes_a_config_that_works_and_never_overwrites_one(place: Place) -> None:
    target = place.root / "new" / "my.toml"
    done = place.watcher("init", target)
    assert done.code == 0
    text = target.read_text()
    tomllib.loads(text)
    told = [shlex.split(line, comments=True) for line in done.out.splitlines()[1:]]
    assert [words[1] for words in told] == ["check", "run", "service"]
    assert {words[0] for words in told} == {COMMAND}, "a shell without it on its PATH finds it too"
    assert place.watcher(*told[0][1:]).code == 0, "what it writes passes `check`"
    assert _refused(place.watcher("init", target), 2)
    assert target.read_text() == text
    done = place.watcher("init")
    assert done.code == 0
    config = place.root / "home" / "config" / "watcher" / "config.toml"
    assert config.is_file(), done
    inbox = Path(tomllib.loads(config.read_text())["inbox"][0]["path"])
    assert place.watcher("check").code == 0
    fill(inbox, 1)
    done = place.watcher("once")
    assert done.code == 0, done
    assert "1 photo, 1 copy made in " in done.out


def test_init_takes_one_name_of_its_file(place: Place) -> None:
    done = place.watcher("init", "one.toml", "--config", "other.toml")
    assert done.code == 2
    assert "give one of them" in done.err
    assert not (place.root / "one.toml").exists()


def test_init_says_what_to_type_where_it_can_t_make_the_inbox(place: Place) -> None:
    place.env["XDG_PICTURES_DIR"] = str(place.root / "a-file" / "my photos")
    (place.root / "a-file").write_bytes(b"x")
    done = place.watcher("init", place.root / "my.toml")
    assert done.code == 0, done
    assert f"  mkdir -p '{place.root}/a-file/my photos/Inbox'   # could not be made here (" in done.out


def test_check_tells_what_is_right_and_what_is_not(place: Place) -> None:
    fill(place.inbox / "a", 2)
    done = place.watcher("check", "--config", place.config)
    assert done.code == 0, done
    assert "2 photos in 2 folders" in done.out
    assert "fault" not in done.out
    assert "warning" not in done.out
    assert not place.output.exists()
    assert not place.state.exists()
    place.configure(inbox={"path": str(place.root / "$USER")})
    done = place.watcher("check", "--config", place.config)
    assert done.code == 78
    assert "no such folder; make it, or correct `path`; the variable `$USER` is not expanded" in done.out


def test_check_warns_of_names_that_include_takes_and_no_decoder_reads(place: Place) -> None:
    place.configure(inbox={"include": ["*.jpg", "IMG_*", "*.CR2", "*.mp4"]})
    done = place.watcher("check", "--config", place.config)
    assert done.code == 0, done
    assert "`include` takes *.CR2, *.mp4: such files can't be read here, and fail\n" in done.out


# ---- one instance, and its reload ----


def test_a_second_instance_exits_with_75_and_names_the_first(place: Place) -> None:
    fill(place.inbox, 1)
    with place.run() as daemon:
        daemon.settle(1)
        for command in ("run", "once"):
            assert str(daemon.process.pid) in _refused(place.watcher(command, "--config", place.config), 75)
        found = place.status()
        assert (found["running"], found["pid"], found["inboxes"][0]["watch"]) == (True, daemon.process.pid, "native")
    found = place.status()
    assert (found["running"], found["pid"], found["since"]) == (False, None, None)


def test_two_pairs_of_folders_never_meet(place: Place) -> None:
    other = place.root / "other"
    fill(place.inbox, 1)
    fill(other, 2)
    assert place.watcher("once", place.inbox, place.output).code == 0
    assert place.watcher("once", other, place.root / "out2").code == 0
    for inbox, output, done in ((place.inbox, place.output, 1), (other, place.root / "out2", 2)):
        told = place.watcher("status", inbox, output, "--json")
        assert json.loads(told.out)["inboxes"][0]["done"] == done


def test_sighup_takes_on_a_changed_config_without_losing_an_event(place: Place) -> None:
    other = place.root / "other"
    fill(place.inbox, 3)
    fill(other, 2)
    with place.run() as daemon:
        daemon.settle(3)
        before = fingerprint(place.output)
        place.configure(
            {**BOTH, "small": {"width": 100}}, more_inboxes=[{"path": str(other), "output": str(place.root / "out2")}]
        )
        daemon.send(signal.SIGHUP)
        fill(place.inbox, 2, 3)
        daemon.wait_for("config.reloaded")
        until(lambda: len(tree(place.root / "out2")) == 6, "the new inbox is made")
        until(lambda: len(tree(place.output)) == 15, "the new rendition, and the photos that came meanwhile")
        after = fingerprint(place.output)
        assert {name: after[name] for name in before} == before, "what was there is not made again"
        place.configure()
        daemon.send(signal.SIGHUP)
        daemon.wait_for("config.reloaded", 2)
        paths = [str(place.inbox)]
        until(lambda: [row["path"] for row in place.status()["inboxes"]] == paths, "status has one inbox")
        done = len(daemon.events("photo.done"))
        fill(other, 1, 9)
        fill(place.inbox, 1, 9)
        daemon.wait_for("photo.done", done + 1)
    assert not (place.root / "out2" / "web" / "p009.jpg").exists(), "an inbox that was taken out is left alone"


def test_sighup_with_a_wrong_config_keeps_the_old_one_and_says_what_is_wrong(place: Place) -> None:
    with place.run() as daemon:
        place.config.write_text(f'state = "{place.state}"\n{FAULTY}')
        daemon.send(signal.SIGHUP)
        daemon.wait_for("config.rejected")
        assert "rendition.web.fit" in daemon.events("config.rejected")[0]["reason"]
        assert '| fit = "insde"' in daemon.events("config.rejected")[0]["reason"]

        def status() -> str:
            return place.watcher("status", "--config", place.config).out

        older = "works by an older config"
        until(lambda: older in status() and "rendition.web.fit" in status(), "status says so, and why")
        assert f"{place.inbox} \u2192 {place.output}" in status()
        fill(place.inbox, 1)
        daemon.wait_for("photo.done")
        place.configure({"web": WEB, "thumb": THUMB})
        daemon.send(signal.SIGHUP)
        daemon.wait_for("config.reloaded")
        until(lambda: older not in status(), "that is over")
        assert daemon.stop() == 0
    assert all(path.exists() for path in place.outputs("p000.jpg"))


def test_of_two_reloads_the_later_config_counts_however_slow_the_disk_was_for_the_first(place: Place) -> None:
    old = place.config.read_bytes()
    with place.run() as daemon:
        place.config.unlink()
        os.mkfifo(place.config)  # stands for a disk that is slow to answer
        daemon.send(signal.SIGHUP)
        with place.config.open("wb") as slow:  # returns when the daemon has begun to read
            place.config.unlink()
            place.configure({"small": {"width": 100}})
            daemon.send(signal.SIGHUP)
            with suppress(AssertionError):  # one that reads at the same time would be through by then
                until(lambda: daemon.events("config.reloaded"), "it is read", 0.5)
            slow.write(old)
        daemon.wait_for("config.reloaded", 2)
        fill(place.inbox, 1)
        daemon.wait_for("photo.done")
        assert daemon.stop() == 0
    assert tree(place.output).keys() == {"small/p000.jpg"}


def test_no_user_error_shows_a_traceback_and_a_closed_pipe_is_no_error(place: Place) -> None:
    fill(place.inbox, 1)
    place.state.mkdir()
    assert "Traceback" not in _refused(place.once(), 78)
    assert "is a folder" in _refused(place.watcher("status", "--config", place.config), 78)
    place.state.rmdir()
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [COMMAND, "status", "--config", str(place.config)],
            env=place.env, stdout=write, stderr=subprocess.PIPE, check=False, timeout=30,
        )  # fmt: skip
    finally:
        os.close(write)
    assert b"Traceback" not in done.stderr


def test_an_empty_name_is_refused_and_not_taken_for_the_folder_we_are_in_or_for_none(place: Place) -> None:
    config = ("--config", str(place.config))
    for args in (["", "out"], ["inbox", ""], ["--config", ""], [*config, "--state", ""]):
        refused = place.watcher("once", *args)
        assert refused.code == 2
        assert "empty name" in refused.err
    assert not (place.root / "out").exists()
    for args in (["why", ""], ["retry", "a.jpg", ""], ["init", ""]):
        assert place.watcher(*args, *config).code == 2


def test_what_cannot_be_used_is_said_with_what_to_do(place: Place) -> None:
    place.state.write_text("no database")
    Path(f"{place.state}.lock").write_text("1\n{}\n")  # it was a state file once
    damaged = place.watcher("status", "--config", place.config)
    assert damaged.code == 78
    assert "is damaged" in damaged.err
    assert "set it aside" in damaged.err
    refused = place.once("--state", "/proc/state.db")
    assert refused.code == 78
    assert "--state" in refused.err


def test_what_init_says_to_type_next_can_be_typed(place: Place) -> None:
    done = place.watcher("init", "my config.toml")
    typed = done.out.splitlines()[1].partition("#")[0]
    assert shlex.split(typed) == [COMMAND, "check", "--config", str(place.root / "my config.toml")]


def test_a_folder_that_we_are_in_and_that_is_gone_is_no_traceback(place: Place) -> None:
    gone = place.root / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$0" once in out', COMMAND],
        cwd=gone, env=place.env, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert "no longer exists" in done.stderr
