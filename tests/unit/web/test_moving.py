"""Everybody who listens is told what moves, at most twice a second; one who is slow, or gone, holds nobody."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from p2phub import limits
from p2phub.errors import DiskError
from p2phub.http.exchange import Request
from p2phub.http.refusal import Refusal
from p2phub.web.files import Files
from p2phub.web.moving import LOOK_S, SLOWLY_S
from p2phub.web.page import Page
from p2phub.web.sites import open_page
from tests.support.memory_exchange import HOST, MemoryExchange
from tests.support.scripted_hub import QUIET, Script, job_of_node, pulse, scripted_hub


class Counting(Script):
    """A node that has sent a byte more each time that it is asked."""

    def __init__(self) -> None:
        super().__init__(QUIET)
        self.sent = 0
        self.says["pulse"] = self.pulse

    async def pulse(self, **args: Any) -> dict[str, Any]:
        self.sent += 1
        return pulse(bytes_sent=self.sent)

    def times(self, verb: str) -> int:
        return [asked for asked, _ in self.asked].count(verb)


class Events(MemoryExchange):
    """A client that takes `takes` pieces, and then none; or says its last."""

    def __init__(self, takes: float = float("inf")) -> None:
        super().__init__(Request("GET", "/-/api/events", {"host": HOST}, "127.0.0.1"))
        self.takes = takes

    async def send(self, piece: bytes | memoryview) -> None:
        if self.takes <= 0:
            await trio.sleep_forever()
        self.takes -= 1
        self.content += piece

    @property
    def told(self) -> list[Any]:
        lines = self.content.decode().split("\n")
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


@asynccontextmanager
async def page_of(script: Script, home: Path) -> AsyncIterator[Page]:
    async with open_page(scripted_hub(script, home), Files({})) as page:
        yield page


async def listen(page: Page, exchange: Events) -> None:
    try:
        await page.answer(exchange, HOST)
    except Exception as error:  # noqa: BLE001  # How it ended is looked at by the test.
        exchange.cut = error  # type: ignore[assignment]


async def test_who_listens_is_told_at_most_twice_a_second(tmp_path: Path, autojump_clock: object) -> None:
    script = Counting()
    async with page_of(script, tmp_path) as page, trio.open_nursery() as nursery:
        clients = [Events() for _ in range(5)]
        for client in clients:
            nursery.start_soon(listen, page, client)
        await trio.sleep(10.25)
        for client in clients:
            assert (client.status, client.headers["content-type"]) == (200, "text/event-stream")
            assert 19 <= len(client.told) <= 21
            assert [each["served_bytes"] for each in client.told] == [each["served_bytes"] for each in clients[0].told]
        assert script.times("pulse") <= 22  # One asks for all.
        assert script.times("peers") <= 3
        nursery.cancel_scope.cancel()


async def test_nothing_is_asked_while_nobody_listens(tmp_path: Path, autojump_clock: object) -> None:
    script = Counting()
    async with page_of(script, tmp_path):
        await trio.sleep(60)
        assert script.asked == []


async def test_a_client_that_takes_nothing_holds_nobody_and_goes_on_with_the_newest(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with page_of(Counting(), tmp_path) as page, trio.open_nursery() as nursery:
        slow, quick = Events(takes=1), Events()
        nursery.start_soon(listen, page, slow)
        nursery.start_soon(listen, page, quick)
        await trio.sleep(20)
        assert len(slow.told) == 1
        assert len(quick.told) >= 38
        nursery.cancel_scope.cancel()


async def test_a_client_that_goes_is_let_go_of(tmp_path: Path, autojump_clock: object) -> None:
    script = Counting()
    async with page_of(script, tmp_path) as page, trio.open_nursery() as nursery:
        script.says["pulse"] = pulse()  # Nothing changes, so nothing is sent.
        client = Events()
        nursery.start_soon(listen, page, client)
        await trio.sleep(5)
        assert len(client.told) == 1
        client.gone = True
        await trio.sleep(5)
        assert client.cut is not None
        asked = script.times("pulse")
        await trio.sleep(60)
        assert script.times("pulse") == asked


async def test_a_client_to_whom_nothing_is_said_is_told_that_we_are_there(
    tmp_path: Path, autojump_clock: object
) -> None:
    script = Script(QUIET)
    async with page_of(script, tmp_path) as page, trio.open_nursery() as nursery:
        client = Events()
        nursery.start_soon(listen, page, client)
        await trio.sleep(50)
        assert client.content.count(b": here\n\n") == 3
        nursery.cancel_scope.cancel()


async def test_there_is_a_bound_on_who_listens(tmp_path: Path, autojump_clock: object) -> None:
    async with page_of(Counting(), tmp_path) as page, trio.open_nursery() as nursery:
        for _ in range(limits.PAGE_LISTENERS_MAX):
            nursery.start_soon(listen, page, Events())
        await trio.sleep(1)
        with pytest.raises(Refusal) as refused:
            await page.answer(Events(), HOST)
        assert refused.value.status == 503
        nursery.cancel_scope.cancel()


async def test_a_node_that_cannot_answer_now_is_asked_again(tmp_path: Path, autojump_clock: object) -> None:
    script = Counting()
    async with page_of(script, tmp_path) as page, trio.open_nursery() as nursery:
        client = Events()
        nursery.start_soon(listen, page, client)
        await trio.sleep(1.2)
        script.says["pulse"] = DiskError("the disk does not answer")
        await trio.sleep(5)
        before = len(client.told)
        script.says["pulse"] = script.pulse
        await trio.sleep(5)
        assert len(client.told) > before
        nursery.cancel_scope.cancel()


async def test_rates_are_those_of_the_last_seconds(tmp_path: Path, autojump_clock: object) -> None:
    script = Script(QUIET)
    sent = 0

    async def sending(**args: Any) -> dict[str, Any]:
        nonlocal sent
        sent += 500
        return pulse(bytes_sent=sent, jobs=[job_of_node(1, "ann/mini"), job_of_node(2, "cy/other")])

    script.says["pulse"] = sending
    async with page_of(script, tmp_path) as page, trio.open_nursery() as nursery:
        client = Events()
        nursery.start_soon(listen, page, client)
        await trio.sleep(20)
        told = client.told[-1]
        assert told["rates"]["up"] == pytest.approx(500 / LOOK_S, rel=0.01)
        assert told["rates"]["down"] == 20.0
        assert [job["ref"] for job in told["jobs"]] == ["cy/other", "ann/mini"]
        nursery.cancel_scope.cancel()


async def test_what_changed_is_told_at_once_and_measured_soon(tmp_path: Path, autojump_clock: object) -> None:
    script = Script(QUIET)
    async with page_of(script, tmp_path) as page, trio.open_nursery() as nursery:
        client = Events()
        nursery.start_soon(listen, page, client)
        await trio.sleep(SLOWLY_S / 4)
        assert (client.told[-1]["held"], client.told[-1]["changed"]) == (0, 0)
        script.says["pulse"] = pulse(changes=7)
        script.says["search"] = {"items": [], "cursor": None, "total": 3, "complete": True}
        assert client.told[-1]["disk"]["own_bytes"] is None
        held = {"own": {"manifests": 1, "bytes": 20}, "adopted": {"manifests": 2, "bytes": 10}}
        script.says["counters"] = {"store": {"held": held, "unfinished_bytes": 5}}
        await trio.sleep(2 * LOOK_S)
        assert (client.told[-1]["held"], client.told[-1]["changed"]) == (3, 7)
        await trio.sleep(10)
        disk = client.told[-1]["disk"]
        assert (disk["held_bytes"], disk["own_bytes"], disk["published_bytes"]) == (30, 20, 0)
        assert disk["unfinished_bytes"] == 5
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("complete", "held"), [(True, 3), (False, None)])
async def test_how_much_is_held_nobody_knows_before_all_was_looked_through(
    complete: bool, held: int | None, tmp_path: Path
) -> None:
    found = {"items": [], "cursor": None, "total": 3, "complete": complete}
    async with page_of(Script({**QUIET, "search": found}), tmp_path) as page:
        exchange = MemoryExchange(Request("GET", "/-/api/overview", {"host": HOST}, "127.0.0.1"))
        await page.answer(exchange, HOST)
        assert exchange.json["held"] == held


async def test_peers_that_give_something_come_first(tmp_path: Path) -> None:
    known = [{"peer_id": peer, "addresses": [f"/{peer}"], "proven": peer != "cy"} for peer in ("cy", "bob", "ann")]
    says = {**QUIET, "pulse": pulse(jobs=[job_of_node(1, "x")]), "peers": {"items": known}}
    async with page_of(Script(says), tmp_path) as page:
        exchange = MemoryExchange(Request("GET", "/-/api/peers", {"host": HOST}, "127.0.0.1"))
        await page.answer(exchange, HOST)
        assert [(each["peer_id"], each["down"], each["bytes"]) for each in exchange.json["items"]] == [
            ("ann", 10.0, 40), ("bob", 0.0, None), ("cy", 0.0, None),
        ]  # fmt: skip


async def test_a_fetch_into_a_folder_whose_name_is_no_text_is_told_to_who_listens(
    tmp_path: Path, autojump_clock: object
) -> None:
    """It ended the task that tells, and with it the node."""
    says = {**QUIET, "pulse": pulse(jobs=[{**job_of_node(1, "x"), "into": os.fsdecode(b"/m/\xff")}])}
    async with page_of(Script(says), tmp_path) as page, trio.open_nursery() as nursery:
        exchange = Events()
        nursery.start_soon(listen, page, exchange)
        await trio.sleep(1)
        assert rb"/m/\\udcff" in exchange.content
        nursery.cancel_scope.cancel()


async def test_a_fetch_for_readers_that_rests_is_no_job(tmp_path: Path) -> None:
    resting = job_of_node(1, "ann/mini")
    resting["explanation"]["bound"] = "readers"
    async with page_of(Script({**QUIET, "pulse": pulse(jobs=[resting])}), tmp_path) as page:
        exchange = MemoryExchange(Request("GET", "/-/api/overview", {"host": HOST}, "127.0.0.1"))
        await page.answer(exchange, HOST)
        assert exchange.json["jobs"] == []
