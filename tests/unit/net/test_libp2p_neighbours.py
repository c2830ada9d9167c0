"""Silent strangers keep nobody out of a routing table for long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2phub import limits
from p2phub.discovery import Contact
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net.libp2p_neighbours import Neighbours
from tests.support.covers import covers


def newcomer(number: int) -> PeerAddress:
    return PeerAddress(PeerId(sha256(b"%d" % number).digest()), Address(f"8.{number // 250}.{number % 250}.1", 4717))


class Host:
    """Reaches nobody but the honest; notes who was dialled, and how many at once."""

    peer_id = newcomer(5000).peer

    def __init__(self, *honest: PeerAddress) -> None:
        self.honest = {each.peer for each in honest}
        self.dialled_peers: list[PeerId] = []
        self.under_way = self.most = 0

    async def prove(self, peer: PeerId, addresses: Iterable[Address], *, heard_from: str | None) -> Address:
        self.dialled_peers.append(peer)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if peer not in self.honest:
                await trio.sleep_forever()
        finally:
            self.under_way -= 1
        return next(iter(addresses))

    def dialled(self, peer: PeerId) -> Address:
        return Address("8.8.8.8", 4717)


@asynccontextmanager
async def proving(host: Any) -> AsyncIterator[Neighbours]:
    neighbours = Neighbours(host, bootstrap=(), known=(), on_proved=lambda peer: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(neighbours.prove_newcomers)
        yield neighbours
        nursery.cancel_scope.cancel()


@covers("T03")
async def test_a_few_silent_strangers_keep_nobody_waiting() -> None:
    honest = newcomer(9)
    host = Host(honest)
    async with proving(host) as neighbours:
        for number in range(limits.NEWCOMERS_AT_ONCE - 1):
            neighbours.consider(newcomer(number))
        neighbours.consider(honest)
        await wait_all_tasks_blocked()
        assert honest.peer in neighbours.table


@covers("T03")
async def test_silent_strangers_of_as_many_networks_as_wait_cost_a_bounded_time(autojump_clock: MockClock) -> None:
    """Without: 256 of them, of one question each, kept a table closed for an hour."""
    honest = newcomer(999)
    host = Host(honest)
    strangers = limits.NEWCOMERS_WAITING_MAX - 1
    async with proving(host) as neighbours:
        began = trio.current_time()
        for number in range(strangers):
            neighbours.consider(newcomer(number))
        neighbours.consider(honest)
        while honest.peer not in neighbours.table:
            await trio.sleep(1)
        waited = trio.current_time() - began
    assert host.most == limits.NEWCOMERS_AT_ONCE
    assert waited <= limits.NEWCOMER_S * (strangers // limits.NEWCOMERS_AT_ONCE + 1)


@covers("F31")
async def test_a_fault_of_our_own_in_a_look_is_logged_and_the_next_is_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Faulty(Host):
        async def prove(self, peer: PeerId, addresses: Iterable[Address], *, heard_from: str | None) -> Address:
            if peer not in self.honest:
                raise ValueError("what we made of a stranger")
            return next(iter(addresses))

    honest = newcomer(99)
    async with proving(Faulty(honest)) as neighbours:
        for number in range(2 * limits.NEWCOMERS_AT_ONCE):
            neighbours.consider(newcomer(number))
        neighbours.consider(honest)
        await wait_all_tasks_blocked()
        assert honest.peer in neighbours.table
    assert "a fault of our own" in caplog.text


@covers("F25")
async def test_who_was_known_last_time_has_proved_nothing_yet() -> None:
    earlier, now = newcomer(1), newcomer(2)
    host: Any = Host()
    neighbours = Neighbours(host, bootstrap=(), known=[earlier], on_proved=lambda peer: None)
    assert (neighbours.reached(), neighbours.known_peers()) == ((), (earlier,))
    neighbours.answered(Contact(now.peer, (now.address,)))
    (reached,) = neighbours.reached()
    assert reached.peer == now.peer
    assert neighbours.known_peers() == (reached, earlier)


@covers("F25")
async def test_who_is_gone_is_forgotten_while_others_answer_and_never_while_nobody_does(
    autojump_clock: MockClock,
) -> None:
    """Without: it was written down again by each run, for good."""
    gone, there = newcomer(1), newcomer(2)
    host: Any = Host()
    neighbours = Neighbours(host, bootstrap=(), known=[gone], on_proved=lambda peer: None)
    for _ in range(5):
        neighbours.failed(gone.peer)
        await trio.sleep(limits.ROUTING_REFRESH_S)
    assert gone in neighbours.known_peers(), "it may be our own line"
    neighbours.answered(Contact(there.peer, (there.address,)))
    neighbours.failed(gone.peer)
    neighbours.failed(gone.peer)
    assert gone in neighbours.known_peers(), "one look, or several at once, are no proof"
    await trio.sleep(limits.ROUTING_REFRESH_S)
    neighbours.failed(gone.peer)
    assert gone not in neighbours.known_peers()
