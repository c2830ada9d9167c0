"""A provider's process killed or frozen in the middle of a transfer, and a requester that stops reading."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.errors import PeerGone, PeerStalled
from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.net import tls
from p2phub.net.credential import make_credential
from p2phub.net.direct import DirectPlane, open_plane, take_socket
from p2phub.net.interface import Closed, Opened, Verified
from p2phub.net.link import BulkLink
from p2phub.net.listen import open_listener
from p2phub.net.tls_channel import TlsChannel
from p2phub.wire import LENGTH_BYTES, ControlAnswer, ControlRequest, Open, Pong, Want, header_length
from p2phub.wire.codec import encode
from tests.support.content import Arriving, Published, content_of, random_files
from tests.support.covers import covers

ANN, BOB = SecretKey(b"a" * 32), SecretKey(b"b" * 32)
ROOT = Path(__file__).parents[2]
LENGTH = 96 << 20  # More than all buffers between two processes hold.


async def answer(peer: PeerId, address: Address, request: ControlRequest) -> ControlAnswer:
    return Pong()


Provider = tuple["subprocess.Popen[str]", Address]


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    arguments = [sys.executable, "-m", "tests.support.provider_process", str(tmp_path / "ann"), str(LENGTH)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, Address("127.0.0.1", int(process.stdout.readline()))
        finally:
            process.kill()


@covers("F11")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_provider_killed_or_frozen_gives_back_what_it_owes(
    provider: Provider, tmp_path: Path, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SOCKET_CALL_S", 1.0)
    process, address = provider
    content = content_of(random_files(1, a=LENGTH))
    arriving = Arriving(content, tmp_path / "bob")
    with trio.fail_after(60):
        async with open_plane(BOB, Published(content_of({}), tmp_path / "none"), answer) as bob:
            link = await bob.open_link(PeerAddress(ANN.peer_id, address), content.root, prefix_bytes=0, via="direct")
            assert isinstance(await link.next_report(), Opened)
            link.use(arriving.plan)
            link.grant(RangeSet(((0, 1),)))
            first = await link.next_report()
            assert isinstance(first, Verified)
            assert (first.chunks, first.bytes) == (RangeSet(((0, 1),)), 1 << 20)
            link.grant(content.whole - RangeSet(((0, 1),)))
            os.kill(process.pid, how)
            await check_rest(link, arriving, PeerGone if how is signal.SIGKILL else PeerStalled)


async def check_rest(link: BulkLink, arriving: Arriving, error: type[Exception]) -> None:
    got = RangeSet(((0, 1),))
    while not isinstance(report := await link.next_report(), Closed):
        assert isinstance(report, Verified)
        got |= report.chunks
    assert type(report.error) is error
    assert report.returned == arriving.content.whole - got
    written = (arriving.folder / "a.bin").read_bytes()
    for index in got:
        ref = arriving.content.table.chunk(index)
        assert written[ref.offset : ref.offset + ref.length] == arriving.content.chunk(index)


@pytest.fixture(params=["in sealed records", "in TLS"])
def carried(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(tls, "CAN_SEAL", request.param == "in sealed records")
    return str(request.param)


@asynccontextmanager
async def requester_that_stops(folder: Path) -> AsyncIterator[tuple[DirectPlane, TlsChannel]]:
    """A provider, and the channel of a requester that has its first flight."""
    content = content_of(random_files(1, a=8 << 20))
    shelf = Published(content, folder / "ann")
    async with (
        open_plane(ANN, shelf, answer) as plane,
        open_listener([Address("127.0.0.1", 0)], plane.handle) as listener,
    ):
        stream = await trio.open_tcp_stream("127.0.0.1", listener.addresses[0].port)
        sock = take_socket(stream)
        with sock:
            context = tls.make_context(make_credential(BOB))
            connection = await tls.connect(context, sock, listener.addresses[0], ANN.peer_id)
            await connection.write(encode(Open(content.root, 0)))
            channel = connection.as_channel()
            await read(channel, header_length(await read(channel, LENGTH_BYTES)))
            channel.widen()
            try:
                yield plane, channel
            finally:
                channel.close()


async def read(channel: TlsChannel, count: int) -> bytes:
    into = memoryview(bytearray(count))
    await trio.to_thread.run_sync(channel.fill, into)
    return bytes(into)


async def until_let_go(plane: DirectPlane, channel: TlsChannel) -> None:
    with pytest.raises(PeerGone):
        await read(channel, 1 << 20)
    while plane.reception.serving:
        await trio.sleep(0.01)


@covers("T35", "T37")
async def test_a_requester_that_stops_reading_is_let_go(
    carried: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(30):
        async with requester_that_stops(tmp_path) as (plane, channel):
            assert plane.reception.serving
            monkeypatch.setattr(limits, "SOCKET_CALL_S", 0.3)
            monkeypatch.setattr(limits, "RATE_MIN", 100 << 20)
            for index in range(8):
                channel.send(encode(Want(((index, 1),))))
            while plane.reception.serving:
                await trio.sleep(0.01)


async def test_a_requester_that_wants_nothing_is_let_go(
    carried: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IDLE_LINK_S", 0.05)
    with trio.fail_after(30):
        async with requester_that_stops(tmp_path) as (plane, channel):
            await until_let_go(plane, channel)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", encode(Open(content_of({}).root, 0)), encode(Want(((500, 1),)))])
async def test_a_requester_that_breaks_the_protocol_is_let_go(carried: str, tmp_path: Path, data: bytes) -> None:
    with trio.fail_after(30):
        async with requester_that_stops(tmp_path) as (plane, channel):
            channel.send(data)
            await until_let_go(plane, channel)
