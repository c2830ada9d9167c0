"""The DHT as a finder: a driver for the decisions in `p2phub.discovery`, on libp2p streams.

Why not libp2p's own KadDHT: docs/decisions/0040. The bytes on the wire are the same. Here are the streams, the clock
and the tasks: a search asks closer and closer peers, a server answers, a background task keeps the table whole.
All calls may run at once and be cancelled at any moment.
Source: proto/discovery.md.
"""

from __future__ import annotations

import logging
import math
import random
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import (
    Allowance,
    Asked,
    Candidate,
    Contact,
    HeardProviders,
    Judged,
    Kind,
    Lookup,
    Question,
    Reply,
    RoutingTable,
    Server,
    best_first,
    decode_question,
    decode_reply,
    dialable,
    encode_question,
    encode_reply,
    frame,
    judge_record,
    position,
    provider_key,
    read_varint,
)
from p2phub.errors import Malformed, NotTrusted, PeerError, PeerGone, ProtocolViolation
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.manifest import dht_key
from p2phub.net.libp2p_host import Host
from p2phub.net.libp2p_stream import Stream

log = logging.getLogger("p2phub.dht")
PROTOCOL = "/p2phub/kad/1.0.0"
_DOWN_S = 60.0  # A peer that could not be reached is not asked again so soon, unless there is nobody else.
_WAITING_PROOF_MAX = 256
_JOIN_FIRST_S = 0.25
_JOIN_RETRY_S = 60.0
_RETRY_S = 0.3


class Mode(Enum):
    """SERVER keeps records for others and stands in their tables; CLIENT only asks: for the length of one command."""

    SERVER = "server"
    CLIENT = "client"


class Dht:
    """The DHT as `net.finder.Finder`. Made by `open_dht`."""

    def __init__(
        self, host: Host, *, bootstrap: Sequence[PeerAddress], known: Sequence[PeerAddress], mode: Mode
    ) -> None:
        self._host = host
        self._mode = mode
        self._bootstrap = _contacts(bootstrap)
        self._known = _contacts(known[: limits.KNOWN_PEERS_MAX])
        self._table = RoutingTable(host.peer_id)
        self._server = Server(host.peer_id, self._table, seed=secrets.token_bytes(16))
        self._heard = HeardProviders()
        self._pace = Allowance(burst=limits.ANNOUNCE_BURST, per_s=1.0)
        self._down: OrderedDict[PeerId, float] = OrderedDict()
        self._asked = Asked("dht")
        self._answering: Counter[PeerId] = Counter()
        self._to_prove, self._unproved = trio.open_memory_channel[PeerAddress](_WAITING_PROOF_MAX)
        self.joined = trio.Event()
        """Set when somebody answered for the first time."""

    # --- Finder ----------------------------------------------------------------------------------------------------

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        """Send providers of `manifest` as they are named: what is known here first, then what the network says."""
        key = provider_key(manifest)
        now = trio.current_time()
        told: set[PeerAddress] = {PeerAddress(self._host.peer_id, each) for each in self._host.addresses}

        async def tell(contacts: Iterable[Contact]) -> None:
            for contact in contacts:
                for address in contact.addresses:
                    provider = PeerAddress(contact.peer, address)
                    if provider not in told and contact.peer != self._host.peer_id:
                        told.add(provider)
                        await found.send(Candidate(provider, "dht"))

        await tell(self._server.providers.get(key, now=now))
        await tell(self._heard.get(key, now=now))
        news, fresh = trio.open_memory_channel[tuple[Contact, ...]](limits.DHT_REPLICATION)

        def on_reply(_: Contact, reply: Reply, said_by: str) -> bool:
            named = tuple(Contact(each.peer, dialable(each.addresses, heard_from=said_by)) for each in reply.providers)
            self._heard.hear(key, named, now=trio.current_time())
            try:
                news.send_nowait(named)
            except trio.WouldBlock:
                late.append(named)
            return False

        late: list[tuple[Contact, ...]] = []

        async def search() -> None:
            async with news:
                await self._look_up(Question(Kind.GET_PROVIDERS, key), on_reply)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(search)
            async with fresh:
                async for named in fresh:
                    await tell(named)
            for named in late:
                await tell(named)

    async def release(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        """Return the releases of a name that the network holds, newest first; the copy kept here is only one voice."""
        key = dht_key(publisher, name, tag).encode()
        found: dict[PeerId, Judged] = {}
        without: list[Contact] = []
        own = self._server.releases.get(key, wall_now=time.time(), now=trio.current_time())
        if own:
            found[self._host.peer_id] = judge_record(key, own, wall_now=time.time())

        def on_reply(contact: Contact, reply: Reply, _: str) -> bool:
            if not reply.value:
                without.append(contact)
                return False
            try:
                found[contact.peer] = judge_record(key, reply.value, wall_now=time.time())
            except (Malformed, NotTrusted) as exc:
                log.debug("%s gave a release that does not hold: %s", contact.peer, exc)
                return False
            best = best_first(found.values())[0]
            return sum(1 for each in found.values() if each == best) >= limits.RELEASE_QUORUM

        await self._look_up(
            Question(Kind.GET_VALUE, key), on_reply, enough=lambda: bool(found.keys() - {self._host.peer_id})
        )
        best = best_first(found.values())
        if best:
            outdated = [contact.peer for contact in without[: limits.RELEASE_QUORUM]]
            outdated += [peer for peer, judged in found.items() if judged != best[0] and peer != self._host.peer_id]
            self._host.start(self._correct, key, best[0].signed, outdated)
        return tuple(judged.signed for judged in best)

    async def announce(self, manifest: Digest) -> int:
        """Put a provider record of this node at the peers closest to `manifest`; return how many show it when asked."""
        key = provider_key(manifest)
        addresses = tuple(each for each in self._host.addresses if not _is_wildcard(each))
        if self._mode is Mode.SERVER and addresses:
            own = Contact(self._host.peer_id, addresses)
            self._server.providers.add(key, own, seen_ip=addresses[0].ip, now=trio.current_time())
        port = self._host.addresses[0].port if self._host.addresses else 0
        if not port:
            return 0  # Nobody could fetch from here.
        tell = Question(Kind.ADD_PROVIDER, key, addresses=addresses, port=port, sender=self._host.peer_id)
        check = Question(Kind.GET_PROVIDERS, key)

        async def put(contact: Contact) -> bool:
            await trio.sleep(self._pace.reserve(contact.peer, now=trio.current_time()))
            _, shown = await self._ask(contact, tell, check)
            return any(each.peer == self._host.peer_id for each in shown.providers)

        return await self._put_closest(key, put)

    def withdraw(self, manifest: Digest) -> None:
        """Stop saying here that this node provides `manifest`; what others hold ends by itself."""
        self._server.providers.remove(provider_key(manifest), self._host.peer_id)

    async def put_release(self, key: str, signed: bytes) -> int:
        """Put a release at the peers closest to its key; return how many took it.

        Raises Malformed or NotTrusted if it does not hold.
        """
        raw = key.encode()
        now, wall_now = trio.current_time(), time.time()
        judge_record(raw, signed, wall_now=wall_now)
        if self._mode is Mode.SERVER:
            self._server.releases.put(raw, signed, wall_now=wall_now, now=now)
        question = Question(Kind.PUT_VALUE, raw, value=signed)

        async def put(contact: Contact) -> bool:
            (taken,) = await self._ask(contact, question)
            return taken.value == signed

        return await self._put_closest(raw, put)

    def asked(self) -> tuple[Asked, ...]:
        return (self._asked,)

    # --- for the node ----------------------------------------------------------------------------------------------

    def known_peers(self) -> tuple[PeerAddress, ...]:
        """Return peers to start from next time, at most KNOWN_PEERS_MAX: those reached now, then those of last time."""
        reached = self._table.known(limits.KNOWN_PEERS_MAX)
        peers = {each.peer for each in reached}
        earlier = [PeerAddress(each.peer, each.addresses[0]) for each in self._known if each.peer not in peers]
        return (*reached, *earlier)[: limits.KNOWN_PEERS_MAX]

    def table_size(self) -> int:
        """Return how many peers of the DHT were reached and answer."""
        return len(self._table)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve and keep the table whole until cancelled. For `open_dht`."""
        if self._mode is Mode.SERVER:
            self._host.on_stream(PROTOCOL, self._serve)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._prove_newcomers)
            task_status.started()
            await self._stay_joined()

    # --- asking ----------------------------------------------------------------------------------------------------

    async def _look_up(
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
        lookup = Lookup(position(question.key), self._host.peer_id, self._seeds(position(question.key)))
        heard_from: dict[PeerId, str] = {}
        answered: list[str] = []
        failed: list[str] = []
        # Looking ourselves up goes on meanwhile, and is not what a user who gets no answer wants to hear of.
        told = question.kind is not Kind.FIND_NODE
        if told:
            self._asked = Asked("dht")
        send, replies = trio.open_memory_channel[tuple[Contact, Reply | None]](limits.DHT_PARALLEL)

        async def ask_one(contact: Contact) -> None:
            reply = None
            try:
                with trio.fail_after(2 * limits.DHT_RPC_S):
                    (reply,) = await self._ask(contact, question, heard_from=heard_from.get(contact.peer))
            except (PeerError, trio.TooSlowError) as exc:
                log.debug("%s: %s", contact.peer, exc)
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
                        self._asked = Asked("dht", tuple(answered), tuple(failed))
                    for contact in lookup.next_to_ask():
                        nursery.start_soon(ask_one, contact)
        return lookup

    async def _ask(self, contact: Contact, *questions: Question, heard_from: str | None = None) -> tuple[Reply, ...]:
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
            self._failed(contact.peer)
            raise
        self._answered(contact)
        return replies

    async def _ask_once(
        self, contact: Contact, questions: Sequence[Question], heard_from: str | None
    ) -> tuple[Reply, ...]:
        stream = await self._host.open_stream(contact.peer, contact.addresses, PROTOCOL, heard_from=heard_from)
        messages = _Messages(stream)
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
        if self._mode is not Mode.SERVER or question.port or not self._host.addresses:
            return question
        port = self._host.addresses[0].port
        return Question(question.kind, question.key, question.value, question.addresses, port, question.sender)

    async def _put_closest(self, key: bytes, put: Callable[[Contact], Awaitable[bool]]) -> int:
        """Give something to the DHT_REPLICATION peers closest to `key`; return how many took it."""
        lookup = await self._look_up(Question(Kind.FIND_NODE, key), lambda *_: False)
        taken = 0
        free = trio.CapacityLimiter(limits.DHT_PARALLEL)

        async def put_one(contact: Contact) -> None:
            nonlocal taken
            async with free:
                try:
                    with trio.fail_after(limits.LOOKUP_S):
                        took = await put(contact)
                    taken += took
                except (PeerError, trio.TooSlowError) as exc:
                    log.debug("%s did not take a record: %s", contact.peer, exc)

        async with trio.open_nursery() as nursery:
            for contact in lookup.closest():
                nursery.start_soon(put_one, contact)
        return taken

    async def _correct(self, key: bytes, signed: bytes, peers: Sequence[PeerId]) -> None:
        """Give the newest release to holders that had an older one or none."""
        for peer in peers:
            await self._ask(Contact(peer, ()), Question(Kind.PUT_VALUE, key, value=signed))

    # --- whom to ask -----------------------------------------------------------------------------------------------

    def _seeds(self, target: int) -> tuple[Contact, ...]:
        near = self._table.closest(target, limits.DHT_REPLICATION)
        if len(near) < limits.DHT_REPLICATION:
            near = (*near, *self._bootstrap, *self._known)
        now = trio.current_time()
        up = tuple(contact for contact in near if self._down.get(contact.peer, 0.0) <= now)
        return up or near

    def _answered(self, contact: Contact) -> None:
        self.joined.set()
        self._down.pop(contact.peer, None)
        address = self._host.dialled(contact.peer)
        if address is not None:
            others = [each for each in contact.addresses if each != address]
            self._proved(Contact(contact.peer, (address, *others)))

    def _proved(self, contact: Contact) -> None:
        self._table.proved(contact, now=trio.current_time())
        self._server.providers.proved(contact.peer)

    def _failed(self, peer: PeerId) -> None:
        self._table.failed(peer)
        self._down[peer] = trio.current_time() + _DOWN_S
        self._down.move_to_end(peer)
        if len(self._down) > 4 * limits.KNOWN_PEERS_MAX:
            self._down.popitem(last=False)

    async def _prove_newcomers(self) -> None:
        """Dial those who asked us something and say that they serve: only who can be reached enters the table."""
        async for newcomer in self._unproved:
            if newcomer.peer in self._table:
                continue
            try:
                address = await self._host.prove(newcomer.peer, (newcomer.address,), heard_from=newcomer.address.ip)
            except PeerError as exc:
                log.debug("%s cannot be reached: %s", newcomer, exc)
                self._failed(newcomer.peer)
            else:
                self._proved(Contact(newcomer.peer, (address,)))

    async def _stay_joined(self) -> None:
        """Look ourselves up, soon again, then ever less often, at last every ROUTING_REFRESH_S.

        Soon again, because of nodes that start together none is in another's table yet when the first look is over.
        """
        wait = _JOIN_FIRST_S
        while True:
            for key in (self._host.peer_id.raw, secrets.token_bytes(32)):
                await self._look_up(Question(Kind.FIND_NODE, key), lambda *_: False)
            await trio.sleep(wait * random.uniform(0.8, 1.2))
            wait = min(3 * wait, limits.ROUTING_REFRESH_S if len(self._table) else _JOIN_RETRY_S)
            self._server.expire(now=trio.current_time())

    # --- answering -------------------------------------------------------------------------------------------------

    async def _serve(self, stream: Stream) -> None:
        """Answer the questions on one stream."""
        peer = stream.peer
        if (
            self._answering.total() >= limits.DHT_STREAMS_MAX
            or self._answering[peer] >= limits.DHT_STREAMS_PER_PEER_MAX
        ):
            await stream.abort()
            return
        self._answering[peer] += 1
        try:
            await self._answer_all(stream)
        except Malformed as exc:
            log.debug("%s asked what cannot be read: %s", peer, exc)
            await stream.abort()
        finally:
            self._answering[peer] -= 1
            if not self._answering[peer]:
                del self._answering[peer]

    async def _answer_all(self, stream: Stream) -> None:
        messages = _Messages(stream)
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
                self._consider(PeerAddress(stream.peer, Address(stream.remote.ip, question.port)))
        await stream.close()

    def _consider(self, newcomer: PeerAddress) -> None:
        if newcomer.peer in self._table or self._down.get(newcomer.peer, 0.0) > trio.current_time():
            return
        with suppress(trio.WouldBlock):  # If many came at once it will ask us again.
            self._to_prove.send_nowait(newcomer)


class _Messages:
    """Length-prefixed messages from a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._data = b""

    async def next(self, *, seconds: float) -> bytes | None:
        """Return the next message, None at the end. Raises Malformed, or PeerGone, also in the middle of one."""
        while (whole := self._take()) is None:
            more = await self._stream.read(limits.DHT_MESSAGE_BYTES_MAX, seconds=seconds)
            if not more:
                if self._data:
                    raise PeerGone("the stream ended in the middle of a message", peer=str(self._stream.peer))
                return None
            self._data += more
        return whole

    def _take(self) -> bytes | None:
        if not any(byte < 0x80 for byte in self._data[:3]):
            if len(self._data) >= 3:
                raise Malformed("dht-message-length", "a message longer than DHT_MESSAGE_BYTES_MAX")
            return None
        length, start = read_varint(self._data, 0)
        if length > limits.DHT_MESSAGE_BYTES_MAX:
            raise Malformed("dht-message-length", f"a message of {length} bytes")
        if len(self._data) < start + length:
            return None
        message, self._data = self._data[start : start + length], self._data[start + length :]
        return message


@asynccontextmanager
async def open_dht(
    host: Host,
    *,
    bootstrap: Sequence[PeerAddress] = (),
    known: Sequence[PeerAddress] = (),
    mode: Mode = Mode.CLIENT,
) -> AsyncIterator[Dht]:
    """Run the DHT on `host` until the block ends. Does not wait for the network: `Dht.joined` tells.

    `bootstrap`: where to begin, from the user; `known`: what `known_peers` returned last time.
    """
    dht = Dht(host, bootstrap=bootstrap, known=known, mode=mode)
    error: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(dht.run)
        try:
            yield dht
        except Exception as exc:  # noqa: BLE001 - the caller's own, raised again below as it was, without a group.
            error = exc
        finally:
            nursery.cancel_scope.cancel()
    if error is not None:
        raise error


def _contacts(addresses: Iterable[PeerAddress]) -> tuple[Contact, ...]:
    """Return one contact a peer."""
    found: dict[PeerId, tuple[Address, ...]] = {}
    for each in addresses:
        found[each.peer] = (*found.get(each.peer, ()), each.address)
    return tuple(Contact(peer, of_peer[: limits.ADDRESSES_PER_PEER_MAX]) for peer, of_peer in found.items())


def _filtered(contact: Contact, said_by: str) -> Contact:
    return Contact(contact.peer, dialable(contact.addresses, heard_from=said_by))


def _is_wildcard(address: Address) -> bool:
    return address.ip in ("0.0.0.0", "::")
