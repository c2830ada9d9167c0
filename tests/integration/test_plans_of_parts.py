"""A plan of a part says what fetching that part moves: real nodes, real files."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2phub import api, limits
from p2phub.errors import UsageError
from tests.support.models import make_safetensors_folder
from tests.support.processes import Scene

END_S = 60.0


@pytest.mark.parametrize(
    ("part", "files"),
    [
        ({"tensors": ["*.layers.1.*", "nothing"]}, {"model-00001-of-00002.safetensors"}),
        ({"include": ["*.json"], "exclude": ["tokenizer.json"]}, {"config.json", "model.safetensors.index.json"}),
    ],
)
async def test_what_a_plan_of_a_part_tells_is_what_fetching_it_moves(
    scene: Scene, tmp_path: Path, part: dict[str, list[str]], files: set[str]
) -> None:
    model = make_safetensors_folder(tmp_path / "model", 40 * limits.MIB, files=2)
    reference = scene.publish("ann", model, name="m")["reference"]
    ann = scene.node("ann")
    with trio.fail_after(END_S):
        async with api.open_hub(home=scene.home("bob"), lan=False) as hub:
            whole = await hub.plan(reference, providers=[ann.address])
            plan = await hub.plan(reference, providers=[ann.address], **part)
            done = await hub.fetch(reference, into=tmp_path / "out", providers=[ann.address], **part)
            after = await hub.plan(reference, providers=[ann.address], **part)
            with pytest.raises(UsageError, match="no tensor is selected"):
                await hub.plan(reference, providers=[ann.address], tensors=["nothing"])
    assert plan["bytes_missing"] == plan["bytes"] == done.bytes_received < whole["bytes_missing"]
    assert {file["path"] for file in plan["files"]} >= files
    assert sum(file["bytes"] for file in plan["files"]) == plan["bytes"]
    assert plan["unmatched"] == [pattern for pattern in part.get("tensors", []) if pattern == "nothing"]
    assert whole["unmatched"] == []
    assert after["bytes"] == plan["bytes"]
