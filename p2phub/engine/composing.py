"""What is made of the parts of files that were chosen: one new file of each model or table, in the originals' format.

Files that are shards of one model (`shards`) give one file together, `model.selected.safetensors` (or `.gguf`) beside
where they would stand. A table gives `table.selected.parquet`. No name that the
manifest has is ever used for a part of its file.

Headers are read here, when they are verified: Damaged where a file is not made up as its layout says, which is all that
was known of it before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from p2phub import limits
from p2phub.content import Readable, ReadPlan
from p2phub.engine.preadv import read_exactly
from p2phub.engine.shards import ModelIndex, contradiction, model_by_name, models_by_index, read_indexes
from p2phub.errors import Damaged, Malformed
from p2phub.formats import (
    GGUF,
    PARQUET,
    SAFETENSORS,
    GgufPairs,
    Layout,
    Span,
    alignment_of,
    filled,
    gguf_part_bytes_max,
    gguf_part_start,
    header_bytes_max,
    in_order,
    merged_pairs,
    part_end,
    read_footer_of,
    read_gguf_header,
    read_safetensors_header,
    selected_header,
    selected_path,
)
from p2phub.manifest import FileEntry, Manifest
from p2phub.observe import Remark
from p2phub.store import Gap, Made, Part, ToMake

LENGTH_BYTES = 8  # What a safetensors file begins with.
_ROW_GROUP_MORE_BYTES = 32  # Three numbers of ten bytes, which may have been of one.
TABLE_MAGIC = b"PAR1"  # What a table begins and ends with.
Read = Callable[[int, int], bytes]
_Metadata = TypeVar("_Metadata")


class Making(msgspec.Struct, frozen=True):
    """A file to be made at `path` of `spans` of files (by number), in this order: tensors of one or more, or columns of
    one table. `layouts`: of the files that it takes anything of, if only of their header, as their publisher has them;
    all are of one format."""

    path: str
    spans: tuple[tuple[int, Span], ...]
    layouts: Mapping[int, Layout]

    @property
    def format(self) -> str:
        return next(iter(self.layouts.values())).format


def compose(
    manifest: Manifest,
    spans: Sequence[tuple[int, Span]],
    layouts: Mapping[int, Layout],
    models: Mapping[int, str] | None = None,
) -> tuple[Making, ...]:
    """Return the files to make of `spans`, in the order of files: one of each model, whatever it was cut into.

    `layouts`, by number of the file, are those that are known; `models`: what an index says which model a file is of.
    Raises Damaged for tensors that no file can have.
    """
    models = models or {}
    groups: dict[tuple[str, str, int | None], list[tuple[int, Span]]] = {}
    for number, span in spans:
        path, kind = manifest.files[number].path, layouts[number].format
        if kind == PARQUET:
            stem = path.removesuffix(f".{PARQUET}")
        elif kind == SAFETENSORS and number in models:
            stem = models[number]
        else:
            stem = model_by_name(path)
        groups.setdefault((stem, kind, number if kind == PARQUET else None), []).append((number, span))
    return tuple(_making(stem, kind, chosen, manifest, layouts) for (stem, kind, _), chosen in groups.items())


def compose_by_indexes(
    manifest: Manifest,
    spans: Sequence[tuple[int, Span]],
    layouts: Mapping[int, Layout],
    indexes: Sequence[int],
    plan: ReadPlan,
) -> tuple[tuple[Making, ...], list[Remark]]:
    """Return the files to make, and what is to be said of `indexes` (files by number) that were no help.

    Call when all of `indexes` is verified; `plan` opens them. What those say counts as far as a file can be made of it:
    an index that puts two tensors of one name together is not believed. Blocks. Raises Damaged, DiskError.
    """
    believed, remarks = read_indexes(indexes, plan, manifest)
    while True:
        making = compose(manifest, spans, layouts, models_by_index(believed))
        twice = [(index, name) for each in making if (name := _twice(each)) for index in _of(each, believed)]
        if not twice:
            break
        index, name = twice[0]
        believed.remove(index)
        what = f"puts two tensors called {name[:80]!r} into one model, so its shards are told by name"
        remarks.append(Remark(index.path, what))
    said = (contradiction(index, spans, manifest) for index in believed)
    return making, [*remarks, *(remark for remark in said if remark is not None)]


def _twice(making: Making) -> str | None:
    """Return a name that two tensors have, if any has."""
    names: set[str] = set()
    for _, span in making.spans:
        if span.name in names:
            return span.name
        names.add(span.name)
    return None


def _of(making: Making, indexes: Sequence[ModelIndex]) -> list[ModelIndex]:
    """Return the indexes that have to do with a file to be made."""
    files = {number for number, _ in making.spans}
    return [index for index in indexes if index.files & files]


def _making(
    stem: str, kind: str, chosen: Sequence[tuple[int, Span]], manifest: Manifest, layouts: Mapping[int, Layout]
) -> Making:
    used = {number: layouts[number] for number, _ in chosen}
    if kind == SAFETENSORS:
        try:
            order = in_order([span for _, span in chosen])
        except ValueError as error:
            raise _impossible(stem, error) from error
        chosen = [chosen[at] for at in order]
    elif kind == GGUF:  # The first of its files says what the model is; the others mostly only which they are.
        whole = (at for at in layouts if layouts[at].format == GGUF and model_by_name(manifest.files[at].path) == stem)
        first = min(whole)
        used = {first: layouts[first], **used}
    return Making(selected_path(stem, kind, [entry.path for entry in manifest.files]), tuple(chosen), used)


def to_make(making: Making, manifest: Manifest) -> ToMake:
    """Return what is known of a file before it is made. Raises UsageError for tensors that cannot be in one file,
    Damaged for those that no file can have."""
    spans = [span for _, span in making.spans]
    size = sum(span.stop - span.start for span in spans)
    if making.format == PARQUET:  # What is behind the columns gets less, but for what row groups say of themselves.
        [(number, layout)] = making.layouts.items()
        behind = manifest.files[number].size - columns_end(layout)
        groups = len({span.name.partition("/")[0] for span in spans})
        most = len(TABLE_MAGIC) + behind + groups * _ROW_GROUP_MORE_BYTES + limits.KIB
        return ToMake(making.path, size, size + most)
    if making.format == SAFETENSORS:
        return ToMake(making.path, size, size + header_bytes_max(spans))
    try:
        return ToMake(making.path, size, gguf_part_bytes_max(spans, making.layouts.values()))
    except ValueError as error:
        raise _impossible(making.path, error) from error


def columns_end(layout: Layout) -> int:
    """Return where the columns of a table end."""
    return max((span.stop for span in layout.spans), default=0)


def made(making: Making, plan: ReadPlan, manifest: Manifest) -> Made:
    """Return what a file consists of. Call when all that it takes is verified; `plan` opens it. Blocks. Raises Damaged
    where a layout is not that of its file, UsageError for more metadata than one file can have, DiskError."""
    if making.format == PARQUET:
        return _table(making, plan, manifest)
    if making.format == GGUF:
        return _gguf(making, plan, manifest)
    metadata = [
        _safetensors_metadata(manifest.files[number], layout, plan.open(number))
        for number, layout in making.layouts.items()
    ]
    header = selected_header([span for _, span in making.spans], metadata)
    parts = (Part(number, span.start, span.stop) for number, span in making.spans if span.start < span.stop)
    return Made(making.path, (header, *parts))


def _gguf(making: Making, plan: ReadPlan, manifest: Manifest) -> Made:
    pairs = merged_pairs(
        _gguf_metadata(manifest.files[number], layout, plan.open(number)) for number, layout in making.layouts.items()
    )
    alignment = alignment_of(pairs)
    parts: list[bytes | Part | Gap] = [gguf_part_start([span for _, span in making.spans], pairs)]
    for number, span in making.spans:
        length = span.stop - span.start
        if length:
            parts.append(Part(number, span.start, span.stop))
        if gap := filled(length, alignment) - length:
            parts.append(Gap(gap))
    return Made(making.path, tuple(parts))


def _table(making: Making, plan: ReadPlan, manifest: Manifest) -> Made:
    [(number, layout)] = making.layouts.items()
    entry, file = manifest.files[number], plan.open(number)
    end = columns_end(layout)

    def read(offset: int, length: int) -> bytes:
        if offset < end and offset + length > len(TABLE_MAGIC):
            raise _lied(entry.path)
        return read_exactly(file.descriptor, offset, length, entry.path)

    try:
        parsed, footer = read_footer_of(entry.size, read)
        if parsed.spans != layout.spans:
            raise _lied(entry.path)
        places: dict[str, int] = {}
        at = len(TABLE_MAGIC)
        for _, span in making.spans:
            places[span.name] = at
            at += span.stop - span.start
        columns = {span.name.partition("/")[2] for span in layout.spans}
        kept = {name.partition("/")[2] for name in places}
        behind = part_end(footer, places, columns_gone=kept != columns)
    except Malformed as error:
        raise _lied(entry.path) from error
    finally:
        file.close()
    return Made(making.path, (TABLE_MAGIC, *(Part(number, span.start, span.stop) for _, span in making.spans), behind))


def check_header(entry: FileEntry, layout: Layout, file: Readable) -> None:
    """Read the header of a tensor file, which is verified; `file` is closed. Raises Damaged if the file is not what
    `layout` says."""
    if layout.format == GGUF:
        _gguf_metadata(entry, layout, file)
    else:
        _safetensors_metadata(entry, layout, file)


def _safetensors_metadata(entry: FileEntry, layout: Layout, file: Readable) -> str:
    return _metadata(entry, layout, file, read_safetensors_header)


def _gguf_metadata(entry: FileEntry, layout: Layout, file: Readable) -> GgufPairs:
    return _metadata(entry, layout, file, partial(read_gguf_header, most=layout.header_bytes))


def _metadata(
    entry: FileEntry, layout: Layout, file: Readable, read_header: Callable[[int, Read], tuple[Layout, _Metadata]]
) -> _Metadata:
    try:
        read = _verified_reader(file.descriptor, entry.path, layout.header_bytes)
        parsed, metadata = read_header(entry.size, read)
    except Malformed as error:
        raise _lied(entry.path) from error
    finally:
        file.close()
    if (parsed.header_bytes, parsed.spans) != (layout.header_bytes, layout.spans):
        raise _lied(entry.path)
    return metadata


def _impossible(path: str, error: ValueError) -> Damaged:
    return Damaged(f"the publisher says of a file of {path} what cannot be: {error}")


def _verified_reader(descriptor: int, path: str, header_bytes: int) -> Callable[[int, int], bytes]:
    """Return what reads a header of `header_bytes`, and nothing behind: of that perhaps nothing was verified."""

    def read(offset: int, length: int) -> bytes:
        if offset + length > max(header_bytes, LENGTH_BYTES):
            raise _lied(path)
        return read_exactly(descriptor, offset, length, path)

    return read


def _lied(path: str) -> Damaged:
    return Damaged(f"{path} is not made up as its publisher says", hint="fetch the file whole")
