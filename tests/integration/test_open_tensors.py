"""Tensors are there as arrays, in the order asked, while the rest of them is still on its way (0091)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import trio
from safetensors import safe_open

from p2phub import api, limits
from p2phub.identity import parse_peer_address
from tests.support.gate import Gate
from tests.support.models import make_safetensors_folder
from tests.support.processes import Scene

END_S = 60.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_safetensors_folder(tmp_path_factory.mktemp("model"), 24 * limits.MIB, files=2)


def tensors_of(model: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for path in sorted(model.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            for name in sorted(file.keys(), key=file.offset_keys().index):
                found[name] = file.get_tensor(name)
    return found


def assert_same(array: np.ndarray, expected: np.ndarray) -> None:
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


def opened(home: Path) -> list[Path]:
    return list((home / "opened").glob("*"))


@pytest.mark.parametrize("daemon", [True, False])
async def test_the_first_tensor_asked_for_is_there_while_the_rest_is_held_up(
    scene: Scene, model: Path, daemon: bool
) -> None:
    """It is the last of the second shard; what passes before the rest is held is little more than it."""
    reference = scene.publish("ann", model, name="m")["reference"]
    ann = scene.node("ann")
    if daemon:
        scene.node("bob")
    expected = tensors_of(model)
    last = list(expected)[-1]
    gate = Gate(parse_peer_address(ann.address), bytes_max=expected[last].nbytes + 3 * limits.MIB)
    try:
        with trio.fail_after(END_S):
            async with api.open_hub(home=scene.home("bob"), lan=False) as hub:
                found: list[str] = []
                async for name, array in hub.open_tensors(reference, [last, "*"], providers=[gate.address]):
                    assert_same(array, expected[name])
                    if not found:
                        assert name == last
                        await trio.to_thread.run_sync(gate.shut.wait)
                        assert opened(scene.home("bob"))
                        gate.open()
                    found.append(name)
                assert found == [last, *list(expected)[:-1]]
    finally:
        gate.close()
    assert not opened(scene.home("bob"))
    assert scene.start("bob", "ls").wait_for("ls", timeout_s=END_S)["items"] == []


@pytest.mark.parametrize("daemon", [True, False])
async def test_of_a_model_that_is_held_nothing_is_fetched_or_copied(scene: Scene, model: Path, daemon: bool) -> None:
    reference = scene.publish("ann", model, name="m")["reference"]
    if daemon:
        scene.node("ann")
    expected = tensors_of(model)
    with trio.fail_after(END_S):
        async with api.open_hub(home=scene.home("ann"), lan=False) as hub:
            found = {name: array async for name, array in hub.open_tensors(reference)}
    assert list(found) == list(expected)
    for name, array in found.items():
        assert_same(array, expected[name])
    array = found[next(iter(found))]
    array[...] = 0  # A reader's own: the published file stays as it is.
    assert {name: array.tobytes() for name, array in tensors_of(model).items()} == {
        name: array.tobytes() for name, array in expected.items()
    }
    assert not opened(scene.home("ann"))


async def test_who_stops_reading_leaves_nothing_behind(scene: Scene, model: Path) -> None:
    reference = scene.publish("ann", model, name="m")["reference"]
    ann = scene.node("ann")
    gate = Gate(parse_peer_address(ann.address), bytes_max=6 * limits.MIB)
    before = len(os.listdir("/proc/self/fd"))
    try:
        with trio.fail_after(END_S):
            async with api.open_hub(home=scene.home("bob"), lan=False) as hub:
                async with hub.open_tensors(reference, providers=[gate.address]) as tensors:
                    async for _ in tensors:
                        break
                assert not opened(scene.home("bob"))
    finally:
        gate.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


async def test_what_cannot_be_had_is_said_after_what_could(scene: Scene, model: Path) -> None:
    reference = scene.publish("ann", model, name="m")["reference"]
    ann = scene.node("ann")
    async with api.open_hub(home=scene.home("bob"), lan=False) as hub:
        with pytest.raises(api.UsageError, match="no tensor"), trio.fail_after(END_S):
            async for _ in hub.open_tensors(reference, "nothing", providers=[ann.address]):
                pass
        with pytest.raises(api.UsageError, match="no framework"):
            hub.open_tensors(reference, framework="abacus")
        ann.kill()
        with pytest.raises(api.NoProvider), trio.fail_after(END_S):
            async for _ in hub.open_tensors(reference, providers=[ann.address], wait=0):
                pass
