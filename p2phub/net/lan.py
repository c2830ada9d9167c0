"""Nodes of the local network find each other by multicast DNS, with no bootstrap at all.

A node says its peer id and port under `_p2phub._tcp.local`, and hears those of others. That gives *peers*, not
contents: each is a candidate for every manifest, and one that has not got it says so politely; a release is asked for
over the control connection. What neighbours say is a claim like any other: only the dial proves an identity, it is
made within the node's budget, and never to an address that is not of this network (threat T41). The zeroconf library
runs in a thread of its own; here is the hand-over to trio.
Source: proto/discovery.md §8; RFC 6762, RFC 6763.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address

import trio
from zeroconf import Error as ZeroconfError
from zeroconf import InterfaceChoice, IPVersion, ServiceBrowser, ServiceInfo, Zeroconf

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Asked, Candidate, DialBudget, Neighbourhood, dialable
from p2phub.errors import Malformed, PeerError
from p2phub.identity import Address, PeerAddress, PeerId, parse_peer_id
from p2phub.net.interface import Dialler
from p2phub.net.own_addresses import own_addresses
from p2phub.wire import GetRelease, ReleaseIs

log = logging.getLogger("p2phub.lan")
SERVICE = "_p2phub._tcp.local."
_PEER_KEY = b"peer"
_QUESTION_MS = 1500
_GOODBYE_S = 0.5
_QUESTIONS_AT_ONCE = 4  # Each may take _QUESTION_MS, if the name was invented.
_NAMES_WAITING_MAX = 256  # More are not asked for: neighbours say all at once, so that nobody needs to ask.


Network = IPv4Network | IPv6Network


class Lan:
    """The local network as `net.finder.Finder`. Made by `open_lan`."""

    def __init__(self, own: PeerId, dialler: Dialler | None, budget: DialBudget | None = None) -> None:
        self._own = own
        self._dialler = dialler
        self._budget = budget or DialBudget()
        self._neighbourhood = Neighbourhood(self._budget)
        self._opened_at = trio.current_time()
        self._changed = trio.Event()
        self._answered: list[str] = []
        self._failed: list[str] = []

    def peers(self) -> tuple[PeerAddress, ...]:
        """Return the neighbours that are there now, with their addresses."""
        return tuple(self._neighbourhood)

    # --- Finder ----------------------------------------------------------------------------------------------------

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        """Send neighbours, those too that answer within LAN_LOOK_S of this node's start: not more than one question
        goes to."""
        told: set[PeerAddress] = set()
        async with aclosing(self._neighbours()) as neighbours:
            async for neighbour in neighbours:
                for address in neighbour:
                    if address not in told:
                        told.add(address)
                        await found.send(Candidate(address, "lan"))
        self._answered, self._failed = [str(each) for each in told], []

    async def release(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        """Ask each neighbour over a control connection; return the signed releases as they came, unjudged."""
        answers: dict[bytes, None] = {}
        answered: list[str] = []
        failed: list[str] = []
        asked: set[PeerAddress] = set()  # Not peers: anybody may say to be one, and be elsewhere.
        if self._dialler is None:
            return ()

        async def ask(addresses: tuple[PeerAddress, ...], dialler: Dialler) -> None:
            give_up_at = trio.current_time() + limits.LAN_ASK_S
            for number, address in enumerate(addresses):
                now = trio.current_time()
                if not self._budget.allow(address.address, now=now):
                    continue
                # One that is silent leaves the others their part of the time.
                with trio.move_on_at(now + (give_up_at - now) / (len(addresses) - number)):
                    try:
                        signed = await _ask_release(
                            dialler, address, GetRelease(publisher, name, tag), proved=self._budget.proved
                        )
                    except PeerError as exc:
                        log.debug("%s: %s", address, exc)
                        continue
                    answered.append(str(address))
                    if signed:
                        answers[signed] = None
                    return
            failed.append(str(addresses[0]))

        async with trio.open_nursery() as nursery, aclosing(self._neighbours()) as neighbours:
            async for addresses in neighbours:
                fresh = tuple(each for each in addresses if each not in asked)
                asked.update(fresh)
                if fresh:
                    nursery.start_soon(ask, fresh, self._dialler)
        self._answered, self._failed = answered, failed
        return tuple(answers)

    async def announce(self, manifest: Digest) -> int:
        """Nothing to do: neighbours ask."""
        return 0

    async def put_release(self, key: str, signed: bytes) -> int:
        """Nothing to do: neighbours ask."""
        return 0

    def asked(self) -> tuple[Asked, ...]:
        return (Asked("lan", tuple(self._answered), tuple(self._failed)),)

    # --- from zeroconf's thread, by way of the loop ------------------------------------------------------------------

    def appeared(self, service: str, addresses: tuple[PeerAddress, ...]) -> None:
        """Note what a neighbour says of itself."""
        if not addresses or addresses[0].peer == self._own:
            return
        if self._neighbourhood.add(service, addresses, now=trio.current_time()):
            self._changed.set()
            self._changed = trio.Event()

    def vanished(self, service: str) -> None:
        """Note that a neighbour said goodbye, or was not heard of for long."""
        self._neighbourhood.remove(service)

    async def _neighbours(self) -> AsyncGenerator[tuple[PeerAddress, ...], None]:
        """Yield the addresses of each neighbour to ask: of those known, then of those that appear while it is worth
        waiting."""
        told: dict[str, str] = {}
        while True:
            changed = self._changed
            for addresses in self._neighbourhood.to_ask(told, now=trio.current_time()):
                yield addresses
            left = self._opened_at + limits.LAN_LOOK_S - trio.current_time()
            if left <= 0:
                return
            if changed is self._changed:
                with trio.move_on_after(left):
                    await changed.wait()


class Names:
    """Names of services whose owners have not said yet where they are; they are asked, a few at a time.

    `ask`, called in a thread, returns what an owner says. What it raises is logged, and about that name only.
    """

    def __init__(self, lan: Lan, ask: Callable[[str], tuple[PeerAddress, ...]]) -> None:
        self._lan = lan
        self._ask = ask
        self._waiting: dict[str, None] = {}
        self._asking: set[str] = set()
        self._arrived = trio.lowlevel.ParkingLot()

    def add(self, name: str) -> None:
        """Have the owner of `name` asked, unless too many wait already."""
        if len(self._waiting) < _NAMES_WAITING_MAX:
            self._waiting[name] = None
            self._arrived.unpark()

    def known(self, name: str, addresses: tuple[PeerAddress, ...]) -> None:
        """Note what an owner said without being asked."""
        self._forget(name)
        self._lan.appeared(name, addresses)

    def vanished(self, name: str) -> None:
        """Note that an owner said goodbye; an answer that is on its way comes too late."""
        self._forget(name)
        self._lan.vanished(name)

    async def run(self) -> None:
        """Ask one after the other, until cancelled. Several may run."""
        while True:
            while not self._waiting:
                await self._arrived.park()
            name = next(iter(self._waiting))
            del self._waiting[name]
            self._asking.add(name)
            addresses: tuple[PeerAddress, ...] = ()
            try:
                addresses = await trio.to_thread.run_sync(partial(self._ask, name), abandon_on_cancel=True)
            except Exception as exc:  # noqa: BLE001 - whatever a stranger's records did to the library, it is about them.
                log.debug("%r: %r", name, exc)
            if name in self._asking:
                self._asking.discard(name)
                self._lan.appeared(name, addresses)

    def _forget(self, name: str) -> None:
        self._waiting.pop(name, None)
        self._asking.discard(name)


class Browser:
    """What zeroconf calls, in its thread, with names that anybody may have said.

    An error would end that thread, and with it all discovery, and waiting would hold up everybody; so it does neither.
    """

    def __init__(self, names: Names, tell: Callable[..., None], networks: Sequence[Network] = ()) -> None:
        self._names = names
        self._tell = tell  # Has a function called on trio's loop.
        self._networks = networks  # Of this machine's interfaces.

    def add_service(self, zeroconf: Zeroconf, kind: str, name: str) -> None:
        if not name.endswith(f".{SERVICE}"):
            log.debug("%r is no name of our service", name)
            return
        try:
            info = ServiceInfo(SERVICE, name)
            if info.load_from_cache(zeroconf):
                self._tell(self._names.known, name, _said(info, self._networks))
            else:
                self._tell(self._names.add, name)
        except Exception as exc:  # noqa: BLE001 - see above.
            log.debug("%r: %r", name, exc)

    update_service = add_service

    def remove_service(self, zeroconf: Zeroconf, kind: str, name: str) -> None:
        self._tell(self._names.vanished, name)


async def _ask_release(
    dialler: Dialler, peer: PeerAddress, question: GetRelease, *, proved: Callable[[Address], None]
) -> bytes:
    control = await dialler.open_control(peer)
    proved(control.address)  # Not where it says it is: perhaps it came to us, and we only use its connection.
    try:
        answer = await control.ask(question)
    finally:
        with trio.move_on_after(limits.GOODBYE_S, shield=True):
            await control.aclose()
    return answer.signed if isinstance(answer, ReleaseIs) else b""


@asynccontextmanager
async def open_lan(
    own: PeerId, addresses: Sequence[Address], *, dialler: Dialler | None = None, budget: DialBudget | None = None
) -> AsyncIterator[Lan]:
    """Listen to the local network, and if `addresses` (where this node can be dialled) are any, be found there.

    Without a multicast-capable interface this finds nobody and says so in the log. `dialler` is needed for releases,
    for which it dials within `budget`.
    """
    lan = Lan(own, dialler, budget)
    networks: list[Network] = []
    token = trio.lowlevel.current_trio_token()
    wanted = True

    zeroconf: Zeroconf | None = None

    def tell(call: Callable[..., None], *args: object) -> None:
        if wanted:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(call, *args)

    def ask(name: str) -> tuple[PeerAddress, ...]:
        info = ServiceInfo(SERVICE, name)
        return _said(info, networks) if zeroconf is not None and info.request(zeroconf, _QUESTION_MS) else ()

    names = Names(lan, ask)

    def begin() -> Zeroconf:
        zeroconf = Zeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.All)
        try:
            networks.extend(each.network for each in own_addresses())  # Zeroconf, too, looks but once.
            # The name need not be looked for first: it is made from a key of ours.
            if (info := _saying(own, addresses)) is not None:
                zeroconf.register_service(info, cooperating_responders=True)
            ServiceBrowser(zeroconf, SERVICE, listener=Browser(names, tell, networks))  # type: ignore[arg-type]
        except BaseException:  # It has a thread and sockets by now.
            zeroconf.close()
            raise
        return zeroconf

    try:
        zeroconf = await trio.to_thread.run_sync(begin)
    except (OSError, ZeroconfError) as exc:
        log.warning("the local network cannot be searched: %s", exc)
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(_QUESTIONS_AT_ONCE):
                nursery.start_soon(names.run)
            yield lan
            nursery.cancel_scope.cancel()
    finally:
        wanted = False
        if zeroconf is not None:
            with trio.move_on_after(_GOODBYE_S, shield=True):
                await trio.to_thread.run_sync(zeroconf.close, abandon_on_cancel=True)


def _saying(own: PeerId, addresses: Sequence[Address]) -> ServiceInfo | None:
    """Return what this node says of itself; None if it cannot be dialled."""
    told = [address for address in addresses if not address.is_loopback and address.port]
    if not told:
        return None
    label = sha256(own.raw).hexdigest()[:32]  # A peer id in base58 would not survive the case rules of DNS.
    return ServiceInfo(
        SERVICE,
        f"{label}.{SERVICE}",
        addresses=[ip_address(address.ip).packed for address in told if address.port == told[0].port],
        port=told[0].port,
        properties={_PEER_KEY: str(own).encode()},
        server=f"{label}.local.",
    )


def _said(info: ServiceInfo, networks: Sequence[Network]) -> tuple[PeerAddress, ...]:
    """Return what a neighbour says of itself, as far as it can be true; nothing if it makes no sense.

    It can be at an address that is in one of our own `networks`, which come first, or at a private one. Anything else
    would be somebody of the internet, whom we shall not dial because a neighbour says so.
    """
    try:
        peer = parse_peer_id((info.properties.get(_PEER_KEY) or b"").decode("ascii", "replace"))
        addresses = [
            Address(str(ip_address(packed)), info.port or 0)
            for packed in info.addresses_by_version(IPVersion.All)[: limits.ADDRESSES_PER_PEER_MAX]
        ]
    except (Malformed, ValueError):
        return ()

    def is_ours(address: Address) -> bool:
        return any(ip_address(address.ip) in network for network in networks)

    usable = [
        each
        for each in dialable(addresses, heard_from="192.168.0.1")  # Like anybody of a private network.
        if not (each.is_loopback or ip_address(each.ip).is_link_local)  # Link-local needs a zone, which no address has.
        and (not each.is_public or is_ours(each))
    ]
    usable.sort(key=is_ours, reverse=True)
    return tuple(PeerAddress(peer, address) for address in usable[: limits.LAN_ADDRESSES_MAX])
