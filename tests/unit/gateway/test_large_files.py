"""What waits for a commit: who may have it kept at all, and how much of it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, cast

import pytest
import trio

from p2phub import api, limits
from p2phub.gateway.intake import Intakes
from p2phub.gateway.large_files import LargeFiles
from p2phub.gateway.upload_routes import PutShard, PutXorb
from p2phub.http.exchange import Request
from p2phub.http.refusal import Refusal
from tests.support.memory_exchange import MemoryExchange
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


async def _grant(intakes: Intakes) -> str:
    async with intakes.used() as intake:
        return intake.grant


async def test_who_guesses_a_grant_opens_no_draft_and_keeps_none_open() -> None:
    """These URLs take no token, so another user of the machine may ask for them, too."""
    hub = _Hub()
    intakes = Intakes(cast("api.Hub", hub))
    files = LargeFiles(intakes)
    with pytest.raises(Refusal):
        await files.put_shard(_exchange(b""), PutShard("0" * 48))
    assert hub.opened == 0
    await _grant(intakes)
    assert intakes._intake is not None
    intakes._intake.used_at = -1.0
    with pytest.raises(Refusal):
        await files.put_shard(_exchange(b""), PutShard("0" * 48))
    assert intakes._intake.used_at == -1.0


async def test_what_shards_tell_is_bounded_over_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_SEGMENTS_MAX", 5)
    intakes = Intakes(cast("api.Hub", _Hub()))
    files = LargeFiles(intakes)
    asked = PutShard(await _grant(intakes))
    for content in (b"a", b"a", b"b", b"a", b"c", b"d", b"e"):  # Told again, a file is counted once.
        await files.put_shard(_exchange(shard(file_entry(content, []))), asked)
    with pytest.raises(Refusal) as caught:
        await files.put_shard(_exchange(shard(file_entry(b"f", []))), asked)
    assert caught.value.status == 413


async def test_the_chunks_of_all_xorbs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_CHUNKS_MAX", 5)
    hub = _Hub()
    intakes = Intakes(cast("api.Hub", hub))
    files = LargeFiles(intakes)
    grant = await _grant(intakes)
    await files.put_xorb(_exchange(xorb(*[chunk(b"")] * 5)), PutXorb(grant, HASH))
    with pytest.raises(Refusal) as caught:
        await files.put_xorb(_exchange(xorb(chunk(b""))), PutXorb(grant, "ff" * 32))
    assert caught.value.status == 413
    assert hub.draft.kept == 1, "nothing stays of what is refused"


async def test_xorbs_that_come_at_once_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_XORBS_MAX", 2)
    hub = _Hub()
    intakes = Intakes(cast("api.Hub", hub))
    files = LargeFiles(intakes)
    grant = await _grant(intakes)
    refused: list[int] = []

    async def put(number: int) -> None:
        try:
            await files.put_xorb(_exchange(xorb(chunk(b""))), PutXorb(grant, f"{number:064x}"))
        except Refusal as refusal:
            refused.append(refusal.status)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(put, number)
    assert (refused, hub.draft.kept) == ([413] * 3, 2)
