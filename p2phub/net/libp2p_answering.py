"""Answering the questions of the DHT that come in, on a bounded number of streams; proto/discovery.md §4, §5."""

from __future__ import annotations

import logging
import time
from collections import Counter

import trio

from p2phub import limits
from p2phub.discovery import Kind, Server, decode_question, encode_reply, frame, network_of
from p2phub.errors import Malformed
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net.giving_way import gives_way
from p2phub.net.libp2p_messages import Messages
from p2phub.net.libp2p_neighbours import Neighbours
from p2phub.net.libp2p_stream import Stream

log = logging.getLogger("p2phub.dht")


class Answerer:
    """Gives what `server` answers, and has `neighbours` look at those who say that they serve too."""

    def __init__(self, server: Server, neighbours: Neighbours) -> None:
        self._server = server
        self._neighbours = neighbours
        self._answering: Counter[PeerId] = Counter()
        self._places: dict[trio.CancelScope, str | None] = {}  # Of each stream, the oldest first, with its network.

    async def serve(self, stream: Stream) -> None:
        """Answer the questions on one stream. Where all places are taken, the network that holds most gives one up to
        who comes from another: who says nothing, or a byte now and then, would keep them for ever."""
        peer, network = stream.peer, network_of(stream.remote.ip)
        if self._answering[peer] >= limits.DHT_STREAMS_PER_PEER_MAX or not self._make_room(network):
            await stream.abort()
            return
        self._answering[peer] += 1
        scope = trio.CancelScope()
        self._places[scope] = network
        try:
            with scope:
                await self._answer_all(stream)
            if scope.cancelled_caught:
                await stream.abort()
        except Malformed as exc:
            log.debug("%s asked what cannot be read: %s", peer, exc)
            await stream.abort()
        finally:
            self._places.pop(scope, None)
            self._answering[peer] -= 1
            if not self._answering[peer]:
                del self._answering[peer]

    def _make_room(self, network: str | None) -> bool:
        """Return whether there is a place for one more from `network`, perhaps another's."""
        if len(self._places) < limits.DHT_STREAMS_MAX:
            return True
        leaves = gives_way(self._places, network)
        if leaves is None:
            return False
        del self._places[leaves]
        leaves.cancel()
        return True

    async def _answer_all(self, stream: Stream) -> None:
        messages = Messages(stream)
        while (message := await messages.next(seconds=limits.DHT_RPC_S)) is not None:
            question = decode_question(message)
            reply = self._server.answer(
                question, stream.peer, stream.remote.ip, now=trio.current_time(), wall_now=time.time()
            )
            if reply is None:
                await stream.abort()
                return
            await stream.write(frame(encode_reply(reply)), seconds=limits.DHT_RPC_S)
            if question.port and question.kind is not Kind.ADD_PROVIDER:
                self._neighbours.consider(PeerAddress(stream.peer, Address(stream.remote.ip, question.port)))
        await stream.close()
