"""What a shelf offers is looked up once for all who ask, and nobody waits for what another asks for."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2phub import limits
from p2phub.content import Digest, ReadPlan, digest_of
from p2phub.engine.makings import Makings
from p2phub.engine.serve import StoreShelf
from p2phub.engine.workers import Workers
from p2phub.errors import PeerRefused
from p2phub.identity import Address, PeerAddress
from p2phub.net import Offer
from p2phub.store.memory import MemoryStore
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.content import content_of
from tests.support.covers import covers
from tests.support.swarm import peer

LARGE = content_of({"a.bin": b"a" * 3000}, 1000)
WAIT_S = 30.0  # Of a test that would hang.


class Slow(MemoryStore):
    """Looks `LARGE` up only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may = threading.Event(), threading.Event()
        self.looks = 0
        self.put_blobs(list(LARGE.blobs.values()))

    def read_plan(self, manifest: Digest) -> ReadPlan | None:
        if manifest != LARGE.root:
            return None
        self.looks += 1
        self.asked.set()
        assert self.may.wait(WAIT_S)
        return ReadPlan(manifest, LARGE.table, LARGE.whole, lambda file: pytest.fail("nothing is read"))


def offered(shelf: StoreShelf) -> threading.Thread:
    thread = threading.Thread(target=lambda: shelf.offer(LARGE.root, peer(1)))
    thread.start()
    return thread


def test_who_asks_for_something_else_does_not_wait() -> None:
    store = Slow()
    shelf = StoreShelf(store, MemoryLedger())
    first = offered(shelf)
    assert store.asked.wait(WAIT_S)
    with pytest.raises(PeerRefused):
        shelf.offer(digest_of(b"small"), peer(2))
    shelf.sent(LARGE.root, peer(2), 1)
    store.may.set()
    first.join(WAIT_S)
    assert not first.is_alive()


def test_it_is_looked_up_once_for_all_who_ask() -> None:
    store = Slow()
    shelf = StoreShelf(store, MemoryLedger())
    askers = [offered(shelf) for _ in range(3)]
    assert store.asked.wait(WAIT_S)
    store.may.set()
    for asker in askers:
        asker.join(WAIT_S)
    assert shelf.offer(LARGE.root, peer(2)) is shelf.offer(LARGE.root, peer(3))
    assert store.looks == 1


def test_what_changes_while_it_is_looked_up_is_looked_up_again() -> None:
    store = Slow()
    shelf = StoreShelf(store, MemoryLedger())
    first = offered(shelf)
    assert store.asked.wait(WAIT_S)
    shelf.forget(LARGE.root)
    store.may.set()
    first.join(WAIT_S)
    shelf.offer(LARGE.root, peer(2))
    assert store.looks == 2


# --- what is kept, and whose turn it is to have one made -----------------------------------------------------------

SMALL = [content_of({"a.bin": bytes([number]) * 3000}, 1000) for number in range(40)]
NEAR, FAR = (PeerAddress(peer(1), Address(ip, 4717)) for ip in ("8.8.8.8", "9.9.9.9"))


class Counting(MemoryStore):
    """Holds all of `SMALL`, and counts how often one is looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        for content in SMALL:
            self.put_blobs(list(content.blobs.values()))

    def read_plan(self, manifest: Digest) -> ReadPlan | None:
        self.looks += 1
        held = next((content for content in SMALL if content.root == manifest), None)
        if held is None:
            return None
        return ReadPlan(manifest, held.table, held.whole, lambda file: pytest.fail("nothing is read"))


@covers("T37")
def test_small_offers_are_kept_however_many_are_asked_for_in_turn() -> None:
    """Without: of more than sixteen each was made anew for each question, on the threads that answer others."""
    store = Counting()
    shelf = StoreShelf(store, MemoryLedger())
    for _ in range(3):
        for content in SMALL:
            shelf.offer(content.root, peer(1))
    assert store.looks == len(SMALL)


@covers("T37")
def test_offers_are_kept_by_what_they_weigh_and_the_newest_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = StoreShelf(Counting(), MemoryLedger())
    shelf.offer(SMALL[0].root, peer(1))
    weight = shelf._offers_bytes
    monkeypatch.setattr(limits, "OFFERS_BYTES_MAX", 4 * weight)
    for content in SMALL:
        shelf.offer(content.root, peer(1))
        assert shelf._offers_bytes <= 4 * weight
    assert [shelf.at_hand(content.root) for content in SMALL[-5:]] == [False, True, True, True, True]
    monkeypatch.setattr(limits, "OFFERS_BYTES_MAX", 1)
    shelf.offer(SMALL[0].root, peer(1))
    assert list(shelf._offers) == [SMALL[0].root]
    shelf.forget(SMALL[0].root)
    assert not shelf._offers_bytes


class Making:
    """What is under way, of whom."""

    def __init__(self) -> None:
        self.kept: set[Digest] = set()
        self.made: list[Digest] = []
        self.makings = Makings(Workers(2), self.kept.__contains__)

    async def ask(self, number: int, asker: PeerAddress = NEAR, *, held: bool = True) -> None:
        manifest = SMALL[number].root
        offer: Any = SimpleNamespace() if held else None

        def look_up() -> Offer | None:
            if manifest not in self.kept:
                self.made.append(manifest)
            return offer

        await self.makings.offer(manifest, asker, look_up)


@covers("T37")
async def test_who_has_many_offers_made_waits_before_the_next_and_others_do_not(autojump_clock: MockClock) -> None:
    making = Making()
    began = trio.current_time()
    for number in range(limits.OFFERS_MADE_BURST):
        await making.ask(number)
    assert trio.current_time() == began
    await making.ask(limits.OFFERS_MADE_BURST)
    assert trio.current_time() - began == pytest.approx(1 / limits.OFFERS_MADE_PER_S)
    now = trio.current_time()
    await making.ask(0, FAR)
    assert trio.current_time() == now
    assert not making.makings._turns


@covers("T37")
async def test_what_is_at_hand_or_not_here_is_nobodys_turn(autojump_clock: MockClock) -> None:
    making = Making()
    making.kept.add(SMALL[0].root)
    began = trio.current_time()
    for _ in range(2 * limits.OFFERS_MADE_BURST):
        await making.ask(0)
        await making.ask(1, held=False)
    assert trio.current_time() == began


@covers("T37")
async def test_of_one_network_one_waits_for_an_offer_so_that_others_come_next(autojump_clock: MockClock) -> None:
    making = Making()
    async with trio.open_nursery() as nursery, making.makings._one:
        for number in range(4):
            nursery.start_soon(making.ask, number)
            await wait_all_tasks_blocked()
        nursery.start_soon(making.ask, 4, FAR)
        await wait_all_tasks_blocked()
        assert making.makings._one.statistics().tasks_waiting == 2
    assert making.made.index(SMALL[4].root) <= 1
