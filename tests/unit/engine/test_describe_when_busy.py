"""Who has no place for somebody who only wants to know what a manifest is, is asked again: in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2phub.content import Digest, RangeSet, Renumbering, WritePlan
from p2phub.discovery import Candidate
from p2phub.engine.describe import BUSY_AGAIN_S, describe
from p2phub.engine.job import Means
from p2phub.engine.search import Search
from p2phub.errors import NoProvider, PeerGone, PeerRefused
from p2phub.identity import Address, PeerAddress
from p2phub.manifest import Manifest
from p2phub.net import Closed, Control, Link, Opened, Report, WindowNow
from p2phub.store.filesystem import FilesystemStore
from tests.support.content import content_of
from tests.support.hosts import FixedFinder, key_of
from tests.support.no_threads import NoThreads

CONTENT = content_of({"a.bin": b"a" * 3000}, 1000)
ANN = PeerAddress(key_of("ann").peer_id, Address("10.0.0.1", 4717))


class OneReport:
    """A link that says one thing."""

    via = "direct"
    window = WindowNow()
    peer, address = ANN.peer, ANN.address

    def __init__(self, report: Report) -> None:
        self._report = report

    async def next_report(self) -> Report:
        await trio.lowlevel.checkpoint()
        return self._report

    def close(self) -> None:
        pass

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> None:
        raise AssertionError("all of it came with the first answer")

    def use(self, plan: WritePlan, numbers: Renumbering | None = None) -> None:
        raise AssertionError("nothing is fetched")

    def grant(self, chunks: RangeSet) -> None:
        raise AssertionError("nothing is fetched")

    def revoke(self) -> None:
        raise AssertionError("nothing is fetched")

    def cancel(self, chunks: RangeSet) -> None:
        raise AssertionError("nothing is fetched")


class RefusesAtFirst:
    """A dialler to one provider, which has no place for the first so many."""

    def __init__(self, count: int, reason: str) -> None:
        self.count, self.reason, self.dials = count, reason, 0

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> Link:
        await trio.lowlevel.checkpoint()
        self.dials += 1
        if self.dials <= self.count:
            return OneReport(Closed(PeerRefused(f"refused: {self.reason}", reason=self.reason), RangeSet()))
        blobs = tuple(CONTENT.blobs[digest] for digest in CONTENT.order)
        return OneReport(Opened(blobs, (), CONTENT.whole))

    async def open_control(self, peer: PeerAddress) -> Control:
        raise PeerGone("no questions")


async def described(tmp_path: Path, dialler: RefusesAtFirst) -> Manifest:
    async def open_finder() -> FixedFinder:
        return FixedFinder()

    with closing(FilesystemStore(tmp_path / "home")) as store:
        means = Means(dialler, store, NoThreads(), key_of("own").peer_id)
        search = Search((Candidate(ANN, "direct"),), open_finder)
        return (await describe(CONTENT.root, search=search, means=means)).manifest()


async def test_who_has_a_place_a_moment_later_tells_it_then(tmp_path: Path, autojump_clock: MockClock) -> None:
    dialler = RefusesAtFirst(3, "busy")
    assert await described(tmp_path, dialler) == CONTENT.manifest


@pytest.mark.parametrize("reason", ["busy", "unknown"])
async def test_who_is_busy_for_long_is_asked_a_few_times_and_who_does_not_have_it_in_each_round(
    tmp_path: Path, autojump_clock: MockClock, reason: str
) -> None:
    dialler = RefusesAtFirst(1000, reason)
    with pytest.raises(NoProvider, match=reason):
        await described(tmp_path, dialler)
    assert dialler.dials == 2 + (len(BUSY_AGAIN_S) if reason == "busy" else 0)
    assert trio.current_time() <= 10.0
