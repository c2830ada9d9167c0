"""A running node and hundreds of strangers at its port: it lives, serves meanwhile, and is afterwards as it was.

A short version of tests/endurance/test_floods.py, without clocks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import trio

from tests.support import hostile
from tests.support.besieged import Besieged
from tests.support.besieged import besieged as a_besieged_node
from tests.support.covers import covers


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    with a_besieged_node(tmp_path_factory.mktemp("hostile"), 3_000_000) as here:
        yield here


@covers("T36", "T37")
async def test_hundreds_of_garbage_connections_leave_nothing_behind(besieged: Besieged) -> None:
    before = besieged.vitals()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, functools.partial(hostile.throw, besieged.at.address, 600, seed=1))
        await trio.to_thread.run_sync(besieged.fetches_whole)
    besieged.recovers_to(before)


@covers("T36", "T37")
def test_half_open_connections_do_not_keep_a_fetch_out_and_are_closed(besieged: Besieged) -> None:
    before = besieged.vitals()
    with hostile.half_open(besieged.at.address, 300):
        besieged.fetches_whole()
        besieged.recovers_to(before)  # By its own deadlines: we hold them all still.


@covers("T27", "T36")
async def test_proven_strangers_who_send_no_frames_of_ours_leave_nothing_behind(besieged: Besieged) -> None:
    before = besieged.vitals()
    proven = await hostile.misuse_frames(besieged.at, 150, seed=2)
    assert proven > 100
    besieged.recovers_to(before)
    await trio.to_thread.run_sync(besieged.fetches_whole)


@covers("T36", "T37")
async def test_proven_strangers_whose_tls_is_crumbs_or_nothing_for_us_are_sent_away(besieged: Besieged) -> None:
    before = besieged.vitals()
    assert await trio.to_thread.run_sync(functools.partial(hostile.misuse_records, besieged.at, 24, seed=5)) == 24
    besieged.recovers_to(before)
    await trio.to_thread.run_sync(besieged.fetches_whole)


@covers("T09", "T27", "F31")
async def test_malformed_messages_on_every_protocol_leave_nothing_behind(besieged: Besieged) -> None:
    protocols = await hostile.protocols_of(besieged.at)
    assert "/p2phub/kad/1.0.0" in protocols
    assert hostile.IDENTIFY in protocols
    before = besieged.vitals()
    opened = await hostile.misuse_streams(besieged.at, protocols, 150, seed=3)
    assert opened > 100
    assert await hostile.misuse_streams(besieged.at, hostile.OTHERS, 30, seed=4) == 0
    besieged.recovers_to(before)
    await trio.to_thread.run_sync(besieged.fetches_whole)
