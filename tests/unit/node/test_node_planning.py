"""A plan tells who is known to have it, and waits for nobody who does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from p2phub.content import digest_of
from p2phub.discovery import Candidate
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.node.verbs.planning import LOOK_S, OTHERS_S, providers_of

ANN = Candidate(PeerAddress(PeerId(b"\4" * 32), Address("127.0.0.1", 1)), "direct")


class Search:
    """Finds `known` at once, and then waits for a dead address, or is over."""

    def __init__(self, *known: Candidate, is_over: bool = False) -> None:
        self._known = known
        self._is_over = is_over

    async def look(self, manifest: object, round_number: int, send: trio.MemorySendChannel[Candidate]) -> None:
        for each in self._known:
            await send.send(each)
        if not self._is_over:
            await trio.sleep_forever()

    def more(self) -> bool:
        return False


@pytest.mark.parametrize(("known", "within_s"), [([ANN], OTHERS_S), ([], LOOK_S)], ids=["one is known", "nobody is"])
async def test_others_are_not_waited_for_long_once_one_provider_is_known(
    known: list[Candidate], within_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    search: Any = Search(*known)
    resolved: Any = SimpleNamespace(manifest=digest_of(b"m"))
    began = trio.current_time()
    assert await providers_of(search, resolved) == known
    assert trio.current_time() - began == pytest.approx(within_s)


@pytest.mark.parametrize("known", [[ANN], []], ids=["one is known", "nobody is"])
async def test_a_search_that_is_over_is_waited_for_no_longer(
    known: list[Candidate], autojump_clock: trio.testing.MockClock
) -> None:
    search: Any = Search(*known, is_over=True)
    resolved: Any = SimpleNamespace(manifest=digest_of(b"m"))
    began = trio.current_time()
    assert await providers_of(search, resolved) == known
    assert trio.current_time() == began
