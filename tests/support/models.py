"""Make models and datasets to move, from a seed, and tell whether two folders are the same bit for bit.

The formats are real: `safetensors` opens the models, `pyarrow` wrote the tables. Weights are written as they
are made, so a model may be larger than memory. One seed gives one content.
Source: the safetensors format (8-byte little-endian header length, JSON header, tensors back to back).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK_BYTES = 4 << 20
"""How much of a model is in memory at once while it is made."""

FINITE_F16 = np.uint64(0xBFFF_BFFF_BFFF_BFFF)
"""Clears the highest exponent bit of four half-precision numbers: none is infinite or NaN, so equal ones compare so."""

DATASET_FILES = 210
"""How many files `make_dataset_folder` makes."""

OWN_FOLDER = ".p2phub"
"""p2phub's index beside what it fetched: no part of the content."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file to be made: `length` bytes, which is what `dtype` and `shape` come to."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    length: int


def make_safetensors_folder(path: Path, bytes_total: int, files: int = 1, seed: int = 0) -> Path:
    """Make a model at `path`: `files` safetensors files of `bytes_total` bytes in all, config and tokenizer beside.

    The safetensors files come to exactly `bytes_total` bytes, headers included, spread evenly; each holds whole layers
    of a transformer with tensors of at most 8 MiB, and one of what is left, so that tensors start where no block does.
    Raises ValueError if a file would be too small for its header (keep 16 KiB a file), FileExistsError if `path` has
    any of its files.
    """
    path.mkdir(parents=True, exist_ok=True)
    names = [f"model-{1 + index:05d}-of-{files:05d}.safetensors" for index in range(files)]
    if files == 1:
        names = ["model.safetensors"]
    weight_map: dict[str, str] = {}
    for index, name in enumerate(names):
        length = bytes_total // files + (bytes_total % files if index == 0 else 0)
        tensors = _write_safetensors(path / name, length, first_layer=1000 * index, seed=seed * 1000 + index)
        weight_map |= {tensor.name: name for tensor in tensors}
    if files > 1:
        index_of = {"metadata": {"total_size": bytes_total}, "weight_map": weight_map}
        _write_json(path / "model.safetensors.index.json", index_of)
    _write_json(path / "config.json", {"architectures": ["TestModel"], "model_type": "test", "seed": seed})
    vocab = {f"token{number}": number for number in range(500)}
    _write_json(path / "tokenizer.json", {"version": "1.0", "model": {"type": "WordLevel", "vocab": vocab}})
    return path


def make_dataset_folder(path: Path, seed: int = 0) -> Path:
    """Make a dataset of 210 files at `path`: nested folders, Parquet tables, one empty file, one with a non-ASCII name.

    About 4 MiB, most of it in `data/`, whose Parquet files are 20 KiB to 1.2 MiB in one to sixteen row groups.
    Raises FileExistsError if `path` has any of its files.
    """
    import pyarrow as pa  # Here, since the demo moves a model alone, and does without.
    from pyarrow import parquet as pq

    rng = np.random.Generator(np.random.PCG64(seed))
    path.mkdir(parents=True, exist_ok=True)
    made = 0
    for split, shards, rows in (("train", 12, 2000), ("validation", 4, 300), ("test", 4, 300)):
        for shard in range(shards):
            count = rows * (8 if shard == 0 and split == "train" else 1)
            ids = [int(value) for value in rng.integers(0, 2**62, count)]
            texts = [rng.bytes(int(length)) for length in rng.integers(8, 120, count)]
            target = path / "data" / split / f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"id": ids, "text": texts}), target, row_group_size=1000, compression="none")
            made += 1
    others: list[tuple[str, bytes]] = [
        ("README.md", b"---\nlicense: cc0-1.0\n---\n# A dataset made for tests\n"),
        ("data/empty.jsonl", b""),
        ("Übersicht – 概要.md", b"A name that is not ASCII.\n"),
    ]
    for number in range(DATASET_FILES - made - len(others)):
        name = f"images/class-{number % 7}/{number // 70}/{number:04d}.bin"
        others.append((name, rng.bytes(int(rng.integers(1, 9000)))))
    for name, content in others:
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(content)
    return path


def tree_digest(path: Path) -> dict[str, str]:
    """Return what stands under `path`: relative POSIX path to SHA-256 of the bytes, sorted by path.

    Two folders are the same bit for bit if this is equal. `.p2phub` folders are left out; a link shows as where it
    leads, and an empty folder as `folder`. Only regular files are read.
    """
    return dict(sorted(_entries(path, "")))


def disk_of(*folders: Path) -> int:
    """Return the bytes that the files of folders take on the disk, each inode once; what a link leads to is not one."""
    seen: dict[tuple[int, int], int] = {}
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                found = os.lstat(os.path.join(root, name))
                seen[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(seen.values())


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if entry.name != OWN_FOLDER]
    for entry in found:
        name = prefix + entry.name
        if entry.is_symlink():
            yield name, f"link to {os.readlink(entry.path)}"
        elif entry.is_dir():
            inner = list(_entries(Path(entry.path), name + "/"))
            yield from inner or [(name, "folder")]
        elif entry.is_file():
            with open(entry.path, "rb") as file:
                yield name, hashlib.file_digest(file, "sha256").hexdigest()
        else:
            yield name, "special file"


def _write_safetensors(path: Path, length: int, *, first_layer: int, seed: int) -> list[Tensor]:
    """Write one safetensors file of exactly `length` bytes. Return its tensors in the order of their bytes."""
    # The header's length depends on the tensors, which depend on what the header leaves. Offsets only get shorter when
    # there is less room, so a header planned for too much room fits, and spaces fill it up, as the format allows.
    planned = len(_header(_tensors(length, first_layer)))
    header_bytes = -(-planned // 8) * 8
    room = length - 8 - header_bytes
    if room < 1:
        raise ValueError(f"{length} bytes are too few for a safetensors file: its header takes {8 + header_bytes}")
    tensors = _tensors(room, first_layer)
    header = _header(tensors)
    assert len(header) <= header_bytes
    chance = np.random.PCG64(seed)
    with path.open("xb") as file:
        file.write(header_bytes.to_bytes(8, "little") + header.ljust(header_bytes))
        for start in range(0, room, BLOCK_BYTES):
            weights = chance.random_raw(BLOCK_BYTES // 8)
            weights &= FINITE_F16
            file.write(weights.view(np.uint8)[: room - start].data)
    return tensors


def _tensors(room: int, first_layer: int) -> list[Tensor]:
    """Plan the tensors that fill exactly `room` bytes: whole layers, then one of the bytes that are left."""
    hidden = 1024
    while hidden > 32 and sum(tensor.length for tensor in _layer(0, hidden)) * 2 > room:
        hidden //= 2
    tensors: list[Tensor] = []
    left = room
    layer_bytes = sum(tensor.length for tensor in _layer(0, hidden))
    for number in range(first_layer, first_layer + room // layer_bytes):
        tensors += _layer(number, hidden)
        left -= layer_bytes
    if left:
        tensors.append(Tensor(f"rest.{first_layer}", "U8", (left,), left))
    return tensors


def _layer(number: int, hidden: int) -> list[Tensor]:
    """Return the tensors of one transformer layer in half precision: 2 norms, 4 square and 3 wide matrices."""
    prefix = f"model.layers.{number}"
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        **{f"self_attn.{name}_proj.weight": (hidden, hidden) for name in "qkvo"},
        "post_attention_layernorm.weight": (hidden,),
        **{f"mlp.{name}_proj.weight": (4 * hidden, hidden) for name in ("gate", "up")},
        "mlp.down_proj.weight": (hidden, 4 * hidden),
    }
    return [Tensor(f"{prefix}.{name}", "F16", shape, 2 * int(np.prod(shape))) for name, shape in shapes.items()]


def _header(tensors: list[Tensor]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for tensor in tensors:
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (at, at + tensor.length)}
        at += tensor.length
    return json.dumps(entries, separators=(",", ":")).encode()


def _write_json(path: Path, value: object) -> None:
    with path.open("x", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
