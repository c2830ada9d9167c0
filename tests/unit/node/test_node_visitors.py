"""A node without a daemon is reachable while it fetches, and tells only a port at which it can be dialled."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from p2phub import limits
from p2phub.errors import UsageError
from p2phub.identity import Address
from p2phub.net.listen import Listener, open_listener
from p2phub.node.visitors import open_to_visitors, port_towards


async def nobody(stream: object, settled: object) -> None:
    raise AssertionError("nobody comes")


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def listen(address: Address) -> AbstractAsyncContextManager[Listener]:
    return open_listener([address], nobody)


@pytest.mark.parametrize(
    ("listening", "towards", "port"),
    [
        ([("0.0.0.0", 7), ("::", 8)], "9.9.9.9", 7),
        ([("0.0.0.0", 7), ("::", 8)], "2606:4700::1", 8),
        ([("0.0.0.0", 7)], "127.0.0.1", 7),
        ([("0.0.0.0", 7)], "2606:4700::1", 0),
        ([("127.0.0.1", 7)], "127.0.0.1", 7),
        ([("127.0.0.1", 7)], "192.168.1.1", 0),
        ([("192.168.1.2", 7)], "192.168.1.1", 7),
        ([("192.168.1.2", 7)], "127.0.0.1", 0),
        ([], "127.0.0.1", 0),
    ],
)
def test_the_port_told_is_one_that_can_be_dialled_from_there(
    listening: list[tuple[str, int]], towards: str, port: int
) -> None:
    assert port_towards([Address(*each) for each in listening], Address(towards, 1)) == port


async def test_a_port_that_nobody_named_is_left_to_the_daemon() -> None:
    async with open_to_visitors([Address("127.0.0.1", limits.PORT_DEFAULT)], listen, named=False) as (address,):
        assert address.ip == "127.0.0.1"
        assert address.port not in (0, limits.PORT_DEFAULT)


async def test_a_port_that_is_named_is_taken_and_if_it_is_in_use_that_is_said_and_another_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with open_to_visitors([Address("127.0.0.1", port)], listen, named=True) as (address,):
            assert address.port not in (0, port)
    [record] = warnings(caplog)
    assert f"{port} of 127.0.0.1 is in use" in record.getMessage()
    assert f"{address} instead" in record.getMessage()
    caplog.clear()
    async with open_to_visitors([Address("127.0.0.1", port)], listen, named=True) as (address,):
        assert address.port == port
    assert not warnings(caplog)


@pytest.mark.parametrize("named", [True, False])
async def test_where_nothing_can_be_listened_on_a_fetch_only_dials(
    named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @asynccontextmanager
    async def refuse(address: Address) -> AsyncIterator[Listener]:
        raise UsageError("not here")
        yield

    async with open_to_visitors([Address("0.0.0.0", 1), Address("::", 1)], refuse, named=named) as addresses:
        assert addresses == ()
    assert len(warnings(caplog)) == (2 if named else 0)
