"""The verbs of a node without a network, for tests: its ledger and store refuse whoever asks them on the event loop."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from p2phub.content import Codec, Digest
from p2phub.discovery import DialBudget
from p2phub.engine.announce import Announcer
from p2phub.engine.desk import ControlDesk
from p2phub.engine.resolve import Resolver
from p2phub.engine.serve import StoreShelf
from p2phub.engine.workers import Workers
from p2phub.identity import SecretKey
from p2phub.net.throttle import Caps
from p2phub.node.catalog import NodeCatalog
from p2phub.node.config import Config
from p2phub.node.running import Running
from p2phub.node.verbs import Verbs
from p2phub.observe import Tally
from p2phub.store import Store
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.ledger import FileLedger
from p2phub.store.memory_catalog import MemoryCatalog
from tests.support.content import Content
from tests.support.hosts import FixedFinder

PUBLISHER = SecretKey(b"p" * 32)
PEER = str(PUBLISHER.peer_id)


class OffTheLoop:
    """A store or ledger that counts its calls and refuses those of the event loop's own thread."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._loop = threading.get_ident()
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)

        def call(*args: Any, **keywords: Any) -> Any:
            assert threading.get_ident() != self._loop, f"{name} was called on the event loop"
            self.calls.append(name)
            return real(*args, **keywords)

        return call


class Scene:
    def __init__(self, home: Path) -> None:
        self.real_ledger, self.real_store = FileLedger(home), FilesystemStore(home)
        ledger: Any = OffTheLoop(self.real_ledger)
        store: Any = OffTheLoop(self.real_store)
        nobody: Any = None
        workers = Workers()

        async def open_finder() -> FixedFinder:
            return self.finder

        self.finder = FixedFinder()
        self.index = MemoryCatalog()
        places = self.real_store.places
        resolver = Resolver(
            ledger=ledger, workers=workers, dialler=nobody, open_finder=open_finder, lent=places.releases
        )
        shelf = StoreShelf(store, ledger)
        parts: Any = SimpleNamespace(
            ledger=ledger,
            store=store,
            resolver=resolver,
            workers=workers,
            shelf=shelf,
            publisher=PUBLISHER,
            key=PUBLISHER,
            dialler=nobody,
            open_finder=open_finder,
            config=Config(home),
            caps=Caps(),
            budget=DialBudget(),
            places=places,
            tally=Tally(),
            connections=0,
            children=tuple,
            addresses=lambda: (),
            peers_proven=0,
            catalog=NodeCatalog(self.index, ledger, store, places),
            ticket_addresses=lambda: (),
            ticket_may_be_private=lambda: False,
        )
        self.parts = parts
        self.desk = ControlDesk(shelf, ledger, workers)
        self.announcer = Announcer(self.finder, store=store, ledger=ledger, workers=workers, own=PUBLISHER.peer_id)
        self.seen = (ledger, store)
        self.node = Running(self.parts)
        self.verbs = Verbs(self.node)

    async def call(self, verb: str, **args: Any) -> dict[str, Any]:
        return await self.verbs.call(verb, args, lambda event: None)

    @property
    def touched(self) -> bool:
        return any(each.calls for each in self.seen)


async def publish(scene: Scene, folder: Path, *, name: str = "model") -> dict[str, Any]:
    """Publish a small folder, the same each time, made for it."""
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(b"w" * 1000)
    return await publish_as_it_is(scene, folder, name=name)


async def publish_as_it_is(scene: Scene, folder: Path, *, name: str = "model", tag: str = "main") -> dict[str, Any]:
    texts = {"name": name, "tag": tag, "kind": "model", "description": "", "licence": ""}
    return await scene.call("publish", folder=str(folder), **texts, private=False, allow=(), ignore=(), include=())


def own(store: Store, content: Content, *, folder: Path | None = None) -> None:
    """Fetch `content` into the home's own store, or into a folder of the user's."""
    store.put_blobs(list(content.blobs.values()))
    into = folder or store.own_folder(content.root)
    arrival = store.arrive(content.manifest, content.root, content.table, into, force=False)
    for chunk in content.whole:
        arrival.write(chunk, content.chunk(chunk))
    arrival.verified(content.whole)
    arrival.finish()


def text(manifest: Digest) -> str:
    return manifest.text(Codec.MSGPACK)
