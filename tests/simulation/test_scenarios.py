"""Every scenario, on a few fixed seeds: the judge finds nothing. `make sim` runs them on many."""

from __future__ import annotations

from random import Random

import pytest

from p2phub import limits
from simnet.report import complaint
from simnet.run import run_scenario, run_scene
from simnet.scene import MB, NODES_USUAL_MAX, Member, Scene, scenarios
from tests.support.covers import covers

FEWER_NODES = {
    "cancel_storm": 3,
    "flash_crowd": 4,
    "half_die": 5,
    "joint_faults": 5,
    "nat": 5,
    "poisoners_30": 7,
    "real_dht": 7,
    "tarpits_50": 5,
}
"""So that every run of the tests can afford them."""


@covers(
    "F11", "F12", "F13", "F16", "F17", "F18", "F20", "F27", "F28", "F29", "F30", "F36", "T05", "T11", "T33",
    "T35", "T39",
)  # fmt: skip
@pytest.mark.parametrize("name", sorted(scenarios().keys() - {"free_riders_40"}))
def test_the_judge_finds_nothing_wrong(name: str) -> None:
    result = run_scenario(name, seed=1, nodes=FEWER_NODES.get(name))
    assert not result.failures, complaint(result)
    assert result.ended


@covers("T05", "T39")
def test_eight_who_hold_nothing_do_not_keep_out_the_one_who_has_it() -> None:
    result = run_scenario("false_provider", seed=2, nodes=21)
    assert not result.failures, complaint(result)


@covers("T34")
def test_a_liar_with_many_keys_is_hardly_worse_than_one_with_a_few() -> None:
    result = run_scenario("many_keys", seed=2, nodes=24)
    assert not result.failures, complaint(result)


@covers("T34", "T35")
@pytest.mark.parametrize("useless", ["boaster", "tarpit"])
def test_useless_ones_beside_a_liar_keep_nobody_away_who_shares_their_address(useless: str) -> None:
    rate = 2 * MB
    there = [Member(f"k{number}", useless, holds=True, up=rate, beside="liar") for number in range(9)]
    honest = Member("ann", holds=True, up=rate, beside="liar")
    knows = ("liar", *(each.name for each in there), "ann")
    scene = Scene(
        members=(Member("liar", "liar", holds=True, up=rate), *there, honest, Member("bob", fetches=True, knows=knows)),
        files={"model.safetensors": 16 * limits.MIB},
        chunk_bytes=256 * limits.KIB,
        within_s=60.0,
        waste_max=0.5,
    )
    result = run_scene(scene)
    assert not result.failures, complaint(result)


@pytest.mark.parametrize("name", sorted(scenarios()))
@pytest.mark.parametrize("nodes", [None, 8, 50])
def test_a_scenario_has_as_many_members_as_it_is_told(name: str, nodes: int | None) -> None:
    members = scenarios()[name](Random(1), nodes).members
    assert len(members) == nodes if nodes is not None else len(members) <= NODES_USUAL_MAX
    assert any(member.fetches for member in members)


@covers("T38")
def test_free_riders_pay_for_themselves_and_cost_the_others_little() -> None:
    result = run_scenario("free_riders_40", seed=2)
    assert not result.failures, complaint(result)
    assert sum(each.outcome == "done" for each in result.ended) == 5
