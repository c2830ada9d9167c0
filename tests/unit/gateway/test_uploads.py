"""What waits for a commit: who may have it kept at all, and how much of it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, cast

import pytest
import trio
import trio.testing

from p2phub import api, limits
from p2phub.gateway.routes import Kind, RepoId
from p2phub.gateway.upload_routes import PutShard, PutXorb
from p2phub.gateway.uploads import Uploads, _Head
from p2phub.http.exchange import Request
from p2phub.http.refusal import Refusal
from tests.support.memory_exchange import HOST, MemoryExchange
from tests.support.xet_upload import chunk, file_entry, shard, xorb

HASH = "0123456789abcdef" * 4


class _Draft:
    async def __aenter__(self) -> _Draft:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __init__(self) -> None:
        self.kept = 0

    async def receive(self, pieces: Any) -> str:
        async for _ in pieces:
            await trio.lowlevel.checkpoint()
        self.kept += 1
        return "ab" * 32


class _Hub:
    def __init__(self) -> None:
        self.opened = 0

    def open_draft(self) -> _Draft:
        self.opened += 1
        self.draft = _Draft()
        return self.draft


def _exchange(body: bytes) -> MemoryExchange:
    return MemoryExchange(Request("POST", "/api/xet", {}, "127.0.0.1"), body)


async def _grant(uploads: Uploads) -> str:
    async with uploads._used_intake() as intake:
        return intake.grant


async def test_who_guesses_a_grant_opens_no_draft_and_keeps_none_open() -> None:
    """These URLs take no token, so another user of the machine may ask for them, too."""
    hub = _Hub()
    uploads = Uploads(cast("api.Hub", hub))
    with pytest.raises(Refusal):
        await uploads.answer(_exchange(b""), PutShard("0" * 48), HOST)
    assert hub.opened == 0
    await _grant(uploads)
    assert uploads._intake is not None
    uploads._intake.used_at = -1.0
    with pytest.raises(Refusal):
        await uploads.answer(_exchange(b""), PutShard("0" * 48), HOST)
    assert uploads._intake.used_at == -1.0


async def test_what_shards_tell_is_bounded_over_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_SEGMENTS_MAX", 5)
    uploads = Uploads(cast("api.Hub", _Hub()))
    asked = PutShard(await _grant(uploads))
    for content in (b"a", b"a", b"b", b"a", b"c", b"d", b"e"):  # Told again, a file is counted once.
        await uploads.answer(_exchange(shard(file_entry(content, []))), asked, HOST)
    with pytest.raises(Refusal) as caught:
        await uploads.answer(_exchange(shard(file_entry(b"f", []))), asked, HOST)
    assert caught.value.status == 413


async def test_the_chunks_of_all_xorbs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_CHUNKS_MAX", 5)
    hub = _Hub()
    uploads = Uploads(cast("api.Hub", hub))
    grant = await _grant(uploads)
    await uploads.answer(_exchange(xorb(*[chunk(b"")] * 5)), PutXorb(grant, HASH), HOST)
    with pytest.raises(Refusal) as caught:
        await uploads.answer(_exchange(xorb(chunk(b""))), PutXorb(grant, "ff" * 32), HOST)
    assert caught.value.status == 413
    assert hub.draft.kept == 1, "nothing stays of what is refused"


async def test_xorbs_that_come_at_once_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_XORBS_MAX", 2)
    hub = _Hub()
    uploads = Uploads(cast("api.Hub", hub))
    grant = await _grant(uploads)
    refused: list[int] = []

    async def put(number: int) -> None:
        try:
            await uploads.answer(_exchange(xorb(chunk(b""))), PutXorb(grant, f"{number:064x}"), HOST)
        except Refusal as refusal:
            refused.append(refusal.status)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(put, number)
    assert (refused, hub.draft.kept) == ([413] * 3, 2)


async def test_two_names_of_one_release_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would begin with what the other is about to replace."""
    uploads = Uploads(cast("api.Hub", _Hub()))
    order: list[str] = []

    async def existing(repo: RepoId) -> _Head:
        order.append(f"{repo.name} looks")
        return _Head("KEY/mini", "mini", True, ())

    async def take(name: str) -> None:
        async with uploads._turn(RepoId(Kind.MODEL, name)):
            order.append(f"{name} has it")
            await trio.testing.wait_all_tasks_blocked()
            order.append(f"{name} is done")

    monkeypatch.setattr(uploads, "_existing", existing)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, "acme/mini")
        nursery.start_soon(take, "mini")
    assert [each.partition(" ")[2] for each in order[2:]] == ["looks", "has it", "is done"] * 2
