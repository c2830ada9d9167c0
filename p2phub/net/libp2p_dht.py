"""The DHT as a finder: a driver for the decisions in `p2phub.discovery`, on libp2p streams.

Why not libp2p's own KadDHT: docs/decisions/0040. The bytes on the wire are the same. A search asks closer and closer
peers (`libp2p_asking`), a server answers (`libp2p_answering`), a background task keeps the table whole
(`libp2p_neighbours`). All calls may run at once and be cancelled at any moment.
Source: proto/discovery.md.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
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
    Question,
    Reply,
    Server,
    best_first,
    dialable,
    judge_record,
    provider_key,
)
from p2phub.errors import Malformed, NotTrusted, PeerError
from p2phub.identity import PeerAddress, PeerId
from p2phub.manifest import dht_key
from p2phub.net.libp2p_answering import Answerer
from p2phub.net.libp2p_asking import PROTOCOL, Asker
from p2phub.net.libp2p_host import Host, until_end
from p2phub.net.libp2p_neighbours import Neighbours

log = logging.getLogger("p2phub.dht")
_JOIN_FIRST_S = 0.25
_JOIN_RETRY_S = 60.0


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
        self._neighbours = Neighbours(host, bootstrap=bootstrap, known=known, on_proved=self._proved)
        self._server = Server(host.peer_id, self._neighbours.table, seed=secrets.token_bytes(16))
        self._asker = Asker(host, self._neighbours, serves=mode is Mode.SERVER)
        self._heard = HeardProviders()
        self._pace = Allowance(burst=limits.ANNOUNCE_BURST, per_s=1.0)

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
            named = tuple(_a_few(each, heard_from=said_by) for each in reply.providers)
            self._heard.hear(key, named, now=trio.current_time())
            try:
                news.send_nowait(named)
            except trio.WouldBlock:
                late.append(named)
            return False

        late: list[tuple[Contact, ...]] = []

        async def search() -> None:
            async with news:
                await self._asker.look_up(Question(Kind.GET_PROVIDERS, key), on_reply)

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

        await self._asker.look_up(
            Question(Kind.GET_VALUE, key), on_reply, enough=lambda: bool(found.keys() - {self._host.peer_id})
        )
        best = best_first(found.values())
        if best:
            outdated = [contact.peer for contact in without[: limits.RELEASE_QUORUM]]
            outdated += [peer for peer, judged in found.items() if judged != best[0] and peer != self._host.peer_id]
            contacts = [Contact(peer, ()) for peer in outdated]  # Each has just answered, on a connection.
            self._host.start(self._put_release_at, contacts, key, best[0].signed)
        return tuple(judged.signed for judged in best)

    async def announce(self, manifest: Digest) -> int:
        """Put a provider record of this node at the peers closest to `manifest`; return how many show it when asked."""
        key = provider_key(manifest)
        addresses = tuple(each for each in self._host.addresses if not each.is_wildcard)
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
            _, shown = await self._asker.ask(contact, tell, check)
            return any(each.peer == self._host.peer_id for each in shown.providers)

        return await self._put_at(await self._closest(key), put)

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
            self._server.releases.put(raw, signed, seen_ip=None, wall_now=wall_now, now=now)
        return await self._put_release_at(await self._closest(raw), raw, signed)

    def asked(self) -> tuple[Asked, ...]:
        return (self._asker.last,)

    # --- for the node ----------------------------------------------------------------------------------------------

    @property
    def joined(self) -> trio.Event:
        """Set when somebody answered for the first time."""
        return self._neighbours.joined

    def known_peers(self) -> tuple[PeerAddress, ...]:
        """Return peers to start from next time, at most KNOWN_PEERS_MAX: those reached now, then those of last time."""
        return self._neighbours.known_peers()

    def reached(self) -> tuple[PeerAddress, ...]:
        """Return the peers that proved their keys since this node started, the latest first."""
        return self._neighbours.reached()

    def table_size(self) -> int:
        """Return how many peers of the DHT were reached and answer."""
        return len(self._neighbours.table)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve and keep the table whole until cancelled. For `open_dht`."""
        if self._mode is Mode.SERVER:
            self._host.on_stream(PROTOCOL, Answerer(self._server, self._neighbours).serve)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._neighbours.prove_newcomers)
            task_status.started()
            await self._stay_joined()

    # --- keeping it whole -----------------------------------------------------------------------------------------

    async def _closest(self, key: bytes) -> tuple[Contact, ...]:
        """Return the DHT_REPLICATION peers closest to `key` of those that answer, each where it was reached.

        Who came to us is reached on its connection alone: where else it is, others said.
        """
        lookup = await self._asker.look_up(Question(Kind.FIND_NODE, key), lambda *_: False)
        reached = {each.peer: self._host.dialled(each.peer) for each in lookup.closest()}
        return tuple(Contact(peer, () if at is None else (at,)) for peer, at in reached.items())

    async def _put_at(self, contacts: Iterable[Contact], put: Callable[[Contact], Awaitable[bool]]) -> int:
        """Give something to each of `contacts`, a few at once; return how many took it. Who fails, in whatever way a
        peer may, costs itself alone."""
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
            for contact in contacts:
                nursery.start_soon(put_one, contact)
        return taken

    async def _put_release_at(self, contacts: Iterable[Contact], key: bytes, signed: bytes) -> int:
        question = Question(Kind.PUT_VALUE, key, value=signed)

        async def put(contact: Contact) -> bool:
            (taken,) = await self._asker.ask(contact, question)
            return taken.value == signed

        return await self._put_at(contacts, put)

    def _proved(self, peer: PeerId) -> None:
        self._server.providers.proved(peer)

    async def _stay_joined(self) -> None:
        """Look ourselves up, soon again, then ever less often, at last every ROUTING_REFRESH_S.

        Soon again, because of nodes that start together none is in another's table yet when the first look is over.
        """
        wait = _JOIN_FIRST_S
        while True:
            for key in (self._host.peer_id.raw, secrets.token_bytes(32)):
                try:
                    await self._closest(key)
                except Exception:  # What strangers answer must not end the node, whatever we make of it.
                    log.exception("a fault of our own ended a look around")
            await trio.sleep(wait * random.uniform(0.8, 1.2))
            wait = min(3 * wait, limits.ROUTING_REFRESH_S if len(self._neighbours.table) else _JOIN_RETRY_S)
            self._server.expire(now=trio.current_time())


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
    async with until_end() as nursery:
        await nursery.start(dht.run)
        yield dht


def _a_few(provider: Contact, *, heard_from: str) -> Contact:
    """Return what one peer says of where another lives: no more than an honest one keeps of it, or who answers first
    would leave no room for the others' word."""
    return Contact(provider.peer, dialable(provider.addresses, heard_from=heard_from)[: limits.PROVIDER_ADDRESSES_MAX])
