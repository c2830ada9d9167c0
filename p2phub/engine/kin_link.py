"""A link for one file alone that speaks of the chunks of a manifest which has that file.

The chunks are the same in the same order, so that numbers are only shifted; where they go, the manifest's plan says.
What comes is checked by the carrier as ever: by the digests of the manifest, whatever the peer says it has.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2phub.content import Digest, RangeSet, Run, WritePlan
from p2phub.identity import Address, SourceId
from p2phub.net import Cancelled, Closed, Link, Opened, Refused, Report, Returned, Verified, WindowNow


class KinLink:
    """A link to who has the chunks `run` of the manifest as a file alone, in the manifest's numbers."""

    def __init__(self, link: Link, run: Run) -> None:
        self._link = link
        self._first, self._stop = run

    @property
    def peer(self) -> SourceId:
        return self._link.peer

    @property
    def address(self) -> Address:
        return self._link.address

    @property
    def via(self) -> str:
        return self._link.via

    @property
    def window(self) -> WindowNow:
        return self._link.window

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> None:
        raise AssertionError("what describes the manifest is here before its kin is asked")

    def use(self, plan: WritePlan) -> None:
        file = plan.table.file_of(self._first)
        manifest = plan.manifest  # By which caps know the job; what was asked for stands in the link.
        self._link.use(
            WritePlan(manifest, plan.table.alone(file), lambda _: plan.open(file), lambda _: plan.path_of(file))
        )

    def grant(self, chunks: RangeSet) -> None:
        self._link.grant(self._theirs(chunks))

    def revoke(self) -> None:
        self._link.revoke()

    def cancel(self, chunks: RangeSet) -> None:
        self._link.cancel(self._theirs(chunks))

    def close(self) -> None:
        self._link.close()

    async def next_report(self) -> Report:
        match await self._link.next_report():
            case Opened(held=held):
                return Opened((), (), self._ours(held))
            case Verified(chunks=chunks) as report:
                return Verified(self._ours(chunks), report.bytes, report.spent)
            case Refused(chunks=chunks) as report:
                return Refused(self._ours(chunks), report.reason)
            case Returned(chunks=chunks):
                return Returned(self._ours(chunks))
            case Cancelled() as report:
                return Cancelled(self._ours(report.chunks), self._ours(report.unasked))
            case Closed() as report:
                return Closed(report.error, self._ours(report.returned))
            case report:
                return report

    def _ours(self, theirs: RangeSet) -> RangeSet:
        length = self._stop - self._first
        within = theirs & RangeSet.whole(length)
        return RangeSet.of((start + self._first, stop + self._first) for start, stop in within.runs)

    def _theirs(self, ours: RangeSet) -> RangeSet:
        return RangeSet.of((start - self._first, stop - self._first) for start, stop in ours.runs)
