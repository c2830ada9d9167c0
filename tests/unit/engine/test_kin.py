"""A file that others have alone: which files are looked for so, and how a link to one of them counts its chunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import pytest

from p2phub import limits
from p2phub.content import Digest, RangeSet, WritePlan
from p2phub.engine.kin import kin_of
from p2phub.engine.kin_link import KinLink
from p2phub.identity import Address, PeerId
from p2phub.manifest import alone_digest, manifest_alone
from p2phub.net import Cancelled, Closed, Opened, Refused, Report, Returned, Verified, WindowNow
from tests.support.content import content_of, random_files

STEP = 1000
CONTENT = content_of({**random_files(3, a=2_500, b=6_500, c=9_000), "d.txt": b"short"}, STEP)
B = next(number for number, entry in enumerate(CONTENT.manifest.files) if entry.path == "b.bin")
RUN = CONTENT.table.span(B)


class RecordedLink:
    """A link that plays reports and keeps what it was told."""

    peer = PeerId(bytes(32))
    address = Address("127.0.0.1", 4717)
    via = "direct"
    window = WindowNow()

    def __init__(self, *reports: Report) -> None:
        self.reports = deque(reports)
        self.told: list[tuple[str, RangeSet]] = []
        self.plan: WritePlan | None = None

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> None:
        raise AssertionError("nothing is asked")

    def use(self, plan: WritePlan) -> None:
        self.plan = plan

    def grant(self, chunks: RangeSet) -> None:
        self.told.append(("grant", chunks))

    def revoke(self) -> None:
        self.told.append(("revoke", RangeSet()))

    def cancel(self, chunks: RangeSet) -> None:
        self.told.append(("cancel", chunks))

    def close(self) -> None:
        self.told.append(("close", RangeSet()))

    async def next_report(self) -> Report:
        return self.reports.popleft()


async def test_reports_of_a_file_alone_are_told_in_the_numbers_of_the_manifest() -> None:
    first, stop = RUN
    some = RangeSet.of([(1, 3)])
    ours = RangeSet.of([(first + 1, first + 3)])
    inner = RecordedLink(
        Opened((b"page",), ((0, b"x"),), RangeSet.of([(0, 1_000)])),
        Verified(some, 2_000),
        Refused(some, "changed"),
        Returned(some),
        Cancelled(some, RangeSet.of([(2, 3)])),
        Closed(None, some),
    )
    link = KinLink(inner, RUN)
    # Whatever it says to hold, no more than the file has.
    assert await link.next_report() == Opened((), (), RangeSet.of([(first, stop)]))
    assert await link.next_report() == Verified(ours, 2_000)
    assert await link.next_report() == Refused(ours, "changed")
    assert await link.next_report() == Returned(ours)
    assert await link.next_report() == Cancelled(ours, RangeSet.of([(first + 2, first + 3)]))
    assert await link.next_report() == Closed(None, ours)
    link.grant(ours)
    link.cancel(ours)
    assert inner.told == [("grant", some), ("cancel", some)]


def test_chunks_of_a_file_alone_go_where_the_manifest_has_the_file() -> None:
    opened: list[int] = []

    def open_file(file: int) -> int:
        opened.append(file)
        return -1

    inner = RecordedLink()
    KinLink(inner, RUN).use(WritePlan(CONTENT.root, CONTENT.table, open_file, CONTENT.path_of))
    plan = inner.plan
    assert plan is not None
    theirs = [(ref.offset, ref.length, ref.digest) for ref in plan.table.chunks(0, len(plan.table))]
    assert theirs == [(ref.offset, ref.length, ref.digest) for ref in CONTENT.table.chunks(RUN[0], RUN[1] - RUN[0])]
    assert plan.path_of(0) == "b.bin"
    plan.open(0)
    assert opened == [B]


def test_the_largest_files_of_which_something_is_missing_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALONE_BYTES_MIN", 2_000)
    a, b, c = (entry for entry in CONTENT.manifest.files if entry.path.endswith(".bin"))
    digests = [alone_digest(entry) for entry in (c, b, a)]
    assert list(kin_of(CONTENT.manifest, CONTENT.table, CONTENT.whole)) == digests
    had = RangeSet.of([RUN])
    assert list(kin_of(CONTENT.manifest, CONTENT.table, CONTENT.whole - had)) == [digests[0], digests[2]]
    one = content_of({"file": CONTENT.files["b.bin"]}, STEP)
    assert one.manifest == manifest_alone(b)
    assert kin_of(one.manifest, one.table, one.whole) == {}
