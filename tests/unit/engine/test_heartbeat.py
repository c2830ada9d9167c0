"""The control connection beside a fetch tells a frozen provider from a slow one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock

from p2phub.content import RangeSet, digest_of
from p2phub.engine.heartbeat import MOMENT_S, PATIENCE_S, HoldsNow, Silent, keep_company
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.wire import ControlAnswer, ControlRequest, Have
from tests.support.covers import covers

PEER = PeerId(bytes(32))
WHERE = PeerAddress(PEER, Address("127.0.0.1", 1))
MANIFEST = digest_of(b"manifest")


@dataclass
class Freezing:
    """Answers `answers` questions, then never again; `gone`: it cannot be reached at all."""

    answers: int
    gone: bool = False
    closed: bool = False

    @property
    def peer(self) -> PeerId:
        return PEER

    async def open_control(self, peer: PeerAddress) -> Freezing:
        if self.gone:
            raise PeerGone("nobody there")
        return self

    async def open_link(self, *args: object, **options: object) -> None:
        raise AssertionError("only control is asked for here")

    async def ask(self, request: ControlRequest) -> ControlAnswer:
        if self.answers == 0:
            await trio.sleep_forever()
        self.answers -= 1
        return Have(RangeSet.whole(self.answers))

    async def aclose(self) -> None:
        self.closed = True


async def told_by(provider: Freezing, wanted: Callable[[], bool] = lambda: True) -> list[HoldsNow | Silent]:
    send, receive = trio.open_memory_channel[HoldsNow | Silent](10)
    async with send:
        await keep_company(WHERE, MANIFEST, dialler=provider, tell=send, wanted=wanted)  # type: ignore[arg-type]
    return [item async for item in receive]


@covers("F18", "T35")
async def test_a_provider_that_stops_answering_is_told_as_silent(autojump_clock: MockClock) -> None:
    provider = Freezing(answers=2)
    told = await told_by(provider)
    assert [type(item) for item in told] == [HoldsNow, HoldsNow, Silent]
    assert trio.current_time() >= MOMENT_S + PATIENCE_S
    assert provider.closed


async def test_what_a_provider_holds_now_is_told(autojump_clock: MockClock) -> None:
    told = await told_by(Freezing(answers=2))
    assert [len(item.held) for item in told if isinstance(item, HoldsNow)] == [1, 0]


async def test_one_that_takes_no_control_connection_is_left_to_the_stall_clock(autojump_clock: MockClock) -> None:
    assert await told_by(Freezing(answers=0, gone=True)) == []


async def test_one_that_was_found_to_lie_is_not_asked_again(autojump_clock: MockClock) -> None:
    assert await told_by(Freezing(answers=0, gone=True), wanted=lambda: False) == []
    liar = Freezing(answers=9)
    told = await told_by(liar, wanted=lambda: liar.answers > 7)
    assert len(told) == 2
    assert liar.closed


async def test_a_short_fetch_opens_no_control_connection(autojump_clock: MockClock) -> None:
    provider = Freezing(answers=0, gone=True)
    with trio.move_on_after(MOMENT_S / 2) as soon:
        await told_by(provider)
    assert soon.cancelled_caught


@covers("F30")
@pytest.mark.parametrize("answers", [0, 3])
async def test_a_cancelled_company_closes_its_connection(autojump_clock: MockClock, answers: int) -> None:
    provider = Freezing(answers=answers)
    with trio.move_on_after(MOMENT_S + 1):
        await told_by(provider)
    assert provider.closed
