"""When a node opens the local network: without libp2p, once, and not at all where the user will have none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio

from p2phub.content import digest_of
from p2phub.engine.resolve import Resolved
from p2phub.identity import Address
from p2phub.manifest import Release
from p2phub.net import Finders, lan
from p2phub.node import compose as compose_module
from p2phub.node.compose import Parts, compose
from p2phub.node.config import load_config
from p2phub.node.running import Running
from p2phub.node.verbs import fetching
from tests.support.covers import covers
from tests.support.hosts import FixedFinder
from tests.support.house import ROOT


class CountedNetwork:
    """Counts how often the local network is opened, and never opens it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = self.open = 0
        self.finder = FixedFinder()
        monkeypatch.setattr(lan, "open_lan", self._open)

    @asynccontextmanager
    async def _open(self, *args: object, **options: object) -> AsyncIterator[FixedFinder]:
        self.opened += 1
        self.open += 1
        yield self.finder
        self.open -= 1


@asynccontextmanager
async def node(home: Path, **environment: str) -> AsyncIterator[Parts]:
    config = load_config(home=home, environment={"P2PHUB_LISTEN": "127.0.0.1:0", **environment})
    with trio.fail_after(30):
        async with compose(config, serving=False) as parts:
            yield parts


async def test_the_local_network_is_opened_once_whoever_asks_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = CountedNetwork(monkeypatch)
    async with node(tmp_path / "a") as parts:
        assert await parts.open_lan_finder() is network.finder
        assert await parts.open_lan_finder() is network.finder
        everybody = await parts.open_finder()
        assert isinstance(everybody, Finders)
        assert everybody._finders == (network.finder,)
    assert (network.opened, network.open) == (1, 0)
    async with node(tmp_path / "b") as parts:
        await parts.open_finder()
        assert await parts.open_lan_finder() is network.finder
    assert (network.opened, network.open) == (2, 0)


@pytest.mark.parametrize("variable", [{"P2PHUB_NO_LAN": "1"}, {"P2PHUB_LAN": "0"}])
async def test_where_the_user_will_have_none_it_is_never_opened(
    variable: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = CountedNetwork(monkeypatch)
    async with node(tmp_path, **variable) as parts:
        assert await parts.open_lan_finder() is None
        await parts.open_finder()
    assert not network.opened


async def test_with_it_the_node_learns_in_which_networks_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CountedNetwork(monkeypatch)
    interface = SimpleNamespace(network=ip_network("2600::/64"))
    async with node(tmp_path) as parts:
        assert str(parts.near.of(Address("2600::7", 1))) == "far"
        monkeypatch.setattr(compose_module, "own_addresses", lambda: [interface])
        await parts.open_lan_finder()
        assert str(parts.near.of(Address("2600::7", 1))) == "lan"


async def test_the_labels_of_the_configuration_are_the_nodes(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[labels]\n"10.1.0.0/16" = "site"\n')
    async with node(tmp_path) as parts:
        assert str(parts.near.of(Address("10.1.2.3", 1))) == "site"


def test_it_is_opened_without_libp2p(tmp_path: Path) -> None:
    script = f"""
import sys
from contextlib import asynccontextmanager
import trio
from p2phub.node.compose import compose
from p2phub.node.config import load_config

async def main():
    config = load_config(home={str(tmp_path)!r}, environment={{"P2PHUB_LISTEN": "127.0.0.1:0"}})
    async with compose(config, serving=False) as parts:
        assert "zeroconf" not in sys.modules
        from p2phub.net import lan

        @asynccontextmanager
        async def open_lan(*args, **options):
            yield "found"

        lan.open_lan = open_lan
        assert await parts.open_lan_finder() == "found"
    assert "libp2p" not in sys.modules

trio.run(main)
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@covers("T57")
@pytest.mark.parametrize(
    ("release", "asked"),
    [(None, False), (SimpleNamespace(private=True), False), (SimpleNamespace(private=False), True)],
)
def test_neighbours_are_not_told_of_what_is_not_known_to_be_for_everybody(release: object, asked: bool) -> None:
    """To ask a neighbour for a manifest is to tell it the digest, which is all that it takes to fetch it."""
    if release is not None:
        release = SimpleNamespace(**vars(release), publisher=None, name="a", tag="latest", previous=None, parents=())
    resolved = Resolved(digest_of(b"?"), cast(Release, release))
    parts = SimpleNamespace(open_finder=None, open_lan_finder=object(), config=SimpleNamespace(mirrors=()))
    search = fetching.search_for(cast(Running, SimpleNamespace(parts=parts)), resolved, (), (), kin=True)
    assert search.may_look_near == asked
