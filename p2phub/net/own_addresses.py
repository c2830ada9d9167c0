"""Which addresses this machine's interfaces have, each with the network that it is in."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface, ip_interface


def own_addresses() -> list[IPv4Interface | IPv6Interface]:
    """Return them as they are now, loopback and link-local ones among them."""
    import ifaddr  # Brought by zeroconf, too; a node that listens on one address and finds nobody needs neither.

    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            found.append(ip_interface(f"{text.partition('%')[0]}/{ip.network_prefix}"))
    return found
