"""What every carrier promises of its links and dialler: the direct plane and the one over streams alike; and mirrors,
as far as a web server can promise it: it knows nothing of peers, prefixes, control connections and refusals."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.content import Digest, RangeSet, Renumbering, WritePlan, digest_of, same_chunks
from p2phub.errors import ChunkMismatch, DiskFull, HubError, PeerError, PeerGone, PeerRefused, ProtocolViolation
from p2phub.identity import Address, MirrorId, PeerAddress, PeerId, SecretKey, parse_mirror
from p2phub.net import tls
from p2phub.net.bulk.parent import open_bulk_processes
from p2phub.net.channel import Channel, Watched
from p2phub.net.credential import make_credential
from p2phub.net.direct import DirectPlane
from p2phub.net.interface import (
    Blobs,
    Cancelled,
    Closed,
    Control,
    Dialler,
    Link,
    Opened,
    Refused,
    Report,
    Returned,
    Shelf,
    Verified,
)
from p2phub.net.links import Links
from p2phub.net.listen import open_listener
from p2phub.net.mirror import MirrorPlane
from p2phub.net.reception import Reception
from p2phub.net.stream import PROTOCOL, StreamPlane
from p2phub.wire import ControlAnswer, ControlRequest, GetNews, News, Open, Ping, Pong
from tests.support.content import Arriving, Content, Published, content_of, random_files
from tests.support.covers import covers
from tests.support.liars import Lie, LyingService
from tests.support.web_server import Bend, put_mirror_files, serve

ANN, BOB = SecretKey(b"a" * 32), SecretKey(b"b" * 32)
PREFIX = 1 << 20


@dataclass
class Scene:
    """Ann provides, Bob requests."""

    bob: Dialler
    ann: PeerAddress
    content: Content
    shelf: Published
    arriving: Arriving
    links: Links
    who: str

    async def link(self, *, prefix_bytes: int = PREFIX, manifest: Digest | None = None) -> Link:
        return await self.bob.open_link(
            self.ann, manifest or self.content.root, prefix_bytes=prefix_bytes, via="direct"
        )

    async def opened(self, *, prefix_bytes: int = 0) -> Link:
        link = await self.link(prefix_bytes=prefix_bytes)
        assert isinstance(await link.next_report(), Opened)
        link.use(self.arriving.plan)
        return link


@dataclass(eq=False)
class MemoryStream:
    """One end of a stream whose other end is in this process."""

    peer: PeerId
    remote: Address
    raw: trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream] = field(repr=False)

    async def read(self, count: int) -> bytes:
        try:
            return bytes(await self.raw.receive_some(min(count, 50_000)))
        except (trio.ClosedResourceError, trio.BrokenResourceError) as exc:
            raise PeerGone("gone", peer=str(self.peer)) from exc

    async def write(self, data: bytes) -> None:
        try:
            await self.raw.send_all(data)
        except (trio.ClosedResourceError, trio.BrokenResourceError) as exc:
            raise PeerGone("gone", peer=str(self.peer)) from exc

    async def close(self) -> None:
        await self.raw.aclose()


@dataclass
class MirrorDialler:
    """Bob's way to a web server that has Ann's files, as a dialler."""

    plane: MirrorPlane
    mirror: MirrorId

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> Link:
        return await self.plane.open_link(self.mirror, manifest, wants_manifest=prefix_bytes > 0)

    async def open_control(self, peer: PeerAddress) -> Control:
        raise AssertionError("a mirror has no control connections")


BENDS = {
    Lie.CUT: Bend.SHORT,
    Lie.HANGS_UP: Bend.HANGS_UP,
    Lie.NOTHING: Bend.SILENT,
    Lie.NO_FLIGHT: Bend.SILENT_BLOBS,
    Lie.ASKED_BLOB: Bend.BLOBS,
}


@asynccontextmanager
async def mirror(shelf: Published, lie: Lie) -> AsyncIterator[tuple[Dialler, str]]:
    """Bob's dialler to a web server with Ann's files, and its URL."""
    put_mirror_files(shelf.folder, shelf.content.blobs)
    with serve(shelf.folder, BENDS.get(lie, Bend.NONE)) as server:
        last = len(shelf.content.table) - 1
        wrong = {Lie.FIRST_CHUNK: 0, Lie.MIDDLE_CHUNK: last // 2, Lie.LAST_CHUNK: last}.get(lie)
        if wrong is not None:
            ref = shelf.content.table.chunk(wrong)
            server.flip = (shelf.content.path_of(ref.file), ref.offset + ref.length // 2)
        async with trio.open_nursery() as nursery:
            yield MirrorDialler(MirrorPlane(nursery), parse_mirror(server.url)), server.url
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def carrier(kind: str, shelf: Shelf, lie: Lie) -> AsyncIterator[tuple[Dialler, PeerAddress, Links]]:
    """Bob's dialler, where Ann is, and the links that run."""

    async def answer(peer: PeerId, address: Address, request: ControlRequest) -> ControlAnswer:
        assert peer == BOB.peer_id
        return News(RangeSet.whole(3), (), (4, 0)) if isinstance(request, GetNews) else Pong()

    def service(channel: Channel, first: Open, offered: Shelf) -> LyingService:
        return LyingService(channel, first, offered, lie)

    watched = Watched()
    async with trio.open_nursery() as nursery:
        links = Links(nursery, watched)
        reception = Reception(shelf, answer, watched, service)
        if kind == "direct":
            ann = DirectPlane(make_credential(ANN), links, reception)
            bob = DirectPlane(make_credential(BOB), links, reception)
            async with open_listener([Address("127.0.0.1", 0)], ann.handle) as listener:
                yield bob, PeerAddress(ANN.peer_id, listener.addresses[0]), links
        elif kind == "child":
            ann = DirectPlane(make_credential(ANN), links, reception)
            bob = DirectPlane(make_credential(BOB), links, reception)
            async with (
                open_bulk_processes(ann, shelf, answer, count=1) as anns,
                open_bulk_processes(bob, shelf, answer, count=1) as bobs,
                # No child lies, so who is to lie is served from this process.
                open_listener([Address("127.0.0.1", 0)], anns.handle if lie is Lie.NONE else ann.handle) as listener,
            ):
                await anns.ready()
                await bobs.ready()
                yield bobs, PeerAddress(ANN.peer_id, listener.addresses[0]), links
        else:
            here = Address("127.0.0.1", 1)

            async def open_stream(peer: PeerId, addresses: object, protocol: str) -> MemoryStream:
                assert protocol == PROTOCOL
                near, far = trio.testing.memory_stream_pair()
                nursery.start_soon(plane.handle, MemoryStream(BOB.peer_id, here, far))
                return MemoryStream(peer, here, near)

            plane = StreamPlane(open_stream, links, reception, nursery)
            yield plane, PeerAddress(ANN.peer_id, here), links
        nursery.cancel_scope.cancel()


@pytest.fixture(params=["direct", "tls", "stream", "child"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """`tls`: direct, and nobody can seal records, so TLS carries all."""
    if request.param == "tls":
        monkeypatch.setattr(tls, "CAN_SEAL", False)
        return "direct"
    return str(request.param)


@pytest.fixture(params=["direct", "stream", "mirror"])
def source(request: pytest.FixtureRequest) -> str:
    """The kinds of peers, and mirrors."""
    return str(request.param)


@asynccontextmanager
async def scene(kind: str, tmp_path: Path, lie: Lie = Lie.NONE, content: Content | None = None) -> AsyncIterator[Scene]:
    content = content or content_of(random_files(1, a=700_000, b=10, c=0, d=2_000_001), chunk_bytes=100_000)
    shelf = Published(content, tmp_path / "ann")
    arriving = Arriving(content, tmp_path / "bob")
    with trio.fail_after(120):
        if kind == "mirror":
            async with mirror(shelf, lie) as (bob, url), trio.open_nursery() as nursery:
                nowhere = PeerAddress(ANN.peer_id, Address("127.0.0.1", 1))
                yield Scene(bob, nowhere, content, shelf, arriving, Links(nursery, Watched()), url)
        else:
            async with carrier(kind, shelf, lie) as (bob, ann, links):
                yield Scene(bob, ann, content, shelf, arriving, links, str(ANN.peer_id))


async def until_closed(link: Link) -> tuple[list[Report], Closed]:
    reports: list[Report] = []
    while True:
        report = await link.next_report()
        if isinstance(report, Closed):
            return reports, report
        reports.append(report)


async def take(link: Link, count: int) -> RangeSet:
    got = RangeSet()
    while len(got) < count:
        report = await link.next_report()
        assert isinstance(report, Verified), report
        got |= report.chunks
    return got


# --- a link that goes well ---------------------------------------------------------------------------------------


async def test_the_first_flight_brings_manifest_lists_and_chunks_up_to_the_limit(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as here:
        link = await here.link()
        opened = await link.next_report()
        assert isinstance(opened, Opened)
        assert [digest_of(blob) for blob in opened.blobs] == list(here.content.order)
        assert [number for number, _ in opened.prefix] == list(range(len(opened.prefix)))
        assert all(data == here.content.chunk(number) for number, data in opened.prefix)
        length = sum(map(len, opened.blobs)) + sum(len(data) for _, data in opened.prefix)
        after = here.content.table.chunk(len(opened.prefix))
        assert length <= PREFIX < length + after.length
        assert opened.held == here.content.whole
        assert (link.peer, link.address, link.via) == (ANN.peer_id, here.ann.address, "direct")


async def test_without_a_prefix_the_first_flight_says_only_what_is_held(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as here:
        link = await here.link(prefix_bytes=0)
        assert await link.next_report() == Opened((), (), here.content.whole)


async def test_granted_chunks_are_written_where_the_plan_says(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        assert await take(link, len(here.content.table)) == here.content.whole
        link.close()
        assert await link.next_report() == Closed(None)
    expected = {path: data for path, data in here.content.files.items() if data}
    assert here.arriving.files() == expected


async def test_grants_may_come_one_by_one_and_while_others_are_under_way(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path) as here:
        link = await here.opened()
        for index in reversed(range(len(here.content.table))):
            link.grant(RangeSet(((index, index + 1),)))
        assert await take(link, len(here.content.table)) == here.content.whole


@asynccontextmanager
async def kin_scene(
    kind: str, tmp_path: Path, lie: Lie = Lie.NONE
) -> AsyncIterator[tuple[Scene, Link, Content, Renumbering]]:
    """Ann has what Bob wants in another manifest: two files the other way round and one of them cut off, after one that
    Bob has no use for. He also wants one file twice, and what she has not got."""
    base = random_files(1, a=250_000, b=990_000, z=700_001)
    tuned = {"1.bin": base["z.bin"], "2.bin": base["b.bin"][:600_000], "3.bin": base["z.bin"]}
    content = content_of({**tuned, **random_files(2, other=100_000)}, chunk_bytes=100_000)
    async with scene(kind, tmp_path, lie, content_of(base, chunk_bytes=100_000)) as here:
        numbers = same_chunks(content.table, content.whole, here.content.table)
        arriving = Arriving(content, tmp_path / "tuned")
        link = await here.link(prefix_bytes=0)
        assert isinstance(await link.next_report(), Opened)
        link.use(arriving.plan, numbers)
        here.arriving = arriving
        yield here, link, content, numbers


@pytest.mark.parametrize("carried", ["direct", "stream", "child"])
async def test_chunks_of_another_manifest_are_asked_for_by_its_numbers_and_written_where_ours_go(
    carried: str, tmp_path: Path
) -> None:
    async with kin_scene(carried, tmp_path) as (here, link, content, numbers):
        assert len(numbers.ours) == 8 + 6 + 8
        link.grant(numbers.ours)
        assert await take(link, len(numbers.ours)) == numbers.ours
        link.close()
        assert await link.next_report() == Closed(None)
        written = here.arriving.files()
    assert written == {path: data for path, data in content.files.items() if path != "other.bin"}


@pytest.mark.parametrize("carried", ["direct", "stream", "child"])
async def test_what_the_holder_of_another_manifest_lacks_is_refused_in_our_numbers(
    carried: str, tmp_path: Path
) -> None:
    async with kin_scene(carried, tmp_path) as (here, _, _, numbers):
        lacking = RangeSet.of([(9, 11)])
        here.shelf.held = here.content.whole - RangeSet.from_indices(map(numbers.theirs, lacking))
        again = await here.link(prefix_bytes=0)
        opened = await again.next_report()
        assert isinstance(opened, Opened)
        assert numbers.held_by_who_has(opened.held) == numbers.ours - lacking
        again.use(here.arriving.plan, numbers)
        again.grant(numbers.ours)
        got, refused = RangeSet(), RangeSet()
        while len(got) + len(refused) < len(numbers.ours):
            report = await again.next_report()
            assert isinstance(report, Verified | Refused)
            if isinstance(report, Verified):
                got |= report.chunks
            else:
                refused |= report.chunks
        assert (got, refused) == (numbers.ours - lacking, lacking)


@pytest.mark.parametrize("carried", ["direct", "stream", "child"])
async def test_a_chunk_that_one_request_would_name_twice_waits_for_the_next(carried: str, tmp_path: Path) -> None:
    """Zeros, say: where the other manifest has one such chunk and ours has twenty."""
    content = content_of({"zeros": bytes(20_000), "rest": b"rest"}, chunk_bytes=1000)
    async with scene(carried, tmp_path, content=content_of({"one": bytes(1000)}, chunk_bytes=1000)) as here:
        numbers = same_chunks(content.table, content.whole, here.content.table)
        here.arriving = Arriving(content, tmp_path / "got")
        link = await here.link(prefix_bytes=0)
        assert isinstance(await link.next_report(), Opened)
        link.use(here.arriving.plan, numbers)
        link.grant(numbers.ours)
        assert await take(link, 20) == numbers.ours
        assert here.arriving.files() == {"zeros": bytes(20_000)}


@covers("T33")
async def test_a_false_chunk_of_another_manifest_is_named_by_its_place_in_ours(kind: str, tmp_path: Path) -> None:
    async with kin_scene(kind, tmp_path, Lie.LAST_CHUNK) as (_, link, _, numbers):
        link.grant(numbers.ours)
        _, closed = await until_closed(link)
        assert isinstance(closed.error, ChunkMismatch)
        # The last of hers is the last of both files that begin as it does; what came first is named.
        assert (closed.error.file, closed.error.chunk) == ("1.bin", 7)
        assert 7 in closed.returned


async def test_what_is_revoked_or_cancelled_of_another_manifest_is_told_in_our_numbers(
    kind: str, tmp_path: Path
) -> None:
    async with kin_scene(kind, tmp_path) as (here, link, content, numbers):
        link.grant(numbers.ours)
        link.cancel(RangeSet.of([(20, 22)]))
        link.revoke()
        got, returned, cancelled = RangeSet(), RangeSet(), RangeSet()
        while len(got | returned | cancelled) < len(numbers.ours):
            match await link.next_report():
                case Verified(chunks, _):
                    got |= chunks
                case Returned(chunks):
                    returned |= chunks
                case Cancelled(chunks):
                    cancelled |= chunks
                case other:
                    raise AssertionError(other)
        assert got | returned | cancelled == numbers.ours
        link.grant(returned | cancelled)
        await take(link, len(returned | cancelled))
        written = here.arriving.files()
    assert written == {path: data for path, data in content.files.items() if path != "other.bin"}


async def test_a_file_is_opened_once_for_many_chunks(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        await take(link, len(here.content.table))
    assert sorted(here.arriving.opened) == [0, 1, 3]


@pytest.mark.parametrize("carried", ["direct", "stream", "child", "mirror"])
async def test_a_link_says_how_much_may_be_under_way_and_then_how_long_a_round_trip_takes(
    carried: str, tmp_path: Path
) -> None:
    async with scene(carried, tmp_path) as here:
        link = await here.opened()
        assert link.window.bytes_max > 0
        assert link.window.trip_s is None
        link.grant(here.content.whole)
        await take(link, len(here.content.table))
        assert link.window.bytes_max > 0
        assert link.window.trip_s is not None
        assert 0 < link.window.trip_s < 120


async def test_blobs_are_fetched_by_digest(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path) as here:
        link = await here.opened()
        link.ask([(digest, len(here.content.blobs[digest])) for digest in here.content.order])
        blobs: list[bytes] = []
        while len(blobs) < len(here.content.order):
            report = await link.next_report()
            assert isinstance(report, Blobs)
            blobs += report.blobs
        assert {digest_of(blob) for blob in blobs} == set(here.content.order)


async def test_a_blob_that_is_not_held_is_refused_and_the_link_lives(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path) as here:
        link = await here.opened()
        link.ask([(digest_of(b"no such blob"), 100)])
        assert await link.next_report() == Refused(RangeSet(), "not-held")
        link.grant(RangeSet(((0, 1),)))
        assert await take(link, 1) == RangeSet(((0, 1),))


async def test_chunks_that_are_not_held_are_refused_and_the_others_come(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as here:
        here.shelf.held = here.content.whole - RangeSet(((2, 4),))
        link = await here.opened()
        link.grant(RangeSet(((0, 6),)))
        got, refused = RangeSet(), RangeSet()
        while len(got) + len(refused) < 6:
            match await link.next_report():
                case Verified(chunks, _):
                    got |= chunks
                case Refused(chunks, reason):
                    assert reason == "not-held"
                    refused |= chunks
                case other:
                    raise AssertionError(other)
        assert refused == RangeSet(((2, 4),))
        assert got == RangeSet(((0, 2), (4, 6)))


@covers("T53")
@pytest.mark.parametrize("how", ["rewritten", "cut short", "deleted", "replaced by a folder"])
async def test_a_file_that_changed_is_refused_and_never_sent(kind: str, tmp_path: Path, how: str) -> None:
    async with scene(kind, tmp_path) as here:
        path = here.shelf.folder / "a.bin"
        if how == "rewritten":
            path.write_bytes(bytes(700_000))
            os.utime(path, ns=(0, 0))
        elif how == "cut short":
            os.truncate(path, 350_000)
        else:
            path.unlink()
            if how == "replaced by a folder":
                path.mkdir()
        link = await here.opened(prefix_bytes=0)
        link.grant(RangeSet(((0, 9),)))  # All of a.bin, all of b.bin, the first of d.bin.
        got, refused = RangeSet(), RangeSet()
        while len(got) + len(refused) < 9:
            report = await link.next_report()
            if isinstance(report, Verified):
                got |= report.chunks
            else:
                assert isinstance(report, Refused)
                assert report.reason in ("changed", "disk")
                refused |= report.chunks
        assert refused == RangeSet(((0, 7),))
    if how != "replaced by a folder":
        assert here.shelf.changes == [0]


async def test_a_file_that_changed_ends_the_first_flight_before_it(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as here:
        (here.shelf.folder / "b.bin").unlink()
        opened = await (await here.link()).next_report()
        assert isinstance(opened, Opened)
        assert [number for number, _ in opened.prefix] == list(range(7))


async def test_the_shelf_is_told_how_much_went_out(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        await take(link, len(here.content.table))
        link.close()
        await until_closed(link)
    assert here.shelf.bytes_sent == here.content.table.bytes_total


async def test_many_small_chunks_of_many_files_arrive(source: str, tmp_path: Path) -> None:
    content = content_of({f"d{n % 7}/f{n:04}": bytes([n % 251]) * (n % 40) for n in range(1500)}, chunk_bytes=16)
    async with scene(source, tmp_path, content=content) as here:
        link = await here.opened()
        link.grant(content.whole)
        await take(link, len(content.table))
    assert here.arriving.files() == {path: data for path, data in content.files.items() if data}


# --- revoke, close, and what is left -----------------------------------------------------------------------------


async def test_revoke_returns_what_was_not_asked_for_and_the_rest_still_comes(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path, Lie.NOTHING) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        link.revoke()
        returned = await link.next_report()
        assert isinstance(returned, Returned)
        link.close()
        reports, closed = await until_closed(link)
        assert reports == []
        assert closed == Closed(None, here.content.whole - returned.chunks)


async def test_revoke_before_any_grant_returns_nothing(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path) as here:
        link = await here.opened()
        link.revoke()
        assert await link.next_report() == Returned(RangeSet())


async def test_what_is_cancelled_is_told_and_the_rest_still_comes(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        link.cancel(RangeSet(((2, 6),)))
        verified = cancelled = RangeSet()
        while verified | cancelled != here.content.whole:
            report = await link.next_report()
            assert isinstance(report, Verified | Cancelled), report
            if isinstance(report, Cancelled):
                cancelled |= report.chunks
            else:
                verified |= report.chunks
        link.close()
        await until_closed(link)
    assert not cancelled - RangeSet(((2, 6),))
    written = b"".join(here.arriving.files().values())
    for chunk in cancelled - verified:
        assert here.content.chunk(chunk) not in written


async def test_what_is_cancelled_is_not_returned_at_the_end(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path, Lie.NOTHING) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        link.cancel(RangeSet(((2, 6),)))
        report = await link.next_report()
        assert isinstance(report, Cancelled)
        assert report.chunks == RangeSet(((2, 6),))
        assert not report.unasked - report.chunks
        link.close()
        assert await until_closed(link) == ([], Closed(None, here.content.whole - RangeSet(((2, 6),))))
        link.cancel(RangeSet(((6, 7),)))  # Nobody is told after the last report.


async def test_close_ends_a_blocking_call_and_returns_the_lease(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path, Lie.NOTHING) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        await trio.testing.wait_all_tasks_blocked()
        link.close()
        link.close()
        _, closed = await until_closed(link)
        assert closed == Closed(None, here.content.whole)


async def test_a_grant_that_crosses_the_end_is_returned_with_it(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path) as here:
        link = await here.opened()
        link.close()
        while len(here.links):  # Until its thread has ended.
            await trio.sleep(0)
        await trio.testing.wait_all_tasks_blocked()
        link.grant(RangeSet(((0, 2),)))
        assert await link.next_report() == Closed(None, RangeSet(((0, 2),)))


@covers("F11")
@pytest.mark.parametrize("lie", [Lie.CUT, Lie.HANGS_UP])
async def test_a_provider_that_goes_ends_the_link_and_nothing_is_lost(source: str, tmp_path: Path, lie: Lie) -> None:
    async with scene(source, tmp_path, lie) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        reports, closed = await until_closed(link)
        assert isinstance(closed.error, PeerGone)
        assert closed.error.peer == here.who
        assert (reports, closed.returned) == ([], here.content.whole)


async def test_a_provider_that_goes_while_nothing_is_due_is_noticed(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path, Lie.LEAVES) as here:
        reports, closed = await until_closed(await here.link(prefix_bytes=0))
        assert [type(report) for report in reports] == [Opened]
        assert isinstance(closed.error, PeerGone)


@covers("T15")
async def test_bytes_that_nobody_asked_for_end_the_link(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path, Lie.UNASKED) as here:
        reports, closed = await until_closed(await here.link(prefix_bytes=0))
        assert [type(report) for report in reports] == [Opened]
        assert isinstance(closed.error, ProtocolViolation)


# --- faults of our own -------------------------------------------------------------------------------------------


@covers("F04")
async def test_a_full_disk_ends_the_link_with_what_was_not_written(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path) as here:
        link = await here.link(prefix_bytes=0)
        await link.next_report()
        content = here.content
        link.use(WritePlan(content.root, content.table, lambda file: os.open("/dev/full", os.O_RDWR), content.path_of))
        link.grant(here.content.whole)
        reports, closed = await until_closed(link)
        assert isinstance(closed.error, DiskFull)
        assert (reports, closed.returned) == ([], here.content.whole)


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["another manifest", "not for this peer"])
async def test_what_is_not_offered_is_unknown(kind: str, tmp_path: Path, why: str) -> None:
    async with scene(kind, tmp_path) as here:
        if why == "not for this peer":
            here.shelf.allowed = {ANN.peer_id}
        link = await here.link(manifest=digest_of(b"other") if why == "another manifest" else None)
        reports, closed = await until_closed(link)
        assert isinstance(closed.error, PeerRefused)
        assert closed.error.reason == "unknown"
        assert reports == []


@covers("T37")
async def test_one_peer_gets_so_many_connections_and_one_more_is_told_busy(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as here:
        links = [await here.opened() for _ in range(limits.CONNECTIONS_PER_PEER_MAX)]
        _, closed = await until_closed(await here.link())
        assert isinstance(closed.error, PeerRefused)
        assert closed.error.reason == "busy"
        links[0].close()
        await until_closed(links[0])
        while True:  # The provider notices in its own time.
            report = await (await here.link()).next_report()
            if isinstance(report, Opened):
                break


# --- lies --------------------------------------------------------------------------------------------------------

BLOB_LIES = {Lie.MANIFEST: "manifest", Lie.LATER_BLOB: "chunk list"}
CHUNK_LIES = {Lie.FIRST_CHUNK: ("a.bin", 0), Lie.MIDDLE_CHUNK: ("d.bin", 6), Lie.LAST_CHUNK: ("d.bin", 20)}
PROTOCOL_LIES = [Lie.SHORT, Lie.LONG, Lie.OTHER_CHUNKS, Lie.GARBAGE, Lie.HUGE_FRAME]


@covers("T33")
@pytest.mark.parametrize("lie", BLOB_LIES)
async def test_a_false_blob_of_the_first_flight_is_named(kind: str, tmp_path: Path, lie: Lie) -> None:
    async with scene(kind, tmp_path, lie) as here:
        reports, closed = await until_closed(await here.link())
        assert reports == []
        error = mismatch(closed.error)
        assert (error.file, error.chunk, error.peer) == (BLOB_LIES[lie], 0, str(ANN.peer_id))


@covers("T33")
async def test_a_false_blob_that_was_asked_for_is_named(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path, Lie.ASKED_BLOB) as here:
        link = await here.opened()
        link.ask([(here.content.order[1], 10_000)])
        _, closed = await until_closed(link)
        assert mismatch(closed.error).file == "chunk list"


@covers("T33")
async def test_a_false_chunk_of_the_first_flight_is_named(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path, Lie.FIRST_CHUNK) as here:
        reports, closed = await until_closed(await here.link())
        assert reports == []
        error = mismatch(closed.error)
        assert (error.file, error.chunk) == ("a.bin", 0)


@covers("T33")
@pytest.mark.parametrize("lie", CHUNK_LIES)
async def test_a_false_chunk_is_named_and_not_written(source: str, tmp_path: Path, lie: Lie) -> None:
    async with scene(source, tmp_path, lie) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        reports, closed = await until_closed(link)
        error = mismatch(closed.error)
        assert (error.file, error.chunk, error.peer) == (*CHUNK_LIES[lie], here.who)
        assert f"chunk {error.chunk} of {error.file}" in error.message
        verified = RangeSet.of(run for report in reports if isinstance(report, Verified) for run in report.chunks.runs)
        assert closed.returned == here.content.whole - verified
    whatever_was_written_is_true(here)


@covers("T33")
async def test_swapped_bytes_are_not_written(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path, Lie.SWAPPED) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        reports, closed = await until_closed(link)
        assert reports == []
        assert mismatch(closed.error).file == "a.bin"
    assert here.arriving.files() == {}


@covers("T15")
@pytest.mark.parametrize("lie", PROTOCOL_LIES)
async def test_an_answer_that_breaks_the_protocol_ends_the_link(kind: str, tmp_path: Path, lie: Lie) -> None:
    async with scene(kind, tmp_path, lie) as here:
        link = await here.opened()
        link.grant(here.content.whole)
        reports, closed = await until_closed(link)
        assert isinstance(closed.error, ProtocolViolation), closed
        assert (reports, closed.returned) == ([], here.content.whole)
    assert here.arriving.files() == {}


@covers("T15")
async def test_a_provider_that_does_not_stop_is_cut_off(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path, Lie.ENDLESS) as here:
        link = await here.opened()
        link.grant(RangeSet(((0, 1),)))
        _, closed = await until_closed(link)
        assert isinstance(closed.error, ProtocolViolation)
    whatever_was_written_is_true(here)


@covers("F30")
async def test_a_dialler_that_is_cancelled_leaves_nothing(source: str, tmp_path: Path) -> None:
    async with scene(source, tmp_path, Lie.NO_FLIGHT) as here:
        link = await here.link()
        with trio.move_on_after(0):
            await link.next_report()
        link.close()
        assert await link.next_report() == Closed(None)


# --- control -----------------------------------------------------------------------------------------------------


async def test_questions_are_answered_in_order_on_one_connection(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as here:
        control = await here.bob.open_control(here.ann)
        assert control.peer == ANN.peer_id
        for _ in range(3):
            assert await control.ask(Ping()) == Pong()
            assert await control.ask(GetNews(here.content.root, 0)) == News(RangeSet.whole(3), (), (4, 0))
        await control.aclose()
        with pytest.raises(PeerError):
            await control.ask(Ping())


def mismatch(error: HubError | None) -> ChunkMismatch:
    assert isinstance(error, ChunkMismatch), error
    return error


def whatever_was_written_is_true(here: Scene) -> None:
    table = here.content.table
    for ref in table.chunks(0, len(table)):
        path = here.arriving.folder / here.content.path_of(ref.file)
        written = path.read_bytes()[ref.offset : ref.offset + ref.length] if path.exists() else b""
        assert written in (here.content.chunk(ref.index), b"", bytes(len(written)))
