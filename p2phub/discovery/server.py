"""A DHT server's mind: what it answers to each question, from what it knows.

Pure: the driver says who asks, from which IP address and when, and sends what is returned. Questions beyond a peer's
allowance are not answered. Source: proto/discovery.md §3 to §5.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

import msgspec

from p2phub import limits
from p2phub.discovery.budget import dialable
from p2phub.discovery.candidate import Contact
from p2phub.discovery.keyspace import position
from p2phub.discovery.messages import Kind, Question, Reply
from p2phub.discovery.providers import ProviderRecords
from p2phub.discovery.releases import ReleaseRecords
from p2phub.discovery.routing import RoutingTable
from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import Address, PeerId


class _Bucket(msgspec.Struct):
    """A token bucket: `tokens` at `at`."""

    tokens: float
    at: float


class Allowance:
    """How often each peer, or network, may do something: `burst` at once, then `per_s` a second."""

    def __init__(self, *, burst: float, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._buckets: OrderedDict[PeerId | str, _Bucket] = OrderedDict()

    def take(self, peer: PeerId | str, *, now: float) -> bool:
        """Count one; return whether it was allowed."""
        if self._wait_s(peer, now) > 0:
            return False
        self._buckets[peer].tokens -= 1
        return True

    def reserve(self, peer: PeerId | str, *, now: float) -> float:
        """Count one, and return how long to wait before doing it."""
        wait = self._wait_s(peer, now)
        self._buckets[peer].tokens -= 1
        return wait

    def _wait_s(self, peer: PeerId | str, now: float) -> float:
        bucket = self._buckets.setdefault(peer, _Bucket(self._burst, now))
        self._buckets.move_to_end(peer)
        if len(self._buckets) > limits.DHT_PEERS_COUNTED_MAX:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now - bucket.at) * self._per_s)
        bucket.at = now
        return 0.0 if bucket.tokens >= 1 else (1 - bucket.tokens) / self._per_s


class Server:
    """The DHT server of the node `own`: its records, and its answers."""

    def __init__(self, own: PeerId, table: RoutingTable, *, seed: bytes) -> None:
        self.providers = ProviderRecords(own, seed)
        self.releases = ReleaseRecords(own)
        self._table = table
        self._questions = Allowance(burst=limits.DHT_QUESTIONS_BURST, per_s=limits.DHT_QUESTIONS_PER_S)
        self._announcements = Allowance(burst=limits.ANNOUNCE_BURST + 2, per_s=1.1)  # More than an announcer uses.

    def answer(self, question: Question, asker: PeerId, asker_ip: str, *, now: float, wall_now: float) -> Reply | None:
        """Return the reply to `question`, or None: refused, and the stream is to be reset.

        `now`: steady seconds; `wall_now`: seconds since 1970.
        """
        if not self._questions.take(asker, now=now):
            return None
        key = question.key
        match question.kind:
            case Kind.PING:
                return Reply(Kind.PING)
            case Kind.FIND_NODE:
                return Reply(Kind.FIND_NODE, key, closer=self._closer(key, asker, asker_ip))
            case Kind.GET_PROVIDERS:
                known = self.providers.get(key, now=now)
                return Reply(
                    Kind.GET_PROVIDERS,
                    key,
                    closer=self._closer(key, asker, asker_ip),
                    providers=tuple(_for_asker(contact, asker_ip) for contact in known),
                )
            case Kind.ADD_PROVIDER:
                return self._add_provider(question, asker, asker_ip, now)
            case Kind.GET_VALUE:
                value = self.releases.get(key, wall_now=wall_now, now=now)
                return Reply(Kind.GET_VALUE, key, value, closer=self._closer(key, asker, asker_ip))
            case Kind.PUT_VALUE:
                try:
                    stands = self.releases.put(key, question.value, seen_ip=asker_ip, wall_now=wall_now, now=now)
                except (Malformed, NotTrusted):
                    return None
                return Reply(Kind.PUT_VALUE, key, question.value) if stands else None

    def expire(self, *, now: float) -> None:
        """Forget what is too old. Call now and then."""
        self.providers.expire(now=now)
        self.releases.expire(now=now)

    def _add_provider(self, question: Question, asker: PeerId, asker_ip: str, now: float) -> Reply | None:
        if question.sender != asker or not self._announcements.take(asker, now=now):
            return None
        addresses = dialable(question.addresses, heard_from=asker_ip)
        if question.port:
            # Where it comes from is where it most likely can be reached, and a node may not know its own address.
            addresses = tuple(dict.fromkeys((Address(asker_ip, question.port), *addresses)))
        stored = self.providers.add(question.key, Contact(asker, addresses), seen_ip=asker_ip, now=now)
        return Reply(Kind.ADD_PROVIDER, question.key) if stored else None

    def _closer(self, key: bytes, asker: PeerId, asker_ip: str) -> tuple[Contact, ...]:
        nearest = self._table.closest(position(key), limits.DHT_REPLICATION + 1)
        shown = (_for_asker(contact, asker_ip) for contact in nearest if contact.peer != asker)
        return tuple(contact for contact in shown if contact.addresses)[: limits.DHT_REPLICATION]


def _for_asker(contact: Contact, asker_ip: str) -> Contact:
    """Return `contact` without addresses of private networks if who asks is a stranger from the internet."""
    if not ipaddress.ip_address(asker_ip).is_global:
        return contact
    return Contact(contact.peer, tuple(address for address in contact.addresses if address.is_public))
