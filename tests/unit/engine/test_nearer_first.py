"""In which order a fetch dials: the nearer first, among providers and among the addresses of one."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2phub import limits
from p2phub.content import digest_of
from p2phub.discovery import Candidate, Nearness, Surroundings
from p2phub.engine.dialling import HEAD_START_S, Dialled, Reported, Target, run_link
from p2phub.engine.fetch import Means, Wish, fetch
from p2phub.engine.search import Search
from p2phub.engine.turns import DIALS_AT_ONCE
from p2phub.engine.workers import Workers
from p2phub.errors import NoProvider, PeerGone, WrongPeer
from p2phub.identity import Address, PeerAddress
from p2phub.net import Closed, Control, Link, Report
from p2phub.store.memory import MemoryStore
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, key_of

LABELS = {ip_network("10.1.0.0/16"): Nearness.RACK, ip_network("9.9.0.0/16"): Nearness.METERED}


class UpLink:
    """A link that is up until it is closed."""

    via = "direct"

    def __init__(self, provider: PeerAddress) -> None:
        self.peer, self.address = provider.peer, provider.address
        self.closed = trio.Event()

    async def next_report(self) -> Report:
        await self.closed.wait()
        return Closed(None)

    def close(self) -> None:
        self.closed.set()


class Slow:
    """A dialler by which each dial ends as `comes_of` says, and so late: a link, or nobody is there."""

    def __init__(self, comes_of: Callable[[str], tuple[float, object]]) -> None:
        self.dialled: list[tuple[float, str]] = []
        self.links: list[UpLink] = []
        self.prefixes: list[object] = []
        self.cancelled: list[str] = []
        self._comes_of = comes_of

    @property
    def order(self) -> list[str]:
        return [ip for _, ip in self.dialled]

    async def open_link(self, provider: PeerAddress, *args: object, **options: object) -> Link:
        ip = provider.address.ip
        self.dialled.append((trio.current_time(), ip))
        self.prefixes.append(options.get("prefix_bytes"))
        seconds, outcome = self._comes_of(ip)
        try:
            await trio.sleep(seconds)
        except trio.Cancelled:
            self.cancelled.append(ip)
            raise
        if outcome is not None:
            raise outcome  # type: ignore[misc]
        self.links.append(UpLink(provider))
        return self.links[-1]  # type: ignore[return-value]

    async def open_control(self, peer: PeerAddress) -> Control:
        raise PeerGone("no questions")


def nobody(ip: str) -> tuple[float, object]:
    return 1.0, PeerGone("nobody there")


def at(name: str, ip: str, via: str = "dht") -> Candidate:
    return Candidate(PeerAddress(key_of(name).peer_id, Address(ip, 4717)), via)


async def dialled(folder: Path, *found: Candidate, known: tuple[Candidate, ...] = ()) -> list[str]:
    """Fetch from nobody; return in which order was dialled, each address once."""
    return list(dict.fromkeys((await fetched(folder, Slow(nobody), *found, known=known)).order))


async def fetched(folder: Path, dialler: Slow, *found: Candidate, known: tuple[Candidate, ...] = ()) -> Slow:
    """Fetch from nobody by this dialler; return it."""

    async def open_finder() -> FixedFinder:
        return FixedFinder(found)

    with pytest.raises(NoProvider):
        await fetch(
            Wish(reference="test", manifest=digest_of(b"?"), destination=folder / "out", patience_s=0.0),
            search=Search(known, open_finder),
            means=Means(dialler, MemoryStore(), Workers(), key_of("own").peer_id, near=Surroundings(LABELS)),
            watch=lambda event: None,
        )
    return dialler


def far(count: int) -> list[Candidate]:
    return [at(f"far{number}", f"8.8.{number}.8") for number in range(count)]


async def test_of_those_that_wait_the_nearer_are_dialled_first(tmp_path: Path, autojump_clock: MockClock) -> None:
    waiting = [at("third", "8.9.9.9"), at("second", "192.168.0.1"), at("first", "10.1.0.1")]
    order = await dialled(tmp_path, *far(DIALS_AT_ONCE), *waiting)
    assert order[DIALS_AT_ONCE:] == ["10.1.0.1", "192.168.0.1", "8.9.9.9"]


async def test_a_metered_one_is_dialled_when_nobody_else_is_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    order = await dialled(tmp_path, at("dear", "9.9.0.1"), *far(3))
    assert order == ["8.8.0.8", "8.8.1.8", "8.8.2.8", "9.9.0.1"]


@covers("T41")
async def test_near_ones_that_are_known_by_hearsay_leave_a_place_to_dial_to_the_far(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    named = [at(f"named{number}", f"10.1.0.{number}", "exchange") for number in range(3 * DIALS_AT_ONCE)]
    order = await dialled(tmp_path, *named, *far(2))
    assert set(order[:DIALS_AT_ONCE]) >= {"8.8.0.8"}


async def test_the_nearest_address_of_a_provider_comes_first_and_what_others_say_last(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    addresses = [("8.8.0.1", "dht"), ("10.1.0.1", "exchange"), ("192.168.0.1", "dht"), ("10.1.0.2", "dht")]
    known = tuple(at("ann", ip, via) for ip, via in addresses)
    blocked = [at(f"slow{number}", f"8.7.{number}.1", "direct") for number in range(DIALS_AT_ONCE)]
    order = await dialled(tmp_path, known=(*blocked, *known))
    assert [ip for ip in order if not ip.startswith("8.7.")] == ["10.1.0.2", "192.168.0.1", "8.8.0.1", "10.1.0.1"]


@pytest.mark.parametrize("ips", [("192.168.0.1", "8.8.0.1"), ("8.8.0.1", "192.168.0.1")])
async def test_of_one_that_is_known_at_several_addresses_the_nearest_comes_first_and_a_silent_one_costs_a_moment(
    ips: tuple[str, str], tmp_path: Path, autojump_clock: MockClock
) -> None:
    """As a ticket tells them: one after the other."""
    silent = Slow(lambda ip: (limits.DIAL_S, PeerGone("no answer")))
    began = trio.current_time()
    await fetched(tmp_path, silent, known=tuple(at("ann", ip, "direct") for ip in ips))
    first = [(round(when - began, 3), ip) for when, ip in silent.dialled[:2]]
    assert first == [(0.0, "192.168.0.1"), (HEAD_START_S, "8.8.0.1")]


# --- the dial itself ----------------------------------------------------------------------------------------------


async def run(dialler: Slow, *ips: str, prefix_bytes: int = 0) -> tuple[Dialled, float]:
    """Dial a peer that has these addresses; return what came of it, and when."""
    target = Target(key_of("ann").peer_id, tuple(Address(ip, 1) for ip in ips), "direct", digest_of(b"?"), prefix_bytes)
    send, told = trio.open_memory_channel[Dialled | Reported](8)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_link, target, 0, dialler, send)
        came = await told.receive()
        at_s = trio.current_time()
        nursery.cancel_scope.cancel()
    assert isinstance(came, Dialled)
    return came, at_s


async def test_an_address_that_is_silent_holds_up_the_next_for_a_moment_only(autojump_clock: MockClock) -> None:
    dialler = Slow(lambda ip: (limits.DIAL_S, PeerGone("no answer")) if ip == "10.0.0.1" else (0.2, None))
    began = trio.current_time()
    came, at_s = await run(dialler, "10.0.0.1", "8.8.8.8", "8.8.4.4")
    assert came.link is dialler.links[0]
    assert at_s - began == pytest.approx(HEAD_START_S + 0.2)
    assert came.took_s == pytest.approx(0.2)
    assert (dialler.order, dialler.cancelled) == (["10.0.0.1", "8.8.8.8"], ["10.0.0.1"])


async def test_an_address_that_answers_in_time_is_the_only_one_that_is_dialled(autojump_clock: MockClock) -> None:
    dialler = Slow(lambda ip: (HEAD_START_S - 0.1, None))
    await run(dialler, "10.0.0.1", "8.8.8.8")
    assert dialler.order == ["10.0.0.1"]


@covers("F31")
@pytest.mark.parametrize("ips", [("10.0.0.1",), ("10.0.0.1", "8.8.8.8")])
async def test_a_fault_of_our_own_in_a_dial_ends_that_dial_alone_and_is_logged(
    ips: tuple[str, ...], autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    dialler = Slow(lambda ip: (0.1, ValueError("a bug")) if ip == "10.0.0.1" else (0.1, None))
    came, _ = await run(dialler, *ips)
    assert dialler.order == list(ips)
    assert isinstance(came.link, PeerGone) if len(ips) == 1 else came.link is dialler.links[0]
    [record] = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


async def test_an_address_that_fails_is_followed_by_the_next_at_once(autojump_clock: MockClock) -> None:
    dialler = Slow(lambda ip: (0.1, WrongPeer("another")) if ip == "10.0.0.1" else (0.1, None))
    began = trio.current_time()
    came, at_s = await run(dialler, "10.0.0.1", "8.8.8.8")
    assert at_s - began == pytest.approx(0.2)
    assert came.not_there == (Address("10.0.0.1", 1),)


async def test_where_no_address_answers_the_last_error_is_told(autojump_clock: MockClock) -> None:
    came, _ = await run(Slow(nobody), "10.0.0.1", "8.8.8.8", "8.8.4.4")
    assert isinstance(came.link, PeerGone)
    nowhere, _ = await run(Slow(nobody))
    assert isinstance(nowhere.link, PeerGone)


async def test_of_two_that_come_up_at_the_same_moment_one_is_closed(autojump_clock: MockClock) -> None:
    dialler = Slow(lambda ip: (1.0 if ip == "10.0.0.1" else 1.0 - HEAD_START_S, None))
    came, _ = await run(dialler, "10.0.0.1", "8.8.8.8")
    for link in dialler.links:
        assert link.closed.is_set() or link is came.link


@pytest.mark.parametrize(("takes_s", "prefixes"), [(3 * HEAD_START_S, [1000, 0]), (0.1, [1000, 1000])])
async def test_the_beginning_is_asked_for_once_at_a_time(
    takes_s: float, prefixes: list[int], autojump_clock: MockClock
) -> None:
    gone = PeerGone("nobody there")
    dialler = Slow(lambda ip: (takes_s, gone) if ip == "10.0.0.1" else (0.1, None))
    came, _ = await run(dialler, "10.0.0.1", "10.0.0.2", prefix_bytes=1000)
    assert not isinstance(came.link, PeerGone)
    assert dialler.prefixes == prefixes
