"""Tensors of models that are not here are read by name and by rows: only what is asked for moves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import trio
from safetensors import safe_open
from safetensors.numpy import save_file

import p2phub
from p2phub import limits
from p2phub.api import blocking
from tests.support.came import came_to
from tests.support.processes import Scene

MIB = limits.MIB
END_S = 60.0
PAGES = 64 * limits.KIB  # Data is counted by pages of the file system.
ROWS = np.arange(8 * MIB, dtype=np.float32).reshape(8192, 1024)  # 32 MiB, 256 rows a chunk.
SMALL = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
METADATA = {"format": "np", "said by": "ann"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    tensors = {"rows": ROWS, "small": SMALL, "one": np.array(2.5), "none": np.zeros((0, 4), np.uint8)}
    save_file(tensors, folder / "model.safetensors", metadata=METADATA)
    (folder / "shards").mkdir()
    halves = {"big-00001-of-00002.safetensors": {"a": ROWS[:4096]}, "big-00002-of-00002.safetensors": {"b": SMALL}}
    for name, half in halves.items():
        save_file(half, folder / "shards" / name, metadata={"file": name})
    index = {"metadata": {}, "weight_map": {key: name for name, half in halves.items() for key in half}}
    (folder / "shards/big.safetensors.index.json").write_text(json.dumps(index))
    index["weight_map"]["c"] = "big-00001-of-00002.safetensors"
    (folder / "shards/lies.safetensors.index.json").write_text(json.dumps(index))
    (folder / "shards/lost.safetensors.index.json").write_text('{"weight_map": {"a": "../../model.safetensors"}}')
    (folder / "none.safetensors").write_bytes(bytes(100))
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("scene") / "scene") as scene:
        yield scene


class Ann(NamedTuple):
    """Who has the model: `reference`, and her address."""

    reference: str
    providers: tuple[str, ...]


@pytest.fixture(scope="module")
def ann(scene: Scene, folder: Path) -> Ann:
    reference = scene.publish("ann", folder, name="m")["reference"]
    return Ann(reference, (scene.node("ann").address,))


@pytest.mark.parametrize("daemon", [True, False])
def test_only_the_header_and_the_rows_that_are_asked_for_move(
    scene: Scene, ann: Ann, folder: Path, daemon: bool
) -> None:
    home = scene.home(f"bob-{daemon}")
    if daemon:
        scene.node(home.name)
    with (
        p2phub.safe_open(ann.reference, providers=ann.providers, home=home, lan=False) as weights,
        safe_open(folder / "model.safetensors", framework="numpy") as there,
    ):
        assert weights.keys() == sorted(there.keys())
        assert weights.metadata() == there.metadata() == METADATA
        header = came_to(home)
        assert header < MIB
        part = weights.get_slice("rows")
        assert (part.get_shape(), part.get_dtype()) == ([8192, 1024], "F32")
        np.testing.assert_array_equal(part[300:400], ROWS[300:400])
        assert MIB <= came_to(home) - header < MIB + PAGES
        for index in [3, -1, slice(10, 300, 7), slice(None, -100, -1), (slice(5, 9), slice(1, 3)), (7, 5), slice(9, 9)]:
            np.testing.assert_array_equal(part[index], ROWS[index])
        assert came_to(home) <= header + 3 * MIB + PAGES
        with pytest.raises(IndexError):
            part[8192]
        for name in ("small", "one", "none"):
            found = weights.get_tensor(name)
            assert found.dtype == there.get_tensor(name).dtype
            np.testing.assert_array_equal(found, there.get_tensor(name))
        np.testing.assert_array_equal(weights.get_slice("small")[..., 2], SMALL[..., 2])
        with pytest.raises(p2phub.NotFound):
            weights.get_tensor("other")
        assert came_to(home) <= header + 4 * MIB + PAGES


def test_a_model_in_shards_is_one_and_a_shard_that_nobody_asks_for_does_not_move(ann: Ann, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with blocking.open_hub(home=home, lan=False) as hub:
        for path in ("shards/big.safetensors", "shards/big.safetensors.index.json"):
            with hub.safe_open(ann.reference, path, providers=ann.providers) as weights:
                assert weights.keys() == ["a", "b"]
                assert weights.metadata() == {"file": "big-00001-of-00002.safetensors"}
                np.testing.assert_array_equal(weights.get_tensor("b"), SMALL)
        with hub.safe_open(ann.reference, "shards/big.safetensors", providers=ann.providers) as weights:
            np.testing.assert_array_equal(weights.get_slice("a")[4000:], ROWS[4000:4096])
        assert came_to(home) < 2 * MIB


def test_what_is_no_such_file_or_whose_index_lies_is_told(ann: Ann, tmp_path: Path) -> None:
    with blocking.open_hub(home=tmp_path / "home", lan=False) as hub:
        with pytest.raises(p2phub.NotFound) as absent:
            hub.safe_open(ann.reference, "other.safetensors", providers=ann.providers)
        assert "model.safetensors" in str(absent.value.hint)
        with pytest.raises(p2phub.Malformed):
            hub.safe_open(ann.reference, "none.safetensors", providers=ann.providers)
        with pytest.raises(p2phub.Damaged, match="names a file that is not there"):
            hub.safe_open(ann.reference, "shards/lost.safetensors", providers=ann.providers)
        with (
            hub.safe_open(ann.reference, "shards/lies.safetensors", providers=ann.providers) as weights,
            pytest.raises(p2phub.Damaged),
        ):
            weights.get_tensor("c")
        with pytest.raises(p2phub.UsageError):
            hub.safe_open(ann.reference, framework="abacus")


async def test_tasks_read_side_by_side(ann: Ann, tmp_path: Path) -> None:
    with trio.fail_after(END_S):
        async with (
            p2phub.open_hub(home=tmp_path / "home", lan=False) as hub,
            hub.safe_open(ann.reference, providers=ann.providers) as weights,
            trio.open_nursery() as nursery,
        ):

            async def check(start: int) -> None:
                part = await weights.get_slice("rows")
                np.testing.assert_array_equal(await part[start : start + 100], ROWS[start : start + 100])

            for start in range(0, 8000, 1000):
                nursery.start_soon(check, start)


def test_threads_share_one_hub_and_what_is_under_way_when_it_closes_is_told_so(ann: Ann, tmp_path: Path) -> None:
    wrong: list[int] = []
    with blocking.open_hub(home=tmp_path / "home", lan=False) as hub:
        weights = hub.safe_open(ann.reference, providers=ann.providers)

        def check(start: int) -> None:
            if not np.array_equal(weights.get_slice("rows")[start : start + 10], ROWS[start : start + 10]):
                wrong.append(start)

        threads = [threading.Thread(target=check, args=[start]) for start in range(0, 8000, 1000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        begun = threading.Event()
        told: list[BaseException] = []

        async def wait(hub: p2phub.Hub) -> None:
            begun.set()
            await trio.sleep_forever()

        def call() -> None:
            try:
                hub.call(wait)
            except p2phub.UsageError as error:
                told.append(error)

        waiting = threading.Thread(target=call)
        waiting.start()
        begun.wait()
    waiting.join()
    assert (len(told), wrong) == (1, [])
    assert hub.closed
    with pytest.raises(p2phub.UsageError):
        weights.get_tensor("small")
    weights.close()
