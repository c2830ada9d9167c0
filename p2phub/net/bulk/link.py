"""A link whose thread is in a child: what the node's loop sees of it.

Each call is a letter, each report came as one. If the child ends there is no last report, so this says in its place
that the link is gone, and gives back all that was granted and not reported on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from p2phub.content import Digest, RangeSet, Renumbering, WritePlan
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net.bulk.letters import digests_out, numbers_out, ranges_out
from p2phub.net.bulk.post import Letter
from p2phub.net.interface import Closed, Report, Returned, WindowNow
from p2phub.net.reports import Reports


class Child(Protocol):
    """What a link needs of the child that its thread is in."""

    def send(self, letter: Letter) -> None: ...

    def lend(self, plan: WritePlan) -> int:
        """Make a plan known to the child; returns its number."""

    def take_back(self, plan: WritePlan) -> None:
        """Say that one link less uses a plan."""


class ChildLink:
    """`net.Link` whose thread is in the child."""

    def __init__(self, child: Child, number: int, provider: PeerAddress, via: str) -> None:
        self._child, self._number, self._provider, self._via = child, number, provider, via
        self._reports = Reports()
        self._granted = RangeSet()  # All that was not reported on: what is returned if the child ends.
        self._plan: WritePlan | None = None
        self.window = WindowNow()
        self.closed = False

    @property
    def peer(self) -> PeerId:
        return self._provider.peer

    @property
    def address(self) -> Address:
        return self._provider.address

    @property
    def via(self) -> str:
        return self._via

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> None:
        self._send({"t": "ask", "blobs": digests_out(list(blobs))})

    def use(self, plan: WritePlan, numbers: Renumbering | None = None) -> None:
        assert self._plan is None, "a link has one plan"
        self._plan = plan
        if not self.closed:
            self._send({"t": "use", "plan": self._child.lend(plan), "numbers": numbers_out(numbers)})

    def grant(self, chunks: RangeSet) -> None:
        if self.closed:
            self._reports.put(Returned(chunks))
            return
        self._granted |= chunks
        self._send({"t": "grant", "chunks": ranges_out(chunks)})

    def revoke(self) -> None:
        if self.closed:
            self._reports.put(Returned(RangeSet()))
        self._send({"t": "revoke"})

    def cancel(self, chunks: RangeSet) -> None:
        self._send({"t": "cancel", "chunks": ranges_out(chunks)})

    def close(self) -> None:
        self._send({"t": "close"})

    async def next_report(self) -> Report:
        return await self._reports.take()

    def reported(self, report: Report, window: WindowNow) -> None:
        """Take a report of the child, and what its window was then."""
        self.window = window
        if isinstance(report, Closed):
            self.end(report)
            return
        self._granted -= getattr(report, "chunks", RangeSet())
        self._reports.put(report)

    def end(self, last: Closed | None = None) -> None:
        """Take the last report; if there is none, the child is gone and with it what was granted and not reported."""
        if self.closed:
            return
        self.closed = True
        if self._plan is not None:
            self._child.take_back(self._plan)
        gone = PeerGone("the bulk process of this node ended", peer=str(self.peer))
        # What was granted while its Closed was on the way is returned, too.
        self._reports.put(Closed(gone, self._granted) if last is None else Closed(last.error, self._granted))

    def _send(self, letter: Letter) -> None:
        if not self.closed:
            self._child.send({**letter, "link": self._number})
