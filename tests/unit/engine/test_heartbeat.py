"""The control connection beside a fetch tells a frozen provider from a slow one."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from p2phub import limits
from p2phub.content import RangeSet, digest_of
from p2phub.engine.exchange import Told
from p2phub.engine.heartbeat import MOMENT_S, PATIENCE_S, HoldsNow, Silent, Terms, keep_company
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.wire import ControlAnswer, ControlRequest, GetNews, News
from tests.support.covers import covers

PEER = PeerId(bytes(32))
WHERE = PeerAddress(PEER, Address("127.0.0.1", 1))
OTHER = PeerAddress(PeerId(bytes([1] * 32)), Address("127.0.0.1", 2))
MANIFEST = digest_of(b"manifest")


@dataclass
class Freezing:
    """Answers `answers` questions after `holds_s`, with news unless it has none, then never again; `gone`: it cannot be
    reached at all."""

    answers: int
    gone: bool = False
    holds_s: float = 0.0
    has_news: bool = True
    peers: tuple[PeerAddress, ...] = ()
    closed: bool = False
    asked: list[tuple[float, ControlRequest]] = field(default_factory=list)

    @property
    def peer(self) -> PeerId:
        return PEER

    @property
    def address(self) -> Address:
        return WHERE.address

    async def open_control(self, peer: PeerAddress) -> Freezing:
        if self.gone:
            raise PeerGone("nobody there")
        return self

    async def open_link(self, *args: object, **options: object) -> None:
        raise AssertionError("only control is asked for here")

    async def ask(self, request: ControlRequest) -> ControlAnswer:
        self.asked.append((trio.current_time(), request))
        if self.answers == 0:
            await trio.sleep_forever()
        self.answers -= 1
        await trio.sleep(self.holds_s)
        return News(RangeSet.whole(self.answers) if self.has_news else None, self.peers, (len(self.asked), 7))

    async def aclose(self) -> None:
        self.closed = True


async def told_by(provider: Freezing, terms: Terms | None = None) -> list[HoldsNow | Silent | Told]:
    send, receive = trio.open_memory_channel[HoldsNow | Silent | Told](100)
    async with send:
        await keep_company(WHERE, MANIFEST, dialler=provider, tell=send, terms=terms)  # type: ignore[arg-type]
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


async def test_whether_to_try_again_later_is_told(autojump_clock: MockClock) -> None:
    send, receive = trio.open_memory_channel[HoldsNow | Silent | Told](100)
    async with send, receive:
        for provider, again in ((Freezing(answers=0, gone=True), True), (Freezing(answers=0), False)):
            assert await keep_company(WHERE, MANIFEST, dialler=provider, tell=send) is again  # type: ignore[arg-type]
        unwanted = Terms(wanted=lambda: False)
        nobody = Freezing(answers=0, gone=True)
        assert not await keep_company(WHERE, MANIFEST, dialler=nobody, tell=send, terms=unwanted)  # type: ignore[arg-type]


async def test_one_that_was_found_to_lie_is_not_asked_again(autojump_clock: MockClock) -> None:
    assert await told_by(Freezing(answers=0, gone=True), Terms(wanted=lambda: False)) == []
    liar = Freezing(answers=9)
    told = await told_by(liar, Terms(wanted=lambda: liar.answers > 7))
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


async def test_a_fetch_that_is_more_than_a_moments_work_keeps_company_at_once(autojump_clock: MockClock) -> None:
    provider = Freezing(answers=1)
    await told_by(provider, Terms(long=lambda: trio.sleep(0.1)))
    assert provider.asked[0][0] < 0.2


async def test_who_has_news_is_asked_for_more_after_the_pause_that_we_choose(autojump_clock: MockClock) -> None:
    provider = Freezing(answers=8)
    await told_by(provider, Terms(pause_s=lambda: 0.3))
    times = [at for at, _ in provider.asked]
    assert [round(later - earlier, 6) for earlier, later in pairwise(times)] == [0.3] * 8


@covers("T41")
async def test_one_without_news_is_asked_no_more_often_than_for_a_sign_of_life(autojump_clock: MockClock) -> None:
    provider = Freezing(answers=3, has_news=False)  # And that answers at once, though it was asked to wait.
    await told_by(provider)
    times = [at for at, _ in provider.asked]
    assert all(later - earlier >= limits.HEARTBEAT_S for earlier, later in pairwise(times))


async def test_a_provider_is_told_from_whom_else_how_much_came(autojump_clock: MockClock) -> None:
    provider, got = Freezing(answers=2), ((OTHER.peer, 4096),)
    await told_by(provider, Terms(got=lambda: got))
    assert [request.got for _, request in provider.asked if isinstance(request, GetNews)] == [got] * 3


async def test_an_answer_that_is_held_until_there_is_news_is_no_silence(autojump_clock: MockClock) -> None:
    told = await told_by(Freezing(answers=2, holds_s=limits.HEARTBEAT_S))
    assert [type(item) for item in told] == [HoldsNow, HoldsNow, Silent]
    assert limits.HEARTBEAT_S < PATIENCE_S


async def test_each_question_says_up_to_where_the_last_answer_went(autojump_clock: MockClock) -> None:
    provider = Freezing(answers=2)
    await told_by(provider, Terms(port=4717))
    wait_ms = int(1000 * limits.HEARTBEAT_S)
    assert [request for _, request in provider.asked] == [
        GetNews(MANIFEST, 4717, seen, wait_ms) for seen in ((0, 0), (1, 7), (2, 7))
    ]


async def test_whom_a_provider_knows_is_told(autojump_clock: MockClock) -> None:
    told = await told_by(Freezing(answers=1, has_news=False, peers=(OTHER,)))
    assert told[0] == Told(PEER, (OTHER,))
