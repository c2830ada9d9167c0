"""A lane of a long line keeps packets as long as its rate and its delay ask, and drops what its queue cannot hold."""

from __future__ import annotations

import pytest

from benchmarks.lane import Lane

SECOND = bytes(1000)  # What takes a second to leave.


def lane(*, delay_s: float = 0.0, queue_s: int = 10) -> Lane:
    return Lane(bytes_per_s=1000, delay_s=delay_s, queue_bytes=1000 * queue_s)


def arrivals(one: Lane, *, until: float, step: float = 0.25) -> list[float]:
    """Look every `step`; return at which looks packets had arrived, one entry each."""
    looks = [number * step for number in range(int(until / step) + 1)]
    return [now for now in looks for _ in one.arrived(now=now)]


def test_a_packet_arrives_after_the_time_of_its_bytes_and_the_delay() -> None:
    one = lane(delay_s=5)
    one.take(SECOND, now=2.0)
    assert one.next_arrival == 8.0
    assert one.arrived(now=7.99) == []
    assert one.arrived(now=8.0) == [SECOND]
    assert one.next_arrival is None


def test_what_comes_at_once_leaves_at_the_rate_and_in_order() -> None:
    one = lane()
    packets = [bytes([number]) * 500 for number in range(4)]
    for packet in packets:
        one.take(packet, now=0.0)
    assert one.arrived(now=1.0) == packets[:2]
    assert one.arrived(now=2.0) == packets[2:]


def test_delay_adds_to_each_packet_and_not_to_the_rate() -> None:
    one = lane(delay_s=3)
    for _ in range(3):
        one.take(SECOND, now=0.0)
    assert arrivals(one, until=10) == [4.0, 5.0, 6.0]


def test_a_lane_that_was_idle_has_saved_nothing_up() -> None:
    one = lane()
    one.take(SECOND, now=0.0)
    for _ in range(2):
        one.take(SECOND, now=5.0)
    assert arrivals(one, until=10) == [1.0, 6.0, 7.0]


def test_what_finds_the_queue_full_is_dropped_and_counted() -> None:
    one = lane(queue_s=2)
    for _ in range(5):
        one.take(SECOND, now=0.0)
    assert (one.taken, one.dropped) == (2, 3)
    one.take(SECOND, now=1.0)  # The first has left by now.
    assert (one.taken, one.dropped) == (3, 3)
    assert arrivals(one, until=10) == [1.0, 2.0, 3.0]


def test_what_is_on_the_line_takes_no_room_in_the_queue() -> None:
    one = lane(delay_s=100, queue_s=1)
    for now in range(5):
        one.take(SECOND, now=float(now))
    assert one.dropped == 0


@pytest.mark.parametrize("step", [0.25, 1.0, 4.0])
def test_a_caller_who_looks_seldom_gets_as_much(step: float) -> None:
    one = lane(queue_s=20)
    for _ in range(8):
        one.take(SECOND, now=0.0)
    assert len(arrivals(one, until=8, step=step)) == 8
