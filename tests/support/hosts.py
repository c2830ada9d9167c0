"""Whole nodes within one process, for tests of activities: a real store in a folder, real sockets on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import trio

from p2phub.content import Digest
from p2phub.discovery import Asked, Candidate
from p2phub.engine.choice import Choice
from p2phub.engine.desk import ControlDesk
from p2phub.engine.exchange import Exchange
from p2phub.engine.fetch import Means, Running, Wish, fetch
from p2phub.engine.publish import Order, Outcome, publish
from p2phub.engine.search import Search
from p2phub.engine.serve import StoreShelf
from p2phub.engine.workers import Workers
from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.net.direct import DirectPlane, open_plane
from p2phub.net.listen import open_listener
from p2phub.net.throttle import Caps
from p2phub.observe import Done, Event, Tally
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.ledger import FileLedger


def key_of(name: str) -> SecretKey:
    """Return the same key for the same name."""
    return SecretKey(sha256(name.encode()).digest())


@dataclass
class FixedFinder:
    """A finder that knows what the test says."""

    candidates: Sequence[Candidate] = ()
    releases: Sequence[bytes] = ()
    searches: int = 0

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        self.searches += 1
        for candidate in self.candidates:
            await found.send(candidate)

    async def release(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        return tuple(self.releases)

    async def announce(self, manifest: Digest) -> int:
        return 0

    async def put_release(self, key: str, signed: bytes) -> int:
        return 0

    def asked(self) -> tuple[Asked, ...]:
        return (Asked("test"),)


@dataclass
class TestHost:
    """One node: publish on it, dial it, fetch with it. `events` are those of its fetches."""

    __test__ = False

    home: Path
    key: SecretKey
    store: FilesystemStore
    ledger: FileLedger
    shelf: StoreShelf
    exchange: Exchange
    plane: DirectPlane
    addresses: tuple[Address, ...]
    caps: Caps = field(default_factory=Caps)
    workers: Workers = field(default_factory=Workers)
    events: list[Event] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @property
    def candidates(self) -> list[Candidate]:
        return [Candidate(PeerAddress(self.key.peer_id, address), "direct") for address in self.addresses]

    async def publish(self, folder: Path, name: str = "thing", **options: object) -> Outcome:
        order = Order(folder=folder, name=name, **options)  # type: ignore[arg-type]
        outcome = await publish(
            order,
            key=self.key,
            store=self.store,
            ledger=self.ledger,
            workers=self.workers,
            watch=lambda event: None,
        )
        self.shelf.forget(outcome.manifest)
        return outcome

    async def fetch(
        self,
        manifest: Digest,
        destination: Path,
        *providers: TestHost,
        also: Sequence[Candidate] = (),
        finder: FixedFinder | None = None,
        force: bool = False,
        patience_s: float = 0.0,
        watch: Callable[[Event], None] | None = None,
        share: bool = False,
        first: Sequence[str] = (),
        in_order: bool = False,
        choice: Choice = Choice(),  # noqa: B008  # A frozen value.
        started: Callable[[Running], None] = lambda running: None,
    ) -> Done:
        """Fetch as the node does; with `share` among the others of the swarm, else only from whom it is told."""
        known = [*(candidate for provider in providers for candidate in provider.candidates), *also]
        later = finder or FixedFinder()

        async def open_finder() -> FixedFinder:
            return later

        return await fetch(
            Wish(
                reference="test",
                manifest=manifest,
                destination=destination,
                force=force,
                patience_s=patience_s,
                first=tuple(first),
                in_order=in_order,
                choice=choice,
            ),
            search=Search(known, open_finder),
            means=Means(
                self.plane,
                self.store,
                self.workers,
                self.key.peer_id,
                shelf=self.shelf if share else None,
                exchange=self.exchange if share else None,
                down=self.caps.down,
                tally=self.tally,
            ),
            watch=watch or self.events.append,
            started=started,
        )


@asynccontextmanager
async def open_host(home: Path, name: str, caps: Caps | None = None) -> AsyncIterator[TestHost]:
    """Run a node that listens on loopback, with its home in `home`, within `caps`."""
    key = key_of(name)
    store, ledger = FilesystemStore(home), FileLedger(home)
    shelf = StoreShelf(store, ledger)
    exchange = Exchange(seed=name.encode())
    desk = ControlDesk(shelf, ledger, Workers(), exchange)
    caps = caps or Caps()
    try:
        async with open_plane(key, shelf, desk.answer, caps) as plane:
            desk.dialler = plane
            async with open_listener([Address("127.0.0.1", 0)], plane.handle) as listener:
                exchange.port_towards = lambda where: listener.addresses[0].port
                yield TestHost(home, key, store, ledger, shelf, exchange, plane, listener.addresses, caps)
    finally:
        ledger.close()
        store.close()
