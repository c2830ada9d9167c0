"""Peers that a node wrote down are whom it asks first after a restart, and nobody who has answered since."""

from __future__ import annotations

from pathlib import Path

import trio

from p2phub.content import digest_of
from p2phub.identity import PeerAddress
from p2phub.node.compose import compose
from p2phub.node.config import load_config
from p2phub.node.peers import write_peers
from tests.support.libp2p_nodes import dht_node, providers_of


async def answering(home: Path, *written_down: PeerAddress) -> int:
    """Have a node of `home`, which wrote these down, look for somebody; return how many answered, by its own count."""
    write_peers(home, written_down)
    config = load_config(home=home, environment={"P2PHUB_LISTEN": "127.0.0.1:0", "P2PHUB_NO_LAN": "1"})
    with trio.fail_after(60):
        async with compose(config, serving=False) as parts:
            assert await providers_of(await parts.open_finder(), digest_of(b"a manifest")) == []
            assert set(written_down) <= set(parts.contacts())
            assert sum(peer["proven"] for peer in await parts.known_peers()) == parts.peers_proven
            return parts.peers_proven


async def test_who_was_written_down_counts_once_it_answers(tmp_path: Path) -> None:
    async with dht_node("gone") as node:
        gone = node.at
    assert await answering(tmp_path, gone) == 0
    async with dht_node("still there") as node:
        assert await answering(tmp_path, gone, node.at) == 1
