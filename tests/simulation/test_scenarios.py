"""Every scenario, on a few fixed seeds: the judge finds nothing. `make sim` runs them on many."""

from __future__ import annotations

from random import Random

import pytest

from p2phub import limits
from simnet.report import complaint
from simnet.run import run_scene
from simnet.scene import MB, NODES_USUAL_MAX, Member, Scene, scenarios
from tests.support.covers import covers
from tests.support.runs import assert_nothing_is_wrong, run_of

RUNS = (
    pytest.param("bad_lines", 1, None, marks=covers("F17")),  # Three parts in ten are lost,
    pytest.param("bad_lines", 9, None, marks=covers("F17")),  # and here one in fifty, of 0.4 s there and back.
    pytest.param("cancel_storm", 1, 3, marks=covers("F30")),
    pytest.param("cold_megabyte", 1, None),
    pytest.param("disk_full", 1, None, marks=covers("F04")),
    pytest.param("false_provider", 3, None, marks=covers("T05", "T39")),  # All five kinds.
    pytest.param("far_provider", 1, None),
    pytest.param("file_changes", 1, None, marks=covers("F05")),
    pytest.param("flash_crowd", 1, 4, marks=covers("F27")),
    pytest.param("four_providers", 1, None),
    pytest.param("free_riders_40", 2, None, marks=covers("T38")),
    pytest.param("half_die", 1, 5, marks=covers("F11", "F13")),
    pytest.param("joint_faults", 1, 5, marks=covers("F36")),
    pytest.param("many_keys", 1, None, marks=covers("T33", "T34")),
    pytest.param("mixed_faults", 1, None, marks=covers("F11", "T33", "T35")),
    pytest.param("nat", 1, 5, marks=covers("F16", "F20")),
    pytest.param("near_first", 1, None),
    pytest.param("one_provider", 1, None),
    pytest.param("partition_heals", 1, None, marks=covers("F16", "F18")),  # One is cut one way, one both ways.
    pytest.param("poisoners_30", 1, 7, marks=covers("T33")),
    pytest.param("power_cut", 1, None, marks=covers("F02")),
    pytest.param("provider_restart", 1, None, marks=covers("F12")),
    pytest.param("reader", 1, None, marks=covers("T35")),
    pytest.param("real_dht", 1, 7, marks=covers("F13")),
    pytest.param("requester_crash", 1, None, marks=covers("F01", "F02")),
    pytest.param("rollback_publisher", 1, None, marks=covers("T11")),
    pytest.param("slow_disk", 1, None, marks=covers("F28")),
    pytest.param("slow_sync", 1, None, marks=covers("F02", "F28")),
    pytest.param("slow_processor", 1, None, marks=covers("F29")),
    pytest.param("tarpits_50", 1, 5, marks=covers("T35", "T39")),  # One drips, one boasts.
)
"""Scenario, seed, members (None: as many as it is told with; fewer where every run of the tests could not afford them),
and what that run, as it is drawn from that seed, shows to be handled."""


@pytest.mark.parametrize(("name", "seed", "nodes"), RUNS)
def test_the_judge_finds_nothing_wrong(name: str, seed: int, nodes: int | None) -> None:
    assert_nothing_is_wrong((name, seed, nodes))


def test_every_scenario_is_run() -> None:
    assert {run.values[0] for run in RUNS} == scenarios().keys()


@covers("T05", "T39")
def test_eight_who_hold_nothing_do_not_keep_out_the_one_who_has_it() -> None:
    assert_nothing_is_wrong(("false_provider", 2, 21))


@covers("T34")
def test_a_liar_with_many_keys_is_hardly_worse_than_one_with_a_few() -> None:
    assert_nothing_is_wrong(("many_keys", 2, 24))


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
    result = run_of(("free_riders_40", 2, None))
    assert sum(each.outcome == "done" for each in result.ended) == 5
    assert result.riders_cost is not None
    assert result.riders_cost <= 1.25
    assert result.riders_later_s is not None
    assert result.riders_later_s > 0
