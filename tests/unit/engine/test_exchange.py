"""The control desk names peers of a swarm to one another, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2phub.content import Digest, RangeSet, digest_of
from p2phub.engine.desk import ControlDesk
from p2phub.engine.exchange import Exchange, worth_dialling
from p2phub.engine.serve import StoreShelf
from p2phub.engine.workers import Workers
from p2phub.identity import Address, PeerAddress
from p2phub.store.ledger import FileLedger
from p2phub.store.memory import MemoryStore
from p2phub.wire import GetNews, News
from tests.support.content import content_of
from tests.support.covers import covers
from tests.support.hosts import key_of

ANN, BOB, CY = (key_of(name).peer_id for name in ("ann", "bob", "cy"))
HERE, THERE = Address("8.8.4.4", 50001), Address("9.9.9.9", 50002)
"""Where questions come from: an address, and a port that nobody listens at."""


class Desk:
    """A desk whose node fetches one manifest, or holds none."""

    def __init__(self, home: Path, *, exchange: bool = True) -> None:
        self.store = MemoryStore()
        self.ledger = FileLedger(home)
        self.shelf = StoreShelf(self.store, self.ledger)
        self.exchange = Exchange(seed=b"seed")
        self.desk = ControlDesk(self.shelf, self.ledger, Workers(), self.exchange if exchange else None)
        content = content_of({"a": bytes(100)}, chunk_bytes=10)
        self.manifest: Digest = content.root
        self.store.put_blobs(list(content.blobs.values()))
        self.arrival = self.store.arrive(content.manifest, content.root, content.table, Path("/into"), force=False)

    async def ask(
        self, who: object, where: Address, *, port: int = 0, manifest: Digest | None = None
    ) -> tuple[PeerAddress, ...]:
        """Return whom the desk names."""
        answer = await self.desk.answer(who, where, GetNews(manifest or self.manifest, port))  # type: ignore[arg-type]
        assert isinstance(answer, News)
        return answer.peers

    async def news(
        self, who: object, where: Address, *, port: int = 0, seen: tuple[int, int] = (0, 0), wait_ms: int = 0
    ) -> News:
        answer = await self.desk.answer(who, where, GetNews(self.manifest, port, seen, wait_ms))  # type: ignore[arg-type]
        assert isinstance(answer, News)
        return answer

    def verify(self, *chunks: int) -> None:
        """The fetch got chunks."""
        self.arrival.verified(RangeSet.from_indices(chunks))
        self.shelf.bulletin.tell(self.manifest)


async def test_who_asks_is_named_to_the_next_at_where_it_came_from_and_the_port_it_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.shelf.serving(desk.arrival):
        assert await desk.ask(ANN, HERE, port=4717) == ()
        assert await desk.ask(BOB, THERE) == (PeerAddress(ANN, Address(HERE.ip, 4717)),)
        assert await desk.ask(ANN, HERE, port=4717) == ()  # Bob told no port: nobody can dial him.


@covers("T58")
async def test_nothing_is_told_of_what_is_not_here_or_not_for_the_asker(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    unknown = digest_of(b"unknown")
    for _ in range(2):
        assert await desk.ask(ANN, HERE, port=4717, manifest=unknown) == ()
    with desk.shelf.serving(desk.arrival):
        await desk.ask(ANN, HERE, port=4717)
        desk.ledger.withhold(desk.manifest, withheld=True)
        assert await desk.ask(BOB, THERE, port=4717) == ()
        desk.ledger.withhold(desk.manifest, withheld=False)
        assert await desk.ask(CY, THERE) == (PeerAddress(ANN, Address(HERE.ip, 4717)),)  # Bob was not noted.


async def test_a_desk_without_exchange_names_nobody(tmp_path: Path) -> None:
    desk = Desk(tmp_path, exchange=False)
    with desk.shelf.serving(desk.arrival):
        for _ in range(2):
            assert await desk.ask(ANN, HERE, port=4717) == ()
            assert await desk.ask(BOB, THERE, port=4717) == ()


async def test_a_fetch_hears_of_each_requester_that_comes_and_of_those_that_came_before(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    heard: list[PeerAddress] = []
    with desk.shelf.serving(desk.arrival):
        await desk.ask(ANN, HERE, port=4717)
        with desk.exchange.listening(desk.manifest, heard.append, now=0.0):
            await desk.ask(BOB, THERE, port=4718)
            await desk.ask(BOB, THERE, port=4718)
        await desk.ask(CY, THERE, port=4719)
    assert heard == [PeerAddress(ANN, Address(HERE.ip, 4717)), PeerAddress(BOB, Address(THERE.ip, 4718))]


@covers("T41")
@pytest.mark.parametrize(
    ("named", "by", "dialled"),
    [
        ("8.8.8.8", "9.9.9.9", True),
        ("192.168.1.1", "9.9.9.9", False),
        ("127.0.0.1", "9.9.9.9", False),
        ("127.0.0.1", "192.168.1.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("192.168.1.2", "192.168.1.1", True),
        ("224.0.0.1", "192.168.1.1", False),
    ],
)
def test_what_a_peer_names_is_dialled_only_where_it_may_be(named: str, by: str, dialled: bool) -> None:
    peers = [PeerAddress(ANN, Address(named, 4717))]
    assert worth_dialling(peers, heard_from=Address(by, 4717)) == (tuple(peers) if dialled else ())
    assert worth_dialling([PeerAddress(ANN, Address(named, 22))], heard_from=Address(by, 4717)) == ()


# --- news ------------------------------------------------------------------------------------------------------------


async def test_news_tell_what_is_held_and_who_is_there_and_then_only_what_is_new(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    desk = Desk(tmp_path)
    with desk.shelf.serving(desk.arrival):
        desk.verify(1, 2)
        await desk.news(ANN, HERE, port=4717)
        first = await desk.news(BOB, THERE, port=4718)
        assert (first.held, first.peers) == (RangeSet(((1, 3),)), (PeerAddress(ANN, Address(HERE.ip, 4717)),))
        assert await desk.news(BOB, THERE, port=4718, seen=first.seen) == News(None, (), first.seen)
        desk.verify(3)
        more = await desk.news(BOB, THERE, port=4718, seen=first.seen)
        assert (more.held, more.peers) == (RangeSet(((1, 4),)), ())


@pytest.mark.parametrize("what", ["chunk", "member"])
async def test_an_answer_is_held_until_there_is_something_new(
    tmp_path: Path, autojump_clock: MockClock, what: str
) -> None:
    desk = Desk(tmp_path)
    with desk.shelf.serving(desk.arrival):
        seen = (await desk.news(BOB, THERE, port=4718)).seen

        async def happen() -> None:
            await trio.sleep(2)
            if what == "chunk":
                desk.verify(5)
            else:
                desk.exchange.saw(desk.manifest, PeerAddress(ANN, HERE), now=0.0)

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(happen)
            told = await desk.news(BOB, THERE, port=4718, seen=seen, wait_ms=5000)
        assert 2 <= trio.current_time() - began < 2.1
        assert (told.held is not None, bool(told.peers)) == (what == "chunk", what == "member")


async def test_an_answer_is_held_no_longer_than_was_asked_for(tmp_path: Path, autojump_clock: MockClock) -> None:
    desk = Desk(tmp_path)
    with desk.shelf.serving(desk.arrival):
        seen = (await desk.news(BOB, THERE, port=4718)).seen
        began = trio.current_time()
        # What the asker itself is is no news to it, however often it comes.
        told = await desk.news(BOB, THERE, port=4718, seen=seen, wait_ms=3000)
        assert told == News(None, (), seen)
        assert 3 <= trio.current_time() - began < 3.1


@covers("T58")
async def test_no_answer_is_held_about_what_is_not_here_or_not_for_the_asker(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    desk = Desk(tmp_path)
    assert await desk.news(ANN, HERE, port=4717, wait_ms=5000) == News(RangeSet(), (), (0, 0))
    with desk.shelf.serving(desk.arrival):
        desk.ledger.withhold(desk.manifest, withheld=True)
        assert await desk.news(ANN, HERE, port=4717, wait_ms=5000) == News(RangeSet(), (), (0, 0))
        desk.ledger.withhold(desk.manifest, withheld=False)
        assert not (await desk.news(CY, THERE)).peers  # Ann was not noted.
    assert trio.current_time() < 1


async def test_news_of_a_desk_without_exchange_name_nobody(tmp_path: Path) -> None:
    desk = Desk(tmp_path, exchange=False)
    with desk.shelf.serving(desk.arrival):
        desk.verify(1)
        await desk.news(ANN, HERE, port=4717)
        told = await desk.news(BOB, THERE)
        assert (told.held, told.peers) == (RangeSet(((1, 2),)), ())


async def test_who_waits_is_told_when_a_fetch_ends(tmp_path: Path, autojump_clock: MockClock) -> None:
    desk = Desk(tmp_path)
    async with trio.open_nursery() as nursery:
        with desk.shelf.serving(desk.arrival):
            desk.verify(1)
            seen = (await desk.news(BOB, THERE)).seen
            answers: list[News] = []

            async def ask() -> None:
                answers.append(await desk.news(BOB, THERE, seen=seen, wait_ms=5000))

            nursery.start_soon(ask)
            await trio.sleep(1)
    assert [answer.held for answer in answers] == [RangeSet()]  # It was given up, so nothing is held any more.
    assert trio.current_time() < 2
