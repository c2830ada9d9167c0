"""TLS in a blocking thread, silence noticed: with the fast engine, its stand-in, and records."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.errors import PeerError, PeerGone, PeerStalled, ProtocolViolation
from p2phub.net import tls_channel
from p2phub.net.channel import Watched
from p2phub.net.sealing import RECORD_ROOM, Sealer
from p2phub.net.tls_channel import TlsChannel
from tests.support.covers import covers
from tests.support.opening import all_closed_again
from tests.support.tls_pair import beside_a_stranger, connected


@pytest.fixture(params=["engine", "fallback", "records"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    assert tls_channel.HAS_ENGINE, "the pinned pyOpenSSL has the names that the fast engine needs"
    if request.param == "fallback":
        monkeypatch.setattr(tls_channel, "HAS_ENGINE", False)
    return str(request.param)


@asynccontextmanager
async def channels(engine: str = "engine") -> AsyncIterator[tuple[TlsChannel, TlsChannel]]:
    async with connected() as (bob, ann):
        near, far = bob.as_channel(), ann.as_channel()
        if engine == "records":
            far.send(b"first flight")
            fill(near, 12)
            near.widen()
            far.widen()
            assert near._records is not None
            assert far._records is not None
        try:
            yield near, far
        finally:
            near.cancel()
            far.cancel()
            near.close()
            far.close()


def fill(channel: TlsChannel, count: int) -> bytes:
    buffer = memoryview(bytearray(count))
    channel.fill(buffer)
    return bytes(buffer)


async def test_a_channel_moves_exactly_what_is_asked(engine: str) -> None:
    data = bytes(range(256)) * 8192  # 2 MiB
    async with channels(engine) as (near, far):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, near.send, memoryview(data))
            assert await trio.to_thread.run_sync(fill, far, 5) == data[:5]
            assert await trio.to_thread.run_sync(fill, far, len(data) - 5) == data[5:]
        near.send(b"")
        near.send(b"x")
        assert await trio.to_thread.run_sync(fill, far, 1) == b"x"


async def test_bytes_read_ahead_in_trio_are_not_lost_to_the_channel(engine: str) -> None:
    async with connected() as (bob, ann):
        await bob.write(b"first, second")
        assert await ann.read(5) == b"first"
        channel = ann.as_channel()
        assert channel.wait(0)  # They lie in the engine already; the socket is quiet.
        assert fill(channel, 8) == b", second"
        assert not channel.wait(0)
        channel.close()


@pytest.mark.parametrize("blocked_in", ["fill", "send", "wait"])
async def test_cancel_ends_a_blocking_call_from_another_thread(engine: str, blocked_in: str) -> None:
    async with channels(engine) as (near, _):
        failures: list[PeerError] = []

        def block() -> None:
            try:
                if blocked_in == "wait":
                    near.wait(1000)
                fill(near, 10) if blocked_in != "send" else [near.send(bytes(1 << 20)) for _ in range(1000)]
            except PeerError as exc:
                failures.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, block)
            await trio.testing.wait_all_tasks_blocked()
            near.cancel()
        assert isinstance(failures[0], PeerGone)


async def test_wake_ends_a_wait_also_if_it_comes_first() -> None:
    async with channels() as (_, far):
        far.wake()
        far.wake()
        assert not far.wait(1000)
        assert not far.wait(0)


async def test_a_ticket_is_nothing_for_us_and_a_byte_is(engine: str) -> None:
    async with channels(engine) as (near, far):
        while near.wait(0):  # The server's tickets, if it sent any.
            assert near.nothing_for_us()
        far.send(b"x")
        assert near.wait(10)
        assert not near.nothing_for_us()
        assert fill(near, 1) == b"x"
        far.cancel()
        assert near.wait(10)
        assert not near.nothing_for_us()


@pytest.mark.parametrize("end", ["goodbye", "cut"])
async def test_the_end_of_the_other_side_is_noticed(engine: str, end: str) -> None:
    async with channels(engine) as (near, far):
        far._connection.shutdown() if end == "goodbye" else far.cancel()
        far._line.push()
        assert near.wait(10)
        with pytest.raises(PeerGone):
            fill(near, 1)


@covers("T35")
async def test_silence_ends_a_call(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SOCKET_CALL_S", 0.05)
    async with channels(engine) as (near, far):
        with pytest.raises(PeerStalled):
            fill(near, 1)
        with pytest.raises(PeerStalled):
            far.send(bytes(64 << 20))


@pytest.fixture
def signals() -> Iterator[signal.Signals]:
    """A signal that interrupts system calls and does nothing else."""
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


async def test_an_interrupted_read_goes_on(engine: str, signals: signal.Signals) -> None:
    async with channels(engine) as (near, far):
        into = memoryview(bytearray(5))
        thread = threading.Thread(target=near.fill, args=(into,))
        thread.start()
        while near.progress.deadline == float("inf"):
            await trio.sleep(0)
        for _ in range(200):  # One of them finds the thread in its call.
            signal.pthread_kill(thread.ident or 0, signals)
            await trio.sleep(0)
        far.send(b"hello")
        thread.join(10)
        assert bytes(into) == b"hello"


@pytest.mark.parametrize("engine", ["engine", "records"])
async def test_an_interrupted_write_goes_on(engine: str, signals: signal.Signals) -> None:
    # Without the stand-in: its `sendall` cannot tell how much of a record went out.
    data, into = bytes(range(256)) * (128 << 10), memoryview(bytearray(32 << 20))
    async with channels(engine) as (near, far):
        thread = threading.Thread(target=far.send, args=(data,))
        thread.start()
        while far.progress.deadline == float("inf"):
            await trio.sleep(0)
        for _ in range(200):
            signal.pthread_kill(thread.ident or 0, signals)
            await trio.sleep(0)
        await trio.to_thread.run_sync(near.fill, into)
        thread.join(10)
        assert into == data


@covers("T35")
async def test_a_call_that_is_overdue_is_cancelled_by_the_watchdog(engine: str) -> None:
    now = 0.0
    watched = Watched(lambda: now)
    async with channels(engine) as (near, far):
        watched.add(near)
        watched.cancel_overdue()
        failures: list[PeerError] = []

        def drip() -> None:
            try:
                fill(near, 1000)
            except PeerError as exc:
                failures.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, drip)
            far.send(b"a byte now and then")
            while near.progress.deadline == float("inf"):
                await trio.sleep(0)
            now = near.progress.deadline - 1
            watched.cancel_overdue()
            await trio.testing.wait_all_tasks_blocked()
            assert failures == []
            now = near.progress.deadline + 1
            watched.cancel_overdue()
        assert isinstance(failures[0], PeerStalled)


async def test_what_comes_is_counted_while_a_call_waits_for_more() -> None:
    async with channels() as (near, far):
        before = near.received()
        far.send(bytes(1000))
        near.wait(10)
        assert near.received() >= before + 1000


async def test_channels_let_go_of_their_descriptors(engine: str) -> None:

    with all_closed_again():
        for _ in range(3):
            async with channels(engine):
                pass


async def test_each_direction_of_records_has_its_half_of_what_tls_exports() -> None:
    async with channels("records") as (near, far):
        secret = near._connection.export_keying_material(b"EXPORTER-p2phub-records", 64)
        room = memoryview(bytearray(RECORD_ROOM))
        for says, hears, half in ((near, far, secret[:32]), (far, near, secret[32:])):
            says.send(b"hello")
            expected = bytes(room[: Sealer(half).seal(memoryview(b"hello"), room)])
            assert hears._sock.recv(1000) == expected


@covers("T37")
@pytest.mark.parametrize("dials", [True, False], ids=["it dialled", "we dialled"])
@pytest.mark.parametrize("engine", ["engine", "fallback"], indirect=True)
async def test_a_thread_works_off_one_key_update_at_a_time_and_no_end_of_them(engine: str, dials: bool) -> None:
    async with beside_a_stranger(dials=dials) as (ann, stranger, sock):
        channel = ann.as_channel()
        sock.sendall(stranger.key_updates(5, asks=True) + stranger.record(b"hello"))
        assert await trio.to_thread.run_sync(fill, channel, 5) == b"hello"
        sock.sendall(stranger.key_updates(limits.TLS_SILENT_RECORDS_MAX))
        looks = 0

        def look() -> None:
            nonlocal looks
            while channel.wait(10):
                assert channel.nothing_for_us()
                looks += 1

        with pytest.raises(ProtocolViolation, match="record-crumbs"):
            look()
        assert looks >= 10
        channel.close()


@covers("T37")
@pytest.mark.parametrize("engine", ["engine", "fallback"], indirect=True)
async def test_a_thread_takes_no_crumbs(engine: str) -> None:
    async with beside_a_stranger(dials=True) as (ann, stranger, sock):
        channel = ann.as_channel()
        sock.sendall(stranger.crumbs(bytes(200)))
        with pytest.raises(ProtocolViolation, match="record-crumbs"):
            await trio.to_thread.run_sync(fill, channel, 200)
        channel.close()


async def test_what_comes_in_tls_behind_the_first_flight_is_refused() -> None:
    async with channels() as (near, far):
        far.send(b"the flight, and more")
        fill(near, 10)
        with pytest.raises(ProtocolViolation, match="out-of-order"):
            near.widen()
