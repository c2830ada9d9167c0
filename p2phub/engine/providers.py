"""What a fetch knows of each peer that may provide: where it is, how many links it has, how it failed, whether it lied.

A plain value that the coordinator owns. It decides who is taken in and, when nobody is left, what to tell the user; who
of them is dialled next decides `turns`.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Iterator
from hashlib import blake2b

import msgspec

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Candidate
from p2phub.errors import (
    ChunkMismatch,
    Damaged,
    HubError,
    MirrorUnusable,
    NoProvider,
    PeerGone,
    PeerRefused,
    PeerStalled,
    ProtocolViolation,
)
from p2phub.identity import Address, MirrorId, PeerId, SourceId
from p2phub.observe import printable

_log = logging.getLogger(__name__)
REFERENCE_SHOWN = 120
RETRY_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # After each failure in a row; the last one repeats.


def when(seconds: float) -> str:
    """Write when something is due that is so far off: `in 4 s`, never `in 0 s`."""
    return f"in {math.ceil(seconds)} s" if seconds > 0 else "at once"


class Provider(msgspec.Struct):
    """One peer, or a mirror, which has no address here.

    `dialling` counts links on their way; `links` those that are up, by number.
    """

    peer: SourceId
    via: str
    addresses: list[Address] = msgspec.field(default_factory=list)
    links: set[int] = msgspec.field(default_factory=set)
    dialling: int = 0
    failures: int = 0
    retry_at: float = -math.inf
    last_error: HubError | None = None
    banned: bool = False  # It lied: never dialled again in this fetch.
    unusable: bool = False  # It is no mirror: nor is it.
    lied_about: tuple[str, int] | None = None  # The file and chunk, where it can be told.
    had_some: bool = False  # Whether it opened with something to give.
    linked_at: float = -math.inf  # When a link to it came up last.
    told: bool = False  # Whether the watcher knows it as a source.
    lacks: str | None = None  # Of a mirror: the first file that it said not to have, and why, in words.
    thanked_at: float = -math.inf  # When it was told last what others gave us.
    met_at: Address | None = None  # Where it proved its key last.
    accompanied: bool = False  # Whether a control connection is kept beside its links.
    tried: set[Address] = msgspec.field(default_factory=set)  # That had their turn in a dial, and may have given way.
    by_user: bool = False  # Whether the user named it for this fetch.
    # What it has in place of the manifest: files of it alone, or parents;
    kin: list[Digest] = msgspec.field(default_factory=list)
    needless: bool = False  # whether nothing is missing of those.
    given: set[Address] = msgspec.field(default_factory=set)  # Those of `addresses` that the user named.
    hearsay: set[Address] = msgspec.field(default_factory=set)  # Those of `addresses` that another peer named.
    local: set[Address] = msgspec.field(default_factory=set)  # Those of `addresses` that the local network named.
    told_by_others: bool = False  # Whether it was named as a member of the swarm.
    answered_s: dict[Address, float] = msgspec.field(default_factory=dict)  # How long a dial took that came up.
    named: int = 0  # How many candidates it named that were taken in.
    draw: bytes = b""  # Among equals the least is dialled first: another order at each node.

    @property
    def is_mirror(self) -> bool:
        return isinstance(self.peer, MirrorId)

    @property
    def can_be_dialled(self) -> bool:
        return bool(self.addresses) or self.is_mirror

    @property
    def out(self) -> bool:
        """Whether it is out of this fetch for good."""
        return self.banned or self.unusable

    def is_due(self, now: float) -> bool:
        """Whether it may be dialled, as far as its own addresses and failures go."""
        return now >= self.retry_at and not self.out and not self.needless and self.can_be_dialled

    @property
    def live(self) -> bool:
        return bool(self.links) or self.dialling > 0

    @property
    def is_hearsay(self) -> bool:
        """Whether we have but another peer's word for it: perhaps nobody is there, or nobody at all."""
        return self.told_by_others and not self.links and self.hearsay.issuperset(self.addresses)

    def failed(self, error: HubError, now: float) -> None:
        self.last_error = error
        # One that was named while the others were dialled has not failed yet.
        untried = any(address not in self.tried and address not in self.hearsay for address in self.addresses)
        self.retry_at = -math.inf if untried else now + RETRY_S[min(self.failures, len(RETRY_S) - 1)]
        self.failures += 1
        self.banned = self.banned or isinstance(error, ChunkMismatch | ProtocolViolation)
        self.unusable = self.unusable or isinstance(error, MirrorUnusable)
        again = "is not asked again" if self.out else f"may be dialled again {when(self.retry_at - now)}"
        _log.info("%s %s: %s", self.peer, again, error)

    @property
    def turned_us_away(self) -> bool:
        """Whether it had no place for us, and may have one later."""
        busy = isinstance(self.last_error, PeerRefused) and self.last_error.reason == "busy"
        return busy and not (self.live or self.out)

    def forget(self, addresses: tuple[Address, ...]) -> None:
        """Strike addresses at which somebody else answered."""
        self.addresses = [address for address in self.addresses if address not in addresses]
        self.hearsay.difference_update(addresses)
        self.local.difference_update(addresses)

    def answered(self, address: Address, *, took_s: float) -> None:
        """It proved its key at `address`, which may have given way to another meanwhile. One that was not dialled is
        where it came from, and may be nowhere that it can be dialled."""
        self.answered_s[address] = took_s
        if address in self.tried and address not in self.addresses:
            self.addresses.append(address)

    def make_room(self, address: Address, via: str) -> bool:
        """Whether there is room for `address`. Anybody can say that a peer lives where nobody is, so one that was tried
        in vain gives way to one that was not; and what others say of it to what the user and the local network do."""
        hearsay, found = via == "exchange", via == "dht"
        told = self.hearsay if hearsay else set(self.addresses) - self.given - self.local - self.hearsay
        full = (hearsay and len(told) >= limits.HEARSAY_PER_PEER_MAX) or (
            found and len(told) >= limits.DHT_ADDRESSES_PER_PEER_MAX
        )
        if not full and len(self.addresses) < limits.ADDRESSES_PER_PEER_MAX:
            return True
        may_go = [each for each in self.addresses if each not in self.given and each not in self.answered_s]
        if full:
            may_go = [each for each in may_go if each in told]
        in_vain = [each for each in may_go if each in self.tried]
        if in_vain and address not in self.tried and len(self.tried) < limits.ADDRESSES_TRIED_MAX:
            self.forget((in_vain[0],))
            return True
        if hearsay or found:
            return False
        others_say = [each for each in may_go if each not in self.local]
        self.forget(tuple(others_say[-1:]))
        return via == "direct" or bool(others_say)

    def opened(self, *, has_some: bool) -> None:
        self.failures = 0
        self.had_some = self.had_some or has_some


class ProviderBook:
    """All providers of one fetch; `own` never is one."""

    def __init__(self, own: PeerId) -> None:
        self._own = own
        self._seed = secrets.token_bytes(16)  # So that nobody can choose a key that is dialled first.
        self._providers: dict[SourceId, Provider] = {}

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._providers.values())

    def __getitem__(self, peer: SourceId) -> Provider:
        return self._providers[peer]

    def found(self, candidate: Candidate) -> bool:
        """Take a candidate in; returns whether it was: one that is known, or one too many, changes nothing."""
        peer, address = candidate.provider.peer, candidate.provider.address
        if peer == self._own:
            return False
        known = self._providers.get(peer)
        if candidate.kin is not None and known is not None and not known.kin:
            return False  # It is asked for the manifest itself.
        via = "lan" if candidate.via == "lan" else "direct"  # How bytes come, not how we heard of the peer.
        hearsay = candidate.via == "exchange"
        if peer not in self._providers and not self._has_room(hearsay=hearsay):
            return False
        provider = self._providers.setdefault(peer, Provider(peer, via, draw=self._draw(peer)))
        provider.told_by_others = provider.told_by_others or hearsay
        if candidate.kin is None:
            provider.kin.clear()
            provider.needless = False
        elif candidate.kin not in provider.kin:
            provider.kin.append(candidate.kin)
        if candidate.via == "direct":
            provider.by_user = True
            provider.given.add(address)
        if address in provider.addresses:
            if not hearsay:
                provider.hearsay.discard(address)
            return False
        if not provider.make_room(address, candidate.via):
            return False
        provider.addresses.append(address)
        if hearsay:
            provider.hearsay.add(address)
        elif candidate.via == "lan":
            provider.local.add(address)
        provider.retry_at = -math.inf  # It may be well there, however it failed elsewhere.
        return True

    def _has_room(self, *, hearsay: bool) -> bool:
        """Whether one more may be taken in. What peers say of others leaves room for whom we find ourselves."""
        if len(self._providers) >= limits.PROVIDERS_PER_FETCH_MAX:
            return False
        if not hearsay or len(self._providers) < limits.HEARSAY_PER_FETCH_MAX:
            return True
        return sum([provider.is_hearsay for provider in self._providers.values()]) < limits.HEARSAY_PER_FETCH_MAX

    def _draw(self, peer: PeerId) -> bytes:
        """If all of a crowd dialled in the order in which they heard of each other, all would have the same links."""
        return blake2b(peer.public_key, key=self._seed, digest_size=8).digest()

    def mirror(self, mirror: MirrorId, *, by_user: bool = False) -> None:
        """Take a mirror in, one that the user named for this fetch or one of the configuration."""
        self._providers.setdefault(mirror, Provider(mirror, "mirror", by_user=by_user))

    @property
    def dialling(self) -> int:
        return sum([provider.dialling for provider in self._providers.values()])

    @property
    def links(self) -> int:
        return sum([len(provider.links) for provider in self._providers.values()])

    def busy(self) -> bool:
        """Whether some provider has it and had no place for us just now: it is worth to wait."""
        return any(isinstance(each.last_error, PeerRefused) and each.last_error.reason == "busy" for each in self)

    def may_come_back(self) -> bool:
        """Whether some provider that had something to give is gone just now, and did nothing worse than that; or one
        that proved its key did not answer yet: to look a million files up takes longer than a call is waited for."""
        return any(
            not each.out
            and not each.live
            and (
                (each.had_some and isinstance(each.last_error, PeerGone))
                or (each.linked_at > -math.inf and isinstance(each.last_error, PeerStalled))
            )
            for each in self
        )

    def away(self) -> list[str]:
        """Return who is not connected and may be again, those first who had something to give."""
        away = [each for each in self if not (each.live or each.out)]
        return [str(each.peer) for each in sorted(away, key=lambda each: not each.had_some)]

    def nobody_comes_back(self, holds_missing: Callable[[SourceId], bool]) -> bool:
        """Whether there is nobody to wait for: each that was found is out for good, or a mirror that answers and has
        said of all that is missing that it has not got it."""
        return bool(self._providers) and all(
            each.out or (each.is_mirror and bool(each.links) and not holds_missing(each.peer)) for each in self
        )

    def none_left(self) -> bool:
        """Whether all that were found are out of this fetch for good."""
        return bool(self._providers) and all(provider.out for provider in self)

    def verdict(self, reference: str, asked: str) -> HubError:
        """Return the error that ends a fetch which nobody can bring forward."""
        reference = printable(reference, length_max=REFERENCE_SHOWN)  # A ticket would fill the screen.
        liar = next((provider for provider in self if provider.banned), None)
        if liar is not None and self.none_left():
            file, chunk = liar.lied_about or ("manifest", 0)
            how = f" ({liar.last_error.message})" if isinstance(liar.last_error, ProtocolViolation) else ""
            return Damaged(
                f"chunk {chunk} of {file} from {liar.peer} is not what was signed{how}, and nobody else has it",
                hint="try again when another provider is there; what was verified is kept",
            )
        if not self._providers:
            return NoProvider(
                f"nobody is known to have {reference} (asked: {asked})",
                hint="is a node that has it running? name one with --provider, or another --bootstrap",
            )
        reasons = "; ".join(
            f"{provider.peer}: {provider.last_error or provider.lacks or 'does not hold the missing chunks'}"
            for provider in list(self)[:5]
        )
        hints = dict.fromkeys(hint for provider in self if (hint := _advice(provider)) is not None)
        return NoProvider(
            f"no provider of {reference} can give what is missing ({reasons}; asked: {asked})",
            hint="; ".join([*list(hints)[:2], "what was verified is kept; the same command resumes"]),
        )


def _advice(provider: Provider) -> str | None:
    """Return what could be done about a provider that was of no use."""
    if provider.turned_us_away:
        return "it serves as many as it can: try again in a while"
    if not provider.is_mirror:
        unreached = isinstance(provider.last_error, PeerGone | PeerStalled) and not provider.had_some
        return (
            "is its node running, and its address right? `p2phub fetch -v` shows whom it dials" if unreached else None
        )
    if provider.last_error is not None and provider.last_error.hint is not None:
        return provider.last_error.hint
    if provider.lacks is not None:
        return "copy the files to the mirror again, as they were published"
    return None
