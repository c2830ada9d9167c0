"""The port: who is let in by the first byte, who is sent away, and that nothing a stranger does ends it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from p2phub import limits
from p2phub.errors import UsageError
from p2phub.identity import Address
from p2phub.net import listen
from p2phub.net.listen import Listener, _why_not, open_listener
from tests.support.covers import covers

LOOPBACK = Address("127.0.0.1", 0)


class Visitors:
    """Handlers that remember who came, and stay until told."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.settle = True
        self.leave = trio.Event()
        self.fault: Exception | None = None

    async def direct(self, stream: trio.SocketStream, settled: Callable[[], None]) -> None:
        await self._stay("direct", stream, settled)

    async def multistream(self, stream: trio.SocketStream, settled: Callable[[], None]) -> None:
        await self._stay("multistream", stream, settled)

    async def _stay(self, who: str, stream: trio.SocketStream, settled: Callable[[], None]) -> None:
        self.came.append(f"{who} {bytes(await stream.receive_some(100))!r}")
        if self.settle:
            settled()
        if self.fault:
            raise self.fault
        await self.leave.wait()


@asynccontextmanager
async def port(visitors: Visitors) -> AsyncIterator[Listener]:
    with trio.fail_after(20):
        async with open_listener([LOOPBACK], visitors.direct) as listener:
            listener.multistream = visitors.multistream
            yield listener


async def dial(listener: Listener, data: bytes = b"") -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", listener.addresses[0].port)
    if data:
        await stream.send_all(data)
    return stream


async def ends(stream: trio.SocketStream) -> bool:
    """Wait until the other side has closed."""
    try:
        return not await stream.receive_some(1)
    except trio.BrokenResourceError:
        return True


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.sleep(0.001)


async def test_the_first_byte_decides_and_is_not_consumed() -> None:
    visitors = Visitors()
    async with (
        port(visitors) as listener,
        await dial(listener, b"\x16tls"),
        await dial(listener, b"\x13/multistream/1.0.0\n"),
    ):
        await until(lambda: len(visitors.came) == 2)
    assert sorted(visitors.came) == ["direct b'\\x16tls'", "multistream b'\\x13/multistream/1.0.0\\n'"]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\0", b"\xff" * 1000])
async def test_any_other_first_byte_is_sent_away(data: bytes) -> None:
    visitors = Visitors()
    async with port(visitors) as listener, await dial(listener, data) as stream:
        assert await ends(stream)
        await until(lambda: listener.connections == 0)
    assert visitors.came == []


async def test_multistream_is_sent_away_until_somebody_serves_it() -> None:
    visitors = Visitors()
    async with port(visitors) as listener:
        listener.multistream = None
        async with await dial(listener, b"\x13") as stream:
            assert await ends(stream)


@covers("T36")
async def test_who_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_BYTE_S", 0.02)
    async with port(Visitors()) as listener, await dial(listener) as stream:
        assert await ends(stream)
        await until(lambda: listener.connections == 0)


@covers("T36", "T37")
async def test_the_oldest_undecided_gives_way_to_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNDECIDED_CONNECTIONS_MAX", 2)
    visitors = Visitors()
    async with port(visitors) as listener:
        silent = []
        for count in (1, 2):
            silent.append(await dial(listener))
            await until(lambda wanted=count: listener.undecided == wanted)
        async with await dial(listener, b"\x16hello"):
            assert await ends(silent[0])
            await until(lambda: visitors.came == ["direct b'\\x16hello'"])
            assert listener.undecided == 1
            assert listener.connections == 2
        for stream in silent:
            await stream.aclose()


async def test_a_settled_connection_does_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNDECIDED_CONNECTIONS_MAX", 1)
    visitors = Visitors()
    async with port(visitors) as listener, await dial(listener, b"\x16one"):
        await until(lambda: len(visitors.came) == 1)
        async with await dial(listener, b"\x16two"), await dial(listener):
            await until(lambda: listener.undecided == 1)
            assert listener.connections == 3


@covers("T37")
async def test_one_address_gets_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_PER_ADDRESS_MAX", 2)
    monkeypatch.setattr(listen, "_source", lambda sock: "198.51.100.7")
    visitors = Visitors()
    async with port(visitors) as listener, await dial(listener, b"\x16one"), await dial(listener, b"\x16two"):
        await until(lambda: len(visitors.came) == 2)
        async with await dial(listener, b"\x16three") as third:
            assert await ends(third)
        visitors.leave.set()
        await until(lambda: listener.connections == 0)
        async with await dial(listener, b"\x16four"):
            await until(lambda: len(visitors.came) == 3)


@pytest.mark.parametrize(
    ("ip", "source"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("127.0.0.1", None),
        ("192.168.1.7", None),
        ("::1", None),
        ("fe80::1%eth0", None),
        ("2600:1234:5678:9abc::1", "2600:1234:5678:9a00::/56"),
    ],
)
def test_connections_are_counted_by_address_or_network_but_not_near_ones(ip: str, source: str | None) -> None:
    class FakeSocket:
        def getpeername(self) -> tuple[str, int]:
            return ip, 1

    assert listen._source(FakeSocket()) == source  # type: ignore[arg-type]


@covers("F31")
async def test_a_fault_of_a_handler_ends_its_connection_only() -> None:
    visitors = Visitors()
    visitors.fault = RuntimeError("a bug")
    async with port(visitors) as listener, await dial(listener, b"\x16") as stream:
        assert await ends(stream)
        visitors.fault = None
        async with await dial(listener, b"\x16again"):
            await until(lambda: len(visitors.came) == 2)


@covers("F10")
async def test_running_out_of_descriptors_delays_who_comes_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listen, "_RETRY_S", 0.001)
    real = socket.socket.accept
    faults = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED]

    def accept(self: socket.socket) -> tuple[socket.socket, object]:
        if faults:
            raise OSError(faults.pop(), "too many open files")
        return real(self)

    monkeypatch.setattr(socket.socket, "accept", accept)
    visitors = Visitors()
    async with port(visitors) as listener, await dial(listener, b"\x16"):
        await until(lambda: len(visitors.came) == 1)
    assert faults == []
    assert len([record for record in caplog.records if "cannot accept" in record.getMessage()]) == 1


async def test_a_busy_port_is_a_usage_error_that_names_it() -> None:
    async with port(Visitors()) as listener:
        number = listener.addresses[0].port
        with pytest.raises(UsageError, match=str(number)):
            async with open_listener([Address("127.0.0.1", number)], Visitors().direct):
                pass


async def test_an_address_of_another_machine_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        async with open_listener([Address("192.0.2.1", 0)], Visitors().direct):
            pass


async def test_a_failed_address_leaves_no_other_open() -> None:
    async with port(Visitors()) as listener:
        busy = listener.addresses[0]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = Address("127.0.0.1", probe.getsockname()[1])
        with pytest.raises(UsageError):
            async with open_listener([free, busy], Visitors().direct):
                pass
        socket.create_server(("127.0.0.1", free.port)).close()


async def test_the_same_port_is_open_again_at_once_after_connections_were_there() -> None:
    visitors = Visitors()
    async with port(visitors) as listener:
        number = listener.addresses[0].port
        stream = await dial(listener, b"\x16")
        await until(lambda: len(visitors.came) == 1)
    async with stream, open_listener([Address("127.0.0.1", number)], visitors.direct) as again:
        assert again.addresses == (Address("127.0.0.1", number),)


async def test_ipv6_and_ipv4_share_a_port() -> None:
    visitors = Visitors()
    with trio.fail_after(10):
        async with open_listener([LOOPBACK], visitors.direct) as first:
            number = first.addresses[0].port
            async with open_listener([Address("::1", number)], visitors.direct) as second:
                assert str(second.addresses[0]) == f"/ip6/::1/tcp/{number}"
                stream = await trio.open_tcp_stream("::1", number)
                await stream.send_all(b"\x16six")
                await until(lambda: visitors.came == ["direct b'\\x16six'"])
                await stream.aclose()


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (errno.EADDRINUSE, "`ss -ltnp`"),
        (errno.EADDRNOTAVAIL, "no address of this machine"),
        (errno.EACCES, "below 1024"),
        (errno.EINVAL, "--listen 192.0.2.1:4717"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_told_with_what_to_try(error: int, hint: str) -> None:
    assert hint in _why_not(OSError(error, os.strerror(error)), Address("192.0.2.1", 80))[1]
    assert "--listen" in _why_not(OSError(error, os.strerror(error)), Address("::1", 80))[1]
