"""Control connections in trio: the side that asks, and the side that answers. Source: proto/transfer.md §6."""

from __future__ import annotations

import math
from collections.abc import Sequence

import trio

from p2phub import limits
from p2phub.errors import HubError, PeerGone
from p2phub.identity import Address, PeerId
from p2phub.net.alone import alone
from p2phub.net.bytestream import READ_BYTES, Connection, Pieces
from p2phub.net.interface import AnswerControl
from p2phub.wire import ControlAnswer, ControlClient, ControlRequest, ControlServer


class ControlConnection:
    """`net.interface.Control` over any connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._machine = ControlClient(peer=str(connection.peer))
        self._turn = trio.Lock()
        self._dead = False

    @property
    def peer(self) -> PeerId:
        return self._connection.peer

    @property
    def address(self) -> Address:
        return self._connection.address

    async def ask(self, request: ControlRequest) -> ControlAnswer:
        async with self._turn:
            if self._dead:
                raise PeerGone("the control connection has ended", peer=str(self.peer))
            # Until the answer is whole the connection is of no use to anybody else: so it stays after a cancel too.
            self._dead = True
            with alone("a question", self.peer):
                answer = await self._ask(request)
            self._dead = False
            return answer

    async def _ask(self, request: ControlRequest) -> ControlAnswer:
        pieces = Pieces(self.peer)
        await self._connection.write(self._machine.ask(request))
        while True:
            data = await self._connection.read(READ_BYTES)
            if not data:
                raise PeerGone("the control connection ended", peer=str(self.peer))
            pieces.came(len(data))
            answer = self._machine.receive(data)
            if answer is not None:
                return answer

    async def aclose(self) -> None:
        self._dead = True
        await self._connection.aclose()


async def serve_control(connection: Connection, first: ControlRequest, answer: AnswerControl) -> None:
    """Answer `first` and what follows, in order, until the peer goes or is silent for IDLE_LINK_S. Raises PeerError.

    Who goes is noticed while an answer is held, too, so that nobody has a place who is not there.
    """
    fault: HubError | None = None  # Raised below: a nursery would wrap it in an ExceptionGroup.
    send, come = trio.open_memory_channel[bytes](0)
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            # One piece ahead at most: whoever asks on and on while an answer is due fills its own socket.
            nonlocal fault
            try:
                while data := await connection.read(READ_BYTES):
                    await send.send(data)
            except HubError as exc:
                fault = exc
            nursery.cancel_scope.cancel()

        nursery.start_soon(read)
        try:
            await _answer_all(connection, come, first, answer)
        except HubError as exc:
            fault = exc
        nursery.cancel_scope.cancel()
    if fault is not None:
        raise fault


async def _answer_all(
    connection: Connection, come: trio.MemoryReceiveChannel[bytes], first: ControlRequest, answer: AnswerControl
) -> None:
    machine = ControlServer(peer=str(connection.peer))
    waiting: Sequence[ControlRequest] = machine.begin(first)
    pieces = Pieces(connection.peer)
    next_at = -math.inf
    while True:
        for request in waiting:
            # Who asks faster than anybody needs to waits; and others have their turn, whoever asks without a pause.
            now = trio.current_time()
            next_at = max(next_at, now - limits.CONTROL_QUESTIONS_BURST / limits.CONTROL_QUESTIONS_PER_S)
            await trio.sleep(max(0.0, next_at - now))
            next_at += 1 / limits.CONTROL_QUESTIONS_PER_S
            with trio.move_on_after(limits.SOCKET_CALL_S) as slow:
                await connection.write(machine.answer(await answer(connection.peer, connection.address, request)))
            if slow.cancelled_caught:
                return
        with trio.move_on_after(limits.IDLE_LINK_S) as idle:
            data = await come.receive()
        if idle.cancelled_caught:
            return
        pieces.came(len(data))
        waiting = machine.receive(data)
        if waiting:
            pieces.begin()
