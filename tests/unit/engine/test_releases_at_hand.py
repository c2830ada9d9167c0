"""Releases that lie in attached places are judged as any other, beside what the network knows."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from p2phub.content import Digest
from p2phub.engine.resolve import BESIDE_LENT_S, Resolver
from p2phub.engine.waiting import Looks
from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import PeerId
from p2phub.manifest import Release, sign_release
from p2phub.net import Finder
from p2phub.store import Accepted
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, key_of
from tests.support.no_threads import NoThreads

KEY = key_of("ann")
REFERENCE = f"{KEY.peer_id}/model"
ONE, TWO = Digest(b"1" * 32), Digest(b"2" * 32)


def signed(manifest: Digest, sequence: int, *, name: str = "model", expires_in_s: int = 1_000) -> bytes:
    now = int(time.time())
    return sign_release(
        KEY,
        Release(
            publisher=KEY.peer_id,
            name=name,
            sequence=sequence,
            manifest=manifest,
            bytes_total=1,
            created=now - 2_000,
            expires=now + expires_in_s,
        ),
    )


class Network(FixedFinder):
    """A network that knows `releases`, and takes `takes_s` to say so."""

    def __init__(self, *releases: bytes, takes_s: float = 0) -> None:
        super().__init__(releases=releases)
        self.takes_s = takes_s

    async def release(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        await trio.sleep(self.takes_s)
        return tuple(self.releases)


def resolver(lent: Sequence[bytes], network: Network, ledger: MemoryLedger | None = None) -> Resolver:
    async def open_finder() -> Finder:
        return network

    return Resolver(
        ledger=ledger or MemoryLedger(),
        workers=NoThreads(),
        dialler=None,  # type: ignore[arg-type]
        open_finder=open_finder,
        lent=lambda *name: lent,
    )


async def test_without_a_network_a_release_at_hand_is_enough_and_is_remembered() -> None:
    ledger = MemoryLedger()
    resolved = await resolver([signed(ONE, 5)], Network(), ledger).resolve(REFERENCE, ())
    assert resolved.manifest == ONE
    assert resolved.release is not None
    accepted = ledger.accepted(KEY.peer_id, "model", "main")
    assert accepted is not None
    assert accepted.sequence == 5


async def test_the_newest_of_what_is_at_hand_and_what_the_network_knows_is_believed() -> None:
    assert (await resolver([signed(ONE, 5)], Network(signed(TWO, 6))).resolve(REFERENCE, ())).manifest == TWO
    assert (await resolver([signed(ONE, 7)], Network(signed(TWO, 6))).resolve(REFERENCE, ())).manifest == ONE


async def test_where_one_is_at_hand_nobody_waits_long_for_the_network(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = Network(signed(TWO, 6), takes_s=math.inf)
    began = trio.current_time()
    assert (await resolver([signed(ONE, 5)], network).resolve(REFERENCE, ())).manifest == ONE
    assert trio.current_time() - began == BESIDE_LENT_S


@covers("T11")
async def test_an_older_one_than_what_is_known_is_passed_over() -> None:
    ledger = MemoryLedger()
    ledger.accept(KEY.peer_id, "model", "main", Accepted(signed(TWO, 6), 6))
    assert (await resolver([signed(ONE, 5)], Network(), ledger).resolve(REFERENCE, ())).manifest == TWO


BAD = pytest.mark.parametrize(
    "lent",
    [
        signed(ONE, 5, expires_in_s=-1_000),
        signed(ONE, 5, name="another"),
        signed(ONE, 5)[:-1] + b"?",
        b"garbage",
    ],
    ids=["expired", "of another name", "forged", "garbage"],
)


@BAD
async def test_one_that_does_not_hold_is_refused_and_is_no_hindrance(lent: bytes) -> None:
    assert (await resolver([lent], Network(signed(TWO, 6))).resolve(REFERENCE, ())).manifest == TWO
    with pytest.raises((NotTrusted, Malformed)):
        await resolver([lent], Network()).resolve(REFERENCE, ())


@covers("T10", "T11")
@pytest.mark.parametrize("older", [False, True])
@BAD
async def test_what_a_stranger_has_that_does_not_hold_keeps_nobody_from_what_is_known(lent: bytes, older: bool) -> None:
    """One neighbour that answered so, or was merely behind, had a fetch fail that needed nobody."""
    ledger = MemoryLedger()
    ledger.accept(KEY.peer_id, "model", "main", Accepted(signed(TWO, 6), 6))
    network = Network(signed(ONE, 5)) if older else Network(lent)
    assert (await resolver([], network, ledger).resolve(REFERENCE, ())).manifest == TWO
    ledger.accept(KEY.peer_id, "model", "main", Accepted(signed(TWO, 7, expires_in_s=-1_000), 7))
    with pytest.raises(NotTrusted, match="expired"):  # What is known holds no longer than it says.
        await resolver([], network, ledger).resolve(REFERENCE, ())


@covers("T10")
@BAD
async def test_what_a_stranger_has_that_does_not_hold_ends_no_waiting(lent: bytes, autojump_clock: object) -> None:
    """One neighbour that answered so ended whatever waited for its publisher to come back."""
    network = Network(lent)
    with pytest.raises((NotTrusted, Malformed)):
        await resolver([], network).resolve(REFERENCE, (), looks=Looks(None, lambda event: None))

    async def publisher_comes_back() -> None:
        await trio.sleep(600)
        network.releases = (lent, signed(TWO, 6))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher_comes_back)
        resolved = await resolver([], network).resolve(REFERENCE, (), looks=Looks(math.inf, lambda event: None))
        assert resolved.manifest == TWO
