"""What is asked for next, and how much may be under way."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet
from p2phub.net.lease import Lease, Window, request_bytes
from tests.support.swarm import table_of

MIB = limits.MIB


def requests(lease: Lease, table: ChunkTable, bytes_max: int = MIB) -> list[list[int]]:
    taken: list[list[int]] = []
    while lease.unasked:
        taken.append([ref.index for ref in lease.take(table, bytes_max)])
    return taken


def granted(*runs: tuple[int, int]) -> Lease:
    lease = Lease()
    for run in runs:
        lease.add(RangeSet((run,)))
    return lease


def test_chunks_are_asked_for_in_ascending_order_across_files_and_gaps() -> None:
    table = table_of([100] * 5, [], [100] * 5)
    assert requests(granted((7, 9), (0, 2), (3, 5)), table) == [[0, 1, 3, 4, 7, 8]]


def test_a_request_holds_at_most_a_batch_of_bytes_and_of_chunks() -> None:
    assert requests(granted((0, 4)), table_of([MIB, MIB // 2, MIB // 2, 1])) == [[0], [1, 2], [3]]
    many = requests(granted((0, 1100)), table_of([10] * 1100))
    assert [len(request) for request in many] == [512, 512, 76]


def test_one_chunk_is_always_asked_for_however_small_the_room() -> None:
    assert requests(granted((0, 2)), table_of([MIB, MIB]), bytes_max=1000) == [[0], [1]]


def test_what_was_asked_for_is_owed_until_it_is_reported_and_not_given_back() -> None:
    lease = granted((0, 5))
    lease.take(table_of([MIB] * 5), 2 * MIB)
    assert lease.revoke() == RangeSet(((2, 5),))
    assert lease.owed == RangeSet(((0, 2),))
    lease.settle(RangeSet(((0, 1),)))
    assert lease.owed == RangeSet(((1, 2),))
    assert lease.revoke() == RangeSet()


@pytest.mark.parametrize(("rate", "window"), [(1e9, 4 * MIB), (8 * MIB, 2 * MIB), (1e6, 250_000), (1000, 128 * 1024)])
def test_the_window_is_what_a_quarter_second_brings(rate: float, window: int) -> None:
    measured = Window()
    measured.began(0.0)
    for step in range(1, 100):
        measured.came(int(rate * 0.1), 0.1 * step)
    assert measured.bytes_max == pytest.approx(window, rel=0.01)
    assert request_bytes(measured.bytes_max) == min(MIB, measured.bytes_max // 2)


def test_before_anything_is_measured_little_is_under_way_and_more_with_all_that_came() -> None:
    """In a crowd that starts together nobody knows of the others yet, and all that is asked for comes."""
    window = Window()
    assert window.bytes_max == 2 * request_bytes(window.bytes_max) == MIB // 4
    assert window.beside_bytes < MIB // 4  # Nor a second chunk beside the first.
    window.came(MIB // 8, 5.0)
    assert window.bytes_max == 3 * MIB // 4
    window.began(5.0)  # What was asked for came at once, too fast to measure: that does not start it anew.
    window.came(MIB, 5.001)
    assert window.bytes_max == 2 * request_bytes(window.bytes_max) == 2 * MIB


def test_time_in_which_nothing_was_under_way_does_not_count() -> None:
    window = Window()
    window.began(0.0)
    window.came(8 * MIB, 1.0)
    before = window.bytes_max
    window.began(1000.0)
    window.came(8 * MIB, 1001.0)
    assert window.bytes_max == before


def test_the_window_of_a_far_provider_has_two_round_trips_in_it() -> None:
    far = Window()
    far.began(0.0)
    assert far.is_asking
    far.answered(0.16)
    assert not far.is_asking
    far.answered(0.9)  # No longer: this answer was on its way already.
    for step in range(1, 100):
        far.came(200_000, 0.1 * step)
    assert far.trip_s == pytest.approx(0.16)
    assert far.bytes_max == pytest.approx(2e6 * (0.25 + 2 * 0.16), rel=0.01)


def test_the_shortest_round_trip_counts() -> None:
    window = Window()
    for began, took in ((0.0, 0.5), (1.0, 0.02), (2.0, 0.3)):
        window.began(began)
        window.answered(began + took)
    assert window.trip_s == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("rate", "trip_s", "window"),
    [(2e9, 0.0, 4 * MIB), (100e6, 0.001, 4 * MIB + 200_000), (30e6, 0.1, 4 * MIB + 6_000_000), (200e6, 0.2, 16 * MIB)],
)
def test_near_it_is_4_mib_at_most_and_from_afar_two_round_trips_more(rate: float, trip_s: float, window: int) -> None:
    measured = Window()
    measured.began(0.0)
    measured.answered(trip_s)
    for step in range(1, 100):
        measured.came(int(rate * 0.1), trip_s + 0.1 * step)
    assert measured.bytes_max == pytest.approx(window, rel=0.02)


@pytest.mark.parametrize(("rate", "trip_s", "pays"), [(1e6, 0.16, True), (1e5, 0.16, False), (1e6, 0.001, False)])
def test_a_second_request_goes_out_beside_a_chunk_where_the_round_trip_would_cost_a_noticeable_part(
    rate: float, trip_s: float, pays: bool
) -> None:
    window = Window()
    window.began(0.0)
    window.answered(trip_s)
    for step in range(1, 100):
        window.came(int(rate * 0.1), 0.1 * step)
    assert (window.beside_bytes >= MIB) is pays
    assert window.beside_bytes + MIB <= limits.WINDOW_BYTES_MAX


def test_nothing_goes_out_beside_a_chunk_that_our_own_cap_holds_back() -> None:
    window = Window(lambda most: min(most, 128 * 1024))
    window.began(0.0)
    window.answered(0.16)
    window.came(MIB, 1.0)
    assert window.beside_bytes == 128 * 1024


def test_what_is_cancelled_is_neither_asked_for_nor_owed() -> None:
    table = table_of([1000] * 10)
    lease = Lease()
    lease.add(RangeSet(((0, 6),)))
    lease.take(table, 2000)
    assert lease.cancel(RangeSet(((1, 3), (8, 9)))) == (RangeSet(((1, 3),)), RangeSet(((2, 3),)))
    assert lease.unasked == RangeSet(((3, 6),))
    assert lease.owed == RangeSet(((0, 1), (3, 6)))
