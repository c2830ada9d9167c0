"""What `doctor` advises fits what is switched on."""

from __future__ import annotations

from typing import Any

import pytest

from p2phub.engine.doctor import LAN_SWITCH, examine_reach


@pytest.mark.parametrize("lan", [True, False])
async def test_who_knows_nobody_is_told_of_the_local_network_as_it_is_switched(lan: bool) -> None:
    nobody: Any = None
    [found] = await examine_reach(nobody, [], port=4717, daemon=True, lan=lan)
    assert not found["ok"]
    assert "--bootstrap" in found["hint"]
    assert (LAN_SWITCH in found["hint"]) is not lan
