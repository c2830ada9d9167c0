"""What a session grants, takes back and drops, rule by rule (proto/transfer.md §5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.errors import ChunkMismatch, DiskFull, PeerError, PeerGone, PeerStalled, ProtocolViolation
from p2phub.transfer import Revoke, Session
from p2phub.transfer.pace import LEASE_BYTES_START
from p2phub.transfer.session import FAR_LINKS, LINK_WORTH_BYTES
from tests.support.covers import covers
from tests.support.swarm import Provider, Swarm, dropped, granted, megabytes, peer, runs, session_of, table_of

MIB = limits.MIB
ANN, BOB, CY = peer(1), peer(2), peer(3)


def test_the_rarest_chunks_are_granted_first() -> None:
    session, everything = session_of(40)
    session.joined(1, ANN, runs((0, 10)), now=0.0)
    session.joined(2, BOB, everything - runs((30, 32)), now=0.0)
    grant = granted(session.joined(3, CY, everything, now=0.0), 3)
    assert runs((30, 32)) & grant == runs((30, 32))


def test_file_order_starts_at_the_rotation_and_wraps_around() -> None:
    session, everything = session_of(3, 3, rotation=5)
    assert granted(session.joined(1, ANN, everything, now=0.0), 1) == runs((5, 6), (0, 3))


def test_each_link_gets_a_file_of_its_own_while_there_are_any() -> None:
    session, everything = session_of(100, 100, 100)
    firsts = [granted(session.joined(link, ANN, everything, now=0.0), link).runs[0][0] for link in range(3)]
    assert firsts == [0, 100, 200]


def test_a_lease_ends_before_a_file_that_another_link_is_in() -> None:
    session, everything = session_of(2, 100, 100)
    session.joined(1, ANN, runs((50, 102)), now=0.0)  # in the second file, whose beginning is free
    grant = granted(session.joined(2, BOB, everything, now=0.0), 2)
    assert grant & runs((0, 2)) == runs((0, 2))
    assert not grant & runs((2, 102))
    assert grant & runs((102, 202))


def test_a_link_without_a_file_of_its_own_helps_in_the_middle_of_the_longest_rest() -> None:
    session, everything = session_of(100)
    session.joined(1, ANN, everything, now=0.0)  # has 0 ..< 4
    assert granted(session.joined(2, BOB, everything, now=0.0), 2).runs[0][0] == 52


def test_many_small_files_are_one_run_in_one_grant() -> None:
    table = table_of(*([1000] for _ in range(5000)))
    session = Session(table, RangeSet(), now=0.0)
    grant = granted(session.joined(1, ANN, RangeSet.whole(5000), now=0.0), 1)
    assert len(grant.runs) == 1
    assert abs(table.bytes_of(grant) - LEASE_BYTES_START) < 2000


def test_a_lease_is_topped_up_when_less_than_half_of_it_is_left() -> None:
    session, everything = session_of(1000)
    first = granted(session.joined(1, ANN, everything, now=0.0), 1)
    assert not session.verified(1, first.first(1), MIB, now=0.001)
    assert granted(session.verified(1, first.first(3) - first.first(1), 2 * MIB, now=0.002), 1)


def test_a_lease_follows_the_measured_rate() -> None:
    session, everything = session_of(4000)
    leased = granted(session.joined(1, ANN, everything, now=0.0), 1)
    now = 0.0
    for _ in range(60):  # 200 MiB/s, reported every 100 ms
        now += 0.1
        done = leased.first(20)
        leased = leased - done
        leased = leased | granted(session.verified(1, done, len(done) * MIB, now=now), 1)
    assert session.rate(1) == pytest.approx(200 * MIB, rel=0.05)
    assert 25 <= len(leased) <= 8 * 50


def test_a_link_that_runs_dry_before_its_top_up_gets_longer_leases() -> None:
    session, everything = session_of(1000)
    leased = granted(session.joined(1, ANN, everything, now=0.0), 1)
    sizes = []
    for step in range(1, 4):  # 16 MiB/s all the time, of which 250 ms are 4 MiB.
        session_time = step * len(leased) / 16
        leased = granted(session.verified(1, leased, len(leased) * MIB, now=session_time), 1)
        sizes.append(len(leased))
    assert sizes[0] >= 8
    assert sizes[-1] >= 16


def test_chunks_that_came_unasked_in_the_first_flight_are_had_whoever_they_were_meant_for() -> None:
    session, everything = session_of(6)
    session.joined(1, ANN, everything, now=0.0)
    session.joined(2, BOB, everything, now=0.0)
    session.verified(2, runs((0, 2)), 2 * MIB, now=0.1)
    assert session.have == runs((0, 2))
    session.verified(1, runs((0, 2)), 2 * MIB, now=0.2)  # asked of Ann already: counted as received, not as verified
    assert session.bytes_verified == 2 * MIB
    assert session.received == {ANN: 2 * MIB, BOB: 2 * MIB}


def test_chunks_that_came_unasked_before_they_were_granted_are_not_granted_any_more() -> None:
    session, everything = session_of(6)
    session.joined(1, ANN, runs((0, 1)), now=0.0)
    session.verified(1, runs((0, 4)), 4 * MIB, now=0.1)
    assert session.missing == runs((4, 6))
    assert granted(session.joined(2, BOB, everything, now=0.2), 2) - runs((4, 6)) == RangeSet()


@covers("T33")
@pytest.mark.parametrize(
    "lie", [ChunkMismatch("wrong byte", file="f", chunk=3, peer=str(ANN)), ProtocolViolation("garbage", peer=str(ANN))]
)
def test_a_liar_is_banned_with_evidence_on_all_its_links_and_its_chunks_go_to_others(lie: PeerError) -> None:
    session, everything = session_of(4)
    session.joined(1, ANN, everything, now=0.0)
    session.joined(2, ANN, everything, now=0.0)
    session.joined(3, BOB, everything, now=0.0)
    actions = session.closed(1, lie, everything, now=0.1)
    assert dropped(actions) == {2: lie}
    assert granted(actions, 3) == everything
    assert session.banned(ANN) is lie
    assert session.links_wanted(ANN) == 0
    assert dropped(session.joined(4, ANN, everything, now=0.2)) == {4: lie}


@covers("F18")
@pytest.mark.parametrize("error", [None, PeerGone("reset"), PeerStalled("slow"), DiskFull("full")])
def test_nobody_is_banned_for_what_is_no_lie(error: PeerError | None) -> None:
    session, everything = session_of(4)
    session.joined(1, ANN, everything, now=0.0)
    session.closed(1, error, everything, now=0.1)
    assert session.banned(ANN) is None
    assert session.missing == everything
    assert session.unavailable == everything


def test_one_whose_connection_failed_is_wanted_again_after_a_rest_that_grows() -> None:
    session, everything = session_of(40)
    rests = []
    now = 0.0
    for link in range(3):
        session.joined(link, ANN, everything, now=now)
        session.closed(link, PeerGone("reset"), RangeSet(), now=now)
        assert session.links_wanted(ANN) == 0
        due = session.deadline()
        assert due is not None
        rests.append(due - now)
        now = due
        session.tick(now=now)
        assert session.links_wanted(ANN) == 1
    assert rests[0] < rests[1] < rests[2]


@covers("T35")
def test_a_silent_link_is_dropped_after_stall_s_if_another_provider_holds_its_chunks() -> None:
    session, everything = session_of(4)
    session.joined(1, ANN, everything, now=0.0)
    session.joined(2, BOB, everything - runs((0, 3)), now=0.0)
    now = 0.0
    while not (drops := dropped(session.tick(now=now))):
        now = session.deadline() or 60.0
        assert now < 60
    assert isinstance(drops[1], PeerStalled)
    assert now == pytest.approx(limits.STALL_S)


def test_a_silent_link_is_given_three_times_as_long_if_it_is_the_only_one() -> None:
    session, everything = session_of(4)
    session.joined(1, ANN, everything, now=0.0)
    now, drops = 0.0, {}
    while not drops and now < 60:
        now = session.deadline() or 60.0
        drops = dropped(session.tick(now=now))
    assert drops.keys() == {1}
    assert now == pytest.approx(3 * limits.STALL_S)
    session.closed(1, drops[1], everything, now=now)
    assert session.missing == everything


@covers("T35")
def test_an_idle_link_takes_over_the_unasked_rest_of_the_slowest_lease() -> None:
    session, everything = session_of(8)
    slow = granted(session.joined(1, ANN, everything, now=0.0), 1)
    session.verified(1, slow.first(1), MIB, now=4.0)  # 256 KiB/s
    fast = granted(session.joined(2, BOB, everything, now=4.0), 2)
    actions = session.verified(2, fast, len(fast) * MIB, now=4.1)
    while fast := granted(actions, 2):
        actions = session.verified(2, fast, len(fast) * MIB, now=4.1)
    assert Revoke(1) in actions
    rest = session.missing - slow.first(2)
    actions = session.returned(1, rest, now=4.1)
    assert granted(actions, 2) == rest
    assert not granted(actions, 1)


@covers("T35")
def test_what_is_taken_back_for_an_idle_link_that_holds_none_of_it_does_not_go_to_and_fro() -> None:
    session, everything = session_of(8)
    slow = granted(session.joined(1, ANN, everything, now=0.0), 1)
    session.verified(1, slow.first(1), MIB, now=4.0)  # 256 KiB/s
    in_flight = slow.first(2) - slow.first(1)
    assert Revoke(1) in session.joined(2, BOB, in_flight, now=4.0) + session.tick(now=4.1)
    for _ in range(3):
        actions = session.returned(1, session.missing - in_flight, now=4.2)
        assert Revoke(1) not in actions
    assert Revoke(1) in session.tick(now=5.0)  # Others may have become slow meanwhile.


@pytest.mark.parametrize("reason", ["changed", "not-held", "disk"])
def test_refused_chunks_go_to_others_and_are_not_asked_of_that_peer_again(reason: str) -> None:
    session, everything = session_of(4)
    session.joined(1, ANN, everything, now=0.0)
    actions = session.refused(1, runs((0, 2)), reason, now=0.1)
    assert not granted(actions, 1) & runs((0, 2))
    assert session.unavailable == runs((0, 2))
    assert session.banned(ANN) is None
    assert granted(session.joined(2, BOB, runs((0, 2)), now=0.2), 2)
    assert session.unavailable == RangeSet()


def test_chunks_refused_as_not_held_are_believed_once_more_when_announced_anew() -> None:
    session, everything = session_of(4)
    session.joined(1, ANN, everything, now=0.0)
    session.refused(1, runs((0, 2)), "not-held", now=0.1)
    session.verified(1, runs((2, 4)), 2 * MIB, now=0.2)
    assert granted(session.held(1, everything, now=0.3), 1) == runs((0, 2))
    session.refused(1, runs((0, 2)), "not-held", now=0.4)
    assert not session.held(1, everything, now=0.5)


@pytest.mark.parametrize("reason", ["changed", "disk"])
def test_chunks_of_a_changed_file_are_never_believed_again(reason: str) -> None:
    session, everything = session_of(4)
    session.joined(1, ANN, everything, now=0.0)
    session.refused(1, everything, reason, now=0.1)
    assert not session.held(1, everything, now=0.2)


def test_a_busy_provider_is_asked_again_later_and_later() -> None:
    session, everything = session_of(4)
    session.joined(1, ANN, everything, now=0.0)
    waits, now = [], 0.0
    for _ in range(3):
        assert not session.refused(1, everything, "busy", now=now)
        due = session.deadline()
        assert due is not None
        assert granted(session.tick(now=due), 1) == everything
        waits.append(due - now)
        now = due
    assert waits == [0.5, 1.0, 2.0]


def test_a_provider_that_announces_more_is_granted_more() -> None:
    session, everything = session_of(4)
    assert not session.joined(1, ANN, RangeSet(), now=0.0)
    assert granted(session.held(1, everything, now=0.1), 1) == everything


def test_two_links_a_provider_up_to_two_providers_then_one_and_never_more_than_the_threads() -> None:
    session, everything = session_of(4000)
    open_links = {}
    for number in range(1, 12):
        who, link = peer(number), 100 * number
        open_links[number] = 0
        while open_links[number] < session.links_wanted(who):
            session.joined(link + open_links[number], who, everything, now=0.0)
            session.verified(link, RangeSet(), LINK_WORTH_BYTES, now=0.0)
            open_links[number] += 1
    assert list(open_links.values()) == [2, 2, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert sum(open_links.values()) == limits.BULK_THREADS_MAX


def test_a_second_link_to_a_provider_waits_until_the_first_has_shown_what_it_brings() -> None:
    """Who is slow because many ask at once has no use for more connections; by then those many are known."""
    session, everything = session_of(4000)
    session.joined(1, ANN, everything, now=0.0)
    session.verified(1, RangeSet(), LINK_WORTH_BYTES - 1, now=1.0)
    assert session.links_wanted(ANN) == 1
    session.verified(1, RangeSet(), 1, now=1.0)
    assert session.links_wanted(ANN) == 2


def test_a_far_provider_gets_its_links_at_once_as_soon_as_it_is_known_to_be_far() -> None:
    """Each of them takes ten round trips to be of full use: one after the other they would take seconds."""
    session, everything = session_of(4000)
    session.joined(1, ANN, everything, now=0.0)
    assert session.links_wanted(ANN) == 1
    assert session.links_wanted(ANN, trip_s=0.001) == 1
    assert session.links_wanted(ANN, trip_s=0.1) == FAR_LINKS


@pytest.mark.parametrize(("megabytes", "wanted"), [(64, FAR_LINKS), (24, 3), (4, 2)])
def test_a_far_provider_gets_no_more_links_than_the_rest_is_worth(megabytes: int, wanted: int) -> None:
    session, everything = session_of(megabytes)
    session.joined(1, ANN, everything, now=0.0)
    session.verified(1, RangeSet(), limits.MIB, now=0.5)  # Slow, as every connection is at its beginning.
    assert session.links_wanted(ANN, trip_s=0.1) == wanted


def from_afar(rate: float, links: int, *, others: int = 0) -> Session:
    """Return a session with so many links to ANN, that bring `rate` bytes/s together, and with one to each other."""
    session, everything = session_of(4000)
    for link in range(links + others):
        session.joined(link, ANN if link < links else peer(10 + link), everything, now=0.0)
    for step in range(1, 41):
        for link in range(links + others):
            session.verified(link, RangeSet(), int(0.25 * rate / links), now=0.25 * step)
    return session


@pytest.mark.parametrize(
    ("rate", "trip_s", "links", "wanted"),
    [
        (27e6, 0.1, 1, FAR_LINKS),  # What Linux sends over one connection at that distance.
        (58e6, 0.1, 2, FAR_LINKS + 1),
        (81e6, 0.1, 3, limits.BULK_THREADS_MAX),
        (125e6, 0.1, 8, limits.BULK_THREADS_MAX),  # A gigabit, filled.
        (12.5e6, 0.1, 1, FAR_LINKS),  # A line of 100 Mbit/s, filled: nobody knows that it is.
        (300e6, 0.001, 2, 2),  # Near, however much comes.
        (300e6, 0.0, 2, 2),  # Not known.
    ],
)
def test_a_far_provider_gets_a_link_for_each_part_of_what_is_under_way(
    rate: float, trip_s: float, links: int, wanted: int
) -> None:
    session = from_afar(rate, links)
    assert session.links_wanted(ANN, trip_s=trip_s) == wanted


@pytest.mark.parametrize(("others", "wanted"), [(1, limits.BULK_THREADS_MAX - 1), (2, 1)])
def test_of_far_providers_more_than_two_get_one_link_each(others: int, wanted: int) -> None:
    assert from_afar(100e6, 1, others=others).links_wanted(ANN, trip_s=0.1) == wanted


@covers("T35")
def test_of_one_that_has_several_links_one_could_go_though_nobody_else_holds_anything() -> None:
    several, alone, beside_another = from_afar(80e6, 8), from_afar(80e6, 1), from_afar(80e6, 1, others=1)
    assert several.slowest(now=10.0) is not None
    assert several.slowest(now=10.0, of_several=True) is not None
    assert alone.slowest(now=10.0) is None
    assert beside_another.slowest(now=10.0) is not None
    assert beside_another.slowest(now=10.0, of_several=True) is None


def test_a_second_link_is_not_worth_making_for_a_small_rest() -> None:
    session, everything = session_of(6)
    assert session.links_wanted(ANN) == 1
    session.joined(1, ANN, everything, now=0.0)
    assert session.links_wanted(BOB) == 0


def test_a_second_provider_is_wanted_for_a_small_rest_that_comes_too_slowly() -> None:
    session, everything = session_of(6)
    session.joined(1, ANN, everything, now=0.0)
    session.tick(now=3.0)
    assert session.links_wanted(BOB) >= 1


def test_what_is_had_before_is_never_granted_and_a_complete_session_wants_nothing() -> None:
    table = megabytes(2)
    session = Session(table, RangeSet.whole(2), now=0.0)
    assert session.complete
    assert session.links_wanted(ANN) == 0
    assert not session.joined(1, ANN, RangeSet.whole(2), now=0.0)
    assert session.deadline() is None


def test_a_manifest_without_chunks_is_complete_at_once() -> None:
    assert Session(table_of([]), RangeSet(), now=0.0).complete


@covers("T39")
def test_claims_beyond_the_manifest_are_ignored() -> None:
    session, everything = session_of(3)
    assert granted(session.joined(1, ANN, runs((0, 2**60)), now=0.0), 1) == everything


def test_reports_of_links_that_are_gone_change_no_lease() -> None:
    session, everything = session_of(3)
    session.joined(1, ANN, everything, now=0.0)
    session.closed(1, None, everything, now=0.1)
    assert not session.returned(1, everything, now=0.2)
    assert not session.refused(1, everything, "changed", now=0.2)
    assert not session.held(1, everything, now=0.2)
    assert session.missing == everything


def test_a_report_costs_no_more_in_a_manifest_of_a_hundred_thousand_chunks() -> None:
    """Counted, not timed: how often the session asks the table about bytes, a report."""
    asked = {}
    for total in (1_000, 100_000):
        session, everything = session_of(*[total // 10] * 10)
        leased = granted(session.joined(1, ANN, everything, now=0.0), 1)
        count = 0
        bytes_of = session._table.bytes_of

        def counted(ranges: RangeSet, bytes_of: Callable[[RangeSet], int] = bytes_of) -> int:
            nonlocal count
            count += len(ranges.runs)
            return bytes_of(ranges)

        session._table.bytes_of = counted  # type: ignore[method-assign]
        for step in range(1, 101):
            done = leased.first(2)
            leased = (leased - done) | granted(session.verified(1, done, len(done) * MIB, now=step * 0.1), 1)
        asked[total] = count
    assert asked[100_000] <= asked[1_000] + 100


def two_links() -> Session:
    """Both have given 1 MiB by second 1, and owe more."""
    session, everything = session_of(256)
    session.joined(1, peer(1), everything, now=0.0)
    session.joined(2, peer(2), everything, now=0.0)
    for link in (1, 2):
        session.verified(link, session._links[link].lease.snapshot().first(1), limits.MIB, now=1.0)
    return session


@covers("T35")
def test_a_link_hardly_moves_that_gives_a_small_part_of_what_is_usual() -> None:
    session = two_links()
    assert not session.hardly_moves(2, now=1.1)
    for second in range(2, 20):  # The first goes on, the second is silent.
        session.verified(1, session._links[1].lease.snapshot().first(1), limits.MIB, now=float(second))
    assert session.hardly_moves(2, now=20.0)
    assert not session.hardly_moves(1, now=20.0)
    assert not session.hardly_moves(3, now=20.0)
    session.capped = True  # What it lacks may be our leave to send.
    assert not session.hardly_moves(2, now=20.0)


def test_where_all_are_silent_none_hardly_moves() -> None:
    session = two_links()
    assert not any(session.hardly_moves(link, now=now) for link in (1, 2) for now in (2.0, 5.0, 9.0, 30.0))


def test_who_alone_holds_what_it_owes_is_waited_for_however_slow_it_is() -> None:
    session, everything = session_of(256)
    session.joined(2, peer(2), everything, now=0.0)
    session.joined(1, peer(1), everything - session._links[2].lease.snapshot(), now=0.0)
    for second in range(1, 20):
        session.verified(1, session._links[1].lease.snapshot().first(1), limits.MIB, now=float(second))
    assert not session.hardly_moves(2, now=20.0)


def test_one_that_has_given_nothing_yet_has_until_it_is_late_whatever_it_says_meanwhile() -> None:
    session, everything = session_of(256)
    session.joined(1, peer(1), everything, now=0.0)
    session.verified(1, runs((0, 1)), limits.MIB, now=1.0)  # 1 MiB/s.
    session.joined(2, peer(2), everything, now=1.0)
    for second in range(2, 20):
        session.verified(1, session._links[1].lease.snapshot().first(1), limits.MIB, now=float(second))
        refused = session._links[2].lease.snapshot().first(1)
        session.refused(2, refused, "not-held", now=float(second))
        assert session.hardly_moves(2, now=float(second)) is (second - 1 >= 4)


@covers("T35")
@pytest.mark.parametrize("rate", [400e6, 5e6, 0.5e6])
def test_one_that_gave_all_it_has_at_once_is_no_reason_not_to_dial_another(rate: float) -> None:
    """One has all but a chunk and gave it, one is silent, and a third has everything."""
    everything = RangeSet.whole(4)
    swarm = Swarm(
        megabytes(4),
        [
            Provider(1, everything.first(3), rate),
            Provider(2, everything, 30e6, "stalls"),
            Provider(3, everything, 30e6),
        ],
    )
    while not swarm.session.complete and swarm.now < 60:
        swarm.dial()
        swarm.step()
        swarm.check()
    assert swarm.now < 3


def test_what_is_not_wanted_is_neither_asked_for_nor_missing_nor_had() -> None:
    session = Session(megabytes(40), runs((0, 2), (20, 21)), wanted=runs((0, 4), (10, 12)), now=0.0)
    assert session.missing == runs((2, 4), (10, 12))
    assert session.bytes_missing == 4 * MIB
    assert session.have == runs((0, 2), (20, 21))
    session.joined(1, ANN, runs((20, 40)), now=0.0)
    assert not session.holds_missing(ANN)
    actions = session.joined(2, BOB, RangeSet.whole(40), now=0.0)
    while session.missing:
        grant = granted(actions, 2)
        assert not grant - session.missing
        actions = session.verified(2, grant, len(grant) * MIB, now=1.0)
    assert session.complete
    assert session.have == runs((0, 4), (10, 12), (20, 21))
