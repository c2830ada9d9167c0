"""What lets a crowd of a thousand be run: docs/decisions/0074. The run itself takes too long to be a test."""

from __future__ import annotations

import resource
from random import Random

import trio

from p2phub import limits
from p2phub.content import digest_of
from p2phub.discovery import Candidate
from p2phub.identity import PeerAddress
from simnet import det
from simnet.batch import run_one
from simnet.finding import NAMED_MAX, SimFinder
from simnet.node import address_of, key_of
from simnet.run import Result
from simnet.scenarios import flash_crowd
from simnet.scene import NODES_LARGE

THOUSAND = 1000
USUAL_LIMIT = 1024  # Of open files, as most systems have it.


def test_a_crowd_of_a_thousand_shares_little_content_of_which_nothing_is_pushed() -> None:
    scene = flash_crowd.scene(Random(0), THOUSAND)
    assert len(scene.members) == THOUSAND
    size = sum(scene.files.values())
    assert limits.PREFIX_CONTENT_BYTES_MAX < size <= 5 * limits.MIB  # Of less, the publisher pushes the beginning.
    assert len({address_of(number) for number in range(1, THOUSAND + 1)}) == THOUSAND
    assert sum(flash_crowd.scene(Random(0), NODES_LARGE).files.values()) == 24 * limits.MIB  # As it always was.


def named_to_one_of(count: int) -> list[Candidate]:
    """Return whom a finder names that knows `count` others."""
    others = [PeerAddress(key_of(number).peer_id, address_of(number)) for number in range(1, count + 1)]
    finder = SimFinder(others, Random(0))

    async def ask() -> list[Candidate]:
        found, heard = trio.open_memory_channel[Candidate](count)
        await finder.providers(digest_of(b"x"), found)
        return [heard.receive_nowait() for _ in range(heard.statistics().current_buffer_used)]

    return det.run(0, ask)


def test_a_finder_names_everybody_of_fifty_and_of_a_thousand_as_many_as_a_node_of_the_dht_keeps() -> None:
    assert len({each.provider.peer for each in named_to_one_of(NODES_LARGE)}) == NODES_LARGE
    assert len({each.provider.peer for each in named_to_one_of(THOUSAND)}) == NAMED_MAX


def test_a_run_may_have_more_files_open_than_the_usual_limit() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(USUAL_LIMIT, before[1]), before[1]))
    try:
        assert isinstance(run_one(("cold_megabyte", 0, None)), Result)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > min(USUAL_LIMIT, before[1] - 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
