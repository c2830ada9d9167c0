"""The real carriers, cancelled at one checkpoint after the other: no task, descriptor, thread or process is left.

TLS over loopback, in this process and in children. When bytes come is the machine's business, so that a step's number
need not name the same moment twice; what has to hold afterwards is the same for every moment.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from p2phub.content import RangeSet
from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.net import Dialler
from p2phub.net.bulk.parent import BulkProcesses, open_bulk_processes
from p2phub.net.direct import open_plane
from p2phub.net.interface import Closed, Opened, Verified
from p2phub.net.listen import Handler, open_listener
from p2phub.wire import ControlAnswer, ControlRequest, Ping, Pong
from tests.support.cancelling import cancelled_at, some_of, what_is_left
from tests.support.content import Arriving, Published, content_of, random_files
from tests.support.covers import covers

ANN, BOB = SecretKey(b"a" * 32), SecretKey(b"b" * 32)
CONTENT = content_of(random_files(1, a=300_000, b=10, d=1_000_001), chunk_bytes=100_000)
NOTICED_S = 30.0  # Never reached: how long what was cut off may take to be noticed at the other end.


def some_or_all(some: int, more: int = 10**6) -> pytest.MarkDecorator:
    """At how many of its checkpoints an activity is cancelled: `some` by each run of the tests, else all, or `more`."""
    everywhere = pytest.param(more, id="all" if more == 10**6 else "more", marks=pytest.mark.endurance)
    return pytest.mark.parametrize("most", [pytest.param(some, id="some"), everywhere])


async def answer(peer: PeerId, where: Address, request: ControlRequest) -> ControlAnswer:
    return Pong()


@dataclass
class Folders:
    """What Ann has, and where Bob writes it."""

    shelf: Published
    into: Path
    fetched: int = 0

    async def fetch(self, dialler: Dialler, where: PeerAddress) -> None:
        """Ask something, then fetch all over one link, and compare."""
        control = await dialler.open_control(where)
        try:
            assert await control.ask(Ping()) == Pong()
        finally:
            with trio.CancelScope(shield=True):
                await control.aclose()
        self.fetched += 1
        arriving = Arriving(CONTENT, self.into / str(self.fetched))
        link = await dialler.open_link(where, CONTENT.root, prefix_bytes=0, via="direct")
        try:
            assert isinstance(await link.next_report(), Opened)
            link.use(arriving.plan)
            link.grant(CONTENT.whole)
            got = RangeSet()
            while got != CONTENT.whole:
                report = await link.next_report()
                assert isinstance(report, Verified), report
                got |= report.chunks
        finally:
            link.close()
        assert await link.next_report() == Closed(None)
        assert arriving.files() == CONTENT.files


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(Published(CONTENT, tmp_path / "ann"), tmp_path / "bob")


async def cancel_everywhere(activity: Callable[[], Awaitable[object]], most: int, left: Callable[[], Left]) -> None:
    """Cancel `activity` at up to `most` of its checkpoints; after each, and after it was run again, look what is left.

    What others are to notice first, the other end of a connection say, is waited for.
    """

    async def look(when: str) -> None:
        more = ""
        with trio.move_on_after(NOTICED_S):
            while more := left().more_than(before):
                await trio.sleep(0.01)
        assert not more, f"{when}: {more}"

    await activity()  # What is made once.
    gc.collect()  # What other tests left to be collected is not ours.
    before = left()
    steps = await cancelled_at(0, activity)
    assert steps is not None
    await look("run to its end")
    caught = 0
    for step in (points := some_of(steps, most)):
        when = f"cancelled at checkpoint {step} of about {steps}"
        caught += await cancelled_at(step, activity) is None
        await look(when)
        await activity()
        await look(f"run again after it was {when}")
    assert caught >= len(points) / 2, f"of {len(points)} cancellations {caught} came while it ran"


@dataclass(frozen=True)
class Left:
    """What there is of what an activity must give back, in this process and in children, by what it is."""

    things: Counter[str]

    def more_than(self, before: Left) -> str:
        return ", ".join(f"{count} more: {thing}" for thing, count in (self.things - before.things).items())


def here() -> Left:
    """Count tasks, descriptors and children."""
    now = what_is_left()
    children = Counter(f"process {child}" for child in children_of_ours())
    return Left(Counter({"tasks": now.tasks}) + now.descriptors + children)


def children_of_ours() -> list[str]:
    found: list[str] = []
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):  # It has ended.
            found += Path(f"/proc/self/task/{thread}/children").read_text().split()
    return found


def with_children(*owners: BulkProcesses) -> Left:
    """Count what is here, what the children have open, and what is noted of their work."""
    things = here().things
    for owner in owners:
        for child in owner._children:
            things["descriptors of a child"] += len(os.listdir(f"/proc/{child.process_id}/fd"))
            for noted in ("_links", "_dials", "_served", "_plans"):
                things[f"{noted} of a child"] += len(getattr(child, noted))
    return Left(things)


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[PeerAddress]:
    async with open_listener([Address("127.0.0.1", 0)], handler) as listener:
        yield PeerAddress(ANN.peer_id, listener.addresses[0])


@covers("F30")
@some_or_all(20)
async def test_listening_dialling_and_serving_cancelled_at_any_checkpoint_leave_nothing(
    folders: Folders, most: int
) -> None:
    async def serve_and_fetch() -> None:
        async with (
            open_plane(ANN, folders.shelf, answer) as ann,
            open_plane(BOB, folders.shelf, answer) as bob,
            served(ann.handle) as where,
        ):
            await folders.fetch(bob, where)

    await cancel_everywhere(serve_and_fetch, most, here)


@covers("F30")
@some_or_all(20)
async def test_a_dial_a_question_and_a_link_cancelled_at_any_checkpoint_end_at_both_ends(
    folders: Folders, most: int
) -> None:
    """Of nodes that live on."""

    def left() -> Left:
        works = Counter({"links": len(bob.links), "served": ann.reception.serving})
        return Left(here().things + works)

    async with (
        open_plane(ANN, folders.shelf, answer) as ann,
        open_plane(BOB, folders.shelf, answer) as bob,
        served(ann.handle) as where,
    ):
        await cancel_everywhere(lambda: folders.fetch(bob, where), most, left)


@covers("F30")
@some_or_all(12)
async def test_what_children_dial_and_serve_cancelled_at_any_checkpoint_ends_in_them_too(
    folders: Folders, most: int
) -> None:
    async with (
        open_plane(ANN, folders.shelf, answer) as ann,
        open_plane(BOB, folders.shelf, answer) as bob,
        open_bulk_processes(ann, folders.shelf, answer, count=1) as anns,
        open_bulk_processes(bob, folders.shelf, answer, count=1) as bobs,
    ):
        await anns.ready()
        await bobs.ready()
        processes = anns.processes + bobs.processes

        async def serve_and_fetch() -> None:
            async with served(anns.handle) as where:
                await folders.fetch(bobs, where)

        await cancel_everywhere(serve_and_fetch, most, lambda: with_children(anns, bobs))
        assert anns.processes + bobs.processes == processes  # The very same: none had to be started anew.


@covers("F30")
@some_or_all(6, 40)  # Each makes two processes.
async def test_the_life_of_a_child_cancelled_at_any_checkpoint_leaves_no_process(folders: Folders, most: int) -> None:
    async with open_plane(ANN, folders.shelf, answer) as ann, open_plane(BOB, folders.shelf, answer) as bob:

        async def live() -> None:
            async with (
                open_bulk_processes(ann, folders.shelf, answer, count=1) as anns,
                served(anns.handle) as where,
            ):
                await anns.ready()
                await folders.fetch(bob, where)

        await cancel_everywhere(live, most, here)
