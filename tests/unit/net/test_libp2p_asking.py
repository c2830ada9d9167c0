"""Peers that take a question and never answer lose their place, and nobody's silence keeps a node alone."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import trio
from trio.testing import MockClock

from p2phub import limits
from p2phub.discovery import Contact, Kind, Question
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net.libp2p_asking import Asker
from p2phub.net.libp2p_dht import Dht, Mode
from p2phub.net.libp2p_neighbours import Neighbours
from tests.support.covers import covers


def peer(number: int) -> PeerAddress:
    return PeerAddress(PeerId(sha256(b"%d" % number).digest()), Address(f"8.{number // 250}.{number % 250}.1", 4717))


SILENT = peer(0)


class SilentStream:
    """Takes what is written and gives nothing."""

    def __init__(self, whose: PeerId) -> None:
        self.peer = whose

    async def write(self, data: bytes, *, seconds: float) -> None:
        await trio.lowlevel.checkpoint()

    async def read(self, most: int, *, seconds: float) -> bytes:
        await trio.sleep(seconds)
        raise PeerGone("silent")

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


class Host:
    """Connected to who is silent. Notes who was asked for a stream, and when."""

    peer_id = peer(5000).peer
    addresses = ()

    def __init__(self, *connected: PeerId) -> None:
        self._connected = connected
        self.asked: dict[PeerId, float] = {}

    def connected(self) -> tuple[PeerId, ...]:
        return self._connected

    def dialled(self, peer: PeerId) -> None:
        return None

    async def open_stream(self, peer: PeerId, addresses: Iterable[Address], *_: object, **__: object) -> SilentStream:
        self.asked.setdefault(peer, trio.current_time())
        if peer not in self._connected:
            await trio.sleep(limits.DIAL_S)
            raise PeerGone("not there")
        return SilentStream(peer)


@covers("T02", "T35")
async def test_who_keeps_its_connection_and_never_answers_leaves_the_table(autojump_clock: MockClock) -> None:
    """Two silences take longer than a question may: without, nobody was told, and it cost each search 12 s."""
    host: Any = Host(SILENT.peer)
    neighbours = Neighbours(host, bootstrap=(), known=(), on_proved=lambda peer: None)
    neighbours.table.proved(Contact(SILENT.peer, (SILENT.address,)), now=0.0)
    asker = Asker(host, neighbours, serves=False)
    for _ in range(2):
        await asker.look_up(Question(Kind.FIND_NODE, b"key"), lambda *_: False)
    assert SILENT.peer not in neighbours.table


@covers("F25")
async def test_as_many_silent_peers_of_last_time_as_are_kept_leave_a_bootstrap_node_its_turn(
    autojump_clock: MockClock,
) -> None:
    """Without: whoever had proved 512 keys to a node once, and then went, kept it alone for an hour after a restart."""
    for bootstrap in map(peer, range(4000, 4010)):
        host: Any = Host()
        began = trio.current_time()
        known = [peer(number) for number in range(limits.KNOWN_PEERS_MAX)]
        dht = Dht(host, bootstrap=[bootstrap], known=known, mode=Mode.CLIENT)
        with trio.move_on_after(limits.LOOKUP_S):
            await dht.run()
        assert host.asked[bootstrap.peer] - began < limits.LOOKUP_S
