"""Which part of a manifest a user wants: files by pattern, tensors by name, columns and row groups of tables.

From a `Choice` and what describes the manifest comes what is `Chosen`: files to be fetched whole; of others the chunks
that hold their header and what was chosen inside of them; and what is made of those. Files that are shards of one
model (`model-00001-of-00003.safetensors`) give one file together, `model.selected.safetensors` beside where they would
stand: tensors are named without regard to the shard. No name that the manifest has is ever used for a part of its file.

What stands where is the publisher's word (layouts, proto/manifest.md §5) until the header itself is here and verified:
`Chosen.make` reads that, and says Damaged where the two are not the same. Nothing else here looks at a disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from p2phub.content import ChunkTable, Digest, RangeSet, Readable, ReadPlan, Run
from p2phub.engine.choice import Choice
from p2phub.engine.hashing import read_exactly
from p2phub.engine.patterns import Pattern, file_patterns, name_patterns
from p2phub.errors import Damaged, Malformed, UsageError
from p2phub.formats import (
    GGUF,
    SAFETENSORS,
    Layout,
    Span,
    header_bytes_max,
    in_order,
    read_safetensors_header,
    selected_header,
)
from p2phub.manifest import FileEntry, Manifest
from p2phub.observe import Unmatched
from p2phub.store import Made, Part, Selected, ToMake

NAMED_MAX = 3  # Of what there is, where nothing was chosen.
_SHARD = re.compile(r"(?P<stem>.+?)-\d{1,6}-of-\d{1,6}\.safetensors", re.DOTALL)
_SUFFIX = ".safetensors"
_MARK = ".selected"
_LENGTH_BYTES = 8  # What a safetensors file begins with.


class Making(msgspec.Struct, frozen=True):
    """A file to be made at `path` of `spans` of files (by number), in this order. `layouts`: of those files, as their
    publisher has them."""

    path: str
    spans: tuple[tuple[int, Span], ...]
    layouts: Mapping[int, Layout]


class Chosen(msgspec.Struct, frozen=True):
    """What is fetched, and what is made of it. `spans`: the tensors, by number of their file, in the order of the
    patterns that mean them, else as they stand; `layouts`: of those files, as their publisher has them. `unmatched`:
    patterns that match nothing."""

    selected: Selected
    making: tuple[Making, ...]
    spans: tuple[tuple[int, Span], ...]
    layouts: Mapping[int, Layout]
    unmatched: tuple[Unmatched, ...]

    def header_of(self, number: int, table: ChunkTable) -> Run:
        """Return the run of chunks that the header of a file is in, which tensors are taken of."""
        return _header(table, number, self.layouts[number])

    def make(self, plan: ReadPlan, manifest: Manifest) -> list[Made]:
        """Return what the files that are made consist of. Call when all that was selected is verified; `plan` opens it.
        Blocks. Raises Damaged where a layout is not that of its file, DiskError."""
        return [_made(making, plan, manifest) for making in self.making]


class Choosing:
    """A choice, understood. Raises UsageError for what is no pattern."""

    def __init__(self, choice: Choice) -> None:
        self._include = file_patterns(choice.include, "files to include")
        self._exclude = file_patterns(choice.exclude, "files to exclude")
        self._tensors = name_patterns(choice.tensors, "tensors")

    @property
    def needs_layouts(self) -> bool:
        """Whether what is inside of files matters."""
        return bool(self._tensors)

    def layouts_of(self, manifest: Manifest) -> set[Digest]:
        """Return the layouts that `choose` needs. Blocks: many paths and patterns take seconds."""
        if not self.needs_layouts:
            return set()
        files = manifest.files
        return {entry.layout for entry in files if entry.layout is not None and not _any(self._exclude, entry.path)}

    def choose(self, manifest: Manifest, table: ChunkTable, layouts: Mapping[str, Layout]) -> Chosen:
        """Return what is meant of `manifest`. `layouts`, by path, are those of `layouts_of`, as far as there are any.
        Blocks. Raises UsageError where nothing is chosen, Damaged for layouts that no file can have."""
        matched: set[str] = set()
        files = [entry.path for entry in manifest.files]
        left = [number for number, path in enumerate(files) if not _notes(self._exclude, path, matched)]
        included = {number for number in left if _notes(self._include, files[number], matched)}
        inside = self._containers(files, left, included, layouts) if self._tensors else {}
        if self._include:
            whole = sorted(included - inside.keys())
        else:
            whole = [] if self._tensors else left
        spans = [
            (number, span)
            for number, layout in inside.items()
            for span in layout.spans
            if _notes(self._tensors, span.name, matched)
        ]
        if not whole and not spans:
            raise self._nothing(files, left, layouts)
        making = _making(manifest, spans, inside)
        chunks = [table.span(number) for number in whole]
        used = {number: inside[number] for number, _ in spans}
        chunks += [_header(table, number, layout) for number, layout in used.items()]
        chunks += [table.covering(number, span.start, span.stop) for number, span in spans]
        selected = Selected(
            RangeSet.of(chunks), RangeSet.from_indices(whole), tuple(_to_make(each, manifest) for each in making)
        )
        given = [pattern for pattern, _ in (*self._include, *self._exclude, *self._tensors)]
        unmatched = tuple(Unmatched(pattern) for pattern in dict.fromkeys(given) if pattern not in matched)
        return Chosen(selected, making, tuple(self._as_asked(spans)), used, unmatched)

    def _as_asked(self, spans: Sequence[tuple[int, Span]]) -> list[tuple[int, Span]]:
        def first_pattern(each: tuple[int, Span]) -> int:
            return next(at for at, (_, matches) in enumerate(self._tensors) if matches(each[1].name))

        return sorted(spans, key=first_pattern) if len(self._tensors) > 1 else list(spans)

    def _containers(
        self, files: Sequence[str], left: Sequence[int], included: set[int], layouts: Mapping[str, Layout]
    ) -> dict[int, Layout]:
        """Return the files whose tensors are looked at: those that `include` names, if it names any such."""
        found = {
            number: layouts[files[number]]
            for number in left
            if files[number] in layouts and layouts[files[number]].format == SAFETENSORS
        }
        return {number: layout for number, layout in found.items() if number in included} or found

    def _nothing(self, files: Sequence[str], left: Sequence[int], layouts: Mapping[str, Layout]) -> UsageError:
        """Return what to say where nothing was chosen."""
        if not self._tensors:
            return UsageError("no file is selected", hint=f"there are: {_few(files)}")
        known = [(files[number], layouts[files[number]]) for number in left if files[number] in layouts]
        for path, layout in known:
            if layout.format == GGUF and any(_any(self._tensors, span.name) for span in layout.spans):
                return UsageError(
                    f"{path} is a GGUF file, whose tensors cannot be taken alone",
                    hint=f"fetch it whole: --include {path!r}",
                )
        names = [span.name for _, layout in known if layout.format == SAFETENSORS for span in layout.spans]
        if not names:
            return UsageError("there is no safetensors file with tensors to select from", hint=f"it has: {_few(files)}")
        return UsageError("no tensor is selected", hint=f"there are: {_few(names)}")


def _header(table: ChunkTable, number: int, layout: Layout) -> Run:
    return table.covering(number, 0, max(layout.header_bytes, _LENGTH_BYTES))


def _any(patterns: Sequence[Pattern], name: str) -> bool:
    return any(matches(name) for _, matches in patterns)


def _notes(patterns: Sequence[Pattern], name: str, matched: set[str]) -> bool:
    """Whether any of `patterns` matches; all that do are noted in `matched`."""
    found = [pattern for pattern, matches in patterns if matches(name)]
    matched.update(found)
    return bool(found)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(name[:80] for name in names[:NAMED_MAX])
    return shown + (f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else "")


# --- what is made ---------------------------------------------------------------------------------------------------


def _making(manifest: Manifest, spans: Sequence[tuple[int, Span]], layouts: Mapping[int, Layout]) -> tuple[Making, ...]:
    """Return the files to make of `spans`: one of each model, whatever it was cut into."""
    models: dict[str, list[tuple[int, Span]]] = {}
    for number, span in spans:
        models.setdefault(_model_of(manifest.files[number].path), []).append((number, span))
    found: list[Making] = []
    for stem, chosen in models.items():
        try:
            order = in_order([span for _, span in chosen])
        except ValueError as error:
            raise Damaged(f"the publisher says of a file of {stem} what cannot be: {error}") from error
        used = {number: layouts[number] for number, _ in chosen}
        found.append(Making(_free_path(stem, manifest), tuple(chosen[at] for at in order), used))
    return tuple(found)


def _model_of(path: str) -> str:
    """Return what a file, or all shards that it is one of, would be called without what numbers it."""
    shard = _SHARD.fullmatch(path)
    return shard["stem"] if shard is not None else path.removesuffix(_SUFFIX)


def _free_path(stem: str, manifest: Manifest) -> str:
    path = stem + _MARK + _SUFFIX
    taken = {entry.path for entry in manifest.files if entry.path.startswith(stem + _MARK)}
    while any(each == path or each.startswith(path + "/") for each in taken):
        path = path.removesuffix(_SUFFIX) + _MARK + _SUFFIX
    return path


def _to_make(making: Making, manifest: Manifest) -> ToMake:
    spans = [span for _, span in making.spans]
    size = sum(span.stop - span.start for span in spans)
    return ToMake(making.path, size, size + header_bytes_max(spans))


def _made(making: Making, plan: ReadPlan, manifest: Manifest) -> Made:
    metadata = [
        check_header(manifest.files[number], layout, plan.open(number)) for number, layout in making.layouts.items()
    ]
    header = selected_header([span for _, span in making.spans], metadata)
    parts = (Part(number, span.start, span.stop) for number, span in making.spans if span.start < span.stop)
    return Made(making.path, (header, *parts))


def check_header(entry: FileEntry, layout: Layout, file: Readable) -> str:
    """Read the header of a file, which is verified, and return its metadata; `file` is closed. Raises Damaged if the
    file is not what `layout` says."""
    try:
        read = _verified_reader(file.descriptor, entry.path, layout.header_bytes)
        parsed, metadata = read_safetensors_header(entry.size, read)
    except Malformed as error:
        raise _lied(entry.path) from error
    finally:
        file.close()
    if (parsed.header_bytes, parsed.spans) != (layout.header_bytes, layout.spans):
        raise _lied(entry.path)
    return metadata


def _verified_reader(descriptor: int, path: str, header_bytes: int) -> Callable[[int, int], bytes]:
    """Return what reads a header of `header_bytes`, and nothing behind: of that perhaps nothing was verified."""

    def read(offset: int, length: int) -> bytes:
        if offset + length > max(header_bytes, _LENGTH_BYTES):
            raise _lied(path)
        return read_exactly(descriptor, offset, length, path)

    return read


def _lied(path: str) -> Damaged:
    return Damaged(f"{path} has other tensors than its publisher says", hint="fetch the file whole, without --tensor")
