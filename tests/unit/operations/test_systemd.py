"""What systemd is told, over a socket as it opens one."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from p2phub.operations.systemd import Notifier


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def test_a_node_that_is_up_is_told(heard: socket.socket) -> None:
    Notifier({"NOTIFY_SOCKET": heard.getsockname()}, pid=1).ready("node X is up")
    assert heard.recv(1000) == b"READY=1\nSTATUS=node X is up"


def test_an_abstract_socket_is_one_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")  # The system chooses an abstract name.
        Notifier({"NOTIFY_SOCKET": "@" + sock.getsockname()[1:].decode()}, pid=1).ready("up")
        assert sock.recv(1000).startswith(b"READY=1")


async def test_the_watchdog_hears_twice_in_each_of_its_times(
    heard: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    environment = {"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}
    with trio.move_on_after(60 + 1):
        await Notifier(environment, pid=7).keep_alive()
    assert [heard.recv(100) for _ in range(5)] == [b"WATCHDOG=1"] * 5
    with pytest.raises(BlockingIOError):
        heard.recv(100)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "30000000"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"},
    ],
)
async def test_where_no_watchdog_waits_for_us_none_is_told(environment: dict[str, str]) -> None:
    notifier = Notifier(environment, pid=7)
    assert notifier.watchdog_s is None
    await notifier.keep_alive()


def test_a_socket_that_is_gone_is_a_warning_and_no_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "p2phub"):
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}, pid=1).ready("up")
        Notifier({"NOTIFY_SOCKET": "vsock:2:1234"}, pid=1).ready("up")
    assert ["systemd is not told" in record.getMessage() for record in caplog.records] == [True]
