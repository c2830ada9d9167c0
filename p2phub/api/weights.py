"""The tensors of a safetensors file that need not be here: what `Hub.safe_open` gives.

    async with hub.safe_open("12D3Koo…/minilm", "model.safetensors") as weights:
        rows = await (await weights.get_slice("embeddings.word_embeddings.weight"))[100:200]

Names and answers are those of `safetensors.safe_open`. Of a file its header is read when it is needed first, and then
what is asked for, in ranges of the open model: only the chunks (1 MiB at most) that hold those bytes move, and they
stay in the home's own store. A model that is cut into shards is one here: its index says which file has a tensor, and
that file's own header where.
"""

from __future__ import annotations

import json
import math
import operator
from types import EllipsisType, TracebackType
from typing import Any

import msgspec
import trio

from p2phub import limits
from p2phub.api.arrays import array_of, need
from p2phub.api.reading import OpenModel
from p2phub.errors import Damaged, NotFound, UsageError
from p2phub.formats import Span, model_of_index, read_safetensors_header, read_weight_map

_FRAMEWORKS = {"np": "numpy", "numpy": "numpy", "pt": "torch", "torch": "torch"}
_INDEX = ".index.json"

Index = int | slice | EllipsisType | None
"""What stands between the brackets, one for each dimension."""


class _File(msgspec.Struct, frozen=True):
    """A file whose header was read. `metadata`: texts by texts, None if it has none."""

    path: str
    spans: dict[str, Span]
    metadata: dict[str, str] | None


class Weights:
    """Open from `__aenter__` to `__aexit__`. Any number of tasks may read at once."""

    def __init__(self, model: OpenModel, path: str, framework: str) -> None:
        self._framework = _FRAMEWORKS.get(framework, framework)
        need(self._framework)
        self.model = model
        """Whose files they stand in."""
        self._path = path
        self._path_of: dict[str, str] = {}  # The file of each tensor.
        self._files: dict[str, _File] = {}  # Those whose headers were read.
        self._reading = trio.Lock()
        self._metadata: dict[str, str] | None = None

    # --- as safetensors has it ----------------------------------------------------------------------------------------

    def keys(self) -> list[str]:
        """Return the names of the tensors, in the order of names."""
        return sorted(self._path_of)

    def metadata(self) -> dict[str, str] | None:
        """Return what the header says beside the tensors, texts by texts; None if nothing. Of shards, the first's."""
        return self._metadata

    async def get_tensor(self, name: str) -> Any:
        """Return a tensor. Raises NotFound if there is none of that name, Damaged, and as `OpenModel.read` does."""
        return await (await self.get_slice(name))[...]

    async def get_slice(self, name: str) -> Slice:
        """Return a tensor of which rows can be read. Raises as `get_tensor` does."""
        path = self._path_of.get(name)
        if path is None:
            raise NotFound(f"there is no tensor {name[:80]!r} in {self._path}")
        file = await self._file(path)
        span = file.spans.get(name)
        if span is None:
            raise Damaged(f"{path} has no tensor {name[:80]!r}, although the index of its model says so")
        return Slice(self.model, path, span, self._framework)

    # --- open and closed ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Weights:
        """Open the model, read what says which tensors there are."""
        await self.model.__aenter__()
        try:
            await self._look()
        except BaseException:
            await self.model.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.model.__aexit__(kind, error, trace)

    async def _look(self) -> None:
        files = self.model.files
        index = self._path if self._path.endswith(_INDEX) else self._path + _INDEX
        if self._path in files and self._path != index:
            first = await self._file(self._path)
            self._path_of = dict.fromkeys(first.spans, self._path)
        elif index in files and model_of_index(index) is not None:
            self._path_of = await self._shards(index)
            first = await self._file(min(self._path_of.values())) if self._path_of else _File(index, {}, None)
        else:
            others = ", ".join(path for path in files if path.endswith((".safetensors", ".safetensors" + _INDEX)))
            raise NotFound(
                f"there is no file {self._path!r} in {self.model.reference}, nor an index of it",
                hint=f"there are: {others[:400]}" if others else None,
            )
        self._metadata = first.metadata

    async def _shards(self, index: str) -> dict[str, str]:
        """Return the file of each tensor, as an index says."""
        size = self.model.files[index].size
        if size > limits.WEIGHT_MAP_BYTES_MAX:
            raise Damaged(f"{index} is too long: {size} bytes")
        try:
            named = read_weight_map(bytes(await self.model.gather(index)))
        except ValueError as exc:
            raise Damaged(f"{index} is no index of a model: {exc}") from exc
        folder = index[: index.rfind("/") + 1]
        missing = next((file for file in named.values() if folder + file not in self.model.files), None)
        if missing is not None:
            raise Damaged(f"{index} names a file that is not there: {missing[:80]!r}")
        return {name: folder + file for name, file in named.items()}

    async def _file(self, path: str) -> _File:
        async with self._reading:  # Whoever comes second finds what the first read.
            if path not in self._files:
                layout, metadata = await self.model.parsed(path, read_safetensors_header)
                self._files[path] = _File(
                    path, {span.name: span for span in layout.spans}, json.loads(metadata) if metadata else None
                )
            return self._files[path]


class Slice:
    """A tensor of which rows can be read: `await part[10:20]`, `await part[3]`, `await part[10:20, :4]`, `await
    part[...]`. Along the first dimension only the rows that are asked for are read; along the others, all of them are,
    and then cut."""

    def __init__(self, model: OpenModel, path: str, span: Span, framework: str) -> None:
        self._model, self._path, self._span, self._framework = model, path, span, framework

    def get_shape(self) -> list[int]:
        """Return the dimensions."""
        return list(self._span.shape)

    def get_dtype(self) -> str:
        """Return the type of the values, as the format calls it: "F32"."""
        return self._span.dtype

    async def __getitem__(self, index: Index | tuple[Index, ...]) -> Any:
        """Return that part, as an array of its own. Raises IndexError for rows that are not there, and as
        `OpenModel.read` does."""
        indices = index if isinstance(index, tuple) else (index,)
        start, stop, rest = rows_of(indices, self._span.shape)
        shape = self._span.shape
        if not shape:
            return _cut(await self._read(0, self._span.stop - self._span.start, shape), rest)
        if self._is_packed and (rest or (start, stop) != (0, shape[0])):
            raise UsageError(f"of values of {self._span.dtype}, less than a byte each, there are only whole tensors")
        row_bytes = (self._span.stop - self._span.start) // shape[0] if shape[0] else 0
        return _cut(await self._read(start * row_bytes, stop * row_bytes, (stop - start, *shape[1:])), rest)

    @property
    def _is_packed(self) -> bool:
        return self._span.stop - self._span.start < math.prod(self._span.shape)

    async def _read(self, start: int, stop: int, shape: tuple[int, ...]) -> Any:
        data = await self._model.gather(self._path, self._span.start + start, self._span.start + stop)
        return array_of(self._framework, data, self._span.dtype, shape)


def rows_of(indices: tuple[Index, ...], shape: tuple[int, ...]) -> tuple[int, int, tuple[Index, ...]]:
    """Return which rows `start` ..< `stop` of the first dimension hold what `indices` ask for, and what to ask of those
    rows then; () if all of them. Raises IndexError."""
    if not shape:
        return 0, 0, () if indices == (...,) else indices
    first = indices[0] if indices else slice(None)
    if isinstance(first, slice):
        rows = range(*first.indices(shape[0]))
        start, stop = (min(rows[0], rows[-1]), max(rows[0], rows[-1]) + 1) if rows else (0, 0)
        kept = slice(None, None, first.step if rows else None)
        rest = (kept, *indices[1:])
        return start, stop, () if kept.step in (None, 1) and len(rest) == 1 else rest
    if first is None or first is ...:
        return 0, shape[0], () if indices == (...,) else indices
    row = operator.index(first)
    if not -shape[0] <= row < shape[0]:
        raise IndexError(f"row {row} of {shape[0]}")
    return row % shape[0], row % shape[0] + 1, (0, *indices[1:])


def _cut(array: Any, indices: tuple[Index, ...]) -> Any:
    return array[indices] if indices else array
