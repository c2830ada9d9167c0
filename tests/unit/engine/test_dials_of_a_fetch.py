"""How often a fetch dials where nobody proved a key: what the user named as it stands, all else within the budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from trio.testing import MockClock

from p2phub import limits
from p2phub.content import digest_of
from p2phub.discovery import Candidate, DialBudget
from p2phub.engine.describe import describe
from p2phub.engine.exchange import Exchange
from p2phub.engine.fetch import Means, Wish, fetch
from p2phub.engine.search import Search
from p2phub.engine.workers import Workers
from p2phub.errors import NoProvider, PeerGone, PeerRefused
from p2phub.identity import Address, PeerAddress
from p2phub.net import Closed, Control, Link, Report
from p2phub.store.memory import MemoryStore
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, key_of

VICTIM, ELSEWHERE = "8.8.8.8", Address("9.9.9.9", 4717)
MANY = 12
TOO_OFTEN = 100


class GoneAtOnce:
    """A link to who proved a key, and went."""

    via = "direct"

    def __init__(self, provider: PeerAddress) -> None:
        self.peer, self.address = provider.peer, provider.address

    async def next_report(self) -> Report:
        return Closed(PeerGone("went"))

    def close(self) -> None:
        """It is."""


class Counting:
    """A dialler that notes each dial, and has it end as `comes_of` says."""

    def __init__(self, comes_of: Callable[[PeerAddress], object]) -> None:
        self.dialled: list[Address] = []
        self._comes_of = comes_of

    async def open_link(self, provider: PeerAddress, *args: object, **options: object) -> Link:
        self.dialled.append(provider.address)
        assert len(self.dialled) < TOO_OFTEN
        came = self._comes_of(provider)
        if isinstance(came, Exception):
            raise came
        return came  # type: ignore[return-value]

    async def open_control(self, peer: PeerAddress) -> Control:
        raise PeerGone("no questions")


def nobody(provider: PeerAddress) -> PeerGone:
    return PeerGone("nobody there")


def living_at(ip: str, via: str, count: int = MANY) -> list[Candidate]:
    """Return peers that are said to live at one address."""
    return [Candidate(PeerAddress(key_of(str(n)).peer_id, Address(ip, 4717 + n)), via) for n in range(count)]


class Node:
    """What the fetches of one node share."""

    def __init__(self, folder: Path, comes_of: Callable[[PeerAddress], object] = nobody) -> None:
        self.folder = folder
        self.dialler = Counting(comes_of)
        self.budget = DialBudget()

    def means(self, *, exchange: bool = False) -> Means:
        return Means(
            self.dialler,
            MemoryStore(),
            Workers(),
            key_of("own").peer_id,
            exchange=Exchange(seed=b"seed") if exchange else None,
            budget=self.budget,
        )

    async def fetch(
        self,
        found: Sequence[Candidate],
        *,
        known: Sequence[Candidate] = (),
        exchange: bool = False,
        wait_s: float = 0.0,
    ) -> None:
        """Fetch in vain."""
        with pytest.raises(NoProvider):
            await fetch(
                Wish(reference="test", manifest=digest_of(b"?"), destination=self.folder / "out", patience_s=wait_s),
                search=search(found, known),
                means=self.means(exchange=exchange),
                watch=lambda event: None,
            )


def search(found: Sequence[Candidate], known: Sequence[Candidate] = ()) -> Search:
    async def open_finder() -> FixedFinder:
        return FixedFinder(found)

    return Search(known, open_finder)


@covers("T41")
@pytest.mark.parametrize(("via", "exchange"), [("exchange", True), ("dht", True), ("dht", False), ("lan", False)])
async def test_a_victim_that_made_up_peers_are_said_to_live_at_is_dialled_three_times_whoever_says_so(
    via: str, exchange: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    node = Node(tmp_path)
    await node.fetch(living_at(VICTIM, via), exchange=exchange)
    assert len(node.dialler.dialled) == limits.DIALS_PER_ADDRESS_MAX


@covers("T41")
async def test_all_fetches_of_a_node_have_one_budget(tmp_path: Path, autojump_clock: MockClock) -> None:
    node = Node(tmp_path)
    for exchange in (True, False, True):
        await node.fetch(living_at(VICTIM, "dht"), exchange=exchange)
    assert len(node.dialler.dialled) == limits.DIALS_PER_ADDRESS_MAX


async def test_what_the_user_named_is_dialled_as_it_stands(tmp_path: Path, autojump_clock: MockClock) -> None:
    node = Node(tmp_path)
    await node.fetch([], known=living_at(VICTIM, "direct"))
    assert len(node.dialler.dialled) == MANY


async def test_what_the_user_named_stays_so_when_others_name_it_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    node = Node(tmp_path)
    await node.fetch(living_at(VICTIM, "dht"))
    await node.fetch(living_at(VICTIM, "dht"), known=living_at(VICTIM, "direct"))
    assert len(node.dialler.dialled) == limits.DIALS_PER_ADDRESS_MAX + MANY


async def test_where_somebody_proved_a_key_dials_are_welcome(tmp_path: Path, autojump_clock: MockClock) -> None:
    node = Node(tmp_path, GoneAtOnce)
    await node.fetch(living_at(VICTIM, "dht", 1))
    await node.fetch(living_at(VICTIM, "dht"))
    assert len(node.dialler.dialled) == 1 + MANY


@covers("T41")
async def test_who_is_reached_another_way_proves_nothing_of_where_it_is_said_to_live(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    node = Node(tmp_path, lambda provider: GoneAtOnce(PeerAddress(provider.peer, ELSEWHERE)))
    for _ in range(3):
        await node.fetch(living_at(VICTIM, "dht"))
    assert len(node.dialler.dialled) == limits.DIALS_PER_ADDRESS_MAX


async def test_an_address_over_the_budget_does_not_hurry_the_dials_to_another(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    node = Node(tmp_path, lambda provider: PeerRefused("later", reason="busy"))
    await node.fetch(living_at(VICTIM, "dht"))
    node.dialler.dialled.clear()
    given = Candidate(PeerAddress(key_of("0").peer_id, ELSEWHERE), "direct")
    await node.fetch(living_at(VICTIM, "dht", 1), known=[given], wait_s=60.0)
    assert set(node.dialler.dialled) == {ELSEWHERE}
    assert len(node.dialler.dialled) < MANY


@covers("T41")
@pytest.mark.parametrize(("via", "dials"), [("dht", limits.DIALS_PER_ADDRESS_MAX), ("direct", MANY)])
async def test_who_asks_what_a_manifest_is_dials_within_the_same_budget(
    via: str, dials: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    node = Node(tmp_path)
    with pytest.raises(NoProvider):
        await describe(digest_of(b"?"), search=search(living_at(VICTIM, via)), means=node.means())
    assert len(node.dialler.dialled) == dials
