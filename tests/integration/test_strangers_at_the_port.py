"""Strangers by the thousand against a node's port: they cost nothing that stays, and a fetch beside them goes on."""

from __future__ import annotations

import gc
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.net.direct import DirectPlane, open_plane
from p2phub.net.interface import Opened, Verified
from p2phub.net.listen import Listener, open_listener
from p2phub.wire import ControlAnswer, ControlRequest, Pong
from tests.support.content import Arriving, Content, Published, content_of, random_files
from tests.support.covers import covers

ANN, BOB = SecretKey(b"a" * 32), SecretKey(b"b" * 32)
GARBAGE = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x00" * 64,
    b"\x16" * 200,  # Begins like TLS.
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600),  # A ClientHello of zeros.
    b"\x16\x03\x01\x00\x10",  # A record that never comes.
    b"\x13/multistream/1.0.0\n",
    b"",
]


async def answer(peer: PeerId, address: Address, request: ControlRequest) -> ControlAnswer:
    return Pong()


@pytest.fixture(autouse=True)
def _enough_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))


@dataclass
class Node:
    listener: Listener
    plane: DirectPlane
    content: Content
    folder: Path

    async def serves(self) -> None:
        """Fetch all that it has, as another peer."""
        nobody = Published(self.content, self.folder / "nobody")
        arriving = Arriving(self.content, self.folder / "bob")
        async with open_plane(BOB, nobody, answer) as bob:
            there = PeerAddress(ANN.peer_id, self.listener.addresses[0])
            link = await bob.open_link(there, self.content.root, prefix_bytes=0, via="direct")
            assert isinstance(await link.next_report(), Opened)
            link.use(arriving.plan)
            link.grant(self.content.whole)
            got = RangeSet()
            while got != self.content.whole:
                report = await link.next_report()
                assert isinstance(report, Verified), report
                got |= report.chunks
        assert arriving.files() == self.content.files

    async def is_quiet(self) -> None:
        while self.listener.connections:
            await trio.sleep(0.01)


@asynccontextmanager
async def node(folder: Path) -> AsyncIterator[Node]:
    content = content_of(random_files(1, a=3_000_000, b=2_000_000))
    with trio.fail_after(100):
        async with (
            open_plane(ANN, Published(content, folder / "ann"), answer) as plane,
            open_listener([Address("127.0.0.1", 0)], plane.handle) as listener,
        ):
            yield Node(listener, plane, content, folder)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def dial(here: Node) -> socket.socket:
    address = here.listener.addresses[0]
    return socket.create_connection((address.ip, address.port))


@covers("T36", "T37", "F10")
async def test_ten_thousand_garbage_connections_leave_nothing_behind(tmp_path: Path) -> None:
    async with node(tmp_path) as here:
        await here.serves()
        await here.is_quiet()
        before = descriptors(), tasks()

        def throw_garbage() -> None:
            for number in range(10_000):
                with dial(here) as stranger:
                    stranger.sendall(GARBAGE[number % len(GARBAGE)])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, throw_garbage)
            nursery.start_soon(here.serves)
        await here.is_quiet()
        assert (descriptors(), tasks()) == before
        await here.serves()


@covers("T36", "T37")
async def test_a_thousand_half_open_connections_do_not_keep_out_a_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FIRST_BYTE_S", 3.0)
    monkeypatch.setattr(limits, "HANDSHAKE_S", 3.0)
    async with node(tmp_path) as here:
        await here.serves()
        await here.is_quiet()
        before = descriptors(), tasks()
        strangers: list[socket.socket] = []
        try:
            for number in range(1000):
                strangers.append(dial(here))
                if number % 2:
                    strangers[-1].sendall(b"\x16\x03\x01")  # A handshake that never goes on.
                await trio.sleep(0)
            assert here.listener.connections > 900
            await here.serves()
            await here.is_quiet()  # Their deadlines pass, not ours.
        finally:
            for stranger in strangers:
                stranger.close()
        assert (descriptors(), tasks()) == before


@covers("F10")
async def test_more_strangers_than_descriptors_are_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_BYTE_S", 0.5)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with node(tmp_path) as here:
        await here.serves()
        strangers: list[socket.socket] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 40, hard))
        try:
            with suppress(OSError):  # Until nobody in this process, the node included, can open another.
                while True:
                    strangers.append(dial(here))
                    await trio.sleep(0)
            for _ in range(20):  # Turns of the loop in which the node meets its limit.
                await trio.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for stranger in strangers:
                stranger.close()
        await here.is_quiet()
        await here.serves()
