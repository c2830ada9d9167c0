"""A simulated node: the production engine on the simulated carrier and disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Codec
from p2phub.discovery import Candidate, Surroundings
from p2phub.engine.desk import ControlDesk
from p2phub.engine.exchange import Exchange
from p2phub.engine.fetch import Means, Wish, fetch
from p2phub.engine.search import Search
from p2phub.engine.serve import StoreShelf
from p2phub.engine.thanks import Thanks
from p2phub.engine.workers import Workers
from p2phub.errors import HubError
from p2phub.identity import Address, PeerAddress, SecretKey
from p2phub.net import Finder
from p2phub.observe import Done
from p2phub.store.memory_ledger import MemoryLedger
from simnet.carrier import SimPlane, open_plane, throttle
from simnet.characters import service_of
from simnet.disk import AnyStore, SimFilesystemStore, SimStore
from simnet.finding import SimFinder, real_dht
from simnet.network import Host, Network
from simnet.scene import Member
from simnet.truth import Truth, publish
from simnet.witness import Witness

if TYPE_CHECKING:
    from p2phub.net.libp2p_dht import Dht


def key_of(number: int) -> SecretKey:
    return SecretKey(number.to_bytes(32, "big"))


def address_of(number: int, network: str = "10", *, beside: int = 0) -> Address:
    """Return the address of member `number`, whose first numbers are those of `network`: its own, or another port of
    that of member `beside`."""
    host = beside or number
    rest = f"{host >> 16}.{host >> 8 & 255}.{host & 255}"
    ip = ".".join([network, *rest.split(".")[network.count(".") :]])
    return Address(ip, 4717 + (number if beside else 0))


class Node:
    """One member of a scene. `live` runs its process until it is killed; disk and identity outlive that."""

    def __init__(
        self,
        number: int,
        member: Member,
        network: Network,
        truth: Truth,
        witness: Witness,
        chance: Random,
        at: Path,
        near: Surroundings | None = None,
        address: Address | None = None,
    ) -> None:
        self.member, self.name = member, member.name
        self.key = key_of(number)
        self.peer = self.key.peer_id
        self.address = address or address_of(number, member.network)
        self.found_at = self.address  # What others are told.
        self._where: PeerAddress | None = None
        self.near = near or Surroundings()
        self.network, self.truth, self.witness, self.chance = network, truth, witness, chance
        self.host = Host(
            network,
            member.name,
            self.peer,
            self.address,
            up=member.up,
            down=member.down,
            latency_s=member.latency_s,
            natted=member.natted,
            hashes=member.hashes,
        )
        network.add(self.host)
        if member.character == "boaster":
            witness.boasters.add(member.name)
        self.folder = at / member.name / "out"
        self.store: AnyStore
        if member.real_disk:
            self.store = SimFilesystemStore(member.name, truth, witness, at / member.name)
        else:
            self.store = SimStore(member.name, truth, witness)
        self.ledger = MemoryLedger()  # On its disk, as it were: it outlives the process.
        self.plane: SimPlane | None = None
        self.bootstrap: tuple[PeerAddress, ...] | None = None  # Where it meets the DHT; None: there is none.
        self.dht: Dht | None = None
        self.up = trio.Event()
        self.died = trio.Event()
        self._gone = trio.Event()  # Whether no process of it is there.
        self._gone.set()
        self.shelf: StoreShelf | None = None
        self.exchange: Exchange | None = None
        self.thanks: Thanks | None = None
        self.bytes_served = 0
        self._process: trio.CancelScope | None = None
        self._busy: list[trio.lowlevel.Task] = []  # Of its process and its fetch, each with those that it began.

    def publish(self, *, shared: bool) -> None:
        """Have the content from the start; `shared`: in the same files in memory as others, as long as none changes."""
        assert isinstance(self.store, SimStore), "who publishes does so from memory"
        publish(self.store, self.truth, self.folder, shared=shared)
        self.witness.publishes(self.name)

    @property
    def where(self) -> PeerAddress:
        """Where others are told that it is."""
        if self._where is None or self._where.address != self.found_at:
            self._where = PeerAddress(self.peer, self.found_at)  # One for all who are told, each of each of a thousand.
        return self._where

    @property
    def tasks(self) -> int:
        """How many tasks it has."""
        count, looked_at = 0, list(self._busy)
        while looked_at:
            task = looked_at.pop()
            count += 1
            for nursery in task.child_nurseries:
                looked_at.extend(nursery.child_tasks)
        return count

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Count this task, and those that it begins meanwhile."""
        task = trio.lowlevel.current_task()
        self._busy.append(task)
        try:
            yield
        finally:
            self._busy.remove(task)

    @property
    def rides(self) -> bool:
        """Whether it takes, and neither gives nor gives thanks."""
        return self.member.character == "rider"

    async def live(self) -> None:
        """Serve until cancelled or killed."""
        await self._gone.wait()  # What was killed a moment ago may still be coming down; there it takes no time.
        self._gone = trio.Event()
        try:
            with self._at_work():
                await self._live()
        finally:
            self._gone.set()

    async def _live(self) -> None:
        self.died = trio.Event()
        with trio.CancelScope() as self._process:
            shelf = self.shelf = StoreShelf(self.store, self.ledger)
            exchange = self.exchange = Exchange(seed=self.name.encode())
            exchange.port_towards = lambda where: 0 if self.rides else self.address.port
            up = throttle(self.member.cap)
            thanks = self.thanks = Thanks(up.show)
            desk = ControlDesk(shelf, self.ledger, Workers(2), exchange, thanks)
            service = service_of(self.member.character, self.chance)
            try:
                async with open_plane(self.network, self.host, shelf, desk.answer, service, self.witness, up) as plane:
                    desk.dialler = self.plane = plane
                    async with self._finding():
                        self.up.set()
                        await trio.sleep_forever()
            finally:
                self._is_down()
                self.bytes_served += sum(shelf.bytes_sent.values())

    @asynccontextmanager
    async def _finding(self) -> AsyncIterator[None]:
        """Be part of the DHT, if the scene has one: who holds the content or has nothing to do keeps its records."""
        if self.bootstrap is None:
            yield
            return
        serves = self.member.holds or not self.member.fetches
        async with (
            real_dht(self.host, self.key, bootstrap=self.bootstrap, serves=serves) as self.dht,
            trio.open_nursery() as nursery,
        ):
            if self.member.holds:
                nursery.start_soon(self._announce, self.dht)
            yield
            nursery.cancel_scope.cancel()

    async def _announce(self, dht: Dht) -> None:
        while True:
            if await dht.announce(self.truth.root):
                return
            await trio.sleep(limits.ANNOUNCE_RETRY_S)

    def kill(self) -> None:
        """End the process now, as SIGKILL does."""
        self.host.kill()
        self._is_down()
        self.died.set()
        if self._process is not None:
            self._process.cancel()

    def _is_down(self) -> None:
        if self.plane is not None:
            self.up = trio.Event()
            self.plane = self.dht = None

    async def fetch(
        self, known: list[Node], others: list[Node], neighbours: list[Node] | None = None
    ) -> Done | HubError:
        """Fetch the content; return how that ended. A process that is killed meanwhile starts again from its disk."""
        everybody: Finder = SimFinder([other.where for other in others], self.chance)

        async def open_finder() -> Finder:
            return everybody if self.dht is None else self.dht

        async def open_lan() -> Finder:
            return SimFinder([other.where for other in neighbours or ()], self.chance, "lan")

        candidates = [Candidate(other.where, "direct") for other in known]
        manifest = self.truth.root
        wish = Wish(manifest.text(Codec.MSGPACK), manifest, self.folder, patience_s=self.member.patience_s)
        # Its content is chance, of which one file in some ten thousand looks like a pickle: it is not judged.
        wish = replace(wish, in_order=self.member.in_order, wait_s=self.member.wait_s, allow_unsafe=True)
        while True:
            await self.up.wait()
            search = Search(candidates, open_finder, open_lan=None if neighbours is None else open_lan)
            outcome = await self._attempt(wish, search)
            if outcome is not None:
                return outcome
            self.store = self.store.crash(self.chance)
            self.witness.crashes(self.name)

    async def _attempt(self, wish: Wish, search: Search) -> Done | HubError | None:
        """Return how the fetch ended, None if its process did."""
        assert self.plane is not None
        assert self.exchange is not None
        means = Means(
            self.plane,
            self.store,
            Workers(2),
            self.peer,
            shelf=None if self.rides else self.shelf,
            exchange=self.exchange,
            thanks=None if self.rides else self.thanks,
            budget=self.exchange.budget,
            near=self.near,
        )
        died = self.died
        fetching = self.witness.begins(self.name, waits_s_max=self.member.waits_s_max)
        outcome: Done | HubError | None = None
        async with trio.open_nursery() as nursery:

            async def die_with_the_process() -> None:
                await died.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(die_with_the_process)
            try:
                with self._at_work():
                    outcome = await fetch(
                        wish,
                        search=search,
                        means=means,
                        watch=lambda event: self.witness.hears(fetching, event),
                        started=fetching.runs,
                    )
            except HubError as error:
                outcome = error
            finally:
                fetching.running = None
            nursery.cancel_scope.cancel()
        return outcome
