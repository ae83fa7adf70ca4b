"""Where config and state are looked for, on real folders."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from watcher import paths as places
from watcher.app.settings import Source
from watcher.errors import EXIT_CONFIG, ConfigError, PlaceError
from watcher.service.definition import Record, Service
from watcher.service.systemd_unit import system_unit


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the real home out of it."""
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", f"{tmp_path / 'site1'}:{tmp_path / 'site2'}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


linux_only = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has one fixed folder for all")


def put(path: Path, content: bytes = b"") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


# ---- the config file ----


@linux_only
def test_the_config_is_found_in_the_promised_order(tmp_path: Path) -> None:
    made = [put(tmp_path / part / "watcher" / "config.toml") for part in ("user", "site1", "site2")]
    assert places.candidates() == made
    other, named = put(tmp_path / "env.toml"), put(tmp_path / "named.toml")
    assert places.find_config(named, {"WATCHER_CONFIG": other}) == named
    assert places.find_config(None, {"WATCHER_CONFIG": other}) == other
    for expected in made:
        assert places.find_config(None, {"WATCHER_CONFIG": ""}) == expected
        os.unlink(expected)
    with pytest.raises(ConfigError):
        places.find_config(None, {})


def test_not_found_lists_every_place_looked_in() -> None:
    with pytest.raises(ConfigError) as caught:
        places.find_config(None, {})
    assert caught.value.exit_code == EXIT_CONFIG
    for place in ["--config", "$WATCHER_CONFIG", *places.candidates(), "watcher init"]:
        assert place in str(caught.value)


@linux_only
def test_a_named_config_that_is_missing_is_a_fault_even_where_another_exists(tmp_path: Path) -> None:
    put(tmp_path / "user" / "watcher" / "config.toml")
    missing = str(tmp_path / "missing.toml")
    for explicit, environ, where in [
        (missing, {}, "--config"),
        (None, {"WATCHER_CONFIG": missing}, "$WATCHER_CONFIG"),
    ]:
        with pytest.raises(ConfigError, match="missing\\.toml") as caught:
            places.find_config(explicit, environ)
        assert caught.value.source == where


def test_a_named_config_is_given_as_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "mine.toml")
    monkeypatch.chdir(tmp_path)
    assert places.find_config("mine.toml", {}) == str(tmp_path / "mine.toml")


# ---- reading it ----


def fault_of(path: str) -> str:
    with pytest.raises(ConfigError) as caught:
        places.read_toml(path)
    (fault,) = caught.value.faults
    assert caught.value.source.isprintable()
    return str(fault)


def test_a_toml_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    assert places.read_toml(put(tmp_path / "a", 'a = "ü"'.encode())) == {"a": "ü"}
    assert places.read_toml(put(tmp_path / "b", b"\xef\xbb\xbfa = 1\r\n")) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a = 1\nb = auto\n", "line 2, column 5: Invalid value; write text in quotes"),
        (b"a\n", "line 1, column 2: Expected '=' after a key in a key/value pair; write each setting as"),
        (b"a = 1\na = 2\n", "line 2, column 6: Cannot overwrite a value; write each key once"),
        (b"[x]\n[x]\n", "line 2, column 3: Cannot declare `x` twice; write each table once"),
        (b"[x.y]\n[x.y]\n", "Cannot declare `x.y` twice; write each table once"),
        (b'a = "\\p"\n', "line 1, column 8: Unescaped '\\' in a string; write `\\\\` for one backslash"),
        (b'a = "b\n', "line 1, column 7: The quotes are not closed where the line ends; close the quotes"),
        (b'a = "C:\\Users"\n', "Invalid hex value; write `\\\\` for one backslash, or use single quotes"),
        (b"a = 1\n\nb = '\xe4'\n", "line 3: found text that is not UTF-8; save the file as UTF-8"),
        (b"a = 1" + b"0" * 5000, "digits"),
        (b"a = " + b"[" * 100_000, "nested too deep"),
        (b"#" * (4 << 20) + b"#", "more than 4 MiB"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_no_toml_is_a_fault_with_line_and_hint(tmp_path: Path, content: bytes, sentence: str) -> None:
    assert sentence in fault_of(put(tmp_path / "x.toml", content))


def test_what_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    assert "Is a directory" in fault_of(str(tmp_path))
    assert "No such file" in fault_of(str(tmp_path / "missing\n\udcff"))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "symbolic links" in fault_of(str(loop))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_config_without_permission_is_a_fault(tmp_path: Path) -> None:
    path = put(tmp_path / "x.toml")
    os.chmod(path, 0)
    assert "Permission denied" in fault_of(path)


# ---- the state file ----


@linux_only
def test_the_state_file_is_found_in_the_promised_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    service = {"STATE_DIRECTORY": "/var/lib/watcher:/var/lib/other"}
    assert places.state_path("s.db", "/c.db", service) == str(tmp_path / "s.db")
    assert places.state_path(None, "/c.db", service) == "/c.db"
    assert places.state_path(None, None, service) == "/var/lib/watcher/state.db"
    assert places.state_path(None, None, {}) == str(tmp_path / "state" / "watcher" / "state.db")


def test_each_pair_of_folders_has_a_state_file_of_its_own(tmp_path: Path) -> None:
    environ = {"STATE_DIRECTORY": str(tmp_path)}
    pairs = [(b"/a", b"/b"), (b"/b", b"/a"), (b"/a", b"/c"), (b"/a/b", b""), (b"/a", b"/b\xff")]
    paths = [places.pair_state_path(inbox, output, environ) for inbox, output in pairs]
    assert len(set(paths)) == len(pairs)
    assert {os.path.dirname(path) for path in paths} == {str(tmp_path / "pairs")}


def test_a_pair_is_the_same_however_its_folders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    whole = os.fsencode(tmp_path)
    named = {
        places.pair_state_path(inbox, whole + b"/out", {})
        for inbox in (b"real", b"link/", b"./real/../link", whole + b"/real", whole + b"/link")
    }
    assert len(named) == 1


def test_all_state_files_are_listed_and_nothing_else(tmp_path: Path) -> None:
    environ = {"STATE_DIRECTORY": str(tmp_path)}
    assert places.all_state_paths(environ) == []
    pair = places.pair_state_path(b"/a", b"/b", environ)
    for suffix in ("", "-wal", "-shm", ".lock", ".corrupt-2026.db"):
        put(Path(pair + suffix))
    assert places.all_state_paths(environ) == [pair]
    put(tmp_path / "state.db")
    assert places.all_state_paths(environ) == [str(tmp_path / "state.db"), pair]


@linux_only
def test_the_pictures_folder_is_the_user_s(tmp_path: Path) -> None:
    assert places.user_pictures() == str(tmp_path / "home" / "Pictures")
    put(tmp_path / "user" / "user-dirs.dirs", b'XDG_PICTURES_DIR="$HOME/Bilder"\n')
    assert places.user_pictures() == str(tmp_path / "home" / "Bilder")


def test_importing_places_does_not_import_platformdirs() -> None:
    code = "import sys, watcher.paths; print('platformdirs' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "False"


# ---- installed services ----


def unit_for(config: str, state: str, user: str = "root") -> bytes:
    service = Service(
        record=Record(config, state, user), command=("/w",), program=(), reads=(), writes=("/o",), drain_seconds=1
    )
    return system_unit(service).encode()


@linux_only
def test_the_config_of_a_service_has_its_state_file_whoever_asks(tmp_path: Path) -> None:
    named = put(tmp_path / "some.toml")
    put(tmp_path / "user" / "systemd" / "user" / "watcher.service", unit_for(named, "/srv/state.db"))
    link = tmp_path / "link.toml"
    link.symlink_to(named)
    for config in (named, str(link)):
        assert places.state_path(None, None, {}, config) == "/srv/state.db"
    assert places.state_path(None, "/in/config.db", {}, named) == "/in/config.db"
    assert places.state_path("/typed.db", None, {}, named) == "/typed.db"
    assert places.state_path(None, None, {"STATE_DIRECTORY": "/var/lib/watcher"}, named) == "/var/lib/watcher/state.db"
    assert places.state_path(None, None, {}, "/other.toml") == str(tmp_path / "state" / "watcher" / "state.db")


@linux_only
def test_without_a_config_of_one_s_own_that_of_a_service_is_found(tmp_path: Path) -> None:
    named = put(tmp_path / "some.toml")
    put(tmp_path / "user" / "systemd" / "user" / "watcher.service", unit_for(named, "/srv/state.db"))
    assert places.find_config(None, {}) == named
    own = put(tmp_path / "user" / "watcher" / "config.toml")
    assert places.find_config(None, {}) == own


@linux_only
def test_a_tilde_in_a_service_s_config_is_the_home_of_its_user(tmp_path: Path) -> None:
    named = put(tmp_path / "some.toml")
    assert places.home_of(named) == str(tmp_path / "home")
    put(tmp_path / "user" / "systemd" / "user" / "watcher.service", unit_for(named, "/srv/state.db", "daemon"))
    assert places.home_of(named) == os.path.expanduser("~daemon")


@linux_only
@pytest.mark.parametrize("content", [b"", b"[Service]\nExecStart=/bin/true\n", b"\xff\n[X-Watcher]\nConfig=1\n"])
def test_a_unit_that_is_not_ours_tells_nothing(tmp_path: Path, content: bytes) -> None:
    put(tmp_path / "user" / "systemd" / "user" / "watcher.service", content)
    assert places.installed() == []


# ---- a user without a home ----


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user that the list of users lacks, and that has no HOME."""

    def unknown(number: int | str) -> None:
        raise KeyError(number)

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "STATE_DIRECTORY", "WATCHER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("pwd.getpwnam", unknown)


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("home", [None, "relative", "."])
def test_without_a_home_what_lies_there_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    if home is not None:
        monkeypatch.setenv("HOME", home)
    asked: list[Callable[[], object]] = [
        lambda: places.state_path(None, None, {}),
        lambda: places.pair_state_path(b"/a", b"/b", {}),
        lambda: places.service_state_folder(system=False),
        lambda: places.service_file(system=False),
        places.user_pictures,
    ]
    for ask in asked:
        with pytest.raises(PlaceError, match="has no home folder: HOME is not set"):
            ask()


@pytest.mark.usefixtures("homeless")
def test_without_a_home_what_is_named_is_used_and_the_sites_config_found(tmp_path: Path) -> None:
    assert all(path.endswith("/watcher/config.toml") and os.path.isabs(path) for path in places.candidates())
    assert places.state_path("/s.db", None, {}) == "/s.db"
    assert places.all_state_paths({}) == []
    assert places.installed() == []
    assert places.home_of("/c.toml") == ""
    config = put(tmp_path / "c.toml", b'state = "/s.db"\n[[inbox]]\npath = "/in"\noutput = "/out"\n')
    found, _ = Source(None, config, None).read()
    assert found.state == "/s.db"


@pytest.mark.usefixtures("homeless")
def test_without_a_home_each_path_of_the_config_that_begins_there_is_a_fault(tmp_path: Path) -> None:
    text = b'state = "~/s.db"\n[[inbox]]\npath = "~"\noutput = "/out"\noriginals = "~/o"\nafter = "move"\n'
    config = put(tmp_path / "c.toml", text)
    with pytest.raises(ConfigError) as caught:
        Source(None, config, None).read()
    assert [fault.key for fault in caught.value.faults] == ["state", "inbox[0].path", "inbox[0].originals"]
    assert "this user has no home folder; write the whole path, or set HOME" in str(caught.value)
