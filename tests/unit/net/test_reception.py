"""Who is served when all places are taken, and how fast questions are answered."""

from __future__ import annotations

import errno
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.content import digest_of
from p2phub.errors import PeerGone, ProtocolViolation
from p2phub.identity import Address, PeerId
from p2phub.net.channel import Channel, Progress, Watched
from p2phub.net.control import serve_control
from p2phub.net.reception import Reception
from p2phub.net.throttle import Throttle
from p2phub.wire import ControlAnswer, ControlRequest, Open, Ping, Pong, encode
from tests.support.covers import covers
from tests.support.hosts import key_of
from tests.support.turns import turns_of_others

OPEN = Open(digest_of(b"any"), 0)
ENDED_S = 10.0  # Never reached: how long a thread waits that nobody ends.


async def answer(peer: PeerId, where: Address, request: ControlRequest) -> ControlAnswer:
    return Pong()


class Caller:
    """A proven connection from `ip` that says `first` and no more; it is its own channel."""

    def __init__(self, name: str, ip: str, first: Open | Ping) -> None:
        self.peer = key_of(name).peer_id
        self.address = Address(ip, 4717)
        self.progress = Progress()
        self.progress.deadline = 1e300  # At work, so it does not give way as an idle one does.
        self._says = encode(first)
        self.told = b""
        self.ended = threading.Event()
        self.closed = False

    async def read(self, most: int) -> bytes:
        part, self._says = self._says[:most], self._says[most:]
        if not part:
            await trio.sleep_forever()
        return part

    async def write(self, data: bytes) -> None:
        self.told += data

    async def aclose(self) -> None:
        self.ended.set()

    def as_channel(self) -> Channel:
        return self  # type: ignore[return-value]

    def cancel(self) -> None:
        self.ended.set()

    def close(self) -> None:
        self.closed = True


class Service:
    """Serves until its channel is cancelled."""

    def __init__(self, channel: Any, first: Open, shelf: Any) -> None:
        self._ended = channel._channel.ended

    def run(self) -> None:
        self._ended.wait(ENDED_S)


@asynccontextmanager
async def served(callers: list[Caller]) -> AsyncIterator[Reception]:
    """Let `callers` come one after the other; afterwards each has to have been ended."""
    reception = Reception(None, answer, Watched(), Service)  # type: ignore[arg-type]
    with trio.fail_after(2 * ENDED_S):
        async with trio.open_nursery() as nursery:
            for caller in callers:
                settled = trio.Event()
                nursery.start_soon(reception.receive, caller, settled.set)
                await settled.wait()
                await trio.testing.wait_all_tasks_blocked()
            yield reception
            nursery.cancel_scope.cancel()
    assert all(caller.ended.is_set() for caller in callers)


@covers("T37")
@pytest.mark.parametrize("first", [OPEN, Ping()], ids=["bulk", "control"])
async def test_who_shows_many_keys_from_one_network_does_not_keep_others_out(
    first: Open | Ping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DATA_CONNECTIONS_MAX", 4)
    monkeypatch.setattr(limits, "CONTROL_CONNECTIONS_MAX", 4)
    crowd = [Caller(f"eve {number}", f"8.8.8.{number}", first) for number in range(5)]
    honest = Caller("ann", "9.9.9.9", first)
    async with served([*crowd, honest]) as reception:
        assert crowd[4].ended.is_set()  # Of the crowd itself nobody gets the place of another.
        assert [caller.ended.is_set() for caller in crowd[:4]] == [True, False, False, False]
        assert not honest.ended.is_set()
        assert reception.serving == 4


@covers("F30")
async def test_who_is_ended_before_a_thread_took_it_up_is_closed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DATA_CONNECTIONS_MAX", 1)
    reception = Reception(None, answer, Watched(), Service)  # type: ignore[arg-type]  # It has one thread,
    monkeypatch.setattr(limits, "DATA_CONNECTIONS_MAX", 2)  # and two places.
    callers = [Caller("ann", "8.8.8.8", OPEN), Caller("bob", "9.9.9.9", OPEN)]
    with trio.fail_after(2 * ENDED_S):
        async with trio.open_nursery() as nursery:
            for caller in callers:
                nursery.start_soon(reception.receive, caller, lambda: None)
            await trio.testing.wait_all_tasks_blocked()
            assert reception.serving == 2
            nursery.cancel_scope.cancel()
    # Of the other, whose thread was told to end, that thread does it.
    assert sorted((caller.closed, caller.ended.is_set()) for caller in callers) == [(False, True), (True, True)]


class Places(Throttle):
    """Counts the places that are taken."""

    taken = 0

    def enter(self, *args: Any) -> Any:
        self.taken += 1
        return super().enter(*args)

    def leave(self, place: Any) -> None:
        self.taken -= 1
        super().leave(place)


@covers("F10")
async def test_who_comes_when_no_descriptor_is_left_takes_no_place_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> Channel:
        raise OSError(errno.EMFILE, "too many open files")

    places, caller = Places(), Caller("ann", "8.8.8.8", OPEN)
    monkeypatch.setattr(caller, "as_channel", none_left)
    with pytest.raises(OSError, match="too many"):
        await Reception(None, answer, Watched(), Service, places).receive(caller, lambda: None)  # type: ignore[arg-type]
    assert places.taken == 0


@covers("T37")
async def test_one_address_and_a_crowd_of_another_network_do_not_take_each_others_places_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "DATA_CONNECTIONS_MAX", 8)
    crowd = [Caller(f"eve {number}", f"8.8.8.{number}", OPEN) for number in range(5)]
    household = [Caller(f"ann {number}", "9.9.9.9", OPEN) for number in range(4)]
    again = [Caller("eve 0", "8.8.8.0", OPEN), Caller("ann 4", "9.9.9.9", OPEN)]
    async with served([*crowd, *household, *again]):
        assert [caller.ended.is_set() for caller in crowd] == [True, False, False, False, False]
        assert not any(caller.ended.is_set() for caller in household)  # Four and four: so it stays.
        assert all(caller.ended.is_set() for caller in again)


@covers("T37")
async def test_a_machine_of_the_private_network_keeps_all_its_places_before_strangers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "DATA_CONNECTIONS_MAX", 3)
    own = [Caller(f"ann {number}", "192.168.1.5", OPEN) for number in range(3)]
    stranger, neighbour = Caller("eve", "8.8.8.8", OPEN), Caller("bob", "192.168.1.6", OPEN)
    async with served([*own, stranger]):
        assert stranger.ended.is_set()
        assert not any(caller.ended.is_set() for caller in own)
    own = [Caller(f"ann {number}", "192.168.1.5", OPEN) for number in range(3)]
    async with served([*own, neighbour]):
        assert not neighbour.ended.is_set()
        assert sum(caller.ended.is_set() for caller in own) == 1


class Asker(Caller):
    """Asks without a pause, `count` times after the first, and stays until all is answered."""

    def __init__(self, count: int) -> None:
        super().__init__("eve", "8.8.8.8", Ping())
        self._left, self._due = count, 1 + count
        self._answered = trio.Event()

    async def read(self, most: int) -> bytes:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._left:
            await self._answered.wait()
            return b""
        self._left -= 1
        return encode(Ping())

    async def write(self, data: bytes) -> None:
        self._due -= 1
        if not self._due:
            self._answered.set()


class Guest(Caller):
    """Asks, then asks once more after `asks_on_s` or never, and is gone after `stays_s`."""

    def __init__(self, name: str, *, stays_s: float, asks_on_s: float | None = None, fault: bool = False) -> None:
        super().__init__(name, "8.8.8.8", Ping())
        self._stays_s, self._asks_on_s, self._fault = stays_s, asks_on_s, fault
        self._began = trio.current_time()

    async def read(self, most: int) -> bytes:
        if self._asks_on_s is not None:
            await trio.sleep_until(self._began + self._asks_on_s)
            self._asks_on_s = None
            return encode(Ping())
        await trio.sleep_until(self._began + self._stays_s)
        if self._fault:
            raise PeerGone("the connection was reset")
        return b""


async def hold(peer: PeerId, where: Address, request: ControlRequest) -> ControlAnswer:
    """Answer after ten seconds."""
    await trio.sleep(10)
    return Pong()


@covers("T37")
@pytest.mark.parametrize("fault", [False, True], ids=["closed", "reset"])
async def test_who_goes_while_its_answer_is_held_keeps_no_place(
    autojump_clock: trio.testing.MockClock, fault: bool
) -> None:
    began = trio.current_time()
    with pytest.raises(PeerGone) if fault else nullcontext():
        await serve_control(Guest("ann", stays_s=1, fault=fault), Ping(), hold)
    assert trio.current_time() - began == pytest.approx(1)


async def test_a_question_that_comes_while_an_answer_is_held_is_answered_after_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    guest = Guest("ann", stays_s=25, asks_on_s=3)
    began = trio.current_time()
    await serve_control(guest, Ping(), hold)
    assert trio.current_time() - began == pytest.approx(25)
    assert guest.told == 2 * encode(Pong())


async def test_who_breaks_a_rule_while_an_answer_is_held_is_told_apart(autojump_clock: trio.testing.MockClock) -> None:
    guest = Guest("ann", stays_s=99)
    guest._asks_on_s, many = 3, encode(Ping()) * (limits.REQUESTS_WAITING_MAX + 1)
    read = guest.read

    async def flood(most: int) -> bytes:
        return many if await read(most) else b""

    guest.read = flood  # type: ignore[method-assign]
    with pytest.raises(ProtocolViolation, match="too-many"):
        await serve_control(guest, Ping(), hold)


async def test_who_says_nothing_for_long_is_let_go(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    await serve_control(Guest("ann", stays_s=999), Ping(), answer)
    assert trio.current_time() - began == pytest.approx(limits.IDLE_LINK_S)


@covers("T49")
async def test_questions_beyond_what_anybody_needs_wait(autojump_clock: trio.testing.MockClock) -> None:
    for extra in (0, 100):
        began = trio.current_time()
        await serve_control(Asker(limits.CONTROL_QUESTIONS_BURST - 1 + extra), Ping(), answer)
        assert trio.current_time() - began == pytest.approx(extra / limits.CONTROL_QUESTIONS_PER_S, abs=0.1)


@covers("T49")
async def test_who_asks_without_a_pause_lets_others_have_their_turn() -> None:
    async with turns_of_others() as turns:
        await serve_control(Asker(40), Ping(), answer)
    assert turns() >= 30
