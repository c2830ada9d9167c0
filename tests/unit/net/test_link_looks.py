"""What the watchdog's look at a link tells: that bytes come, if they come fast enough to matter."""

from __future__ import annotations

import threading

import trio
from trio.testing import MockClock

from p2phub import limits
from p2phub.content import RangeSet, digest_of
from p2phub.errors import PeerGone
from p2phub.identity import Address, SecretKey
from p2phub.net.channel import Progress, Watched
from p2phub.net.interface import Verified
from p2phub.net.lease import Window
from p2phub.net.link import BulkLink
from p2phub.net.links import Links
from p2phub.wire import BulkRequester
from tests.support.covers import covers


class Counting:
    """A channel of which only a count of bytes is known."""

    def __init__(self) -> None:
        self.peer = SecretKey(bytes(32)).peer_id
        self.progress = Progress()
        self.count = 0

    def received(self) -> int:
        return self.count

    def fill(self, into: memoryview) -> None: ...
    def send(self, data: memoryview | bytes) -> None: ...
    def wait(self, timeout_s: float) -> bool:
        return False

    def widen(self) -> None: ...

    def nothing_for_us(self) -> bool:
        return True

    def wake(self) -> None: ...
    def cancel(self) -> None: ...
    def close(self) -> None: ...


async def told(link: BulkLink) -> list[object]:
    found: list[object] = []
    with trio.move_on_after(1):  # Of a clock that jumps.
        while True:
            found.append(await link.next_report())
    return found


def link_over(channel: Counting) -> BulkLink:
    return BulkLink(channel, BulkRequester(digest_of(b""), 0), Address("127.0.0.1", 1), "direct", Window())


async def test_a_slow_chunk_is_told_of_while_its_bytes_come(autojump_clock: MockClock) -> None:
    channel = Counting()
    link = link_over(channel)
    link.look(0.0)
    for second in range(1, 7):
        channel.count += limits.RATE_MIN
        link.look(float(second))
    assert await told(link) == [Verified(RangeSet(), 0)]  # Reports that wait become one.


@covers("T35")
async def test_a_drip_is_as_good_as_silence(autojump_clock: MockClock) -> None:
    channel = Counting()
    link = link_over(channel)
    link.look(0.0)
    for second in range(1, 60):
        channel.count += 100
        link.look(float(second))
    assert await told(link) == []


@covers("T35")
async def test_whoever_watches_over_links_ends_the_calls_that_are_overdue(autojump_clock: MockClock) -> None:
    cancelled: list[Counting] = []

    class Cancelled(Counting):
        def cancel(self) -> None:
            cancelled.append(self)

    late, in_time = Cancelled(), Cancelled()
    late.progress.deadline, in_time.progress.deadline = 10.0, 11.0
    watched = Watched(lambda: 10.5)
    watched.add(late)
    watched.add(in_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Links(nursery, watched).keep_looking)
        await trio.sleep(1.5)
        nursery.cancel_scope.cancel()
    assert cancelled == [late]
    assert late.progress.overdue


async def test_whoever_watches_over_links_looks_at_each(autojump_clock: MockClock) -> None:
    class Growing(Counting):
        """A chunk comes steadily, and is never whole."""

        ended = threading.Event()

        def received(self) -> int:
            self.count += 3 * limits.RATE_MIN
            return self.count

        def wait(self, timeout_s: float) -> bool:
            self.ended.wait(10)  # Never so long: it is cancelled.
            raise PeerGone("it was cancelled")

        def cancel(self) -> None:
            self.ended.set()

        close = cancel  # Of one whose thread has not begun: the clock does not wait for that.

    async with trio.open_nursery() as nursery:
        links = Links(nursery, Watched(trio.current_time))
        nursery.start_soon(links.keep_looking)
        link = links.start(Growing(), BulkRequester(digest_of(b""), 0), Address("127.0.0.1", 1), "direct")
        with trio.fail_after(60):  # Of a clock that jumps.
            assert await link.next_report() == Verified(RangeSet(), 0)
        nursery.cancel_scope.cancel()
    assert Growing.ended.is_set()
