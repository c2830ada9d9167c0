"""What is copied from this disk is told as it is copied, at a cost of what is new alone."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from p2phub.content import RangeSet
from p2phub.engine import reuse as room
from p2phub.engine.reuse import reuse
from p2phub.engine.workers import Workers
from p2phub.errors import DiskError
from p2phub.store import Arrival, LocalFile, LocalRun
from tests.support.content import content_of

CONTENT = content_of({f"{number:03}.bin": bytes((number,)) * 10 for number in range(200)}, chunk_bytes=10)


class Copying:
    """An arrival that copies every second file; `at` runs in the threads that copy."""

    def __init__(self) -> None:
        self.plan = SimpleNamespace(table=CONTENT.table)
        self.noted: list[RangeSet] = []
        self.threads: set[int] = set()

    def at(self, chunk: int) -> None:
        self.threads.add(threading.get_ident())

    def clone(self, run: LocalRun) -> bool:
        return False

    def copy(self, run: LocalRun) -> RangeSet:
        self.at(run.first)
        return RangeSet.of([(run.first, run.first + run.count)]) if run.first % 2 else RangeSet()

    def verified(self, chunks: RangeSet) -> None:
        self.noted.append(chunks)


def runs() -> list[LocalRun]:
    def nowhere() -> Any:
        raise AssertionError("opened")

    file = LocalFile(Path("/somewhere"), 10, trusted=True, open=nowhere)
    return [LocalRun(chunk, 1, file, 0) for chunk in CONTENT.whole]


async def copied_by(arrival: Copying, told: list[int]) -> RangeSet:
    return await reuse(cast(Arrival, arrival), runs, workers=Workers(2), tell=told.append)


async def test_how_many_bytes_are_copied_by_now_is_told_while_the_rest_is_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "TELL_S", 0)
    heard = threading.Event()

    class Waits(Copying):
        def at(self, chunk: int) -> None:
            super().at(chunk)
            if chunk > 100:  # What was copied by then has to be heard of before anything else is.
                assert heard.wait(30)

    class Told(list[int]):
        def append(self, copied_bytes: int) -> None:
            super().append(copied_bytes)
            if copied_bytes == 50 * 10:
                heard.set()

    told = Told()
    copied = await copied_by(Waits(), told)
    assert copied == RangeSet.from_indices(range(1, 200, 2))
    assert told == sorted(told)
    assert set(told) >= {50 * 10}


async def test_nothing_on_the_event_loop_goes_through_all_that_was_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """It did, each quarter of a second: a tenth of a second long for a hundred thousand files."""
    monkeypatch.setattr(room, "TELL_S", 0)
    loop, real = threading.get_ident(), RangeSet.of

    def of(runs: Any) -> RangeSet:
        assert threading.get_ident() != loop
        return real(runs)

    arrival = Copying()
    with monkeypatch.context() as patched:
        patched.setattr(room, "RangeSet", SimpleNamespace(of=of))
        await copied_by(arrival, [])
    assert loop not in arrival.threads
    assert real(run for noted in arrival.noted for run in noted.runs) == RangeSet.from_indices(range(1, 200, 2))


async def test_a_disk_that_fails_ends_the_copying_and_is_said() -> None:
    class Fails(Copying):
        def at(self, chunk: int) -> None:
            super().at(chunk)
            if chunk == 10:
                raise DiskError("failed")

    with pytest.raises(DiskError, match="failed"):
        await copied_by(Fails(), [])
