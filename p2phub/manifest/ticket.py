"""A ticket: a manifest digest with addresses, in one line of text that can be sent to a friend.

    ticket = "p2phub:" + base32 (RFC 4648, lower case, no padding) of
             record "p2phub ticket" 1 {manifest: digest, providers?: [[key, [[ip, port]…]]…], release?: signed bytes}

It always says exactly which bytes, so it can be trusted as far as whoever sent it; the signed release beside it may
show the publisher, too. Addresses are numbers, 4 or 16 bytes and a port: nothing is looked up, so nobody else is told.
Source: proto/identifiers.md §7.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress

import msgspec

from p2phub import limits
from p2phub.content import DIGEST_BYTES, Digest, pack_record, unpack_record
from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.manifest.release import Release, read_release

PREFIX = "p2phub:"
KIND = "p2phub ticket"
VERSION = 1


class Ticket(msgspec.Struct, frozen=True):
    """`manifest` says what; `release` (as signed, unchecked) who says so; `providers` where, the best first."""

    manifest: Digest
    release: bytes | None = None
    providers: tuple[PeerAddress, ...] = ()

    def publisher_release(self) -> Release | None:
        """Return the release if it is there and holds: signed, and about this manifest. Its times are not judged."""
        if self.release is None:
            return None
        try:
            release = read_release(self.release)
        except (Malformed, NotTrusted):
            return None
        return release if release.manifest == self.manifest else None


def encode_ticket(ticket: Ticket, *, private: bool = False) -> str:
    """Return the ticket's text, with the first 4 providers and 4 addresses of each.

    Addresses that mean nothing to strangers (private networks, loopback) are left out unless `private`: they would tell
    about the sender's network. Raises ValueError if the release is longer than a release may be.
    """
    fields: dict[str, object] = {"manifest": ticket.manifest.raw}
    if ticket.release is not None:
        if len(ticket.release) > limits.RELEASE_BYTES_MAX:
            raise ValueError(f"a release of {len(ticket.release)} bytes")
        fields["release"] = ticket.release
    grouped: dict[PeerId, list[Address]] = {}
    for provider in ticket.providers:
        if _is_dialable(provider.address) and (private or provider.address.is_public):
            addresses = grouped.setdefault(provider.peer, [])
            if provider.address not in addresses:
                addresses.append(provider.address)
    if grouped:
        fields["providers"] = [
            [
                peer.public_key,
                [
                    [ipaddress.ip_address(address.ip).packed, address.port]
                    for address in addresses[: limits.TICKET_ADDRESSES_MAX]
                ],
            ]
            for peer, addresses in list(grouped.items())[: limits.TICKET_PROVIDERS_MAX]
        ]
    packed = pack_record(KIND, VERSION, fields)
    return PREFIX + base64.b32encode(packed).decode("ascii").rstrip("=").lower()


def parse_ticket(text: str) -> Ticket:
    """Read a ticket. Raises Malformed: ticket-text, ticket-provider, ticket-address, and what a record raises."""
    if len(text) > limits.TICKET_BYTES_MAX or not text.startswith(PREFIX):
        raise Malformed("ticket-text", f"not a ticket: {text[:40]!r}")
    body = text[len(PREFIX) :]
    try:
        packed = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
    except (binascii.Error, ValueError) as exc:
        raise Malformed("ticket-text", "a ticket with letters that are not base32: is it whole?") from exc
    if base64.b32encode(packed).decode("ascii").rstrip("=").lower() != body:
        raise Malformed("ticket-text", "a ticket that is not spelt as it must be")
    fields = unpack_record(packed, KIND, VERSION)
    manifest = Digest(fields.binary("manifest", least=DIGEST_BYTES, most=DIGEST_BYTES))
    release = None
    if "release" in fields:
        release = fields.binary("release", least=1, most=limits.RELEASE_BYTES_MAX)
    providers: list[PeerAddress] = []
    if "providers" in fields:
        for item in fields.array("providers", least=1, most=limits.TICKET_PROVIDERS_MAX):
            peer, addresses = _read_provider(item)
            if any(known.peer == peer for known in providers) or len(set(addresses)) != len(addresses):
                raise Malformed("ticket-provider", "a provider or address stands twice")
            providers.extend(PeerAddress(peer, address) for address in addresses)
    return Ticket(manifest, release, tuple(providers))


def _read_provider(item: object) -> tuple[PeerId, list[Address]]:
    match item:
        case [bytes(key), [_, *_] as addresses] if len(key) == 32 and len(addresses) <= limits.TICKET_ADDRESSES_MAX:
            return PeerId(key), [_read_address(address) for address in addresses]
    raise Malformed("ticket-provider", "a provider is a key of 32 bytes and 1 to 4 addresses")


def _read_address(item: object) -> Address:
    match item:
        case [bytes(ip), int(port)] if len(ip) in (4, 16) and type(port) is int and 0 < port <= 65535:
            address = Address(str(ipaddress.ip_address(ip)), port)
            if _is_dialable(address):
                return address
    raise Malformed("ticket-address", "an address is 4 or 16 bytes, of one host, and a port")


def _is_dialable(address: Address) -> bool:
    number = ipaddress.ip_address(address.ip)
    return address.port > 0 and not (number.is_multicast or number.is_unspecified)
