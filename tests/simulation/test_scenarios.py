"""Every scenario, on a few fixed seeds: the judge finds nothing. `make sim` runs them on many."""

from __future__ import annotations

import pytest

from simnet.report import complaint
from simnet.run import run_scenario
from simnet.scene import scenarios
from tests.support.covers import covers

FEWER_NODES = {"flash_crowd": 4, "poisoners_30": 7, "tarpits_50": 4}
"""So that every run of the tests can afford them."""


@covers("F11", "F12", "F16", "F18", "F28", "T05", "T33", "T35", "T39")
@pytest.mark.parametrize("name", sorted(scenarios().keys() - {"free_riders_40"}))
def test_the_judge_finds_nothing_wrong(name: str) -> None:
    result = run_scenario(name, seed=1, nodes=FEWER_NODES.get(name))
    assert not result.failures, complaint(result)
    assert result.ended


@covers("T38")
def test_free_riders_pay_for_themselves_and_cost_the_others_little() -> None:
    result = run_scenario("free_riders_40", seed=2)
    assert not result.failures, complaint(result)
    assert sum(each.outcome == "done" for each in result.ended) == 5
