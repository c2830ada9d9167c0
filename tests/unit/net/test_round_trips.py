"""From a ticket to the first payload byte in three round trips: TCP, TLS, and the first flight."""

from __future__ import annotations

from pathlib import Path

import trio

from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.net.direct import open_plane
from p2phub.net.interface import Opened
from p2phub.net.listen import open_listener
from p2phub.wire import ControlAnswer, ControlRequest, Ping, Pong
from tests.support.content import Published, content_of, random_files
from tests.support.slow_path import slow_path

ANN, BOB = SecretKey(b"a" * 32), SecretKey(b"b" * 32)


async def answer(peer: PeerId, address: Address, request: ControlRequest) -> ControlAnswer:
    return Pong()


async def test_the_first_payload_byte_comes_after_three_round_trips(tmp_path: Path) -> None:
    content = content_of(random_files(1, a=900_000))
    shelf = Published(content, tmp_path / "ann")
    with trio.fail_after(30):
        async with (
            open_plane(ANN, shelf, answer) as ann,
            open_plane(BOB, shelf, answer) as bob,
            open_listener([Address("127.0.0.1", 0)], ann.handle) as listener,
            slow_path(listener.addresses[0], delay_s=0.03) as path,
        ):
            there = PeerAddress(ANN.peer_id, path.address)
            link = await bob.open_link(there, content.root, prefix_bytes=1 << 20, via="direct")
            opened = await link.next_report()
            assert isinstance(opened, Opened)
            assert [data for _, data in opened.prefix] == [content.chunk(0)]
            assert path.turns == ["out", "back", "out", "back"]
            assert path.round_trips == 3


async def test_the_first_answer_of_a_control_connection_comes_after_three_round_trips(tmp_path: Path) -> None:
    shelf = Published(content_of({}), tmp_path / "ann")
    with trio.fail_after(30):
        async with (
            open_plane(ANN, shelf, answer) as ann,
            open_plane(BOB, shelf, answer) as bob,
            open_listener([Address("127.0.0.1", 0)], ann.handle) as listener,
            slow_path(listener.addresses[0], delay_s=0.03) as path,
        ):
            control = await bob.open_control(PeerAddress(ANN.peer_id, path.address))
            assert await control.ask(Ping()) == Pong()
            assert path.round_trips == 3
            await control.aclose()
