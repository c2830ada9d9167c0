"""What networks, and hosts of mirrors, are to this node: the `[labels]` table of config.toml.

    [labels]
    "10.1.7.0/24" = "rack"            # nearest; then come "site", this LAN, and the rest
    "10.1.0.0/16" = "site"
    "100.64.0.0/10" = "metered"       # last, and only while nobody else brings a fetch forward
    "mirror.example.org" = "metered"  # a host of mirrors, as their URLs spell it

Of networks that hold an address the smallest decides, whatever their order; an address alone is a network of one.
Each key has one spelling, so that nothing is labelled twice. What they are for: `engine.nearness`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec

from p2phub.discovery import LABELS, Nearness, Network
from p2phub.errors import Malformed, UsageError
from p2phub.identity import parse_web_url

LABELS_MAX = 1000  # Each address that is dialled for the first time is compared with them.
_BY_NAME = {str(label): label for label in LABELS}
_HINT = 'like "10.1.0.0/16" = "site" or "mirror.example.org" = "metered"'


class Labels(msgspec.Struct, frozen=True):
    """The labels of one home."""

    networks: Mapping[Network, Nearness] = msgspec.field(default_factory=dict)
    hosts: Mapping[str, Nearness] = msgspec.field(default_factory=dict)


def parse_labels(value: Any) -> Labels:
    """Read the table. Raises UsageError."""
    if not isinstance(value, dict):
        raise UsageError("a table is wanted", hint=f"[labels], and below it lines {_HINT}")
    if len(value) > LABELS_MAX:
        raise UsageError(f"{len(value)} labels, at most {LABELS_MAX} are kept")
    networks: dict[Network, Nearness] = {}
    hosts: dict[str, Nearness] = {}
    for key, name in value.items():
        label = _BY_NAME.get(name) if isinstance(name, str) else None
        if label is None:
            raise UsageError(f"{key[:80]!r}: {str(name)[:40]!r} is no label", hint=f"one of {', '.join(_BY_NAME)}")
        what = _network(key)
        if what is None:
            hosts[_host(key)] = label
        elif what in networks:
            raise UsageError(f"{key[:80]!r} is labelled twice")
        else:
            networks[what] = label
    return Labels(networks, hosts)


def _network(key: str) -> Network | None:
    """Return the network that `key` is, None if it is no number at all. Raises UsageError."""
    address, slash, bits = key.partition("/")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        if slash:
            raise UsageError(f"{key[:80]!r} is no network", hint=_HINT) from None
        return None
    if slash and not (bits.isascii() and bits.isdigit()):
        raise UsageError(f"{key[:80]!r} is no network", hint="how many bits it has in common, like 10.1.0.0/16")
    try:
        network = ipaddress.ip_network(key)
    except ValueError as exc:
        raise UsageError(f"{key[:80]!r} is no network: {exc}", hint=_HINT) from exc
    if network.version == 6 and network.network_address.ipv4_mapped is not None:
        raise UsageError(f"{key[:80]!r} is an IPv4 network written as IPv6", hint=_HINT)
    return network


def _host(key: str) -> str:
    try:
        url = parse_web_url(f"https://{key}/")
    except Malformed:
        url = None
    if url is None or url.host != key:
        raise UsageError(f"{key[:80]!r} is neither a network nor a host's name in lower case", hint=_HINT)
    return key
