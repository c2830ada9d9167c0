"""Children that carry bulk bytes: what ends with them, what does not, and that none outlives its node.

That their links keep what every carrier promises stands in tests/contract/test_link_contract.py.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, digest_of
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.net.bulk.child import _Child as ChildSide
from p2phub.net.bulk.letters import error_in, peer_address_out, table_out
from p2phub.net.bulk.parent import BulkProcesses, open_bulk_processes
from p2phub.net.bulk.post import Letter, Post
from p2phub.net.direct import DirectPlane, open_plane
from p2phub.net.interface import Closed, Link, Opened, Refused, Verified
from p2phub.net.listen import Listener, open_listener
from p2phub.net.throttle import Caps
from p2phub.wire import ControlAnswer, ControlRequest, GetNews, News, Ping, Pong
from tests.support.content import Arriving, Content, Published, content_of, random_files
from tests.support.covers import covers

NEWS = News(RangeSet(((3, 9),)), (), (7, 0))

ANN, BOB = SecretKey(b"a" * 32), SecretKey(b"b" * 32)


@dataclass
class Scene:
    """Ann serves by her children; Bob has none."""

    anns: BulkProcesses
    bob: DirectPlane
    where: PeerAddress
    listener: Listener
    content: Content
    shelf: Published
    arriving: Arriving
    asked: list[ControlRequest]

    async def opened(self) -> Link:
        link = await self.bob.open_link(self.where, self.content.root, prefix_bytes=0, via="direct")
        assert isinstance(await link.next_report(), Opened)
        link.use(self.arriving.plan)
        return link


@asynccontextmanager
async def scene(tmp_path: Path, *, count: int = 1) -> AsyncIterator[Scene]:
    content = content_of(random_files(1, a=700_000, b=10, d=2_000_001), chunk_bytes=100_000)
    shelf = Published(content, tmp_path / "ann")
    asked: list[ControlRequest] = []

    async def answer(peer: PeerId, where: Address, request: ControlRequest) -> ControlAnswer:
        assert (peer, where.ip) == (BOB.peer_id, "127.0.0.1")
        asked.append(request)
        return NEWS if isinstance(request, GetNews) else Pong()

    with trio.fail_after(60):
        async with (
            open_plane(ANN, shelf, answer) as plane,
            open_plane(BOB, shelf, answer) as bob,
            open_bulk_processes(plane, shelf, answer, count=count) as anns,
            open_listener([Address("127.0.0.1", 0)], anns.handle) as listener,
        ):
            await anns.ready()
            where = PeerAddress(ANN.peer_id, listener.addresses[0])
            yield Scene(anns, bob, where, listener, content, shelf, Arriving(content, tmp_path / "bob"), asked)


async def all_of(link: Link, content: Content) -> None:
    link.grant(content.whole)
    got = RangeSet()
    while got != content.whole:
        report = await link.next_report()
        assert isinstance(report, Verified), report
        got |= report.chunks


async def ended(process_id: int) -> None:
    """Wait until a process is gone that may not be ours to wait for."""
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def test_control_questions_reach_the_node_through_its_child(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        control = await here.bob.open_control(here.where)
        assert await control.ask(Ping()) == Pong()
        assert await control.ask(GetNews(here.content.root, 0)) == NEWS
        assert here.asked == [Ping(), GetNews(here.content.root, 0)]
        await control.aclose()


async def test_what_grows_while_it_is_served_is_served(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        here.shelf.held, here.shelf.grows = RangeSet(((0, 3),)), True
        link = await here.opened()
        link.grant(RangeSet(((3, 4),)))
        assert await link.next_report() == Refused(RangeSet(((3, 4),)), "not-held")
        here.shelf.held = here.content.whole
        await all_of(link, here.content)


@covers("F31")
async def test_a_fault_of_our_own_in_an_answer_ends_one_connection_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path) as here:

        def faulty(*args: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(here.shelf, "offer", faulty)
            link = await here.bob.open_link(here.where, here.content.root, prefix_bytes=0, via="direct")
            last = await link.next_report()
            assert isinstance(last, Closed)
            assert isinstance(last.error, PeerGone)
        await all_of(await here.opened(), here.content)


@covers("F01")
async def test_a_killed_child_takes_its_connections_along_and_another_takes_its_place(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        link = await here.opened()
        [first] = here.anns.processes
        os.kill(first, signal.SIGKILL)
        last = await link.next_report()
        assert isinstance(last, Closed)
        assert isinstance(last.error, PeerGone)
        await ended(first)
        while here.listener.connections:  # What it served is not counted as served any more.
            await trio.sleep(0)
        # At once, in this process, while there is no child; then by the next one.
        await all_of(await here.opened(), here.content)
        while here.anns.processes in ((), (first,)):
            await here.anns.ready()
        await all_of(await here.opened(), here.content)
    assert here.arriving.files() == here.content.files


@covers("F01")
async def test_links_of_a_killed_child_return_what_they_were_granted(tmp_path: Path) -> None:
    content = content_of(random_files(1, a=700_000), chunk_bytes=100_000)
    shelf = Published(content, tmp_path / "ann")

    async def answer(peer: PeerId, where: Address, request: ControlRequest) -> ControlAnswer:
        return Pong()

    accepted = trio.Event()

    async def says_nothing(stream: trio.SocketStream, settled: object) -> None:
        accepted.set()
        await trio.sleep_forever()

    with trio.fail_after(30):
        async with (
            open_plane(ANN, shelf, answer) as ann,
            open_plane(BOB, shelf, answer) as plane,
            open_bulk_processes(plane, shelf, answer, count=1) as bobs,
            open_listener([Address("127.0.0.1", 0)], ann.handle) as listener,
            open_listener([Address("127.0.0.1", 0)], says_nothing) as silent,
        ):
            await bobs.ready()
            where = PeerAddress(ANN.peer_id, listener.addresses[0])
            link = await bobs.open_link(where, content.root, prefix_bytes=0, via="direct")
            assert isinstance(await link.next_report(), Opened)
            [child] = bobs.processes
            os.kill(child, signal.SIGSTOP)
            link.use(Arriving(content, tmp_path / "bob").plan)
            link.grant(content.whole)
            os.kill(child, signal.SIGKILL)
            last = await link.next_report()
            assert isinstance(last, Closed)
            assert isinstance(last.error, PeerGone)
            assert last.returned == content.whole
            # A dial that the child was at fails, too.
            while bobs.processes in ((), (child,)):
                await bobs.ready()
            async with trio.open_nursery() as nursery:

                async def kill_it_then() -> None:
                    await accepted.wait()
                    os.kill(bobs.processes[0], signal.SIGKILL)

                nursery.start_soon(kill_it_then)
                with pytest.raises(PeerGone):
                    await bobs.open_link(
                        PeerAddress(ANN.peer_id, silent.addresses[0]), content.root, prefix_bytes=0, via="direct"
                    )


async def test_the_nodes_caps_hold_in_its_child_and_change_at_once(tmp_path: Path) -> None:
    content = content_of(random_files(1, a=3_000_000), chunk_bytes=100_000)
    shelf = Published(content, tmp_path / "ann")

    async def answer(peer: PeerId, where: Address, request: ControlRequest) -> ControlAnswer:
        return Pong()

    caps = Caps()
    caps.down.set_rate(limits.CAP_MIN)
    caps.down.admit(content.root)
    with trio.fail_after(60):
        async with (
            open_plane(ANN, shelf, answer) as ann,
            open_plane(BOB, shelf, answer, caps) as plane,
            open_bulk_processes(plane, shelf, answer, caps, count=1) as bobs,
            open_listener([Address("127.0.0.1", 0)], ann.handle) as listener,
        ):
            await bobs.ready()
            where = PeerAddress(ANN.peer_id, listener.addresses[0])
            link = await bobs.open_link(where, content.root, prefix_bytes=0, via="direct")
            assert isinstance(await link.next_report(), Opened)
            link.use(Arriving(content, tmp_path / "bob").plan)
            link.grant(content.whole)
            while not caps.down.is_pressed(content.root):  # The child waits, and says so.
                await trio.sleep(0.01)
            caps.down.set_rate(None)
            got = RangeSet()
            while got != content.whole:
                report = await link.next_report()
                assert isinstance(report, Verified), report
                got |= report.chunks


async def test_descriptors_come_back_on_both_sides(tmp_path: Path) -> None:
    def open_now(process: int | str) -> int:
        return len(os.listdir(f"/proc/{process}/fd"))

    async with scene(tmp_path) as here:
        [child] = here.anns.processes

        async def once() -> None:
            link = await here.opened()
            await all_of(link, here.content)
            link.close()
            while not isinstance(await link.next_report(), Closed):
                pass
            while here.listener.connections:
                await trio.sleep(0)

        await once()
        gc.collect()  # What other tests left to be collected is not ours.
        before = open_now("self"), open_now(child)
        for _ in range(3):
            await once()
        assert (open_now("self"), open_now(child)) == before


@covers("T37", "T40")
async def test_a_table_of_chunks_is_told_to_a_child_once_however_many_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def counted(table: ChunkTable) -> list[bytes]:
        told.append(table)
        return table_out(table)

    monkeypatch.setattr("p2phub.net.bulk.answers.table_out", counted)
    async with scene(tmp_path) as here:
        for _ in range(3):
            await all_of(await here.opened(), here.content)
    assert len(told) == 1


def leave_no_descriptor(child: int) -> tuple[int, int]:
    """Let a child open nothing more; what is open stays. Returns what it was allowed before."""
    usual = resource.prlimit(child, resource.RLIMIT_NOFILE)
    resource.prlimit(child, resource.RLIMIT_NOFILE, (4, usual[1]))  # As many as `poll` may be given.
    return usual


@covers("F10")
async def test_a_child_without_descriptors_lets_go_of_who_comes_and_lives(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await all_of(await here.opened(), here.content)
        [child] = here.anns.processes
        usual = leave_no_descriptor(child)
        for _ in range(3):
            with pytest.raises(PeerGone):
                await here.bob.open_link(here.where, here.content.root, prefix_bytes=0, via="direct")
        resource.prlimit(child, resource.RLIMIT_NOFILE, usual)
        await all_of(await here.opened(), here.content)
        assert here.anns.processes == (child,)


@covers("F10")
async def test_files_that_a_child_has_no_room_for_are_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        [child] = here.anns.processes
        link = await here.opened()
        usual = leave_no_descriptor(child)
        link.grant(RangeSet(((0, 1),)))
        assert await link.next_report() == Refused(RangeSet(((0, 1),)), "disk")
        resource.prlimit(child, resource.RLIMIT_NOFILE, usual)
        await all_of(await here.opened(), here.content)
        assert here.anns.processes == (child,)


async def test_a_connection_that_is_given_up_here_ends_in_the_child(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        stream = await trio.open_tcp_stream("127.0.0.1", here.where.address.port)
        await stream.send_all(b"\x16")  # TLS, as it seems; then nothing.
        while here.listener.undecided == 0:
            await trio.sleep(0)
        next(iter(here.listener._undecided)).cancel()
        assert await stream.receive_some(1) == b""
        await stream.aclose()


async def test_several_children_share_the_work(tmp_path: Path) -> None:
    async with scene(tmp_path, count=2) as here:
        assert len(set(here.anns.processes)) == 2
        links = [await here.anns.open_link(here.where, here.content.root, prefix_bytes=0, via="direct") for _ in (1, 2)]
        for link in links:
            assert isinstance(await link.next_report(), Opened)
            link.use(here.arriving.plan)
            link.ask([(digest_of(b"no such blob"), 10)])
            await link.next_report()
            link.close()


@covers("F02")
def test_no_child_outlives_a_killed_node(tmp_path: Path) -> None:
    program = """
import sys, trio
from p2phub.identity import SecretKey
from p2phub.net.bulk.parent import open_bulk_processes
from p2phub.net.direct import open_plane

async def main():
    async with open_plane(SecretKey(bytes(32)), None, None) as plane:
        async with open_bulk_processes(plane, None, None, count=1) as processes:
            await processes.ready()
            print(processes.processes[0], flush=True)
            await trio.sleep_forever()

trio.run(main)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        descriptor = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(30_000), "the child is still there"
    os.close(descriptor)


class _Noted(Post):
    """A post that only notes what is sent."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []

    def send(self, letter: Letter, descriptors: Sequence[int] = ()) -> None:
        self.letters.append(letter)


@covers("F31")
async def test_a_fault_of_our_own_in_a_dial_of_a_child_ends_that_dial_alone() -> None:
    class Faulty:
        async def open_link(self, *args: object, **options: object) -> Link:
            raise ValueError("a bug")

    post = _Noted()
    child = ChildSide(post, None, Faulty(), Caps(), None)  # type: ignore[arg-type]
    to = peer_address_out(PeerAddress(ANN.peer_id, Address("127.0.0.1", 1)))
    await child._dial({"link": 3, "to": to, "manifest": bytes(32), "prefix": 0, "via": "direct"})
    [letter] = post.letters
    assert (letter["t"], letter["link"]) == ("failed", 3)
    assert isinstance(error_in(letter["error"]), PeerGone)


@covers("T38")
def test_what_peers_gave_to_others_is_told_to_every_child_which_serves_by_it() -> None:
    caps, content = Caps(), content_of(random_files(1, a=10_000))
    parent = BulkProcesses(None, None, None, caps, 2)  # type: ignore[arg-type]  # None of them is at work.
    posts = [_Noted(), _Noted()]
    for child, post in zip(parent._children, posts, strict=True):
        child._post = post
    caps.up.show(content.root, {BOB.peer_id: 4096})
    theirs = Caps()
    child = ChildSide(_Noted(), None, None, theirs, None)  # type: ignore[arg-type]
    for post in posts:
        (letter,) = post.letters
        child._take(letter, [])
    assert theirs.up.shown() == [(content.root, BOB.peer_id, 4096)]
