"""A link that is told in the middle of an answer that another link wrote some of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio
import trio.testing

from p2phub.content import RangeSet
from p2phub.errors import PeerGone
from p2phub.identity import Address, SecretKey
from p2phub.net.channel import Progress
from p2phub.net.interface import Cancelled, Closed, Opened, Report, Verified
from p2phub.net.lease import Window
from p2phub.net.link import BulkLink
from p2phub.wire import BulkRequester, Chunks, FrameDecoder, Opening, Want, encode
from p2phub.wire.codec import decode_bulk_request
from tests.support.content import Arriving, content_of, random_files
from tests.support.covers import covers

CONTENT = content_of(random_files(9, a=40_000), 4_000)
[(PATH, WHOLE)] = CONTENT.files.items()
ALL = CONTENT.whole


class Provider:
    """The other end of a channel, which answers what it is asked. `before(length)` is called before each part comes."""

    def __init__(self) -> None:
        self.peer = SecretKey(bytes(32)).peer_id
        self.progress = Progress()
        self.closes = 0
        self.before: Callable[[int], None] = lambda length: None
        self._requests = FrameDecoder()
        self._coming = bytearray(encode(Opening(ALL, (), 0, 0)))

    def send(self, *parts: memoryview | bytes) -> None:
        for header in self._requests.receive(b"".join(parts)):
            want = decode_bulk_request(header)
            assert isinstance(want, Want)
            payload = b"".join(CONTENT.chunk(n) for first, count in want.ranges for n in range(first, first + count))
            self._coming += encode(Chunks(want.ranges, len(payload))) + payload

    def fill(self, into: memoryview) -> None:
        self.before(len(into))
        if len(self._coming) < len(into):
            raise PeerGone("the end")
        into[:] = self._coming[: len(into)]
        del self._coming[: len(into)]

    def wait(self, timeout_s: float) -> bool:
        return True

    def widen(self) -> None: ...

    def nothing_for_us(self) -> bool:
        return False

    def received(self) -> int:
        return 0

    def wake(self) -> None: ...
    def cancel(self) -> None: ...

    def close(self) -> None:
        self.closes += 1


async def play(folder: Path, cancel: RangeSet, *, at: str) -> tuple[list[Report], bytes]:
    """Ask for all, and cancel `cancel` "before" the answer or "while" its payload comes; return the reports, and what
    was written."""
    provider = Provider()
    arriving = Arriving(CONTENT, folder)
    machine = BulkRequester(CONTENT.root, 0)
    machine.open()
    link = BulkLink(provider, machine, Address("127.0.0.1", 1), "direct", Window())
    link.use(arriving.plan)
    link.grant(ALL)
    if at == "before":
        link.cancel(cancel)
    else:
        provider.before = lambda length: link.cancel(cancel) if length == CONTENT.table.bytes_total else None
    reports: list[Report] = []
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, link.run)
            while not reports or not isinstance(reports[-1], Closed):
                reports.append(await link.next_report())
    return reports, arriving.files().get(PATH, b"")


async def told_by_now(link: BulkLink) -> list[Report]:
    """Return the reports of a link that nobody works for; one that tells nothing is not waited for."""
    reports: list[Report] = []

    async def take() -> None:
        while True:
            reports.append(await link.next_report())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return reports


@covers("F11")
async def test_what_is_cancelled_while_it_comes_is_counted_and_not_written(tmp_path: Path) -> None:
    reports, written = await play(tmp_path, RangeSet(((3, 5), (9, 10))), at="while")
    assert [each for each in reports if isinstance(each, Cancelled)] == [
        Cancelled(RangeSet(((3, 5), (9, 10))), RangeSet())
    ]
    [verified] = [each for each in reports if isinstance(each, Verified)]
    assert verified.chunks == RangeSet(((0, 3), (5, 9)))
    assert verified.bytes == 40_000
    assert reports[-1].returned == RangeSet()  # type: ignore[union-attr]
    assert written == WHOLE[:12_000] + bytes(8_000) + WHOLE[20_000:36_000]


async def test_an_answer_of_which_all_is_cancelled_writes_nothing_and_is_told_as_bytes(tmp_path: Path) -> None:
    reports, written = await play(tmp_path, ALL, at="while")
    [verified] = [each for each in reports if isinstance(each, Verified)]
    assert (verified.chunks, verified.bytes) == (RangeSet(), 40_000)
    assert written == b""


async def test_what_is_cancelled_before_it_was_asked_for_is_not_asked_for(tmp_path: Path) -> None:
    reports, written = await play(tmp_path, RangeSet(((0, 8),)), at="before")
    [verified] = [each for each in reports if isinstance(each, Verified)]
    assert (verified.chunks, verified.bytes) == (RangeSet(((8, 10),)), 8_000)
    assert written == bytes(32_000) + WHOLE[32_000:]
    assert Cancelled(RangeSet(((0, 8),)), RangeSet(((0, 8),))) in reports  # None of it will come.


async def test_only_what_was_granted_and_not_reported_can_be_cancelled(tmp_path: Path) -> None:
    reports, _ = await play(tmp_path, RangeSet(((8, 90),)), at="while")
    assert isinstance(reports[0], Opened)
    assert Cancelled(RangeSet(((8, 10),)), RangeSet()) in reports


@covers("F30")
async def test_a_link_that_is_closed_before_its_thread_begins_closes_its_connection_and_returns_all(
    tmp_path: Path,
) -> None:
    provider = Provider()
    machine = BulkRequester(CONTENT.root, 0)
    machine.open()
    link = BulkLink(provider, machine, Address("127.0.0.1", 1), "direct", Window())
    link.use(Arriving(CONTENT, tmp_path).plan)
    link.grant(ALL)
    link.close()
    link.close()
    assert await told_by_now(link) == [Closed(None, ALL)]
    assert provider.closes == 1
    link.run()  # A thread that comes too late has nothing to do.
    assert provider.closes == 1
    assert await told_by_now(link) == []
