"""Where things lie in the DHT: positions, distance, and the keys of manifests.

Positions are SHA-256, as in libp2p's Kademlia; nearness is the XOR of positions, read as a number.
Source: proto/discovery.md §2; libp2p/specs kad-dht.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from hashlib import sha256

from p2phub.content import Digest
from p2phub.identity import PeerId

_PROVIDER_LABEL = b"p2phub provider v1"


def position(key: bytes) -> int:
    """Return where a key lies: 256 bits."""
    return int.from_bytes(sha256(key).digest(), "big")


def peer_position(peer: PeerId) -> int:
    """Return where a peer lies."""
    return position(peer.raw)


def provider_key(manifest: Digest) -> bytes:
    """Return the DHT key under which providers of `manifest` are listed: 34 bytes, a SHA-256 multihash.

    Hashed once more, so that who stores the record learns a digest only if it knew it before.
    """
    return b"\x12\x20" + sha256(_PROVIDER_LABEL + manifest.raw).digest()


@lru_cache(maxsize=4096)  # Each newcomer is held against all that are known, and reading an address is slow.
def network_of(ip: str) -> str | None:
    """Return the /24 or /48 that `ip` shares with its neighbours, or None where counting makes no sense.

    Addresses of one network are one attacker's as a rule. Loopback and private networks are exempt (None): there the
    neighbours are the user's own machines.
    """
    number = ipaddress.ip_address(ip)
    if not number.is_global:
        return None
    return str(ipaddress.ip_network((number, 24 if number.version == 4 else 48), strict=False))
