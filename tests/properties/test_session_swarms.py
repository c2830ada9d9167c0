"""Whatever the swarm is like, a session ends with every chunk that an honest provider holds."""

from __future__ import annotations

from random import Random

import pytest

from p2phub.content import RangeSet
from p2phub.transfer.endgame import TWICE_BYTES_MAX
from tests.support.covers import covers
from tests.support.swarm import Provider, Swarm, megabytes, peer, random_swarm


@pytest.mark.parametrize("seed", range(120))
@covers("T33", "T35", "T39")
def test_a_fetch_completes_if_every_chunk_has_an_honest_holder(seed: int) -> None:
    swarm = random_swarm(Random(seed))
    swarm.run()
    assert swarm.session.complete, f"missing {swarm.session.missing} after {swarm.now} s, links {swarm.links}"
    assert swarm.session.have == RangeSet.whole(len(swarm.table))
    assert swarm.session.bytes_verified == swarm.moved
    assert sum(swarm.session.received.values()) == swarm.moved + swarm.duplicate


@pytest.mark.parametrize("seed", range(200, 260))
@covers("T33", "T35", "T39")
def test_a_fetch_in_a_crowd_completes_too(seed: int) -> None:
    random = Random(seed)
    swarm = random_swarm(random)
    everything = RangeSet.whole(len(swarm.table))
    swarm.session.spread(peer(7), [each.id for each in swarm.providers.values() if each.held != everything])
    while not swarm.session.complete and swarm.now < 3600:
        swarm.dial()
        swarm.step()
        swarm.check()
        if random.random() < 0.02:  # Somebody comes, somebody goes.
            others = [peer(random.randint(1, 20)) for _ in range(random.randint(0, 5))]
            swarm.carry_out(swarm.session.spread(peer(7), others))
    assert swarm.session.complete, f"missing {swarm.session.missing} after {swarm.now} s, links {swarm.links}"
    assert swarm.session.have == everything


@pytest.mark.parametrize("seed", range(10))
def test_eight_equal_providers_share_the_work_evenly(seed: int) -> None:
    random = Random(seed)
    table = megabytes(*(random.randint(50, 200) for _ in range(8)))
    swarm = Swarm(table, [Provider(number, RangeSet.whole(len(table)), 50e6) for number in range(1, 9)])
    swarm.run()
    shares = sorted(swarm.session.received.values())
    assert shares[-1] < 2 * shares[0] + 8 * 2**20


@pytest.mark.parametrize("slow_rate", [0.0, 20e3, 1e6])
def test_one_slow_or_frozen_provider_costs_about_a_second(slow_rate: float) -> None:
    table = megabytes(300, 300)
    everything = RangeSet.whole(len(table))
    alone = Swarm(table, [Provider(1, everything, 50e6)])
    alone.run()
    both = Swarm(table, [Provider(1, everything, 50e6), Provider(2, everything, slow_rate)])
    both.run()
    assert both.session.complete
    assert both.now < alone.now + 2


@covers("F11")
@pytest.mark.parametrize("seed", range(30))
def test_one_that_freezes_in_the_middle_costs_about_a_second_and_little_comes_twice(seed: int) -> None:
    random = Random(seed)
    table = megabytes(*(random.randint(5, 60) for _ in range(random.randint(1, 4))))
    everything = RangeSet.whole(len(table))
    rates = [random.choice((5e6, 20e6, 80e6)) for _ in range(random.randint(1, 4))]
    honest = [Provider(number, everything, rate) for number, rate in enumerate(rates, 1)]
    frozen = Provider(9, everything, 20e6, "stalls", random.uniform(0, 30e6))
    alone = Swarm(table, honest)
    alone.run()
    honest = [Provider(number, everything, rate) for number, rate in enumerate(rates, 1)]
    both = Swarm(table, [*honest, frozen])
    both.run()
    assert both.session.complete
    assert both.now < alone.now + 2
    assert both.duplicate <= 4 * TWICE_BYTES_MAX
