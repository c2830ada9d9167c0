"""How often a wait looks again and what it says; and a name that nobody tells yet, looked up until somebody does."""

from __future__ import annotations

import math
import time

import pytest
import trio
from trio.testing import MockClock

from p2phub.content import digest_of
from p2phub.discovery import Asked
from p2phub.engine.resolve import Resolver
from p2phub.engine.waiting import AGAIN_S_MAX, Looks, ended, lasting, nobody_has_it, pause_s, says_waiting
from p2phub.errors import Damaged, HubError, NoProvider, NotFound
from p2phub.manifest import Release, sign_release
from p2phub.net import Finder
from p2phub.observe import Event, Waiting
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, key_of
from tests.support.no_threads import NoThreads

HOUR_S = 3600.0
ANN = key_of("ann")
REFERENCE = f"{ANN.peer_id}/model"


def test_it_looks_again_soon_for_a_minute_and_then_after_as_long_as_it_has_waited_up_to_half_an_hour() -> None:
    assert [pause_s(rounds, waited_s=0) for rounds in range(6)] == [1, 2, 4, 8, 16, 16]
    waited_s, minutes = 60.0, []
    for rounds in range(6, 14):
        minutes.append(pause_s(rounds, waited_s=waited_s) / 60)
        waited_s += minutes[-1] * 60
    assert minutes == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.2, "1 s"),
        (45, "45 s"),
        (99.6, "2 min"),
        (12 * 60, "12 min"),
        (119 * 60, "119 min"),
        (2 * HOUR_S, "2 h"),
        (21.5 * HOUR_S, "21 h 30 min"),
        (48 * HOUR_S, "2 d"),
        (74 * HOUR_S, "3 d 2 h"),
    ],
)
def test_a_time_is_written_as_nobody_needs_to_know_it_better(seconds: float, written: str) -> None:
    assert lasting(seconds) == written


def test_a_wait_says_for_whom_and_until_when() -> None:
    told = says_waiting(nobody_has_it(["12D3a", "12D3b", "12D3c"]), again_s=240, left_s=HOUR_S * 20)
    assert told.reason == "nobody who is there has what is missing; away, or without an answer: 12D3a and 2 more"
    assert told.next == "looks again in 4 min, gives up in 20 h"
    assert says_waiting(nobody_has_it([]), again_s=30, left_s=math.inf).next.endswith("never gives up")


@pytest.mark.parametrize("kind", [NoProvider, NotFound, Damaged])
def test_the_error_that_ends_a_wait_stays_what_it_is(kind: type[HubError]) -> None:
    error = ended(kind("nobody", hint="look"), wait_s=7200, waited_s=7201)
    assert type(error) is kind
    assert (error.message, error.hint) == ("nobody; waited 2 h", "look; a longer --wait waits on")
    assert ended(kind("nobody"), wait_s=None, waited_s=61).message == "nobody"
    asking = ended(kind("nobody", hint="is it there?"), wait_s=7200, waited_s=7201)
    assert asking.hint == "is it there? a longer --wait waits on"


class Later(FixedFinder):
    """A finder to whom nobody answers, or nobody knows the name, until `knows_s`."""

    def __init__(self, knows_s: float, *, silent: bool) -> None:
        super().__init__()
        self._knows_at = trio.current_time() + knows_s
        self._silent = silent

    async def release(self, *name: object) -> tuple[bytes, ...]:
        self.searches += 1
        if trio.current_time() < self._knows_at:
            return ()
        now = int(time.time())
        release = Release(
            publisher=ANN.peer_id,
            name="model",
            manifest=digest_of(b"manifest"),
            sequence=1,
            bytes_total=5,
            created=now,
            expires=now + 86_400,
        )
        return (sign_release(ANN, release),)

    def asked(self) -> tuple[Asked, ...]:
        return (Asked("dht", (), ("/ip4/192.0.2.7/tcp/1",)),) if self._silent else (Asked("lan"),)


def resolver(finder: Later) -> Resolver:
    async def open_finder() -> Finder:
        return finder

    return Resolver(ledger=MemoryLedger(), workers=NoThreads(), dialler=None, open_finder=open_finder)  # type: ignore[arg-type]


@covers("F12")
@pytest.mark.parametrize("silent", [True, False])
async def test_a_name_that_nobody_can_tell_is_looked_up_until_somebody_does(
    silent: bool, autojump_clock: MockClock
) -> None:
    began, finder, told = trio.current_time(), Later(22 * HOUR_S, silent=silent), list[Event]()
    found = await resolver(finder).resolve(REFERENCE, (), looks=Looks(24 * HOUR_S, told.append))
    assert found.manifest == digest_of(b"manifest")
    assert 22 * HOUR_S <= trio.current_time() - began <= 22 * HOUR_S + AGAIN_S_MAX
    assert len(told) < finder.searches < 60
    assert all((isinstance(event, Waiting) and "192.0.2.7" in event.reason) or not silent for event in told)


@covers("F12")
@pytest.mark.parametrize(("wait_s", "most"), [(None, 0.0), (0.0, 0.0), (2 * HOUR_S, 2 * HOUR_S)])
async def test_a_name_that_nobody_tells_within_the_wait_is_not_found_and_the_error_says_how_to_wait(
    wait_s: float | None, most: float, autojump_clock: MockClock
) -> None:
    began = trio.current_time()
    with pytest.raises(NotFound, match="nobody knows") as caught:
        await resolver(Later(math.inf, silent=False)).resolve(REFERENCE, (), looks=Looks(wait_s, lambda event: None))
    assert trio.current_time() - began == most
    assert "--wait" in str(caught.value.hint)


async def test_what_needs_nobody_else_to_be_refused_is_refused_at_once(autojump_clock: MockClock) -> None:
    finder = Later(math.inf, silent=False)
    with pytest.raises(NotFound, match="nothing here is called"):
        await resolver(finder).resolve("alice", (), looks=Looks(math.inf, lambda event: None))
    assert finder.searches == 0
