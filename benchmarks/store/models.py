"""Models whose tensors are told apart: written in so many shards, under such names, changed in some, or hollow.

The bytes of a tensor follow from its seed alone, wherever it is written. A hollow file has its header and nothing
behind it: it is sparse, and may be larger than the disk.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

PARTS = ("q", "k", "v", "o", "gate", "up", "down", "in", "out", "router")
SHARD = "model-{:05}-of-{:05}.safetensors"
_ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class Model:
    """Tensors of equal size (bytes, even), in the order in which they are written; `seeds` by their names."""

    seeds: dict[str, str]
    tensor_bytes: int

    def names(self, shards: int) -> list[list[str]]:
        """Return which tensors each of so many shards has."""
        names = list(self.seeds)
        step = -(-len(names) // shards)
        return [names[at : at + step] for at in range(0, len(names), step)]

    def tuned(self, shards: int, share: float) -> Model:
        """Return a version of which this share of the tensors of each of `shards` shards is different."""
        changed = [name for names in self.names(shards) for name in names[:: round(1 / share)]]
        return replace(self, seeds={**self.seeds, **{name: f"{self.seeds[name]} tuned" for name in changed}})

    def write(self, folder: Path, *, shards: int, name: str = SHARD) -> Path:
        """Write it into a new folder, with the index that says where each tensor is."""
        where: dict[str, str] = {}
        for number, names in enumerate(self.names(shards), 1):
            path = folder / name.format(number, shards)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(_header(names, self.tensor_bytes))
                for each in names:
                    file.write(random.Random(self.seeds[each]).randbytes(self.tensor_bytes))
            where |= dict.fromkeys(names, path.relative_to(folder).as_posix())
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
        (folder / "config.json").write_text("{}")
        return folder


def model_of(layers: int, size: int) -> Model:
    """Return a model of so many layers, `len(PARTS)` tensors each, of about `size` bytes in all."""
    names = [f"layers.{layer}.{part}" for layer in range(layers) for part in PARTS]
    return Model({name: name for name in names}, size // len(names) // 2 * 2)


def write_hollow(folder: Path, *, shards: int, shard_bytes: int, tensors: int) -> Path:
    """Write so many sparse shards, of about `shard_bytes` and `tensors` tensors each; a README stands beside them."""
    folder.mkdir()
    for number in range(1, shards + 1):
        names = [f"layers.{number}.{at}" for at in range(tensors)]
        tensor_bytes = shard_bytes // tensors // 2 * 2
        header = _header(names, tensor_bytes)
        with (folder / SHARD.format(number, shards)).open("wb") as file:
            file.write(header)
            file.truncate(len(header) + tensor_bytes * tensors)
    (folder / "README.md").write_text("As it was first published.\n")
    return folder


def tree_bytes(folders: Iterable[Path]) -> int:
    """Return the size of all files below, holes included."""
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def _header(names: Sequence[str], tensor_bytes: int) -> bytes:
    table = {
        name: {
            "dtype": "BF16",
            "shape": [tensor_bytes // 2],
            "data_offsets": [at * tensor_bytes, (at + 1) * tensor_bytes],
        }
        for at, name in enumerate(names)
    }
    text = json.dumps(table).encode()
    text = text.ljust(-(-len(text) // _ALIGNMENT) * _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text
