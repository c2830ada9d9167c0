"""When finders are asked beside mirrors, and which mirrors are in a fetch."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import trio

from p2phub import limits
from p2phub.content import digest_of
from p2phub.discovery import Candidate
from p2phub.engine.job import Job, Means, Wish
from p2phub.engine.mirrors import mirrors_of
from p2phub.engine.providers import ProviderBook
from p2phub.engine.search import Search
from p2phub.engine.workers import Workers
from p2phub.errors import ChunkMismatch, Damaged, MirrorUnusable, NoProvider, PeerGone, UsageError
from p2phub.identity import Address, MirrorId, PeerAddress, parse_mirror
from p2phub.net import Dialler
from p2phub.store.memory import MemoryStore
from tests.support.hosts import FixedFinder, key_of

MANIFEST = digest_of(b"manifest")
MIRROR = parse_mirror("https://models.example.org/x")
OTHER = parse_mirror("https://other.example.org/x")


async def searches(*, rounds: int, given: tuple[MirrorId, ...] = (), configured: tuple[MirrorId, ...] = ()) -> int:
    """Return how often the finder was asked in the first rounds."""
    finder = FixedFinder()

    async def open_finder() -> FixedFinder:
        return finder

    search = Search((), open_finder, given=given, configured=configured)
    send, _receive = trio.open_memory_channel[Candidate](10)
    for number in range(rounds):
        await search.look(MANIFEST, number, send)
    return finder.searches


async def test_finders_wait_for_mirrors_that_were_given_for_this_fetch() -> None:
    assert await searches(given=(MIRROR,), rounds=1) == 0
    assert await searches(given=(MIRROR,), rounds=2) == 1


async def candidates(finder: FixedFinder | None, *, near: bool = True, rounds: int = 0) -> tuple[list[str], bool]:
    """Return of whom a look at the local network tells, after so many rounds, and whether another may be."""

    async def open_finder() -> FixedFinder:
        return FixedFinder()

    async def open_lan() -> FixedFinder | None:
        return finder

    search = Search((), open_finder, open_lan=open_lan if near else None)
    send, receive = trio.open_memory_channel[Candidate](10)
    for number in range(rounds):
        await search.look(MANIFEST, number, send)
    if search.may_look_near:
        await search.look_near(MANIFEST, send)
    send.close()
    return [candidate.via async for candidate in receive], search.may_look_near


async def test_the_local_network_is_asked_alone_and_once() -> None:
    neighbour = Candidate(PeerAddress(key_of("ann").peer_id, Address("10.0.0.1", 1)), "lan")
    assert await candidates(FixedFinder([neighbour])) == (["lan"], False)
    assert await candidates(FixedFinder([neighbour]), rounds=1) == ([], False)  # All finders were asked, this one, too.
    assert await candidates(FixedFinder([neighbour]), near=False) == ([], False)
    assert await candidates(None) == ([], False)


async def test_configured_mirrors_race_with_the_finders() -> None:
    assert await searches(configured=(MIRROR,), rounds=1) == 1


def test_a_mirror_that_is_given_and_configured_is_one() -> None:
    search = Search((), FixedFinder, given=[MIRROR, OTHER], configured=[MIRROR])  # type: ignore[arg-type]
    assert search.mirrors == (MIRROR, OTHER)
    assert str(MIRROR) in search.asked()


def test_of_the_mirrors_of_a_fetch_those_that_the_user_named_for_it_are_known_as_such(tmp_path: Path) -> None:
    search = Search((), FixedFinder, given=[MIRROR], configured=[OTHER, MIRROR])  # type: ignore[arg-type]
    wish = Wish(reference="test", manifest=MANIFEST, destination=tmp_path / "out")
    means = Means(cast(Dialler, None), MemoryStore(), Workers(), key_of("own").peer_id)
    job = Job(wish, search, means, lambda event: None, now=0.0)
    assert {each.peer: each.by_user for each in job.providers} == {MIRROR: True, OTHER: False}


def test_so_many_mirrors_are_asked_and_one_more_is_refused() -> None:
    many = [f"https://m{number}.example/x" for number in range(limits.MIRRORS_MAX + 1)]
    assert len(mirrors_of(many[1:], name=None, manifest=MANIFEST)) == limits.MIRRORS_MAX
    with pytest.raises(UsageError, match="at most"):
        mirrors_of(many, name=None, manifest=MANIFEST)


def book(*mirrors: MirrorId) -> ProviderBook:
    providers = ProviderBook(key_of("own").peer_id)
    for mirror in mirrors:
        providers.mirror(mirror)
    return providers


def test_a_mirror_is_dialled_without_an_address_and_a_peer_is_not() -> None:
    providers = book(MIRROR)
    providers.found(Candidate(PeerAddress(key_of("ann").peer_id, Address("192.0.2.1", 1)), "direct"))
    providers[key_of("ann").peer_id].forget((Address("192.0.2.1", 1),))
    assert [provider.can_be_dialled for provider in providers] == [True, False]


def test_a_server_that_cannot_be_a_mirror_is_out_for_good_and_called_no_liar() -> None:
    providers = book(MIRROR)
    providers[MIRROR].failed(PeerGone("gone"), 0.0)
    assert not providers.none_left()
    assert not providers[MIRROR].out
    providers[MIRROR].failed(MirrorUnusable("no ranges"), 0.0)
    assert providers.none_left()
    assert providers[MIRROR].out
    assert not providers[MIRROR].banned
    verdict = providers.verdict("ref", "asked")
    assert isinstance(verdict, NoProvider)
    assert f"{MIRROR}: no ranges" in verdict.message


def test_of_a_liar_and_a_server_that_cannot_be_a_mirror_the_liar_is_named() -> None:
    providers = book(OTHER, MIRROR)
    providers[OTHER].failed(MirrorUnusable("no ranges"), 0.0)
    providers[MIRROR].failed(ChunkMismatch("wrong", file="a", chunk=3), 0.0)
    providers[MIRROR].lied_about = ("a", 3)
    verdict = providers.verdict("ref", "asked")
    assert isinstance(verdict, Damaged)
    assert f"chunk 3 of a from {MIRROR}" in verdict.message
