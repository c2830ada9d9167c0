"""In which order those that are due are dialled."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace
from typing import cast

from p2phub.content import RangeSet
from p2phub.discovery import Candidate, Nearness, Surroundings
from p2phub.engine.giving_place import HOPE_RESTS_S
from p2phub.engine.job import Job
from p2phub.engine.providers import Provider, ProviderBook
from p2phub.engine.sparing import Sparing
from p2phub.engine.turns import Turns
from p2phub.errors import PeerGone
from p2phub.identity import Address, MirrorId, PeerAddress, PeerId, parse_mirror
from tests.support.hosts import key_of

LAN, FAR, DEAR = "10.0.0.1", "8.8.8.8", "100.64.0.1"
MIRROR = parse_mirror("https://models.example.org/x")
OTHER = parse_mirror("https://other.example.org/x")
NOW = 100.0


class FakeJob:
    """A job that has links to nobody. `hoped`: how much of what nobody has each may soon have."""

    def __init__(self) -> None:
        self.providers = ProviderBook(key_of("own").peer_id)
        self.own = key_of("own").peer_id
        self.means = SimpleNamespace(near=Surroundings({ip_network(DEAR): Nearness.METERED}), own=self.own)
        self.sparing = Sparing(began=0.0)
        self.crowd = frozenset[PeerId]()
        self.links: dict[int, object] = {}
        self.hoped: dict[PeerId, int] = {}
        self.wanted: dict[PeerId, int] = {}
        self.session = SimpleNamespace(
            unavailable=RangeSet(),
            hoped_from=lambda peer: self.hoped.get(peer, 0),
            links_wanted=lambda peer, trip_s=0.0: self.wanted.get(peer, 0),
        )

    def has(self, name: str, ip: str = FAR, via: str = "dht") -> Provider:
        peer = key_of(name).peer_id
        self.providers.found(Candidate(PeerAddress(peer, Address(ip, 4717)), via))
        return self.providers[peer]

    def has_mirror(self, mirror: MirrorId, *, by_user: bool) -> Provider:
        self.providers.mirror(mirror, by_user=by_user)
        return self.providers[mirror]

    @property
    def order(self) -> list[Provider]:
        return Turns(cast(Job, self))._due(NOW)


def test_whom_the_user_named_comes_first_peer_or_mirror_until_it_had_a_link() -> None:
    job = FakeJob()
    configured, near = job.has_mirror(OTHER, by_user=False), job.has("near", LAN)
    mirror, peer = job.has_mirror(MIRROR, by_user=True), job.has("named", via="direct")
    assert job.order == [mirror, peer, near, configured]
    mirror.linked_at = peer.linked_at = 1.0
    assert job.order == [near, configured, mirror, peer]


def test_the_nearer_come_first_and_then_those_whom_not_only_others_named() -> None:
    job = FakeJob()
    dear, said, far, near = job.has("dear", DEAR), job.has("said", via="exchange"), job.has("far"), job.has("near", LAN)
    assert job.order == [near, far, said, dear]


def test_distance_does_not_count_while_something_is_missing_that_nobody_has_but_for_metered_ones() -> None:
    job = FakeJob()
    dear, far, near = job.has("dear", DEAR), job.has("far"), job.has("near", LAN, "exchange")
    assert job.order == [near, far, dear]
    job.session.unavailable = RangeSet.whole(1)
    assert job.order == [far, near, dear]  # As it is where all are alike: hearsay last.


def test_those_that_had_no_link_yet_come_before_those_that_had_and_of_these_the_one_that_waits_longest() -> None:
    job = FakeJob()
    late, early, never = job.has("late"), job.has("early"), job.has("never")
    late.linked_at, early.linked_at = 50.0, 20.0
    assert job.order == [never, early, late]


def test_in_a_crowd_who_may_soon_have_most_of_what_nobody_has_comes_first_but_not_if_it_had_a_link_just_now() -> None:
    job = FakeJob()
    one, two, three = job.has("one"), job.has("two"), job.has("three")
    for provider, hoped in ((one, 1), (two, 2), (three, 3)):
        assert isinstance(provider.peer, PeerId)
        job.hoped[provider.peer] = hoped
    three.linked_at = NOW - HOPE_RESTS_S / 2
    assert job.order == [one, two, three], "there is no crowd"
    job.crowd = frozenset([key_of("fellow").peer_id])
    assert job.order == [two, one, three]


def test_in_a_crowd_the_draw_decides_among_equals_and_a_live_one_is_not_looked_at() -> None:
    job = FakeJob()
    several = [job.has(f"peer{number}") for number in range(6)]
    assert job.order == several, "as they were found"
    job.crowd = frozenset([key_of("fellow").peer_id])
    drawn = sorted(several, key=lambda each: each.draw)
    assert job.order == drawn
    drawn[0].dialling = 1
    assert job.order == drawn[1:]


def test_nobody_is_due_who_rests_is_out_failed_just_now_or_has_no_address() -> None:
    job = FakeJob()
    rests, banned, failed, nowhere = job.has("rests"), job.has("banned"), job.has("failed"), job.has("nowhere")
    job.sparing.held_back = frozenset([rests.peer])
    banned.banned = True
    failed.tried.update(failed.addresses)
    failed.failed(PeerGone("gone"), NOW)
    nowhere.forget(tuple(nowhere.addresses))
    assert job.order == []


def test_in_a_crowd_nobody_is_looked_at_where_a_stranger_is_not_worth_a_link_and_elsewhere_all_are() -> None:
    job = FakeJob()
    turns = Turns(cast(Job, job))
    assert turns._somebody_wanted()  # Who has a link may be worth a second.
    job.crowd = frozenset({key_of("other").peer_id})
    assert not turns._somebody_wanted()
    job.wanted[job.own] = 1
    assert turns._somebody_wanted()
