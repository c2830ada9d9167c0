"""What a link to a mirror does beyond what every link does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.errors import ChunkMismatch, MirrorUnusable
from p2phub.identity import parse_mirror
from p2phub.net import mirror_link
from p2phub.net.interface import Closed, Link, Opened, Refused, Spent, Verified, WindowNow
from p2phub.net.mirror import MirrorPlane
from p2phub.net.throttle import Throttle
from tests.support.content import Arriving, Content, Published, content_of, random_files
from tests.support.covers import covers
from tests.support.web_server import Bend, WebServer, put_mirror_files, serve

CONTENT = content_of(random_files(7, a=9_000_000, b=3_000_000), chunk_bytes=1_000_000)


@asynccontextmanager
async def scene(
    tmp_path: Path,
    bend: Bend = Bend.NONE,
    content: Content = CONTENT,
    *,
    wants_manifest: bool = True,
    down: Throttle | None = None,
) -> AsyncIterator[tuple[WebServer, Link, Arriving]]:
    folder, arriving = tmp_path / "www", Arriving(content, tmp_path / "bob")
    Published(content, folder)
    put_mirror_files(folder, content.blobs)
    with trio.fail_after(20), serve(folder, bend) as server:
        async with trio.open_nursery() as nursery:
            plane = MirrorPlane(nursery, down=down)
            link = await plane.open_link(parse_mirror(server.url), content.root, wants_manifest=wants_manifest)
            yield server, link, arriving
            nursery.cancel_scope.cancel()


async def test_it_opens_with_the_root_page_if_that_is_wanted_and_there(tmp_path: Path) -> None:
    async with scene(tmp_path) as (_, link, _arriving):
        opened = await link.next_report()
        assert isinstance(opened, Opened)
        assert opened.blobs == (CONTENT.blobs[CONTENT.root],)
        assert opened.held & CONTENT.whole == CONTENT.whole
        assert link.via == "mirror"


async def test_a_server_with_nothing_of_p2phub_opens_all_the_same(tmp_path: Path) -> None:
    for number, wanted in enumerate((True, False)):
        async with scene(tmp_path / str(number), Bend.BARE, wants_manifest=wanted) as (server, link, _):
            opened = await link.next_report()
            assert isinstance(opened, Opened)
            assert opened.blobs == ()
            assert [method for method, _, _ in server.asked] == ["GET" if wanted else "HEAD"]


async def test_two_requests_are_under_way_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path, Bend.SILENT) as (server, link, arriving):
        assert isinstance(await link.next_report(), Opened)
        link.use(arriving.plan)
        await trio.testing.wait_all_tasks_blocked()
        link.grant(CONTENT.whole)
        while sum(asked_range is not None for _, _, asked_range in server.asked) < limits.MIRROR_REQUESTS_AT_ONCE:
            await trio.sleep(0)


@covers("T33")
async def test_a_lie_costs_its_chunk_and_what_came_before_it_counts(tmp_path: Path) -> None:
    """The fourth chunk of a request of four is wrong: the others were checked as they came."""
    async with scene(tmp_path) as (server, link, arriving):
        server.flip = ("a.bin", 3_500_000)
        assert isinstance(await link.next_report(), Opened)
        link.use(arriving.plan)
        link.grant(CONTENT.whole)
        verified = RangeSet()
        while isinstance(report := await link.next_report(), Verified):
            verified |= report.chunks
        assert isinstance(report, Closed)
        assert isinstance(report.error, ChunkMismatch)
        assert (report.error.file, report.error.chunk, report.error.peer) == ("a.bin", 3, server.url)
        assert not RangeSet(((0, 3),)) - verified
        assert report.returned == CONTENT.whole - verified
        assert 3 not in verified


async def test_a_file_that_is_not_there_is_asked_for_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as (server, link, arriving):
        (tmp_path / "www" / "a.bin").unlink()
        assert isinstance(await link.next_report(), Opened)
        link.use(arriving.plan)
        got, refused = RangeSet(), RangeSet()
        for granted in (CONTENT.whole - RangeSet(((3, 5),)), RangeSet(((3, 5),))):
            link.grant(granted)
            while granted - (got | refused):
                match await link.next_report():
                    case Verified(chunks, _):
                        got |= chunks
                    case Refused(chunks, reason):
                        assert reason == "not-held"
                        refused |= chunks
                    case other:
                        raise AssertionError(other)
        assert (refused, got) == (RangeSet(((0, 9),)), RangeSet(((9, 12),)))
        assert 1 <= sum(path == "a.bin" for _, path, _ in server.asked) <= limits.MIRROR_REQUESTS_AT_ONCE


async def test_a_server_without_ranges_gives_small_files_and_ends_at_a_large_one(tmp_path: Path) -> None:
    async with scene(tmp_path, Bend.NO_RANGES) as (_, link, arriving):
        assert isinstance(await link.next_report(), Opened)
        link.use(arriving.plan)
        link.grant(RangeSet(((9, 12),)))
        got = RangeSet()
        while len(got) < 3:
            report = await link.next_report()
            assert isinstance(report, Verified)
            got |= report.chunks
        link.grant(RangeSet(((0, 9),)))
        closed = await link.next_report()
        assert isinstance(closed, Closed)
        assert isinstance(closed.error, MirrorUnusable)
        assert closed.returned == RangeSet(((0, 9),))
    assert arriving.files() == {"b.bin": CONTENT.files["b.bin"]}


async def test_a_capped_link_waits_tells_that_it_lives_and_goes_on_when_the_cap_is_lifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cap's clock stands still, so that what it lets through at first is all: less than a chunk."""
    monkeypatch.setattr(mirror_link, "_TELL_WITHIN_S", 0.01)
    down = Throttle(clock=lambda: 0.0)
    async with scene(tmp_path, down=down) as (_, link, arriving):
        assert isinstance(await link.next_report(), Opened)
        down.set_rate(limits.CAP_MIN)
        link.use(arriving.plan)
        link.grant(CONTENT.whole)
        while not down.is_pressed(CONTENT.root):
            await trio.sleep(0)
        for _ in range(3):
            report = await link.next_report()
            assert isinstance(report, Verified)
            assert (report.chunks, report.bytes) == (RangeSet(), 0)
        assert down.is_pressed(CONTENT.root)
        down.set_rate(None)
        got = RangeSet()
        while got != CONTENT.whole:
            report = await link.next_report()
            assert isinstance(report, Verified)
            got |= report.chunks
    assert arriving.files() == CONTENT.files


async def test_a_capped_link_that_is_closed_waits_no_more(tmp_path: Path) -> None:
    down = Throttle(clock=lambda: 0.0)
    async with scene(tmp_path, down=down) as (_, link, arriving):
        assert isinstance(await link.next_report(), Opened)
        down.set_rate(limits.CAP_MIN)
        link.use(arriving.plan)
        link.grant(CONTENT.whole)
        while not down.is_pressed(CONTENT.root):
            await trio.sleep(0)
        link.close()
        assert await link.next_report() == Closed(None, CONTENT.whole)


async def test_its_window_is_what_its_requests_at_once_are_for_within_our_own_cap(tmp_path: Path) -> None:
    down = Throttle(clock=lambda: 0.0)
    async with scene(tmp_path, down=down) as (_, link, _arriving):
        assert link.window == WindowNow(limits.MIRROR_REQUESTS_AT_ONCE * limits.MIRROR_RUN_BYTES_MAX, None)
        down.set_rate(8_000_000)
        assert link.window == WindowNow(limits.MIRROR_REQUESTS_AT_ONCE * 2_000_000, None)


async def test_it_tells_what_its_time_went_into(tmp_path: Path) -> None:
    async with scene(tmp_path) as (_, link, arriving):
        assert isinstance(await link.next_report(), Opened)
        link.use(arriving.plan)
        link.grant(CONTENT.whole)
        got, spent = RangeSet(), Spent()
        while got != CONTENT.whole:
            report = await link.next_report()
            assert isinstance(report, Verified)
            got, spent = got | report.chunks, spent + report.spent
    assert min(spent) > 0


async def test_a_capped_link_opens_before_it_tells_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_link, "_TELL_WITHIN_S", 0.0)
    down = Throttle(limits.CAP_MIN, clock=lambda: 0.0)
    async with scene(tmp_path, down=down) as (_, link, _arriving):
        while not down.is_pressed(CONTENT.root):
            await trio.sleep(0)
        for _ in range(50):
            await trio.sleep(0)
        down.set_rate(None)
        assert isinstance(await link.next_report(), Opened)


@covers("F31")
async def test_a_fault_of_our_own_in_a_link_ends_that_link_alone_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mirror_link.MirrorLink, "_converse", lambda *args, **more: 1 // 0)
    async with scene(tmp_path) as (_, link, _arriving):
        assert isinstance(await link.next_report(), Closed)
    assert "a fault of our own" in caplog.text
