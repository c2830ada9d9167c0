"""Many runs, on several processes, their results in the order asked for."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from p2phub.node.lifecycle import raise_descriptor_limit
from simnet.bugs import planted
from simnet.run import Result, run_scenario

Job = tuple[str, int, int | None]
"""A scenario, a seed, and how many nodes: None for as many as the scenario is told with."""


def run_all(jobs: Sequence[Job], bugs: tuple[str, ...], processes: int) -> Iterator[tuple[Job, Result | str]]:
    """Yield for each job its result, or the traceback of what ended it."""
    one = partial(run_one, bugs=bugs)
    if processes <= 1 or len(jobs) == 1:
        yield from zip(jobs, map(one, jobs), strict=True)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from zip(jobs, pool.map(one, jobs), strict=True)


def run_one(job: Job, *, bugs: tuple[str, ...] = (), until_failure: bool = False) -> Result | str:
    """Run one job here."""
    raise_descriptor_limit()  # Each node keeps a file open: more than the usual limit lets a thousand have.
    try:
        with planted(bugs):
            result = run_scenario(*job, until_failure=until_failure)
    except Exception:  # noqa: BLE001  # Whatever it is, the other seeds are still to be run.
        return traceback.format_exc()
    finally:
        gc.collect()  # What a run leaves are cycles that hold memory files, gigabytes with fifty nodes.
    result.bugs = bugs
    return result
