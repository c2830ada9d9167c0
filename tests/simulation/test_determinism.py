"""The same seed gives the same run in any process; without that no failure could be had again."""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import time

import pytest
import trio
from trio._core import _run as trio_scheduler

from simnet import det
from tests.support.house import ROOT

SCRIPT = """
import json
from simnet.run import run_scenario
result = run_scenario({scenario!r}, seed={seed}, nodes={nodes})
print(json.dumps([result.trace, result.arrivals, [vars(each) for each in result.ended]], default=str))
"""


# Two have a store on a real disk, in a temporary folder of its own, which must not show: `power_cut`, and the joint
# plan, in which one of two requesters has it, providers and that requester are killed and come back, and links lose.
@pytest.mark.parametrize(
    ("scenario", "seed", "nodes"),
    [("poisoners_30", 3, 5), ("real_dht", 3, 6), ("power_cut", 3, None), ("joint_faults", 5, 5)],
)
def test_two_processes_with_different_hash_seeds_run_the_same(scenario: str, seed: int, nodes: int | None) -> None:
    script = SCRIPT.format(scenario=scenario, seed=seed, nodes=nodes)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    said = [json.loads(process.communicate()[0]) for process in processes]
    assert said[0] == said[1]
    assert said[0][1] > 100


def test_trio_still_has_the_names_that_make_it_deterministic() -> None:
    missing = [name for name in det.NAMES_OF_TRIO if not hasattr(trio_scheduler, name)]
    assert not missing, f"trio {trio.__version__} has no {missing}: simnet/det.py must find another way"
    assert isinstance(trio_scheduler._r, random.Random)


async def _jumps() -> list[str]:
    told: list[str] = []
    det.at(2.0, lambda: told.append(f"act at {trio.current_time()}"))
    det.at(5.0, lambda: told.append("never: nobody waits for it"))
    await trio.sleep(3.0)
    return [*told, f"task at {trio.current_time()}"]


def test_time_jumps_to_acts_of_the_world_and_to_deadlines_of_tasks_in_their_order() -> None:
    """By names of trio's clock and deadlines that are private, too."""
    assert det.run(1, _jumps) == ["act at 2.0", "task at 3.0"]


def test_a_run_in_which_nothing_can_happen_any_more_ends_instead_of_hanging() -> None:
    with pytest.raises(RuntimeError, match="nothing is going to happen"):
        det.run(1, trio.sleep_forever)


async def _chances() -> list[object]:
    await trio.sleep(1000.0)
    return [random.random(), os.urandom(4), secrets.token_bytes(4), time.monotonic(), time.time_ns(), os.getpid() > 0]


def test_chance_and_clock_come_from_the_seed_and_are_given_back() -> None:
    before = (time.monotonic, os.urandom, trio.to_thread.run_sync, random.getstate())
    assert det.run(1, _chances) == det.run(1, _chances)
    assert det.run(1, _chances)[:3] != det.run(2, _chances)[:3]
    assert (time.monotonic, os.urandom, trio.to_thread.run_sync, random.getstate()) == before


def test_blocking_work_waits_in_virtual_time_beside_the_loop_and_its_errors_come_back() -> None:
    async def main() -> list[str]:
        told: list[str] = []

        def work(name: str, seconds: float) -> str:
            det.pause(seconds)
            told.append(name)
            return name

        async with trio.open_nursery() as nursery:
            for name, seconds in (("late", 3.0), ("early", 1.0)):
                nursery.start_soon(trio.to_thread.run_sync, work, name, seconds)
        with pytest.raises(ZeroDivisionError):
            await trio.to_thread.run_sync(lambda: 1 // 0)
        assert trio.current_time() == 3.0
        return told

    assert det.run(0, main) == ["early", "late"]
