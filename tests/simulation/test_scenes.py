"""What simulations found, each as a scene of its own, as small as shows it."""

from __future__ import annotations

from p2phub import limits
from simnet.report import complaint
from simnet.run import run_scene
from simnet.scene import MB, Happening, Member, Scene, named


def test_whoever_was_not_asked_yet_takes_the_place_of_one_who_holds_nothing() -> None:
    """Found by `flash_crowd` with 50 nodes: as many as may be connected at once were others who had just begun."""
    idle = named("idle", limits.BULK_THREADS_MAX)
    scene = Scene(
        members=(
            Member("mute", "staller", holds=True),
            *(Member(name, fetches=True, knows=("mute",), may_end_with=("NoProvider",), patience_s=9) for name in idle),
            Member("ann", holds=True, up=4 * MB),
            Member("bob", fetches=True, starts_s=2.0, knows=(*idle, "ann"), up=4 * MB),
        ),
        files={"model.safetensors": 2 * limits.MIB},
        chunk_bytes=limits.MIB,  # Too long for the first flight, or they would hold something after all.
        within_s=120,
    )
    result = run_scene(scene)
    assert not result.failures, complaint(result)
    assert next(each for each in result.ended if each.node == "bob").outcome == "done"


def test_a_provider_that_goes_before_the_first_chunk_is_whole_is_waited_for() -> None:
    """Found by `provider_restart` with 16 nodes: they shared its uplink, so none had a whole chunk when it went."""
    scene = Scene(
        members=(Member("ann", holds=True, up=0.2 * MB), Member("bob", fetches=True, knows=("ann",))),
        happenings=(Happening(1.0, "kill", "ann"), Happening(4.0, "restart", "ann")),
        files={"model.safetensors": 2 * limits.MIB},
        chunk_bytes=limits.MIB,
        waste_max=1.0,
        within_s=40,
    )
    result = run_scene(scene)
    assert not result.failures, complaint(result)
