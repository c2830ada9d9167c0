"""The mutable run set agrees with a plain set of numbers, whatever is done to it."""

from __future__ import annotations

from random import Random

import pytest

from p2phub.content import RangeSet
from p2phub.transfer.runs import Runs, next_run


@pytest.mark.parametrize("seed", range(100))
def test_runs_agree_with_a_set_of_numbers(seed: int) -> None:
    random = Random(seed)
    runs, plain = Runs(), set[int]()
    for _ in range(40):
        start = random.randrange(30)
        stop = start + random.randint(1, 8)
        if random.random() < 0.6:
            runs.add(start, stop)
            plain |= set(range(start, stop))
        else:
            runs.remove(start, stop)
            plain -= set(range(start, stop))
        assert runs.snapshot() == RangeSet.from_indices(plain)
        assert bool(runs) == bool(plain)
        start = random.randrange(40)
        stop = start + random.randint(1, 12)
        assert (start in runs) == (start in plain)
        assert RangeSet(tuple(runs.within(start, stop))) == RangeSet.from_indices(plain & set(range(start, stop)))
        later = RangeSet.from_indices(index for index in plain if index >= start).runs
        assert runs.next_run(start) == next_run(runs.snapshot(), start) == (later[0] if later else None)
        other = RangeSet.from_indices(random.sample(range(40), random.randint(0, 12)))
        assert runs.meets(other) == any(index in plain for index in other)


@pytest.mark.parametrize("seed", range(100))
def test_what_a_set_has_in_common_with_others_comes_in_runs_that_ascend(seed: int) -> None:
    random = Random(seed)

    def drawn() -> RangeSet:
        return RangeSet.of((start, start + random.randint(1, 9)) for start in random.sample(range(60), 8))

    runs, others = Runs(drawn()), [drawn() for _ in range(random.randint(0, 3))]
    start = random.randrange(60)
    shared = RangeSet.of([(start, 100)]) & runs.snapshot()
    for other in others:
        shared &= other
    assert tuple(runs.common(*others, start=start)) == shared.runs
    assert runs.next_common(start, *others) == (shared.runs[0] if shared else None)
    assert runs.next_common(100, *others) is None
