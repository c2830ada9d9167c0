"""Asking the DHT: one question to one peer, or to ever closer ones until the closest have answered.

A lookup is bounded in time, in peers asked at once, and by what `discovery.Lookup` decides; a peer that fails costs
itself alone. Source: proto/discovery.md §4.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Sequence

import trio

from p2phub import limits
from p2phub.discovery import (
    Asked,
    Contact,
    Kind,
    Lookup,
    Question,
    Reply,
    decode_reply,
    dialable,
    encode_question,
    frame,
    position,
)
from p2phub.errors import Malformed, PeerError, PeerGone, ProtocolViolation
from p2phub.identity import PeerAddress, PeerId
from p2phub.net.libp2p_host import Host
from p2phub.net.libp2p_messages import Messages
from p2phub.net.libp2p_neighbours import Neighbours

log = logging.getLogger("p2phub.dht")
PROTOCOL = "/p2phub/kad/1.0.0"
_RETRY_S = 0.3


class Asker:
    """Puts questions to peers on streams of `host`, and tells `neighbours` how each did."""

    def __init__(self, host: Host, neighbours: Neighbours, *, serves: bool) -> None:
        """`serves`: whether this node answers questions itself, and so tells its port with each of its own."""
        self.last = Asked("dht")
        """Who was asked in the last search for somebody else's sake, and who failed."""
        self._host = host
        self._neighbours = neighbours
        self._serves = serves

    async def look_up(
        self,
        question: Question,
        on_reply: Callable[[Contact, Reply, str], bool],
        *,
        enough: Callable[[], bool] = lambda: False,
    ) -> Lookup:
        """Ask the peers closest to the question's key, ever closer; `on_reply` returns True to end the search.

        While `enough()`, those who have not answered are waited for no longer than DHT_STRAGGLER_S: one silent peer
        would otherwise hold up what all others have told.
        """
        lookup = Lookup(position(question.key), self._host.peer_id, self._neighbours.seeds(position(question.key)))
        heard_from: dict[PeerId, str] = {}
        answered: list[str] = []
        failed: list[str] = []
        # Looking ourselves up goes on meanwhile, and is not what a user who gets no answer wants to hear of.
        told = question.kind is not Kind.FIND_NODE
        if told:
            self.last = Asked("dht")
        send, replies = trio.open_memory_channel[tuple[Contact, Reply | None]](limits.DHT_PARALLEL)

        async def ask_one(contact: Contact) -> None:
            reply = None
            try:
                with trio.fail_after(2 * limits.DHT_RPC_S):
                    (reply,) = await self.ask(contact, question, heard_from=heard_from.get(contact.peer))
            except PeerError as exc:
                log.debug("%s: %s", contact.peer, exc)
            except trio.TooSlowError:
                # It had no time to fail: silent twice, which is what it takes who keeps its place in the table.
                log.debug("%s takes too long", contact.peer)
                self._neighbours.failed(contact.peer)
            await send.send((contact, reply))

        with trio.move_on_after(limits.LOOKUP_S):
            async with trio.open_nursery() as nursery:
                for contact in lookup.next_to_ask():
                    nursery.start_soon(ask_one, contact)
                while not lookup.done:
                    with trio.move_on_after(limits.DHT_STRAGGLER_S if enough() else math.inf) as patience:
                        contact, reply = await replies.receive()
                    if patience.cancelled_caught:
                        lookup.end()
                        nursery.cancel_scope.cancel()
                        break
                    name = str(PeerAddress(contact.peer, contact.addresses[0]))
                    if reply is None:
                        lookup.failed(contact.peer)
                        failed.append(name)
                    else:
                        said_by = self._host.remote_ip(contact.peer) or contact.addresses[0].ip
                        closer = [_filtered(each, said_by) for each in reply.closer]
                        for each in closer:
                            heard_from.setdefault(each.peer, said_by)
                        lookup.answered(contact.peer, closer)
                        answered.append(name)
                        if on_reply(contact, reply, said_by):
                            lookup.end()
                            nursery.cancel_scope.cancel()
                    if told:
                        self.last = Asked("dht", tuple(answered), tuple(failed))
                    for contact in lookup.next_to_ask():
                        nursery.start_soon(ask_one, contact)
        return lookup

    async def ask(self, contact: Contact, *questions: Question, heard_from: str | None = None) -> tuple[Reply, ...]:
        """Put `questions` on one stream, and return their answers. Raises PeerError."""
        try:
            try:
                replies = await self._ask_once(contact, questions, heard_from)
            except PeerGone:
                if contact.peer not in self._host.connected():
                    raise
                # It may be busy just now, or the connection was dead: once more, not all askers at the same moment.
                await trio.sleep(_RETRY_S * random.uniform(0.2, 1))
                replies = await self._ask_once(contact, questions, heard_from)
        except PeerError:
            self._neighbours.failed(contact.peer)
            raise
        self._neighbours.answered(contact)
        return replies

    async def _ask_once(
        self, contact: Contact, questions: Sequence[Question], heard_from: str | None
    ) -> tuple[Reply, ...]:
        stream = await self._host.open_stream(contact.peer, contact.addresses, PROTOCOL, heard_from=heard_from)
        messages = Messages(stream)
        replies: list[Reply] = []
        try:
            for question in questions:
                await stream.write(frame(encode_question(self._signed_on(question))), seconds=limits.DHT_RPC_S)
                answer = await messages.next(seconds=limits.DHT_RPC_S)
                if answer is None:
                    raise PeerGone(f"{contact.peer} did not answer", peer=str(contact.peer))
                replies.append(decode_reply(answer, question))
        except Malformed as exc:
            await stream.abort()
            peer = str(contact.peer)
            raise ProtocolViolation(f"{peer} answered what cannot be read: {exc}", peer=peer) from exc
        finally:
            await stream.close()
        return tuple(replies)

    def _signed_on(self, question: Question) -> Question:
        """Return `question` with the port at which we serve, if we do."""
        if not self._serves or question.port or not self._host.addresses:
            return question
        port = self._host.addresses[0].port
        return Question(question.kind, question.key, question.value, question.addresses, port, question.sender)


def _filtered(contact: Contact, said_by: str) -> Contact:
    return Contact(contact.peer, dialable(contact.addresses, heard_from=said_by))
