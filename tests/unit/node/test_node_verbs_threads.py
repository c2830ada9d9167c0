"""Another process may hold the home's lock for long: no verb waits for it on the event loop."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from p2phub.engine.resolve import Resolver
from p2phub.engine.serve import StoreShelf
from p2phub.engine.workers import Workers
from p2phub.errors import HubError, NotFound
from p2phub.identity import SecretKey
from p2phub.net.throttle import Caps
from p2phub.node.config import Config
from p2phub.node.running import Running
from p2phub.node.verbs import Verbs
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.ledger import FileLedger

PUBLISHER = SecretKey(b"p" * 32)
PEER = str(PUBLISHER.peer_id)


class OffTheLoop:
    """A store or ledger that counts its calls and refuses those of the event loop's own thread."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._loop = threading.get_ident()
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        assert threading.get_ident() != self._loop, f"{name} was called on the event loop"
        self.calls.append(name)
        return getattr(self._real, name)


class Scene:
    def __init__(self, home: Path) -> None:
        self.real_ledger, self.real_store = FileLedger(home), FilesystemStore(home)
        ledger: Any = OffTheLoop(self.real_ledger)
        store: Any = OffTheLoop(self.real_store)
        nobody: Any = None
        resolver = Resolver(ledger=ledger, dialler=nobody, open_finder=nobody)
        shelf = StoreShelf(self.real_store, self.real_ledger)
        parts: Any = SimpleNamespace(
            ledger=ledger,
            store=store,
            resolver=resolver,
            workers=Workers(),
            shelf=shelf,
            publisher=PUBLISHER,
            config=Config(home),
            caps=Caps(),
        )
        self.seen = (ledger, store)
        self.verbs = Verbs(Running(parts))

    async def call(self, verb: str, **args: str) -> dict[str, Any]:
        return await self.verbs.call(verb, args, lambda event: None)

    @property
    def touched(self) -> bool:
        return any(each.calls for each in self.seen)


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    made = Scene(tmp_path / "home")
    yield made
    made.real_store.close()
    made.real_ledger.close()


async def test_names_are_added_listed_and_removed_off_the_event_loop(scene: Scene) -> None:
    await scene.call("name_add", alias="ann", target=PEER)
    assert await scene.call("names") == {"names": {"ann": PEER}}
    await scene.call("name_remove", alias="ann")
    assert await scene.call("names") == {"names": {}}
    with pytest.raises(NotFound):
        await scene.call("name_remove", alias="ann")


@pytest.mark.parametrize("verb", ["unpublish", "remove", "verify"])
async def test_a_verb_about_something_unknown_looks_for_it_off_the_event_loop(scene: Scene, verb: str) -> None:
    with pytest.raises(HubError):
        await scene.call(verb, ref=f"{PEER}/model")
    assert scene.touched


async def test_a_home_is_listed_off_the_event_loop(scene: Scene) -> None:
    assert await scene.call("ls") == {"items": []}
    assert scene.touched
