"""Which chunks one request to a mirror is for."""

from __future__ import annotations

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.net.lease import Lease
from p2phub.net.mirror_link import take_run
from tests.support.content import Content, content_of

MIB = 1 << 20


def content(**lengths: int) -> Content:
    return content_of({f"{name}.bin": bytes(length) for name, length in lengths.items()}, chunk_bytes=MIB)


def runs(content: Content, granted: RangeSet) -> list[list[int]]:
    lease = Lease()
    lease.add(granted)
    found = []
    while run := take_run(lease, content.table):
        found.append([ref.index for ref in run])
    assert lease.owed == granted
    return found


def test_a_request_is_for_neighbours_in_one_file() -> None:
    some = content(a=2 * MIB, b=10, c=0, d=2 * MIB + 1)
    assert len(some.table) == 6
    for run in runs(some, some.whole):
        refs = [some.table.chunk(index) for index in run]
        assert len({ref.file for ref in refs}) == 1
        assert run == list(range(run[0], run[-1] + 1))
    assert sorted(index for run in runs(some, some.whole) for index in run) == list(range(6))


def test_a_gap_in_the_lease_is_not_asked_for() -> None:
    some = content(a=8 * MIB)
    assert runs(some, RangeSet(((0, 2), (3, 4), (6, 8)))) == [[0, 1], [3], [6], [7]]


def test_two_requests_share_a_lease_and_a_large_one_fills_the_buffer() -> None:
    some = content(a=4 * MIB)
    assert [len(run) for run in runs(some, some.whole)] == [2, 1, 1]
    large = content(a=40 * MIB)
    sizes = [len(run) * MIB for run in runs(large, large.whole)]
    assert max(sizes) == sizes[0] == limits.MIRROR_RUN_BYTES_MAX


def test_under_a_cap_a_request_is_for_what_the_cap_lets_through_soon_or_for_one_chunk() -> None:
    some, lease = content(a=8 * MIB), Lease()
    lease.add(some.whole)
    assert [ref.index for ref in take_run(lease, some.table, 2 * MIB)] == [0, 1]
    assert [ref.index for ref in take_run(lease, some.table, 1000)] == [2]
