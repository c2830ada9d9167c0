"""When a fetch for readers ends by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import trio

from p2phub.content import RangeSet
from p2phub.engine.reading import Readers


def begun(*, have: RangeSet, chunks: int) -> tuple[Readers, float]:
    """Readers with an idle time of 20 s, and when they began."""
    arrival = SimpleNamespace(have=have, plan=SimpleNamespace(table=range(chunks)))
    job: Any = SimpleNamespace(arrival=arrival, complete=True, want=lambda runs: None)
    readers = Readers(20.0)
    readers.begin(job)
    return readers, trio.current_time()


async def test_a_part_is_kept_open_for_who_reads_on() -> None:
    readers, now = begun(have=RangeSet([(0, 3)]), chunks=4)
    assert not readers.are_done(now)
    assert not readers.are_done(now + 19)
    with readers.claim():
        assert not readers.are_done(now + 1000)
    assert readers.are_done(trio.current_time() + 20)


async def test_what_is_all_here_is_put_to_its_place_at_once() -> None:
    readers, now = begun(have=RangeSet([(0, 4)]), chunks=4)
    with readers.claim():
        assert not readers.are_done(now + 1000)
    assert readers.are_done(trio.current_time())
