"""Whose questions a DHT server answers where more streams come than it has places for."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2phub import limits
from p2phub.discovery import Kind, Question, RoutingTable, Server, encode_question, frame
from p2phub.identity import Address, PeerId
from p2phub.net.libp2p_answering import Answerer
from tests.support.covers import covers

OWN = PeerId(sha256(b"own").digest())


class Line:
    """A stream of `peer` at `ip`, that says `said` and then nothing."""

    def __init__(self, peer: int, ip: str, said: bytes = b"") -> None:
        self.peer = PeerId(sha256(b"peer %d" % peer).digest())
        self.remote = Address(ip, 4717)
        self._said = said
        self.written = b""
        self.aborted = False

    async def read(self, count: int, *, seconds: float) -> bytes:
        if not self._said:
            await trio.sleep_forever()  # A byte now and then is as good.
        said, self._said = self._said, b""
        return said

    async def write(self, data: bytes, *, seconds: float) -> None:
        self.written += data

    async def abort(self) -> None:
        self.aborted = True

    async def close(self) -> None:
        """Nothing is open."""


def silent(count: int, ip: str) -> list[Line]:
    return [Line(number // limits.DHT_STREAMS_PER_PEER_MAX, ip) for number in range(count)]


@covers("T37")
async def test_who_takes_all_places_and_says_nothing_keeps_nobody_else_out(mock_clock: MockClock) -> None:
    """Eight identities of one address were enough that nobody's question was answered."""
    answerer = Answerer(Server(OWN, RoutingTable(OWN), seed=b"seed"), neighbours=_nobody())
    squatters = silent(limits.DHT_STREAMS_MAX, "8.8.8.8")
    honest = Line(900, "9.9.9.9", frame(encode_question(Question(Kind.PING))))
    another = Line(901, "8.8.8.9")
    async with trio.open_nursery() as nursery:
        for line in (*squatters, honest, another):
            nursery.start_soon(answerer.serve, line)
            await wait_all_tasks_blocked()
        assert honest.written
        assert not honest.aborted
        assert [line.aborted for line in squatters].count(True) == 1
        assert squatters[0].aborted  # The oldest.
        assert another.aborted  # Of the same network: it has its share.
        nursery.cancel_scope.cancel()


def _nobody() -> Any:
    return None
