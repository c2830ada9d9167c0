"""The one place that names adapters: puts the parts of a node together, for a command or for the daemon.

What is not needed is not loaded: libp2p is imported when the first finder is opened, which a fetch by ticket or known
provider never does.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from p2phub.content import Digest
from p2phub.discovery import Surroundings
from p2phub.engine.desk import ControlDesk
from p2phub.engine.exchange import Exchange
from p2phub.engine.resolve import Resolver
from p2phub.engine.serve import StoreShelf
from p2phub.engine.thanks import Thanks
from p2phub.engine.workers import Workers
from p2phub.identity import Address, PeerAddress, SecretKey
from p2phub.net import Finder, Finders, Mirrors
from p2phub.net.direct import DirectPlane, open_plane
from p2phub.net.fallback import Fallback
from p2phub.net.listen import Listener, open_listener
from p2phub.net.own_addresses import own_addresses
from p2phub.net.throttle import Caps
from p2phub.node.config import Config
from p2phub.node.keystore import load_or_create
from p2phub.node.peers import read_peers, write_peers
from p2phub.node.visitors import open_to_visitors, port_towards
from p2phub.observe import Tally
from p2phub.store import Ledger, Store
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.ledger import FileLedger
from p2phub.store.sharing import Places

if TYPE_CHECKING:
    from p2phub.net.bulk.parent import BulkProcesses
    from p2phub.node.catalog import NodeCatalog


_log = logging.getLogger(__name__)


class Parts:
    """What a node is made of. Made by `compose`."""

    def __init__(
        self,
        config: Config,
        *,
        publisher: SecretKey,
        key: SecretKey,
        store: Store,
        ledger: Ledger,
        workers: Workers,
        shelf: StoreShelf,
        exchange: Exchange,
        thanks: Thanks,
        direct: DirectPlane,
        dialler: Fallback,
        listener: Listener | None,
        nursery: trio.Nursery,
        caps: Caps,
        children: Callable[[], tuple[int, ...]],
        places: Places,
        files: ExitStack,
        tally: Tally,
    ) -> None:
        self.config = config
        self.tally = tally
        self.publisher = publisher
        self.key = key
        self.places = places
        self.store = store
        self.ledger = ledger
        self.shelf = shelf
        self.exchange = exchange
        self.near = Surroundings(config.labels.networks, config.labels.hosts)
        self.budget = exchange.budget  # Of all that this node dials by itself, with or without the exchange.
        self.thanks = thanks
        exchange.port_towards = lambda where: port_towards(self._listening, where)
        self.dialler = dialler
        self.caps = caps
        self.children = children
        """The ids of the processes that carry bulk bytes for this one."""
        self._direct = direct
        self.workers = workers
        self.resolver = Resolver(
            ledger=ledger,
            workers=workers,
            dialler=dialler,
            open_finder=self.open_finder,
            open_mirrors=self.open_mirrors,
            mirrors=config.mirrors,
            lent=places.releases,
        )
        self._listener = listener
        self._visitors_at: tuple[Address, ...] = ()
        self._nursery = nursery
        self._closing = trio.Event()
        self._opening = trio.Lock()
        self._finder: Finder | None = None
        self._lan: Finder | None = None
        self._mirrors: Mirrors | None = None
        self._catalog: NodeCatalog | None = None
        self._files = files  # Of the disk, that are closed when all else has ended.
        self._dht: Any = None  # net.libp2p_dht.Dht, whose module is not loaded before it is needed.

    def addresses(self) -> tuple[PeerAddress, ...]:
        """Return where this node can be dialled, as far as it can tell itself; nothing where it only dials."""
        return tuple(PeerAddress(self.key.peer_id, address) for address in reachable_at(self._listening))

    def ticket_addresses(self) -> tuple[PeerAddress, ...]:
        """Return the addresses to write into a ticket: where the daemon listens, or will, by its configuration."""
        listening = self._listener.addresses if self._listener is not None else self.config.listen
        return tuple(PeerAddress(self.key.peer_id, address) for address in reachable_at(listening) if address.port != 0)

    def ticket_may_be_private(self) -> bool:
        """Whether a ticket may tell addresses that mean nothing to strangers: if the user named one to listen on."""
        return not any(address.is_wildcard for address in self.config.listen)

    async def open_finder(self) -> Finder:
        """Return what finds providers; the first call starts libp2p and the LAN's discovery."""
        async with self._opening:
            if self._finder is None:
                dht = await self._nursery.start(self._run_dht)
                lan = await self._opened_lan()  # Last: neighbours are waited for from when it is open.
                self._finder = Finders([finder for finder in (dht, lan) if finder is not None])
            return self._finder

    async def open_lan_finder(self) -> Finder | None:
        """Return what finds neighbours, without libp2p; None where the user will have none. Looks anew at which
        networks this machine is in, which are near by that."""
        async with self._opening:
            return await self._opened_lan()

    async def _opened_lan(self) -> Finder | None:
        self.near.learn(await self.workers.run(lambda: [each.network for each in own_addresses()]))
        if self._lan is None:
            _log.info("the local network is %s", "searched" if self.config.lan else "not searched, as the settings say")
        if self._lan is None and self.config.lan:
            await self.workers.run(_load_lan)
            self._lan = await self._nursery.start(self._run_lan)
        return self._lan

    async def welcome_visitors(self) -> None:
        """Listen for others of a swarm, from now to the end of this node, if nothing listens yet."""
        async with self._opening:
            if not self._listening:
                self._visitors_at = await self._nursery.start(self._run_visitors)

    @property
    def connections(self) -> int:
        """How many connections that others opened to this node are open now."""
        return 0 if self._listener is None else self._listener.connections

    @property
    def peers_proven(self) -> int:
        """How many peers of the DHT have answered of late."""
        return 0 if self._dht is None else self._dht.table_size()

    @property
    def _listening(self) -> tuple[Address, ...]:
        return self._visitors_at if self._listener is None else self._listener.addresses

    async def _run_visitors(self, task_status: trio.TaskStatus[tuple[Address, ...]]) -> None:
        def listen(address: Address) -> AbstractAsyncContextManager[Listener]:
            return open_listener([address], self._direct.handle)

        named = self.config.names_listen
        async with open_to_visitors(self.config.listen, listen, named=named) as addresses:
            task_status.started(addresses)
            await self._closing.wait()

    def open_mirrors(self) -> Mirrors:
        """Return what speaks to mirrors; the first call loads it."""
        if self._mirrors is None:
            from p2phub.net.mirror import MirrorPlane

            self._mirrors = MirrorPlane(self._nursery, down=self.caps.down)
        return self._mirrors

    @property
    def catalog(self) -> NodeCatalog:
        """What is searched here; the first call loads it. For the loop alone."""
        if self._catalog is None:
            from p2phub.node.catalog import NodeCatalog
            from p2phub.store.catalog_database import CatalogDatabase

            index = self._files.enter_context(closing(CatalogDatabase(self.config.home)))
            self._catalog = NodeCatalog(index, self.ledger, self.store, self.places)
        return self._catalog

    def close(self) -> None:
        """Let the finders end in good order; the nursery waits for them."""
        self._closing.set()

    # Each finder is held open by a task of its own: whoever asks first may end long before it does.

    async def _run_lan(self, task_status: trio.TaskStatus[Finder]) -> None:
        from p2phub.net.lan import open_lan

        where = reachable_at(self._listener.addresses if self._listener is not None else ())
        async with open_lan(self.key.peer_id, where, dialler=self.dialler, budget=self.budget) as lan:
            task_status.started(lan)
            await self._closing.wait()

    async def _run_dht(self, task_status: trio.TaskStatus[Finder | None]) -> None:
        """Run libp2p, if there is anybody to talk to, or who could come."""
        known = await self.workers.run(lambda: read_peers(self.config.home))
        if self._listener is None and not self.config.bootstrap and not known:
            _log.info("the DHT is not asked: no bootstrap node is named, and no peer known")
            task_status.started(None)
            return
        from p2phub.net.libp2p_dht import Mode, open_dht
        from p2phub.net.libp2p_host import open_host
        from p2phub.net.stream import PROTOCOL, open_streams

        port = ListenerPort(self._listener) if self._listener is not None else None
        mode = Mode.SERVER if port is not None else Mode.CLIENT
        async with AsyncExitStack() as stack:
            host = await stack.enter_async_context(open_host(self.key, port))
            streams = await stack.enter_async_context(
                open_streams(host.open_stream, self._direct.links, self._direct.reception)
            )
            host.on_stream(PROTOCOL, streams.handle)
            self.dialler.streams = streams
            self._dht = await stack.enter_async_context(
                open_dht(host, bootstrap=self.config.bootstrap, known=known, mode=mode)
            )
            ways = len(self.config.bootstrap), len(known)
            _log.info("the DHT is asked: %d bootstrap nodes are named, %d peers known from before", *ways)
            task_status.started(self._dht)
            await self._closing.wait()

    async def joined(self) -> None:
        """Wait until somebody of the DHT answered for the first time; for ever where there is no DHT."""
        if self._dht is None:
            await trio.sleep_forever()
        await self._dht.joined.wait()

    def contacts(self) -> tuple[PeerAddress, ...]:
        """Return peers worth asking something: those the DHT has proved, the configured bootstrap nodes, then those of
        last time, of whom nothing of this run says that they are there."""
        proven, known = (self._dht.reached(), self._dht.known_peers()) if self._dht is not None else ((), ())
        return tuple(dict.fromkeys((*proven, *self.config.bootstrap, *known)))

    async def known_peers(self) -> list[dict[str, Any]]:
        """Return every peer known, JSON-able: {"peer_id", "addresses", "proven"}."""
        proven = set(self._dht.reached()) if self._dht is not None else set()
        found: dict[str, dict[str, Any]] = {}
        written = await self.workers.run(lambda: read_peers(self.config.home))
        for each in dict.fromkeys((*self.contacts(), *written)):
            peer = found.setdefault(str(each.peer), {"peer_id": str(each.peer), "addresses": [], "proven": False})
            peer["addresses"].append(str(each.address))
            peer["proven"] = peer["proven"] or each in proven
        return list(found.values())

    async def remember_peers(self) -> None:
        """Write peers down for the next start, the proven first. Raises DiskError."""
        known = self._dht.known_peers() if self._dht is not None else ()
        if known:
            await self.workers.run(lambda: write_peers(self.config.home, known))


class ListenerPort:
    """The node's listener, as libp2p's adapter wants it."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    @property
    def addresses(self) -> tuple[Address, ...]:
        return reachable_at(self._listener.addresses)

    def on_multistream(self, handler: Callable[[trio.SocketStream], Awaitable[None]] | None) -> None:
        if handler is None:
            self._listener.multistream = None
            return

        async def serve(stream: trio.SocketStream, settled: Callable[[], None]) -> None:
            settled()
            await handler(stream)

        self._listener.multistream = serve


@asynccontextmanager
async def compose(config: Config, *, serving: bool, bulk_processes: int = 0) -> AsyncIterator[Parts]:
    """Open a node's parts; with `serving` it listens. Bulk bytes are carried by as many children, by threads of this
    process if none. On the way out all ends. Raises HubError."""
    publisher, key = load_or_create(config.home)
    with ExitStack() as files:
        store = files.enter_context(closing(FilesystemStore(config.home)))
        ledger = files.enter_context(closing(FileLedger(config.home, log=store.log)))
        shelf = StoreShelf(store, ledger)
        workers = Workers()
        exchange = Exchange(seed=secrets.token_bytes(32))
        caps = Caps()
        thanks = Thanks(caps.up.show)
        tally = Tally()
        # Workers of its own: strangers do not take the threads that our own work needs.
        desk = ControlDesk(shelf, ledger, Workers(), exchange, thanks, tally)
        async with AsyncExitStack() as stack:
            plane = await stack.enter_async_context(open_plane(key, shelf, desk.answer, caps))
            carrier: DirectPlane | BulkProcesses = plane
            children: Callable[[], tuple[int, ...]] = tuple
            if bulk_processes:
                from p2phub.net.bulk.parent import open_bulk_processes

                carrier = bulk = await stack.enter_async_context(
                    open_bulk_processes(plane, shelf, desk.answer, caps, count=bulk_processes)
                )
                children = lambda: bulk.processes  # noqa: E731
            dialler = Fallback(carrier)
            desk.dialler = plane  # Whether we can be reached directly is what a peer asks.
            listener = None
            if serving:
                plane.get_ready()
                listener = await stack.enter_async_context(open_listener(config.listen, carrier.handle))
            nursery = await stack.enter_async_context(trio.open_nursery())
            parts = Parts(
                config,
                publisher=publisher,
                key=key,
                store=store,
                ledger=ledger,
                workers=workers,
                shelf=shelf,
                exchange=exchange,
                thanks=thanks,
                direct=plane,
                dialler=dialler,
                listener=listener,
                nursery=nursery,
                caps=caps,
                children=children,
                places=store.places,
                files=files,
                tally=tally,
            )
            try:
                yield parts
            finally:
                parts.close()


def salvage_state(home: Path) -> tuple[str, ...]:
    """Keep what can be read of a damaged `state.log`. Blocks."""
    from p2phub.store.state_log import salvage

    return salvage(home)


def _load_lan() -> None:
    """Import what the local network needs: long enough to notice, so not in the loop. Blocks."""
    import p2phub.net.lan  # noqa: F401


def unfinished_in(folder: Path) -> Path | None:
    """Return what a fetch into `folder` that did not end left there, None if nothing. Blocks."""
    from p2phub.store import destination

    return destination.unfinished_in(folder)


def unfinished_file(folder: Path, manifest: Digest, number: int) -> Path:
    """Return where a fetch of `manifest` into `folder` keeps file `number` until it is whole."""
    from p2phub.store import destination

    return destination.unfinished_file(folder, manifest, number)


def is_unfinished_in(folder: Path, manifest: Digest) -> bool:
    """Return whether a fetch of `manifest` into `folder` that did not end left something there. Blocks."""
    from p2phub.store import destination

    return destination.is_unfinished_in(folder, manifest)


def reachable_at(listening: Iterable[Address]) -> tuple[Address, ...]:
    """Return the addresses that listening on these means: a wildcard stands for each interface's, loopback last."""
    found: dict[Address, None] = {}
    for address in listening:
        if not address.is_wildcard:
            found[address] = None
            continue
        version = ipaddress.ip_address(address.ip).version
        for number in (own.ip for own in own_addresses()):
            if number.version == version and not number.is_link_local:
                found[Address(str(number), address.port)] = None
    return tuple(sorted(found, key=lambda address: (address.is_loopback, not address.is_public)))
