"""The power is cut at random moments of a fetch, on a real file system: what it costs, and that it ends right."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from p2phub.limits import SYNC_BYTES
from p2phub.transfer.backlog import BEHIND_S
from tests.support.covers import covers

pytestmark = pytest.mark.endurance

TOOLS = ("unshare", "mount", "umount", "mkfs.ext4", "losetup")


@covers("F02")
def test_ten_power_cuts_of_a_gibibyte_cost_what_the_disk_had_not_made_durable(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not all(map(shutil.which, TOOLS)) or not Path("/dev/loop-control").exists():
        pytest.skip(f"a disk of its own takes root, loop devices and {', '.join(TOOLS)}")
    place = tmp_path / "cuts"
    place.mkdir()
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-m", "tests.support.power_cuts"]
    ran = subprocess.run(
        [*command, str(place), "1024", "10", "0.8", "7"], capture_output=True, text=True, check=False, timeout=900
    )
    assert ran.returncode == 0, ran.stderr
    *cuts, end = map(json.loads, ran.stdout.splitlines())
    # Twice: a sync is faster than its disk where the system has written some of it before.
    bound = max(SYNC_BYTES, 2 * max(cut["rate"] for cut in cuts) * BEHIND_S)
    print(f"fetched again: {[cut['lost'] >> 20 for cut in cuts]} MiB; at most {bound / 2**20:.0f}")
    assert len(cuts) == 10
    assert max(cut["lost"] for cut in cuts) <= bound
    assert end == {"same": True}
    shutil.rmtree(tmp_path)
