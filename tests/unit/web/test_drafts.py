"""What is dropped into the page waits in a draft, which is published, dropped, or given up; and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2phub import api, limits
from p2phub.errors import DiskFull, NotFound, UsageError
from p2phub.http.exchange import Request
from p2phub.http.refusal import Refusal
from p2phub.observe import DraftOpened
from p2phub.web import bodies
from p2phub.web.drafts import LOOK_S, Drafts, is_inside
from tests.support.covers import covers
from tests.support.memory_exchange import HOST, MemoryExchange
from tests.support.scripted_hub import Script, scripted_hub


class DraftingNode(Script):
    """A node that has drafts open; `published` is what it published."""

    def __init__(self, folder: Path) -> None:
        super().__init__({"draft_room": {}, "draft_change": {}})
        self.folder = folder
        self.open: dict[int, trio.Event] = {}
        self.published: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.says |= {
            "open_draft": self.open_draft,
            "close_draft": self.close_draft,
            "draft_publish": self.draft_publish,
        }

    async def open_draft(self, *, watch: api.Watch, base: str | None) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        number = len(self.asked)
        self.open[number] = trio.Event()
        place = self.folder / str(number)
        place.mkdir()
        watch(DraftOpened(number, str(place), base))
        try:
            await self.open[number].wait()
        finally:
            del self.open[number]
        return {}

    async def close_draft(self, *, watch: api.Watch, number: int) -> dict[str, Any]:
        if number not in self.open:
            raise NotFound("it went with whoever opened it")
        self.open[number].set()
        return {}

    async def draft_publish(self, *, watch: api.Watch, **args: Any) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        self.published.append(args)
        return api.Published("ann/dropped", "m" * 8, "ticket", 1, 2, 2, True, 0.1).as_json()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[DraftingNode, Drafts]]:
    node = DraftingNode(folder)
    async with trio.open_nursery() as nursery:
        drafts = Drafts(scripted_hub(node, folder / "home", nursery), nursery)
        nursery.start_soon(drafts.tidy)
        yield node, drafts
        nursery.cancel_scope.cancel()


def body(content: bytes, **headers: str) -> MemoryExchange:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return MemoryExchange(Request("PUT", "/", {"host": HOST, **told}, "127.0.0.1"), content)


async def test_a_draft_takes_files_and_is_over_once_it_is_published(tmp_path: Path) -> None:
    async with opened(tmp_path) as (node, drafts):
        number = await drafts.open()
        put = await drafts.put(number, "a/b.txt", body(b"abc", content_length="3"))
        assert put["path"] == "a/b.txt"
        told = await drafts.publish(number, bodies.PublishDropped(name="dropped", description="A title"))
        assert (told["ref"], told["ticket"]) == ("ann/dropped", "ticket")
        (asked,) = node.published
        assert (asked["name"], asked["description"], asked["private"]) == ("dropped", "A title", False)
        assert node.open == {}
        with pytest.raises(Refusal) as refused:
            await drafts.put(number, "c", body(b""))
        assert refused.value.status == 404


async def test_what_could_not_be_published_can_be_tried_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as (node, drafts):
        number = await drafts.open()
        node.failure = UsageError("that is no name")
        with pytest.raises(UsageError):
            await drafts.publish(number, bodies.PublishDropped(name="-"))
        node.failure = None
        assert (await drafts.publish(number, bodies.PublishDropped(name="dropped")))["ref"] == "ann/dropped"


async def test_a_file_that_is_not_as_long_as_was_said_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, drafts):
        number = await drafts.open()
        with pytest.raises(UsageError):
            await drafts.put(number, "a", body(b"abc", content_length="4"))


async def test_nothing_is_published_while_files_still_come(tmp_path: Path) -> None:
    class Slow(MemoryExchange):
        async def pieces(self, *, most: int) -> Any:
            await trio.sleep_forever()
            yield b""

    async with opened(tmp_path) as (_, drafts), trio.open_nursery() as nursery:
        number = await drafts.open()
        nursery.start_soon(drafts.put, number, "a", Slow(body(b"").request))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Refusal) as refused:
            await drafts.publish(number, bodies.PublishDropped(name="dropped"))
        assert refused.value.status == 409
        nursery.cancel_scope.cancel()


async def test_a_draft_that_nobody_adds_to_is_given_up(tmp_path: Path, autojump_clock: object) -> None:
    async with opened(tmp_path) as (node, drafts):
        idle, used = await drafts.open(), await drafts.open()
        await trio.sleep(limits.GATEWAY_UPLOAD_IDLE_S - 1)
        await drafts.put(used, "a", body(b"a"))
        await trio.sleep(LOOK_S + 1)
        assert len(node.open) == 1
        with pytest.raises(Refusal):
            await drafts.drop(idle)
        await drafts.drop(used)
        assert node.open == {}


async def test_there_is_a_bound_on_drafts_and_a_failure_opens_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as (node, drafts):
        node.failure = DiskFull("the disk is full")
        with pytest.raises(DiskFull):
            await drafts.open()
        node.failure = None
        numbers = [await drafts.open() for _ in range(limits.PAGE_DRAFTS_MAX)]
        with pytest.raises(Refusal) as refused:
            await drafts.open()
        assert refused.value.status == 503
        await drafts.drop(numbers[0])
        await drafts.open()


async def test_drafts_end_with_the_page(tmp_path: Path) -> None:
    async with opened(tmp_path) as (node, drafts):
        await drafts.open()
    assert node.open == {}


@covers("T44")
@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a/", "..", "a\0b"])
async def test_no_file_is_put_outside_of_a_draft(tmp_path: Path, path: str) -> None:
    assert not is_inside(path)
    async with opened(tmp_path) as (node, drafts):
        number = await drafts.open()
        with pytest.raises(Refusal) as refused:
            await drafts.put(number, path, body(b"x"))
        assert refused.value.status == 400
        assert not any(verb in ("draft_room", "draft_change") for verb, _ in node.asked)
