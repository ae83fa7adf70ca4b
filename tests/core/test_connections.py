"""Who may connect: hosts by their names, and connections by their number."""

from __future__ import annotations

import pytest

from watcher.http.auth import host_name, is_loopback
from watcher.http.connections import Admission, most_connections


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:8424", "127.0.0.1"),
        ("LocalHost", "localhost"),
        ("[::1]:80", "::1"),
        ("photos.example", "photos.example"),
        ("my_nas.local:8424", "my_nas.local"),
        ("", None),
        ("x/page.css?", None),
        ("x/page.css", None),
        ("x?", None),
        ("x#", None),
        ("x\\page.css", None),
        ("user@x", None),
        ("x y", None),
        ("x, y", None),
        ("x:80:80", None),
        ("x:port", None),
        ("x%2fpage.css", None),
        ("::1", None),
        ("[::1%25lo]", None),
        ("x\r\n", None),
        ("x\n", None),
        ("h\xf6st", None),
        ("x" * 254, None),
    ],
)
def test_a_host_is_a_name_or_an_address_and_a_port(header: str, name: str | None) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("name", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("localhost.", False),
        ("127.0.0.1.", False),
        ("0.0.0.0", False),  # noqa: S104  # not listened on
        ("192.0.2.1", False),
        ("2130706433", False),
        ("127.1", False),
    ],
)
def test_the_loopback_is_called_by_few_names(name: str, *, loopback: bool) -> None:
    assert is_loopback(name) is loopback


def test_the_work_keeps_most_descriptors_however_few_there_are() -> None:
    assert [most_connections(128, files) for files in (8, 64, 256, 1024, 1 << 20)] == [2, 8, 32, 128, 128]


def test_whoever_waits_longest_makes_room_for_who_comes() -> None:
    admission: Admission[int] = Admission(4)
    assert [admission.enter(number, "a") for number in (1, 2)] == [None, None]
    assert admission.enter(3, "a") == 1  # one client has half of all
    assert admission.enter(4, "b") is None
    assert admission.enter(5, "c") is None
    assert admission.enter(6, "d") == 2  # of whoever has most


def test_whoever_is_being_answered_is_left_alone() -> None:
    admission: Admission[int] = Admission(4)
    admission.enter(1, "a")
    admission.busy(1)
    admission.enter(2, "a")
    assert admission.enter(3, "a") == 2
    admission.busy(3)
    assert admission.enter(4, "a") == 4  # nobody else can make room
    admission.waits(1)
    assert admission.enter(5, "a") == 1


def test_connections_that_closed_count_no_more() -> None:
    admission: Admission[int] = Admission(2)
    for number in range(100):
        assert admission.enter(number, "a") is None
        if number % 2:
            admission.busy(number)
        admission.leave(number)
        admission.leave(number)
        admission.busy(number)  # late news of it
        admission.waits(number)


def test_a_network_of_version_6_is_one_client_and_a_mapped_address_is_that_address() -> None:
    admission: Admission[int] = Admission(2)
    assert admission.enter(1, "2001:db8::1%eth0") is None
    assert admission.enter(2, "2001:db8::ffff") == 1
    assert admission.enter(3, "::ffff:192.0.2.1") is None
    assert admission.enter(4, "192.0.2.1") == 3
