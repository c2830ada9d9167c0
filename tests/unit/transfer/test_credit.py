"""What a node believes of who gave what: its own eyes, and hearsay that costs its inventor an address."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.content import digest_of
from p2phub.identity import PeerId
from p2phub.transfer import Credit, Party
from tests.support.covers import covers
from tests.support.swarm import peer

MANIFEST, OTHER = digest_of(b"one"), digest_of(b"other")
ANN, BOB, CY, DAN = (peer(number) for number in range(1, 5))
SIZE = 1000
HOME: dict[PeerId, Party] = {ANN: "a", BOB: "b", CY: "c", DAN: "d"}


class Swarm:
    """All of HOME have come."""

    def __init__(self) -> None:
        self.credit = Credit()
        for each in HOME:
            self.says(each)

    def says(self, teller: PeerId, got: dict[PeerId, int] | None = None, party: Party = None) -> dict[PeerId, int]:
        where = HOME[teller] if party is None else party
        return self.credit.told(MANIFEST, teller, where, got or {}, bytes_total=SIZE)


def test_what_was_given_to_us_is_shown() -> None:
    swarm = Swarm()
    assert swarm.credit.gave_us(MANIFEST, {ANN: 100, BOB: 0}) == {ANN: 100}
    assert swarm.credit.gave_us(MANIFEST, {ANN: 100, BOB: 7}) == {BOB: 7}
    assert swarm.credit.gave_us(MANIFEST, {ANN: 40}) == {}  # Another fetch, from the beginning.


def test_what_others_were_given_is_added() -> None:
    swarm = Swarm()
    swarm.credit.gave_us(MANIFEST, {ANN: 100})
    assert swarm.says(BOB, {ANN: 10}) == {ANN: 110}
    assert swarm.says(CY, {ANN: 5, DAN: 1}) == {ANN: 115, DAN: 1}


def test_what_is_said_twice_counts_once() -> None:
    swarm = Swarm()
    assert swarm.says(BOB, {ANN: 10}) == {ANN: 10}
    assert swarm.says(BOB, {ANN: 10}) == {}
    assert swarm.says(BOB, {ANN: 3}) == {}
    assert swarm.says(BOB, {ANN: 12}) == {ANN: 12}


@covers("T38")
def test_nobody_speaks_for_itself_nor_for_its_neighbours_at_one_address() -> None:
    swarm = Swarm()
    assert swarm.says(ANN, {ANN: 500}) == {}
    shill = peer(9)
    assert swarm.says(shill, {ANN: 500}, party="a") == {}
    assert swarm.says(shill, {ANN: 500}, party="a") == {}


@covers("T38")
def test_nothing_is_believed_of_who_has_not_come_from_an_address_of_its_own() -> None:
    swarm = Swarm()
    stranger = peer(9)
    assert swarm.says(BOB, {stranger: 500}) == {}
    swarm.says(stranger, party="e")
    assert swarm.says(BOB, {stranger: 500}) == {stranger: 500}


@covers("T38")
def test_one_address_cannot_have_got_more_than_there_is() -> None:
    swarm = Swarm()
    assert swarm.says(BOB, {ANN: 2**63}) == {ANN: SIZE}
    assert swarm.says(BOB, {CY: 1}) == {}
    for number in range(50):  # Other keys at that address change nothing.
        assert swarm.says(peer(100 + number), {ANN: 2**63, CY: 2**63, DAN: 2**63}, party="b") == {}


@covers("T38")
def test_many_keys_of_one_address_make_nobody_else_forgotten() -> None:
    swarm = Swarm()
    for number in range(2 * limits.SWARM_MEMBERS_MAX):
        swarm.says(peer(100 + number), party="e")
    assert swarm.says(BOB, {ANN: 5}) == {ANN: 5}
    last = peer(100 + 2 * limits.SWARM_MEMBERS_MAX - 1)
    assert swarm.says(BOB, {peer(100): 1, last: 1}) == {last: 1}


def test_a_word_never_takes_anything_away() -> None:
    swarm = Swarm()
    swarm.says(BOB, {ANN: 300})
    assert swarm.says(CY, {ANN: 0}) == {}
    assert swarm.says(CY, {ANN: 1}) == {ANN: 301}


def test_what_is_said_in_one_swarm_counts_in_no_other() -> None:
    swarm = Swarm()
    swarm.says(BOB, {ANN: 300})
    assert swarm.credit.gave_us(OTHER, {ANN: 1}) == {ANN: 1}


def test_strangers_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SWARMS_KNOWN_MAX", 3)
    credit = Credit()
    for number in range(20):
        credit.told(digest_of(b"%d" % number), ANN, "a", {}, bytes_total=SIZE)
    assert len(credit._swarms) == 3
    swarm = Swarm()
    for number in range(1000):
        swarm.says(peer(number), {ANN: 1}, party=number)
        swarm.says(BOB, {peer(number): 1})
        swarm.credit.gave_us(MANIFEST, {peer(number): 1})
    known = swarm.credit._swarms[MANIFEST]
    for kept in (known.parties, known.said, known.gave_us, known.gave_others):
        assert len(kept) <= limits.SWARM_MEMBERS_MAX
    assert max(len(said) for said in known.said.values()) <= limits.SWARM_MEMBERS_MAX
