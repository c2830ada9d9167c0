"""Which files are shards of one model: what its index says, else what they are called.

An index (`model.safetensors.index.json`) is what loaders go by, so it also tells shards whose names do not say it. Here
it is read when all that was chosen is verified: it says what is put together, never where a tensor stands, which files
and layouts tell. So one that lies or is damaged costs nothing but its word: names count then, and the user is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from p2phub import limits
from p2phub.content import ReadPlan
from p2phub.engine.preadv import read_exactly
from p2phub.formats import GGUF, SAFETENSORS, Span, model_of_index, read_weight_map
from p2phub.manifest import Manifest
from p2phub.observe import Remark

_SHARD = re.compile(r"(?P<stem>.+?)-\d{1,6}-of-\d{1,6}(?P<suffix>\.safetensors|\.gguf)", re.DOTALL)


class ModelIndex(msgspec.Struct, frozen=True):
    """An index that was read: of the model `model`, whose shards are `files` (by number); `file_of` each tensor."""

    path: str
    model: str
    files: frozenset[int]
    file_of: Mapping[str, int]


def model_by_name(path: str) -> str:
    """Return what a file, or all shards that it is one of, would be called without what numbers it and its suffix."""
    shard = _SHARD.fullmatch(path)
    if shard is not None:
        return shard["stem"]
    return path.removesuffix(f".{SAFETENSORS}").removesuffix(f".{GGUF}")


def indexes_beside(files: Sequence[str], left: Iterable[int], shards: Iterable[int], manifest: Manifest) -> list[int]:
    """Return which of the files `left` are indexes in a folder with any of `shards` (all by number), as far as their
    size and number let them be read."""
    folders = {_folder(files[number]) for number in shards}
    found = [
        number
        for number in left
        if manifest.files[number].size <= limits.WEIGHT_MAP_BYTES_MAX
        and _folder(files[number]) in folders
        and model_of_index(files[number]) is not None
    ]
    return found[: limits.WEIGHT_MAPS_MAX]


def read_indexes(numbers: Iterable[int], plan: ReadPlan, manifest: Manifest) -> tuple[list[ModelIndex], list[Remark]]:
    """Return the indexes that can be read, and what is to be said of the others. Call when they are verified; `plan`
    opens them. Blocks. Raises DiskError."""
    at = {entry.path: number for number, entry in enumerate(manifest.files)}
    found: list[ModelIndex] = []
    remarks: list[Remark] = []
    for number in numbers:
        entry = manifest.files[number]
        file = plan.open(number)
        try:
            weight_map = read_weight_map(read_exactly(file.descriptor, 0, entry.size, entry.path))
        except ValueError as error:
            what = f"is no index that can be read, so shards are told by their names: {error}"
            remarks.append(Remark(entry.path, what))
            continue
        finally:
            file.close()
        folder, model = _folder(entry.path), model_of_index(entry.path)
        assert model is not None, "indexes are told by their name"
        # Names that lead elsewhere (`../`) are none of the manifest's.
        file_of = {name: at[path] for name, file in weight_map.items() if (path := folder + file) in at}
        found.append(ModelIndex(entry.path, model, frozenset(file_of.values()), file_of))
    return found, remarks


def models_by_index(indexes: Sequence[ModelIndex]) -> dict[int, str]:
    """Return by number of the file the model that it is a shard of. What two indexes claim is told by its name."""
    found: dict[int, str] = {}
    claimed_twice: set[int] = set()
    for index in indexes:
        claimed_twice |= index.files & found.keys()
        found |= dict.fromkeys(index.files, index.model)
    return {number: model for number, model in found.items() if number not in claimed_twice}


def contradiction(index: ModelIndex, spans: Iterable[tuple[int, Span]], manifest: Manifest) -> Remark | None:
    """Return what is to be said of an index that has tensors in other files than they stand in, if it does."""
    of_it = [(span.name, number) for number, span in spans if number in index.files]
    wrong = [(name, number) for name, number in of_it if index.file_of.get(name) != number]
    if not wrong:
        return None
    name, number = wrong[0]
    more = f", and likewise of {len(wrong) - 1} more" if len(wrong) > 1 else ""
    where = manifest.files[number].path
    return Remark(index.path, f"does not say of {name[:80]!r} that it is in {where}, where it was taken from{more}")


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]
