"""Which part of a manifest a user wants: files by pattern, tensors by name, columns and row groups of tables.

From a `Choice` and what describes the manifest comes what is `Chosen`: files to be fetched whole; of others the chunks
that hold their header and what was chosen inside of them; and what is made of those. Files that are shards of one
model (`model-00001-of-00003.safetensors`) give one file together, `model.selected.safetensors` beside where they would
stand: tensors are named without regard to the shard. A table gives `table.selected.parquet`. No name that the manifest
has is ever used for a part of its file.

What stands where is the publisher's word (layouts, proto/manifest.md §5) until the header itself is here and verified:
`Chosen.make` reads that, and says Damaged where the two are not the same. Nothing else here looks at a disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from p2phub import limits
from p2phub.content import ChunkTable, Digest, RangeSet, Readable, ReadPlan, Run
from p2phub.engine.choice import Choice
from p2phub.engine.hashing import read_exactly
from p2phub.engine.patterns import Pattern, file_patterns, name_patterns
from p2phub.errors import Damaged, Malformed, UsageError
from p2phub.formats import (
    GGUF,
    PARQUET,
    SAFETENSORS,
    Layout,
    Span,
    header_bytes_max,
    in_order,
    part_end,
    read_footer_of,
    read_safetensors_header,
    selected_header,
)
from p2phub.manifest import FileEntry, Manifest
from p2phub.observe import Unmatched
from p2phub.store import Made, Part, Selected, ToMake

NAMED_MAX = 3  # Of what there is, where nothing was chosen.
_SHARD = re.compile(r"(?P<stem>.+?)-\d{1,6}-of-\d{1,6}\.safetensors", re.DOTALL)
_SUFFIX = ".safetensors"
_ROW_GROUP_MORE_BYTES = 32  # Three numbers of ten bytes, which may have been of one.
_MARK = ".selected"
_TABLE = ".parquet"
_MAGIC = b"PAR1"  # What a table begins and ends with.
_LENGTH_BYTES = 8  # What a safetensors file begins with.


class Making(msgspec.Struct, frozen=True):
    """A file to be made at `path` of `spans` of files (by number), in this order: tensors of one or more, or columns of
    one table. `layouts`: of those files, as their publisher has them."""

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
        self._columns = name_patterns(choice.columns, "columns")
        self._groups = [(text, _row_groups(text)) for text in choice.row_groups]
        if len(self._groups) > limits.FIRST_PATTERNS_MAX:
            raise UsageError(f"more than {limits.FIRST_PATTERNS_MAX} ranges of row groups")

    @property
    def needs_layouts(self) -> bool:
        """Whether what is inside of files matters."""
        return bool(self._tensors or self._columns or self._groups)

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
        inside = self._containers(files, left, included, layouts)
        if self._include:
            whole = sorted(included - inside.keys())
        else:
            whole = [] if self.needs_layouts else left
        spans = [
            (number, span)
            for number, layout in inside.items()
            for span in layout.spans
            if self._is_wanted(layout, span, matched)
        ]
        if not whole and not spans:
            raise self._nothing(files, left, layouts)
        making = _making(manifest, spans, inside)
        chunks = [table.span(number) for number in whole]
        used = {number: inside[number] for number, _ in spans}
        for number, layout in used.items():
            chunks += _frame(table, number, layout, manifest.files[number].size)
        chunks += [table.covering(number, span.start, span.stop) for number, span in spans]
        selected = Selected(
            RangeSet.of(chunks), RangeSet.from_indices(whole), tuple(_to_make(each, manifest) for each in making)
        )
        patterns = (*self._include, *self._exclude, *self._tensors, *self._columns)
        given = [*(pattern for pattern, _ in patterns), *(text for text, _ in self._groups)]
        unmatched = tuple(Unmatched(pattern) for pattern in dict.fromkeys(given) if pattern not in matched)
        return Chosen(selected, making, tuple(self._as_asked(spans)), used, unmatched)

    def _as_asked(self, spans: Sequence[tuple[int, Span]]) -> list[tuple[int, Span]]:
        def first_pattern(each: tuple[int, Span]) -> int:
            return next(at for at, (_, matches) in enumerate(self._tensors) if matches(each[1].name))

        return sorted(spans, key=first_pattern) if len(self._tensors) > 1 else list(spans)

    def _containers(
        self, files: Sequence[str], left: Sequence[int], included: set[int], layouts: Mapping[str, Layout]
    ) -> dict[int, Layout]:
        """Return the files that are looked into: of tensor files, and of tables, those that `include` names, if it
        names any such."""
        found: dict[int, Layout] = {}
        for kind, wanted in ((SAFETENSORS, self._tensors), (PARQUET, self._columns or self._groups)):
            of_kind = {
                number: layouts[files[number]]
                for number in left
                if wanted and files[number] in layouts and layouts[files[number]].format == kind
            }
            found |= {number: layout for number, layout in of_kind.items() if number in included} or of_kind
        return dict(sorted(found.items()))

    def _is_wanted(self, layout: Layout, span: Span, matched: set[str]) -> bool:
        """Whether a span of a file that is looked into was asked for; what asks for it is noted in `matched`."""
        if layout.format == SAFETENSORS:
            return _notes(self._tensors, span.name, matched)
        group, _, column = span.name.partition("/")
        parts = column.split(".")
        ways = [".".join(parts[: at + 1]) for at in range(len(parts))]  # Who names `user` means `user.name`, too.
        by_group = [text for text, groups in self._groups if group.isdecimal() and int(group) in groups]
        by_column = [pattern for pattern, matches in self._columns if any(map(matches, ways))]
        if (self._groups and not by_group) or (self._columns and not by_column):
            return False
        matched.update(by_group, by_column)
        return True

    def _nothing(self, files: Sequence[str], left: Sequence[int], layouts: Mapping[str, Layout]) -> UsageError:
        """Return what to say where nothing was chosen."""
        if not self.needs_layouts:
            return UsageError("no file is selected", hint=f"there are: {_few(files)}")
        known = [(files[number], layouts[files[number]]) for number in left if files[number] in layouts]
        for path, layout in known:
            if layout.format == GGUF and any(_any(self._tensors, span.name) for span in layout.spans):
                return UsageError(
                    f"{path} is a GGUF file, whose tensors cannot be taken alone",
                    hint=f"fetch it whole: --include {path!r}",
                )
        kind, what = (SAFETENSORS, "tensor") if self._tensors else (PARQUET, "column of a row group")
        names = [span.name for _, layout in known if layout.format == kind for span in layout.spans]
        if not names:
            return UsageError(f"there is no {kind} file with anything to select from", hint=f"it has: {_few(files)}")
        return UsageError(f"no {what} is selected", hint=f"there are: {_few(names)}")


def _header(table: ChunkTable, number: int, layout: Layout) -> Run:
    return table.covering(number, 0, max(layout.header_bytes, _LENGTH_BYTES))


def _frame(table: ChunkTable, number: int, layout: Layout, size: int) -> list[Run]:
    """Return the runs of chunks in which it stands what a file is: of a table its magic, and all behind its columns."""
    if layout.format == SAFETENSORS:
        return [_header(table, number, layout)]
    return [table.covering(number, 0, len(_MAGIC)), table.covering(number, _columns_end(layout), size)]


def _columns_end(layout: Layout) -> int:
    return max((span.stop for span in layout.spans), default=0)


def _row_groups(text: str) -> range:
    """Return the row groups that a number, or a range with both its ends, means. Raises UsageError."""
    first, dash, last = text.partition("-")
    numbers = (first, last) if dash else (first, first)
    if not all(number.isascii() and number.isdecimal() and len(number) <= 9 for number in numbers):
        raise UsageError(f"not row groups: {text[:40]!r}", hint="0, or 0-3 for the first four")
    return range(int(numbers[0]), int(numbers[1]) + 1)


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
    tables: dict[int, list[tuple[int, Span]]] = {}
    for number, span in spans:
        if layouts[number].format == SAFETENSORS:
            models.setdefault(_model_of(manifest.files[number].path), []).append((number, span))
        else:
            tables.setdefault(number, []).append((number, span))
    found = [
        Making(_free_path(manifest.files[number].path, _TABLE, manifest), tuple(chosen), {number: layouts[number]})
        for number, chosen in tables.items()
    ]
    for stem, chosen in models.items():
        try:
            order = in_order([span for _, span in chosen])
        except ValueError as error:
            raise Damaged(f"the publisher says of a file of {stem} what cannot be: {error}") from error
        used = {number: layouts[number] for number, _ in chosen}
        found.append(Making(_free_path(stem, _SUFFIX, manifest), tuple(chosen[at] for at in order), used))
    return tuple(found)


def _model_of(path: str) -> str:
    """Return what a file, or all shards that it is one of, would be called without what numbers it."""
    shard = _SHARD.fullmatch(path)
    return shard["stem"] if shard is not None else path.removesuffix(_SUFFIX)


def _free_path(stem: str, suffix: str, manifest: Manifest) -> str:
    stem = stem.removesuffix(suffix)
    path = stem + _MARK + suffix
    taken = {entry.path for entry in manifest.files if entry.path.startswith(stem + _MARK)}
    while any(each == path or each.startswith(path + "/") for each in taken):
        path = path.removesuffix(suffix) + _MARK + suffix
    return path


def _to_make(making: Making, manifest: Manifest) -> ToMake:
    spans = [span for _, span in making.spans]
    size = sum(span.stop - span.start for span in spans)
    for number, layout in making.layouts.items():
        if layout.format == PARQUET:  # What is behind the columns gets less, but for what row groups say of themselves.
            behind = manifest.files[number].size - _columns_end(layout)
            groups = len({span.name.partition("/")[0] for span in spans})
            most = len(_MAGIC) + behind + groups * _ROW_GROUP_MORE_BYTES + limits.KIB
            return ToMake(making.path, size, size + most)
    return ToMake(making.path, size, size + header_bytes_max(spans))


def _made(making: Making, plan: ReadPlan, manifest: Manifest) -> Made:
    for number, layout in making.layouts.items():
        if layout.format == PARQUET:
            return _table_made(making, number, layout, plan, manifest)
    metadata = [
        check_header(manifest.files[number], layout, plan.open(number)) for number, layout in making.layouts.items()
    ]
    header = selected_header([span for _, span in making.spans], metadata)
    parts = (Part(number, span.start, span.stop) for number, span in making.spans if span.start < span.stop)
    return Made(making.path, (header, *parts))


def _table_made(making: Making, number: int, layout: Layout, plan: ReadPlan, manifest: Manifest) -> Made:
    """Raises Damaged if the file is not what `layout` says."""
    entry, file = manifest.files[number], plan.open(number)
    end = _columns_end(layout)

    def read(offset: int, length: int) -> bytes:
        if offset < end and offset + length > len(_MAGIC):
            raise _lied(entry.path)
        return read_exactly(file.descriptor, offset, length, entry.path)

    try:
        parsed, footer = read_footer_of(entry.size, read)
        if parsed.spans != layout.spans:
            raise _lied(entry.path)
        places: dict[str, int] = {}
        at = len(_MAGIC)
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
    return Made(making.path, (_MAGIC, *(Part(number, span.start, span.stop) for _, span in making.spans), behind))


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
    return Damaged(f"{path} is not made up as its publisher says", hint="fetch the file whole")
