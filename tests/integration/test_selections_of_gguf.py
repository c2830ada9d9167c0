"""Who wants some tensors of a GGUF model moves those, whatever split they stand in, and has a GGUF file (0098)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trio
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize

from p2phub import api, limits
from p2phub.engine.choice import Choice
from tests.support.hosts import open_host
from tests.support.processes import Scene
from tests.support.stores import files_below

END_S = 60.0
SLACK_BYTES = 2 * limits.MIB
QUANTISED = GGMLQuantizationType.Q4_0
WORDS = [f"token{number}" for number in range(20_000)]


def write(path: Path, tensors: dict[str, np.ndarray], *, split: int | None, alignment: int | None = None) -> None:
    """Write a model, or a split of one as llama.cpp does: of those only the first says more than which it is."""
    writer = GGUFWriter(path, "llama")
    if split is not None:
        writer.add_uint16("split.no", split)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", 8)
    if not split:
        writer.add_token_list(WORDS)
        writer.add_block_count(4)
        if alignment is not None:
            writer.add_custom_alignment(alignment)
    for name, array in tensors.items():
        writer.add_tensor(name, array, raw_dtype=QUANTISED if array.dtype == np.uint8 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(rng: np.random.Generator, *layers: int) -> dict[str, np.ndarray]:
    """Return layers of 4 MiB in 32 bits, and their weights of 2 MiB before they were quantised."""
    found: dict[str, np.ndarray] = {}
    for layer in layers:
        found[f"blk.{layer}.attn.weight"] = rng.random((1024, 1024), np.float32)
        found[f"blk.{layer}.ffn.weight"] = quantize(rng.random((512, 1024), np.float32), QUANTISED)
        found[f"blk.{layer}.norm.weight"] = rng.random(5, np.float32)
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    rng = np.random.Generator(np.random.PCG64(1))
    write(folder / "m-00001-of-00002.gguf", tensors(rng, 0, 1), split=0, alignment=64)
    write(folder / "m-00002-of-00002.gguf", tensors(rng, 2, 3), split=1)
    write(folder / "one.gguf", tensors(rng, 0), split=None)
    return folder


def read(*paths: Path) -> dict[str, tuple[GGMLQuantizationType, np.ndarray]]:
    return {each.name: (each.tensor_type, each.data) for path in paths for each in GGUFReader(path).tensors}


@pytest.mark.parametrize("pattern", ["blk.1.*", "blk.3.*", "blk.[03].norm.weight"])
async def test_tensors_of_all_splits_land_in_one_file_that_the_package_reads(
    tmp_path: Path, model: Path, pattern: str
) -> None:
    out = tmp_path / "out"
    splits = sorted(model.glob("m-*.gguf"))
    wanted = {name: found for name, found in read(*splits).items() if Path(name).match(pattern)}
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        with trio.fail_after(END_S):
            done = await bob.fetch(published.manifest, out, ann, choice=Choice(include=("m-*",), tensors=(pattern,)))
        sent = sum(ann.shelf.bytes_sent.values())
    assert list(files_below(out)) == ["m.selected.gguf"]
    made = GGUFReader(out / "m.selected.gguf")
    found = read(out / "m.selected.gguf")
    assert found.keys() == wanted.keys()
    for name, (kind, data) in wanted.items():
        assert found[name][0] == kind
        assert found[name][1].shape == data.shape
        assert found[name][1].tobytes() == data.tobytes()
    assert made.alignment == 64
    assert made.fields["tokenizer.ggml.tokens"].contents() == WORDS
    assert not [name for name in made.fields if name.startswith("split.")]
    size = sum(data.nbytes for _, data in wanted.values())
    headers = sum(GGUFReader(path).data_offset for path in splits)
    assert done.bytes_received <= sent <= size + headers + len(splits) * SLACK_BYTES


async def test_each_model_of_a_repository_gives_its_own_file(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        with trio.fail_after(END_S):
            await bob.fetch(published.manifest, tmp_path / "out", ann, choice=Choice(tensors=("blk.0.norm.weight",)))
    assert sorted(files_below(tmp_path / "out")) == ["m.selected.gguf", "one.selected.gguf"]
    assert list(read(tmp_path / "out" / "one.selected.gguf")) == ["blk.0.norm.weight"]


@pytest.mark.parametrize("home", ["ann", "bob"])
async def test_open_tensors_gives_what_the_package_gives_fetched_and_held(scene: Scene, model: Path, home: str) -> None:
    folder = scene.folder / "one"
    folder.mkdir()
    (folder / "one.gguf").write_bytes((model / "one.gguf").read_bytes())
    expected = read(folder / "one.gguf")
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann = scene.node("ann")
    with trio.fail_after(END_S):
        async with api.open_hub(home=scene.home(home), lan=False) as hub:
            found = {name: array async for name, array in hub.open_tensors(reference, providers=[ann.address])}
    assert list(found) == list(expected)
    for name, (kind, data) in expected.items():
        assert found[name].dtype == data.dtype
        np.testing.assert_array_equal(found[name], data)
        np.testing.assert_array_equal(dequantize(found[name], kind), dequantize(data, kind))
