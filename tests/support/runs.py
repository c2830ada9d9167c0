"""Runs of the simulator that more than one test looks at: each is run once, however many tests ask."""

from __future__ import annotations

from functools import cache

from simnet.batch import Job, run_one
from simnet.report import complaint
from simnet.run import Result


@cache
def run_of(job: Job) -> Result:
    """Return what came of a run in which no bug is planted. Nobody changes it: others look at it, too."""
    result = run_one(job)
    assert not isinstance(result, str), result
    return result


def assert_nothing_is_wrong(job: Job) -> Result:
    """Return what came of a run in which the judge found nothing, and somebody fetched."""
    result = run_of(job)
    assert not result.failures, complaint(result)
    assert result.ended
    return result
