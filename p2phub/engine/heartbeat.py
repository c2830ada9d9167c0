"""Keep a control connection to a provider beside its bulk connections: is it alive, what does it hold, whom it knows.

A frozen peer looks like a slow one on a bulk connection; here it fails to answer a question in time. There is always
one question out, which the provider answers once it has news, so that they come at once and silence costs nothing.
Opened only when a fetch is more than a moment's work. It owns nothing: what it learns is told to the coordinator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import trio

from p2phub import limits
from p2phub.content import Digest, RangeSet
from p2phub.engine.exchange import Told
from p2phub.errors import PeerError, PeerStalled
from p2phub.identity import PeerAddress, PeerId
from p2phub.net import Control, Dialler
from p2phub.wire import GetNews, News

MOMENT_S = 0.5  # A fetch that is done by then needs no second connection.
PATIENCE_S = 2 * limits.HEARTBEAT_S  # A busy peer answers late; a frozen one never does.


class HoldsNow(msgspec.Struct, frozen=True):
    """A provider told what it can serve."""

    peer: PeerId
    held: RangeSet


class Silent(msgspec.Struct, frozen=True):
    """A provider no longer answers, though its connections stand."""

    peer: PeerId
    error: PeerStalled


class Terms(msgspec.Struct, frozen=True):
    """On what terms a provider is asked for news. `pause_s` returns how long to leave it alone after it told some,
    `wait_s` how long it may keep its answer until there is some. `got`: from whom else how much was had, which it is
    told. `port`: where it, and others, can dial us; 0: nowhere. `wanted`: whether it is company still; one that was
    found to lie is not. `long` returns once it is clear that the fetch takes more than a moment."""

    pause_s: Callable[[], float] = lambda: limits.NEWS_S
    wait_s: Callable[[], float] = lambda: limits.HEARTBEAT_S
    port: int = 0
    got: Callable[[], tuple[tuple[PeerId, int], ...]] = tuple
    wanted: Callable[[], bool] = lambda: True
    long: Callable[[], Awaitable[None]] = trio.sleep_forever


Tell = trio.MemorySendChannel[HoldsNow | Silent | Told]


async def keep_company(
    provider: PeerAddress, manifest: Digest, *, dialler: Dialler, tell: Tell, terms: Terms | None = None
) -> bool:
    """Ask on until cancelled, the provider is silent, or it is not wanted any more.

    Returns True if it took no control connection, or ended it: later it may; until then it is left to the stall clock
    of its links.
    """
    terms = terms or Terms()
    with trio.move_on_after(MOMENT_S):
        await terms.long()
    if not terms.wanted():
        return False  # It was found to lie within that moment.
    try:
        control = await dialler.open_control(provider)
        try:
            await _ask_on(control, manifest, tell, terms)
        finally:
            with trio.move_on_after(limits.GOODBYE_S, shield=True):
                await control.aclose()
    except PeerError:
        return terms.wanted()
    return False


async def _ask_on(control: Control, manifest: Digest, tell: Tell, terms: Terms) -> None:
    seen = (0, 0)
    while terms.wanted():
        asked_at, wait_s = trio.current_time(), terms.wait_s()
        question = GetNews(manifest, terms.port, seen, wait_ms=int(1000 * wait_s), got=terms.got())
        with trio.move_on_after(PATIENCE_S) as patience:
            answer = await control.ask(question)
        if patience.cancelled_caught:
            error = PeerStalled(f"no answer within {PATIENCE_S:g} s: it is frozen or cut off", peer=str(control.peer))
            await tell.send(Silent(control.peer, error))
            return
        assert isinstance(answer, News)
        seen = answer.seen
        if answer.held is not None:
            await tell.send(HoldsNow(control.peer, answer.held))
        if answer.peers:
            await tell.send(Told(control.peer, answer.peers))
        if answer.held is not None or answer.peers:
            await trio.sleep(terms.pause_s())
        else:  # Nothing new, and perhaps not held back for as long as it was asked to be.
            await trio.sleep_until(asked_at + wait_s)
