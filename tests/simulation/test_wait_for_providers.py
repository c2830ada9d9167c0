"""Every provider is away for long: whoever waits goes on with the first that is back, and gives up when it said."""

from __future__ import annotations

from p2phub import limits
from simnet.report import complaint
from simnet.run import Result, run_scene
from simnet.scene import MB, Happening, Member, Scene
from tests.support.covers import covers

HOUR_S = 3600.0
AWAY_S = 1.1 * HOUR_S


def run(*, wait_s: float | None) -> Result:
    """Run a fetch from two who are killed on the way, and both back after AWAY_S."""
    size, rate = 16 * limits.MIB, 1 * MB
    return run_scene(
        Scene(
            members=(
                Member("ann", holds=True, up=rate),
                Member("cy", holds=True, up=rate),
                Member("bob", fetches=True, knows=("ann", "cy"), wait_s=wait_s, may_end_with=("NoProvider",)),
            ),
            happenings=(
                Happening(2.0, "kill", "ann"),
                Happening(3.0, "kill", "cy"),
                Happening(AWAY_S, "restart", "ann"),
                Happening(AWAY_S + 30.0, "restart", "cy"),
            ),
            files={"model.safetensors": size},
            within_s=2 * HOUR_S,
        )
    )


@covers("F12")
def test_a_fetch_that_waits_goes_on_when_its_providers_are_back_and_fetches_nothing_twice() -> None:
    result = run(wait_s=24 * HOUR_S)
    assert not result.failures, complaint(result)
    [ended] = result.ended
    assert ended.outcome == "done"
    assert AWAY_S < ended.seconds < AWAY_S + HOUR_S / 2 + 60
    assert ended.sources.keys() == {"ann", "cy"}
    assert ended.bytes_received <= 1.02 * result.bytes_total
    assert result.dials < 50


@covers("F12")
def test_a_fetch_gives_up_when_the_wait_is_over_and_without_one_after_a_minute() -> None:
    [waited], [did_not] = (run(wait_s=wait_s).ended for wait_s in (HOUR_S, None))
    assert waited.outcome == did_not.outcome == "NoProvider"
    assert HOUR_S < waited.seconds < HOUR_S + 60
    assert 60 < did_not.seconds < 120
    assert waited.message.endswith("; waited 60 min")
