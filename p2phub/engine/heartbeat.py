"""Keep a control connection to a provider beside its bulk connections: is it alive, what does it hold, whom it knows.

A frozen peer looks like a slow one on a bulk connection; here it fails to answer a question in time. One that is still
fetching, too, is asked often what it holds now. Opened only when a fetch is more than a moment's work. It owns nothing:
what it learns is told to the coordinator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import trio

from p2phub import limits
from p2phub.content import Digest, RangeSet
from p2phub.engine.exchange import Told
from p2phub.errors import PeerError, PeerStalled
from p2phub.identity import PeerAddress, PeerId
from p2phub.net import Control, Dialler
from p2phub.wire import GetHave, GetPeers, Have, Peers

MOMENT_S = 0.5  # A fetch that is done by then needs no second connection.
PATIENCE_S = 2 * limits.HEARTBEAT_S  # A busy peer answers late; a frozen one never does.


@dataclass(frozen=True, slots=True)
class HoldsNow:
    """A provider told what it can serve."""

    peer: PeerId
    held: RangeSet


@dataclass(frozen=True, slots=True)
class Silent:
    """A provider no longer answers, though its connections stand."""

    peer: PeerId
    error: PeerStalled


@dataclass(frozen=True, slots=True)
class Questions:
    """What a provider is asked. `have_s` returns how long to wait before it is asked again what it holds, `peers_s`
    how long before it is asked whom it knows: inf for never. `got`: from whom else how much was had, which it is told.
    `port`: where it, and others, can dial us; 0: nowhere. `wanted`: whether it is company still; one that was found to
    lie is not."""

    have_s: Callable[[], float] = lambda: limits.HEARTBEAT_S
    peers_s: Callable[[], float] = lambda: math.inf
    port: int = 0
    got: Callable[[], tuple[tuple[PeerId, int], ...]] = tuple
    wanted: Callable[[], bool] = lambda: True


Tell = trio.MemorySendChannel[HoldsNow | Silent | Told]


async def keep_company(
    provider: PeerAddress, manifest: Digest, *, dialler: Dialler, tell: Tell, questions: Questions | None = None
) -> None:
    """Ask on until cancelled, the provider is silent, or it is not wanted any more.

    One that takes no control connection, or ends it, is left to the stall clock of its links.
    """
    questions = questions or Questions()
    await trio.sleep(MOMENT_S)
    if not questions.wanted():
        return  # It was found to lie within that moment.
    try:
        control = await dialler.open_control(provider)
        try:
            await _ask_on(control, manifest, tell, questions)
        finally:
            with trio.move_on_after(limits.GOODBYE_S, shield=True):
                await control.aclose()
    except PeerError:
        return


async def _ask_on(control: Control, manifest: Digest, tell: Tell, questions: Questions) -> None:
    have_at = peers_at = -math.inf  # When each was asked last.
    while questions.wanted():
        now = trio.current_time()
        question: GetHave | GetPeers | None = None
        if now >= peers_at + questions.peers_s():
            question, peers_at = GetPeers(manifest, questions.port), now
        elif now >= have_at + questions.have_s():
            question, have_at = GetHave(manifest, questions.got()), now
        if question is None:
            await trio.sleep(limits.HAVE_SOON_S)  # How long to wait may be another answer by then.
            continue
        with trio.move_on_after(PATIENCE_S) as patience:
            answer = await control.ask(question)
        if patience.cancelled_caught:
            error = PeerStalled(f"no answer within {PATIENCE_S:g} s: it is frozen or cut off", peer=str(control.peer))
            await tell.send(Silent(control.peer, error))
            return
        if isinstance(answer, Have):
            await tell.send(HoldsNow(control.peer, answer.held))
        elif isinstance(answer, Peers):
            await tell.send(Told(control.peer, answer.peers))
