"""Looking for neighbours, cancelled at one checkpoint after the other: nothing of it is left.

The library that speaks multicast is stood in for; how it is opened, asked in threads and closed is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trio
from zeroconf import NonUniqueNameException, ServiceInfo
from zeroconf._cache import DNSCache

from p2phub.discovery import Candidate
from p2phub.identity import Address, PeerAddress
from p2phub.net import lan as lan_module
from p2phub.net.lan import SERVICE, Browser, Lan, open_lan
from simnet import det
from tests.support.covers import covers
from tests.support.town import PUBLISHER, Town, cancel_everywhere, in_town, some_or_all


class Air:
    """What neighbours say: ann and cy at once, each by all records; `silent` by its name alone, and never answers."""

    def __init__(self, town: Town, *, name_is_taken: bool = False) -> None:
        self.open = 0
        self._there = (town.ann.where, town.cy.where)
        self._name_is_taken = name_is_taken

    def zeroconf(self, **options: object) -> Voice:
        det.pause(0.1)
        self.open += 1
        return Voice(self, self._name_is_taken)

    def browse(self, zeroconf: Any, service: str, *, listener: Browser) -> None:
        for said in map(_saying, self._there):
            zeroconf.cache.async_add_records([said.dns_service(), said.dns_text(), *said.dns_addresses()])
            listener.add_service(zeroconf, service, said.name)
        listener.add_service(zeroconf, service, f"silent.{SERVICE}")

    @contextmanager
    def instead_of_multicast(self) -> Iterator[None]:
        with (
            mock.patch.object(lan_module, "Zeroconf", self.zeroconf),
            mock.patch.object(lan_module, "ServiceBrowser", self.browse),
            mock.patch.object(lan_module, "ServiceInfo", Unanswered),
        ):
            yield


class Unanswered(ServiceInfo):
    """What nobody answers for who is asked about it."""

    def request(self, zeroconf: object, timeout: float, *args: object, **options: object) -> bool:
        det.pause(timeout / 1000)
        return False


class Voice:
    """`zeroconf.Zeroconf`, open until it is closed."""

    def __init__(self, air: Air, name_is_taken: bool) -> None:
        self.cache = DNSCache()
        self._air, self._name_is_taken = air, name_is_taken

    def register_service(self, info: ServiceInfo, **options: object) -> None:
        det.pause(0.1)
        if self._name_is_taken:
            raise NonUniqueNameException

    def close(self) -> None:
        det.pause(0.1)
        self._air.open -= 1


def _saying(where: PeerAddress) -> ServiceInfo:
    name = f"{str(where.peer)[-8:].lower()}.{SERVICE}"
    packed, told = ip_address(where.address.ip).packed, {b"peer": str(where.peer)}
    return ServiceInfo(SERVICE, name, addresses=[packed], port=where.address.port, properties=told, server=name)


@covers("F30")
@some_or_all
def test_being_on_the_local_network_cancelled_at_any_checkpoint_closes_it(tmp_path: Path, most: int) -> None:
    async def scene(town: Town) -> None:
        air = Air(town)

        async def look(number: int) -> None:
            assert air.open == 0
            async with open_lan(town.bob.peer, [town.bob.address], dialler=town.bob.plane) as lan:
                assert await lan.release(PUBLISHER.peer_id, "theirs", "main") == ()
                assert set(lan.peers()) == {town.ann.where, town.cy.where}
            assert air.open == 0

        with air.instead_of_multicast():
            await cancel_everywhere(town, look, most)
        assert air.open == 0

    in_town(tmp_path, scene)


@covers("F30")
def test_a_local_network_that_will_not_have_us_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(town: Town) -> None:
        air = Air(town, name_is_taken=True)
        with air.instead_of_multicast():
            async with open_lan(town.bob.peer, [town.bob.address]) as lan:
                assert (air.open, lan.peers()) == (0, ())

    in_town(tmp_path, scene)
    assert "cannot be searched" in caplog.text


@covers("F30")
@some_or_all
def test_asking_neighbours_cancelled_at_any_checkpoint_leaves_no_connection(tmp_path: Path, most: int) -> None:
    """Those who are there, and one who is not any more."""

    async def scene(town: Town) -> None:
        assert town.bob.plane is not None
        gone = PeerAddress(PUBLISHER.peer_id, Address("10.9.9.9", 4717))

        async def ask(number: int) -> None:
            lan = Lan(town.bob.peer, town.bob.plane)
            found: list[PeerAddress] = []
            send, heard = trio.open_memory_channel[Candidate](0)

            async def appear() -> None:
                for name, where in (("ann", town.ann.where), ("gone", gone), ("cy", town.cy.where)):
                    await trio.sleep(0.1)
                    lan.appeared(f"{name}.{SERVICE}", (where,))

            async def look() -> None:
                async with send:
                    await lan.providers(town.truth.root, send)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(appear)
                nursery.start_soon(look)
                async with heard:
                    async for candidate in heard:
                        found.append(candidate.provider)
                assert await lan.release(PUBLISHER.peer_id, "theirs", "main") == ()
            assert found == [town.ann.where, gone, town.cy.where]
            assert [len(each) for each in (lan.asked()[0].answered, lan.asked()[0].failed)] == [2, 1]

        await cancel_everywhere(town, ask, most)

    in_town(tmp_path, scene)
