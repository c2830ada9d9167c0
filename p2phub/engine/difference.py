"""What differs between two manifests: files, tensors, and how many bytes somebody who has the one lacks of the other.

Nothing is read but what describes them: chunk lists say what is equal, layouts which chunks are which tensor. A tensor
is known by its name, wherever it stands, or by file and name where a name stands in several files. Tensors of 64 KiB
and more have chunks of their own (proto/manifest.md §3), so that equal chunks are equal tensors and different ones are
not; smaller ones share chunks, and where such a chunk differs nobody can tell which tensor of it did: MAYBE.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import accumulate

import msgspec

from p2phub.content import DIGEST_BYTES, ChunkList
from p2phub.formats import Layout, Span
from p2phub.manifest import FileEntry, Manifest


class Kind(Enum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    MAYBE = "maybe changed"


class Described(msgspec.Struct, frozen=True):
    """A manifest with the chunk list of each file, in its order, and the layouts that are known, by path."""

    manifest: Manifest
    lists: Sequence[ChunkList]
    layouts: Mapping[str, Layout]


class FileChange(msgspec.Struct, frozen=True):
    """`path` after, or before if it was removed; `was` is where it stood if it moved. Bytes, None: not there."""

    kind: Kind
    path: str
    bytes_before: int | None
    bytes_after: int | None
    was: str | None = None


class TensorChange(msgspec.Struct, frozen=True):
    """`before` and `after` as the layouts have them, None: not there. `path`: its file after, or before if removed."""

    kind: Kind
    name: str
    path: str
    before: Span | None
    after: Span | None


class Difference(msgspec.Struct, frozen=True):
    """`bytes_new`: of the bytes of the second, those in chunks that the first has nowhere. `tensors_same` are equal,
    whether or not they stand in the same file."""

    files: tuple[FileChange, ...]
    files_same: int
    tensors: tuple[TensorChange, ...]
    tensors_same: int
    bytes_new: int
    bytes_after: int


def compare(before: Described, after: Described) -> Difference:
    """Compare two manifests."""
    files, files_same = _files(before.manifest, after.manifest)
    tensors, tensors_same = _tensors(before, after)
    held = {digest for chunks in before.lists for digest, _ in _chunks(chunks)}
    new: dict[bytes, int] = {
        digest: length for chunks in after.lists for digest, length in _chunks(chunks) if digest not in held
    }
    return Difference(files, files_same, tensors, tensors_same, sum(new.values()), after.manifest.bytes_total)


def _chunks(chunks: ChunkList) -> Iterator[tuple[bytes, int]]:
    return ((chunks.digest(number), length) for number, length in enumerate(chunks.lengths))


def _files(before: Manifest, after: Manifest) -> tuple[tuple[FileChange, ...], int]:
    old = {entry.path: entry for entry in before.files}
    new = {entry.path: entry for entry in after.files}
    gone: dict[object, list[FileEntry]] = {}
    for path, entry in old.items():
        if path not in new:
            gone.setdefault((entry.root, entry.size), []).append(entry)
    changes: list[FileChange] = []
    same = 0
    for path, entry in new.items():
        known = old.get(path)
        if known is not None and (known.root, known.size) == (entry.root, entry.size):
            same += 1
        elif known is not None:
            changes.append(FileChange(Kind.CHANGED, path, known.size, entry.size))
        elif gone.get((entry.root, entry.size)):
            was = gone[(entry.root, entry.size)].pop(0)
            changes.append(FileChange(Kind.MOVED, path, was.size, entry.size, was.path))
        else:
            changes.append(FileChange(Kind.ADDED, path, None, entry.size))
    removed = [entry for entries in gone.values() for entry in entries]
    changes += [FileChange(Kind.REMOVED, entry.path, entry.size, None) for entry in removed]
    return tuple(sorted(changes, key=lambda change: change.path)), same


class _Tensor(msgspec.Struct, frozen=True):
    """A span of a file, and what its bytes are known by: `exact` if by chunks that hold nothing else."""

    path: str
    span: Span
    content: tuple[object, ...]
    exact: bool


def _tensors(before: Described, after: Described) -> tuple[tuple[TensorChange, ...], int]:
    shared = _names_in_several_files(before) | _names_in_several_files(after)
    old, new = _by_name(before, shared), _by_name(after, shared)
    changes: list[TensorChange] = []
    same = 0
    for name, tensor in new.items():
        known = old.get(name)
        if known is None:
            changes.append(TensorChange(Kind.ADDED, tensor.span.name, tensor.path, None, tensor.span))
        elif _is_equal(known, tensor):
            same += 1
        else:
            decided = _has_other_form(known.span, tensor.span) or (known.exact and tensor.exact)
            kind = Kind.CHANGED if decided else Kind.MAYBE
            changes.append(TensorChange(kind, tensor.span.name, tensor.path, known.span, tensor.span))
    for name, known in old.items():
        if name not in new:
            changes.append(TensorChange(Kind.REMOVED, known.span.name, known.path, known.span, None))
    return tuple(sorted(changes, key=lambda change: (change.path, change.name))), same


def _is_equal(one: _Tensor, other: _Tensor) -> bool:
    return not _has_other_form(one.span, other.span) and one.content == other.content


def _has_other_form(one: Span, other: Span) -> bool:
    return (one.dtype, one.shape, one.stop - one.start) != (other.dtype, other.shape, other.stop - other.start)


def _names_in_several_files(described: Described) -> set[str]:
    counts = Counter(span.name for layout in described.layouts.values() for span in layout.spans)
    return {name for name, count in counts.items() if count > 1}


def _by_name(described: Described, shared: set[str]) -> dict[tuple[str, str], _Tensor]:
    found: dict[tuple[str, str], _Tensor] = {}
    for entry, chunks in zip(described.manifest.files, described.lists, strict=True):
        layout = described.layouts.get(entry.path)
        if layout is None:
            continue
        starts = list(accumulate(chunks.lengths, initial=0))
        for span in layout.spans:
            key = (entry.path if span.name in shared else "", span.name)
            found[key] = _tensor(entry.path, span, chunks, starts)
    return found


def _tensor(path: str, span: Span, chunks: ChunkList, starts: Sequence[int]) -> _Tensor:
    if span.start == span.stop:
        return _Tensor(path, span, (), exact=True)
    first = bisect_right(starts, span.start) - 1
    last = bisect_right(starts, span.stop - 1) - 1
    digests = chunks.digests[first * DIGEST_BYTES : (last + 1) * DIGEST_BYTES]
    exact = starts[first] == span.start and starts[last + 1] == span.stop
    return _Tensor(path, span, (digests, span.start - starts[first]), exact)
