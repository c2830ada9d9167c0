"""What a fetch has verified is served while it still runs, and what it verifies later on the same connection."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2phub.content import digest_of
from p2phub.discovery import Candidate
from p2phub.engine.exchange import Exchange
from p2phub.engine.fetch import Means, Wish, fetch
from p2phub.engine.search import Search
from p2phub.engine.serve import StoreShelf
from p2phub.engine.workers import Workers
from p2phub.errors import NoProvider, PeerGone
from p2phub.identity import Address, PeerAddress, parse_peer_address
from p2phub.net import Control, Link
from p2phub.observe import Event, PeerDropped, Progress, Source
from p2phub.store.ledger import FileLedger
from p2phub.store.memory import MemoryStore
from tests.support.covers import covers
from tests.support.gate import Gate, gate
from tests.support.hosts import FixedFinder, key_of, open_host
from tests.support.models import make_safetensors_folder, tree_digest

MODEL_BYTES = 12 << 20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_safetensors_folder(tmp_path / "model", MODEL_BYTES, files=3, seed=7)


class Seen:
    """A watch that tells when an event of a kind came."""

    def __init__(self, kind: type[Event]) -> None:
        self.kind = kind
        self.came = trio.Event()
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, self.kind):
            self.came.set()

    def named(self) -> set[str]:
        return {event.peer_id for event in self.events if isinstance(event, Source)}


def through(held_back: Gate) -> Candidate:
    return Candidate(parse_peer_address(held_back.address), "direct")


async def test_who_asks_a_fetch_gets_what_it_has_and_then_what_it_gets(tmp_path: Path, model: Path) -> None:
    async with (
        open_host(tmp_path / "a", "ann") as ann,
        open_host(tmp_path / "b", "bob") as bob,
        open_host(tmp_path / "c", "cyd") as cyd,
        trio.open_nursery() as nursery,
    ):
        published = await ann.publish(model)
        with gate(PeerAddress(ann.key.peer_id, ann.addresses[0]), bytes_max=MODEL_BYTES // 4) as held_back:
            fetching, asking, done = Seen(Progress), Seen(Progress), trio.Event()

            async def first() -> None:
                also = [through(held_back)]
                await bob.fetch(published.manifest, tmp_path / "one", also=also, watch=fetching, share=True)

            async def second() -> None:
                await cyd.fetch(published.manifest, tmp_path / "two", bob, watch=asking, patience_s=60)
                done.set()

            nursery.start_soon(first)
            await fetching.came.wait()
            nursery.start_soon(second)
            await asking.came.wait()
            held_back.open()
            await done.wait()
    assert tree_digest(tmp_path / "one") == tree_digest(tmp_path / "two") == tree_digest(model)
    assert asking.named() == {str(bob.key.peer_id)}
    assert not [event for event in asking.events if isinstance(event, PeerDropped)]


@covers("T58")
async def test_a_fetch_of_what_is_withheld_serves_nobody(tmp_path: Path, model: Path) -> None:
    async with (
        open_host(tmp_path / "a", "ann") as ann,
        open_host(tmp_path / "b", "bob") as bob,
        open_host(tmp_path / "c", "cyd") as cyd,
    ):
        published = await ann.publish(model)
        bob.ledger.withhold(published.manifest, withheld=True)
        with gate(PeerAddress(ann.key.peer_id, ann.addresses[0]), bytes_max=MODEL_BYTES // 4) as held_back:
            async with trio.open_nursery() as nursery:
                fetching = Seen(Progress)

                async def first() -> None:
                    also = [through(held_back)]
                    await bob.fetch(published.manifest, tmp_path / "one", also=also, watch=fetching, share=True)

                nursery.start_soon(first)
                await fetching.came.wait()
                with pytest.raises(NoProvider):
                    await cyd.fetch(published.manifest, tmp_path / "two", bob)
                nursery.cancel_scope.cancel()


class Unreachable:
    """A dialler that counts how often it was asked to dial each address."""

    def __init__(self) -> None:
        self.dialled: list[Address] = []

    async def open_link(self, provider: PeerAddress, *args: object, **options: object) -> Link:
        self.dialled.append(provider.address)
        raise PeerGone("nobody there")

    async def open_control(self, peer: PeerAddress) -> Control:
        raise AssertionError("no link, no control")


@covers("T41")
async def test_a_victim_that_many_made_up_peers_are_said_to_live_at_is_dialled_three_times(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    victim = "8.8.8.8"
    invented = [
        Candidate(PeerAddress(key_of(str(n)).peer_id, Address(victim, 4717 + n)), "exchange") for n in range(50)
    ]
    store, dialler = MemoryStore(), Unreachable()

    async def open_finder() -> FixedFinder:
        return FixedFinder()

    with pytest.raises(NoProvider):
        await fetch(
            Wish(reference="test", manifest=digest_of(b"?"), destination=tmp_path / "out", patience_s=5.0),
            search=Search(invented, open_finder),
            means=Means(
                dialler,
                store,
                Workers(),
                key_of("own").peer_id,
                shelf=StoreShelf(store, FileLedger(tmp_path)),
                exchange=Exchange(seed=b"seed"),
            ),
            watch=lambda event: None,
        )
    assert len(dialler.dialled) == 3


class OnlyOneAnswers(Unreachable):
    """A dialler to which all are silent but one, who has nothing either; it notes when that one was dialled."""

    def __init__(self, answering: Address) -> None:
        super().__init__()
        self.answering = answering
        self.answered_at: float | None = None

    async def open_link(self, provider: PeerAddress, *args: object, **options: object) -> Link:
        if provider.address == self.answering:
            self.answered_at = self.answered_at or trio.current_time()
            raise PeerGone("it has nothing")
        await trio.sleep(5.0)
        raise PeerGone("no answer")


@covers("T35", "T41")
@pytest.mark.parametrize("named", ["before the search", "during the search"])
async def test_invented_peers_that_never_answer_do_not_delay_one_that_a_search_finds(
    named: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    invented = [
        Candidate(PeerAddress(key_of(str(n)).peer_id, Address(f"8.8.{n}.{m}", 4717)), "exchange")
        for n in range(4)
        for m in range(16)
    ]
    honest = PeerAddress(key_of("honest").peer_id, Address("9.9.9.9", 4717))
    store, dialler = MemoryStore(), OnlyOneAnswers(honest.address)

    async def open_finder() -> FixedFinder:
        return FixedFinder([*(() if known else invented), Candidate(honest, "direct")])

    known = invented if named == "before the search" else []
    await trio.sleep(1.0)  # A clock that shows 0 would be no time.
    began = trio.current_time()
    with pytest.raises(NoProvider):
        await fetch(
            Wish(reference="test", manifest=digest_of(b"?"), destination=tmp_path / "out", patience_s=5.0),
            search=Search(known, open_finder),
            means=Means(dialler, store, Workers(), key_of("own").peer_id, exchange=Exchange(seed=b"seed")),
            watch=lambda event: None,
        )
    assert dialler.answered_at is not None
    assert dialler.answered_at - began < 1.0
