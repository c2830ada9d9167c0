"""Keep a control connection to a provider beside its bulk connections: is it alive, and what does it hold now?

A frozen peer looks like a slow one on a bulk connection; here it fails to answer a question in time. Opened only when a
fetch is more than a moment's work. It owns nothing: what it learns is told to the coordinator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

from p2phub import limits
from p2phub.content import Digest, RangeSet
from p2phub.errors import PeerError, PeerStalled
from p2phub.identity import PeerAddress, PeerId
from p2phub.net import Control, Dialler
from p2phub.wire import GetHave, Have

MOMENT_S = 2.0  # A fetch that is done by then needs no second connection.
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


Tell = trio.MemorySendChannel[HoldsNow | Silent]


async def keep_company(
    provider: PeerAddress, manifest: Digest, *, dialler: Dialler, tell: Tell, wanted: Callable[[], bool]
) -> None:
    """Ask every HEARTBEAT_S until cancelled, the provider is silent, or it is not `wanted` any more.

    One that takes no control connection, or ends it, is left to the stall clock of its links.
    """
    await trio.sleep(MOMENT_S)
    if not wanted():
        return  # It was found to lie within that moment.
    try:
        control = await dialler.open_control(provider)
        try:
            await _ask_on(control, manifest, tell, wanted)
        finally:
            with trio.move_on_after(limits.GOODBYE_S, shield=True):
                await control.aclose()
    except PeerError:
        return


async def _ask_on(control: Control, manifest: Digest, tell: Tell, wanted: Callable[[], bool]) -> None:
    while wanted():
        with trio.move_on_after(PATIENCE_S) as patience:
            answer = await control.ask(GetHave(manifest))
        if patience.cancelled_caught:
            error = PeerStalled(f"no answer within {PATIENCE_S:g} s: it is frozen or cut off", peer=str(control.peer))
            await tell.send(Silent(control.peer, error))
            return
        if isinstance(answer, Have):
            await tell.send(HoldsNow(control.peer, answer.held))
        await trio.sleep(limits.HEARTBEAT_S)
