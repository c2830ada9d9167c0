"""Make the bytes that every contestant moves: safetensors files of random weights, or a dataset of many small files.

They are made once and kept.

A payload is a directory of files, and beside it a record of each file's size and BLAKE3 digest. The record is what a
fetched tree is compared with, and what contestants that have no identity of their own check against (bare, curl).
Tensor names and shapes follow a decoder-only transformer in bfloat16, so that a tool that cuts at tensor starts has
real work to do. The bytes are random, from a fixed seed: weights hardly compress, and nobody should win by
compressing.
"""

import json
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

MIB = 1 << 20
GIB = 1 << 30
_BF16_BYTES = 2
_HEADER_ALIGNMENT_BYTES = 4096  # room for the offsets to change their number of digits; the format allows spaces
_SMALL_BYTES = (4 << 10, 64 << 10)
_FOLDER_FILES = 1000
_NOT_PAYLOAD = frozenset(
    {".p2phub", ".cache"}
)  # a requester's own notes beside its files; no contestant publishes them


@dataclass(frozen=True, slots=True)
class PayloadFile:
    """One file of a payload: path relative to its root, size in bytes, BLAKE3 digest in hex."""

    path: str
    size: int
    blake3: str


@dataclass(frozen=True, slots=True)
class Payload:
    """A directory of files to move, and the record (JSON list of {path, size, blake3}) of what is in it."""

    name: str
    root: Path
    record: Path
    files: tuple[PayloadFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def make_payload(name: str, *, file_sizes: tuple[int, ...], cache: Path) -> Payload:
    """Return the payload `name`, a file for each of `file_sizes` (bytes, even); made in `cache` if not there yet."""

    def write(root: Path) -> None:
        for index, size in enumerate(file_sizes):
            shard = f"-{index + 1:05}-of-{len(file_sizes):05}" if len(file_sizes) > 1 else ""
            _write_safetensors(root / f"model{shard}.safetensors", size=size, seed=f"{name} {index}")

    return _kept(name, cache / "payloads" / f"{name}-{sum(file_sizes)}", write)


def make_dataset(name: str, *, files: int, cache: Path) -> Payload:
    """Return a dataset of so many files of 4 to 64 KiB in folders of a thousand; made in `cache` if not there yet."""

    def write(root: Path) -> None:
        chance = random.Random(name)
        for index in range(files):
            folder = root / "train" / f"{index // _FOLDER_FILES:04}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{index:06}.bin").write_bytes(chance.randbytes(chance.randint(*_SMALL_BYTES)))

    return _kept(name, cache / "payloads" / f"{name}-{files}-files", write)


def _kept(name: str, directory: Path, write: Callable[[Path], None]) -> Payload:
    root, record = directory / name, directory / "record.json"
    if not record.exists():
        root.mkdir(parents=True, exist_ok=True)
        write(root)
        files = read_tree(root)
        partial = record.with_suffix(".partial")
        partial.write_text(json.dumps([{"path": f.path, "size": f.size, "blake3": f.blake3} for f in files], indent=1))
        partial.rename(record)  # last: a payload whose making was interrupted has no record, and is made again
    return Payload(name, root, record, read_record(record))


def read_record(record: Path) -> tuple[PayloadFile, ...]:
    """Return what a payload's record says, in the order of paths."""
    return tuple(PayloadFile(entry["path"], entry["size"], entry["blake3"]) for entry in json.loads(record.read_text()))


def read_tree(root: Path) -> tuple[PayloadFile, ...]:
    """Hash every regular file under `root`; this is also how the source comes into the page cache."""
    paths = sorted(
        path for path in root.rglob("*") if path.is_file() and _NOT_PAYLOAD.isdisjoint(path.relative_to(root).parts)
    )
    return tuple(PayloadFile(str(path.relative_to(root)), path.stat().st_size, digest_of(path)) for path in paths)


def digest_of(path: Path) -> str:
    """Return the BLAKE3 digest of a file in hex, on all cores."""
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()


def _write_safetensors(path: Path, *, size: int, seed: str) -> None:
    """Write a valid safetensors file of exactly `size` bytes: 8 bytes of header length, header in JSON, tensors."""
    tensors = list(_tensors(size))
    header = _header(tensors, size)
    chance = random.Random(seed)
    with path.open("wb") as file:
        file.write(header)
        left = size - len(header)
        while left:
            part = min(left, MIB)
            file.write(chance.randbytes(part))
            left -= part


def _header(tensors: list[tuple[str, tuple[int, ...]]], size: int) -> bytes:
    """Lay the tensors out one after the other; what is left of `size` becomes a last one-dimensional tensor."""
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in tensors:
        end = offset + _BF16_BYTES * _elements(shape)
        table[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    roughly = len(json.dumps(table)) + 256  # 256: the last tensor's entry
    header_bytes = -(-(8 + roughly) // _HEADER_ALIGNMENT_BYTES) * _HEADER_ALIGNMENT_BYTES
    end = size - header_bytes
    rest, odd = divmod(end - offset, _BF16_BYTES)
    if rest < 1 or odd:
        raise ValueError(f"cannot make a safetensors file of {size} bytes")
    table["lm_head.weight"] = {"dtype": "BF16", "shape": [rest], "data_offsets": [offset, end]}
    text = json.dumps(table).encode()
    return struct.pack("<Q", header_bytes - 8) + text.ljust(header_bytes - 8)


def _tensors(size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (name, shape) of whole transformer layers that fit into 7/8 of `size` bytes; the rest is the head's."""
    hidden = 2048 if size >= 256 * MIB else 1024 if size >= 32 * MIB else 96
    shapes = {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (hidden // 4, hidden),
        "self_attn.v_proj": (hidden // 4, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (3 * hidden, hidden),
        "mlp.up_proj": (3 * hidden, hidden),
        "mlp.down_proj": (hidden, 3 * hidden),
    }
    layer_bytes = _BF16_BYTES * sum(_elements(shape) for shape in shapes.values())
    for layer in range(size * 7 // 8 // layer_bytes):
        for name, shape in shapes.items():
            yield f"model.layers.{layer}.{name}.weight", shape


def _elements(shape: tuple[int, ...]) -> int:
    product = 1
    for extent in shape:
        product *= extent
    return product
