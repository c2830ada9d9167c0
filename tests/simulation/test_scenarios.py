"""Every scenario, on a few fixed seeds: the judge finds nothing. `make sim` runs them on many."""

from __future__ import annotations

from random import Random

import pytest

from simnet.report import complaint
from simnet.run import run_scenario
from simnet.scene import NODES_USUAL_MAX, scenarios
from tests.support.covers import covers

FEWER_NODES = {"flash_crowd": 4, "poisoners_30": 7, "tarpits_50": 5}
"""So that every run of the tests can afford them."""


@covers("F11", "F12", "F16", "F18", "F28", "T05", "T33", "T35", "T39")
@pytest.mark.parametrize("name", sorted(scenarios()))
def test_the_judge_finds_nothing_wrong(name: str) -> None:
    result = run_scenario(name, seed=1, nodes=FEWER_NODES.get(name))
    assert not result.failures, complaint(result)
    assert result.ended


@pytest.mark.parametrize("name", sorted(scenarios()))
@pytest.mark.parametrize("nodes", [None, 8, 50])
def test_a_scenario_has_as_many_members_as_it_is_told(name: str, nodes: int | None) -> None:
    members = scenarios()[name](Random(1), nodes).members
    assert len(members) == nodes if nodes is not None else len(members) <= NODES_USUAL_MAX
    assert any(member.fetches for member in members)
