"""Who is not dialled for what others did at the same address."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

from p2phub.engine.job import Job
from p2phub.engine.parole import TRIED_S, kept_back
from p2phub.engine.providers import Provider
from p2phub.errors import ChunkMismatch
from p2phub.identity import Address, MirrorId
from p2phub.transfer import Standings, party_of
from p2phub.transfer.standing import LIARS_REST_S, PAROLE_BYTES
from tests.support.covers import covers
from tests.support.hosts import key_of

LIE = ChunkMismatch("wrong byte", file="f", chunk=0, peer="")
SUSPECT, CLEAN = "192.0.2.1", "192.0.2.2"


class SuspectJob:
    """A fetch in which `liars` peers have lied at SUSPECT."""

    def __init__(self, *providers: Provider, liars: int = 1) -> None:
        self.providers = providers
        self.links = {number: SimpleNamespace(held=object()) for number in range(4)}
        self.given: dict[object, int] = {}
        self.session: object = SimpleNamespace(holds_missing=lambda peer: True)
        self.meter = SimpleNamespace(received_from=lambda peer: self.given.get(peer, 0))
        self.standings = Standings()
        for number in range(liars):
            liar = key_of(f"liar{number}").peer_id
            self.standings.met(liar, party_of(liar, Address(SUSPECT, 1)), now=0.0)
            self.standings.lied(liar, LIE, now=0.0)

    def kept_back(self, now: float = 0.0) -> list[Provider]:
        back = kept_back(cast(Job, self), now)
        return [each for each in self.providers if each.peer in back]


def at(name: str, *ips: str, links: int = 0) -> Provider:
    addresses = [Address(ip, 7) for ip in ips]
    return Provider(
        key_of(name).peer_id, "direct", addresses, links=set(range(links)), linked_at=0.0 if links else -math.inf
    )


@covers("T34")
def test_beside_one_that_is_being_tried_the_others_of_a_suspect_address_are_not_dialled() -> None:
    tried, next_one, elsewhere, both = (
        at("ann", SUSPECT, links=1),
        at("bob", SUSPECT),
        at("cy", CLEAN),
        at("dan", SUSPECT, CLEAN),
    )
    job = SuspectJob(tried, next_one, elsewhere, both)
    assert job.kept_back() == [next_one]
    job.given[tried.peer] = PAROLE_BYTES
    assert job.kept_back() == []


@covers("T34", "T35")
def test_who_gives_nothing_at_a_suspect_address_keeps_nobody_back_for_long() -> None:
    tried, next_one = at("ann", SUSPECT, links=1), at("bob", SUSPECT)
    tried.linked_at = 10.0
    job = SuspectJob(tried, next_one)
    assert job.kept_back(10.0 + TRIED_S - 0.1) == [next_one]
    assert job.kept_back(10.0 + TRIED_S) == []  # However little it gives.
    job.session = SimpleNamespace(holds_missing=lambda peer: False)
    assert job.kept_back(10.0) == []
    job.links[0].held = None  # Its first answer is due.
    assert job.kept_back(10.0) == [next_one]


@covers("T34")
def test_after_two_liars_the_next_one_waits_while_others_do_the_work() -> None:
    busy, next_one = at("ann", CLEAN, links=1), at("bob", SUSPECT)
    job = SuspectJob(busy, next_one, liars=2)
    assert job.kept_back() == [next_one]
    assert job.kept_back(LIARS_REST_S) == []
    job.session = SimpleNamespace(holds_missing=lambda peer: False)
    assert job.kept_back() == []  # Nobody else has anything for us.
    job.session = None
    assert job.kept_back() == [next_one]  # Before the manifest is here anybody may have all of it.


@covers("T34")
def test_where_nobody_lied_and_for_mirrors_nothing_changes() -> None:
    mirror = Provider(MirrorId("https://models.example.org/"), "mirror")
    assert SuspectJob(at("ann", SUSPECT, links=1), at("bob", SUSPECT), liars=0).kept_back() == []
    assert SuspectJob(at("ann", SUSPECT, links=1), mirror).kept_back() == []
