"""What strangers of the local network say never ends its discovery, nor makes it ask without bound."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from zeroconf import ServiceInfo
from zeroconf._cache import DNSCache

from p2phub.identity import Address, PeerAddress, SecretKey
from p2phub.net import lan as module
from p2phub.net.lan import SERVICE, Browser, Lan, Names

OWN, BOB = (SecretKey(bytes([n]) * 32).peer_id for n in (1, 2))
BOBS = f"bob.{SERVICE}"
AT = PeerAddress(BOB, Address("10.0.0.2", 4717))
Ask = Callable[[str], tuple[PeerAddress, ...]]


def at_once(call: Callable[..., None], *args: object) -> None:
    call(*args)


def nobody(name: str) -> tuple[PeerAddress, ...]:
    return ()


class Scene:
    def __init__(self, ask: Ask = nobody) -> None:
        self.lan = Lan(OWN, None)
        self.names = Names(self.lan, ask)
        self.browser = Browser(self.names, at_once)
        self.zeroconf: Any = SimpleNamespace(cache=DNSCache())

    def hear(self, name: str) -> None:
        self.browser.add_service(self.zeroconf, SERVICE, name)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.names.run)
            yield
            nursery.cancel_scope.cancel()

    async def settled(self) -> None:
        """Return when whoever asks has nothing more to ask."""
        while self.names._waiting or not self.names._arrived.statistics().tasks_waiting:
            await trio.sleep(0)


@pytest.mark.parametrize(
    "name", ["evil.example.", "", ".", SERVICE, "_other._tcp.local.", f"x{SERVICE}", f".{SERVICE}", f"\0..{SERVICE}"]
)
async def test_a_name_that_is_no_service_of_ours_is_passed_over(name: str) -> None:
    scene = Scene()
    scene.hear(name)
    assert len(scene.names._waiting) <= 1
    async with scene.asking():
        await scene.settled()
    assert scene.lan.peers() == ()


async def test_names_of_another_type_are_not_even_asked_for() -> None:
    scene = Scene()
    scene.hear("evil.example.")
    scene.hear("printer._ipp._tcp.local.")
    assert not scene.names._waiting


async def test_no_more_names_wait_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NAMES_WAITING_MAX", 5)
    scene = Scene()
    for number in range(100):
        scene.hear(f"invented{number}.{SERVICE}")
    assert len(scene.names._waiting) == 5


async def test_who_says_all_at_once_is_known_though_invented_names_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NAMES_WAITING_MAX", 5)
    scene = Scene()
    for number in range(100):
        scene.hear(f"invented{number}.{SERVICE}")
    said = ServiceInfo(
        SERVICE, BOBS, addresses=[bytes([10, 0, 0, 2])], port=4717, properties={b"peer": str(BOB)}, server="bob.local."
    )
    records = [said.dns_service(), said.dns_text(), *said.dns_addresses()]
    scene.zeroconf.cache.async_add_records(records)
    scene.hear(BOBS)
    assert scene.lan.peers() == (AT,)


async def test_who_has_not_said_where_it_is_is_asked() -> None:
    scene = Scene({BOBS: (AT,)}.__getitem__)
    scene.hear(f"nobody.{SERVICE}")  # Asking it fails, which is about it only.
    scene.hear(BOBS)
    async with scene.asking():
        await scene.settled()
    assert scene.lan.peers() == (AT,)


async def test_who_said_goodbye_while_being_asked_is_not_there() -> None:
    scene = Scene()

    def ask(name: str) -> tuple[PeerAddress, ...]:
        asked.append(name)
        trio.from_thread.run_sync(scene.browser.remove_service, scene.zeroconf, SERVICE, name)
        return (AT,)

    asked: list[str] = []
    scene.names._ask = ask
    scene.hear(BOBS)
    async with scene.asking():
        await scene.settled()
    assert asked == [BOBS]
    assert scene.lan.peers() == ()
