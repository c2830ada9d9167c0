"""Which part of a manifest a user wants: files by pattern, tensors by name, columns and row groups of tables.

From a `Choice` and what describes the manifest comes what is `Chosen`: files to be fetched whole; of others the chunks
that hold their header and what was chosen inside of them; and what is made of those (`composing`). Tensors are named
without regard to the file that they stand in.

What stands where is the publisher's word (layouts, proto/manifest.md §5) until the header itself is here and verified:
`Chosen.make` reads that, and says Damaged where the two are not the same. Nothing else here looks at a disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from p2phub import limits
from p2phub.content import ChunkTable, Digest, RangeSet, ReadPlan, Run
from p2phub.engine.choice import Choice
from p2phub.engine.composing import LENGTH_BYTES, TABLE_MAGIC, columns_end, compose, compose_by_indexes, made, to_make
from p2phub.engine.patterns import Pattern, file_patterns, name_patterns
from p2phub.engine.shards import indexes_beside
from p2phub.errors import Damaged, UsageError
from p2phub.formats import GGUF, PARQUET, SAFETENSORS, Layout, Span
from p2phub.manifest import Manifest
from p2phub.observe import Remark, Unmatched, some_of
from p2phub.store import Made, Selected

TENSOR_FORMATS = (SAFETENSORS, GGUF)
HEADER_END_MAX = limits.HEADER_BYTES_MAX + limits.MIB  # With what fills it up to the alignment of a GGUF file.


class Chosen(msgspec.Struct, frozen=True):
    """What is fetched. `spans`: the tensors, by number of their file, in the order of the patterns that mean them, else
    as they stand; `layouts`: of those files, as their publisher has them. `unmatched`: patterns that match nothing.
    `known`: the layouts of other files, too; `indexes`: files that say which of them are one model, fetched for it."""

    selected: Selected
    spans: tuple[tuple[int, Span], ...]
    layouts: Mapping[int, Layout]
    unmatched: tuple[Unmatched, ...]
    known: Mapping[int, Layout]
    indexes: tuple[int, ...]

    def header_of(self, number: int, table: ChunkTable) -> Run:
        """Return the run of chunks that the header of a file is in, which tensors are taken of."""
        return _header(table, number, self.layouts[number])

    def make(self, plan: ReadPlan, manifest: Manifest) -> tuple[list[Made], list[Remark]]:
        """Return what the files that are made consist of, and what is to be said of them. Call when all that was
        selected is verified; `plan` opens it. Blocks. Raises Damaged where a layout is not that of its file, DiskError.
        """
        spans = sorted(self.spans, key=lambda each: (each[0], each[1].start, each[1].stop, each[1].name))
        making, remarks = compose_by_indexes(manifest, spans, self.known, self.indexes, plan)
        return [made(each, plan, manifest) for each in making], remarks


class Choosing:
    """A choice, understood. `makes`: whether files are to be made of parts, else somebody reads those where they lie.
    Raises UsageError for what is no pattern."""

    def __init__(self, choice: Choice, *, makes: bool = True) -> None:
        self._makes = makes
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
        known = {number: layouts[files[number]] for number in left if files[number] in layouts}
        making = compose(manifest, spans, known) if self._makes else ()
        shards = [number for number, _ in spans if known[number].format == SAFETENSORS]
        indexes = indexes_beside(files, left, shards, manifest) if self._makes else []
        chunks = [table.span(number) for number in (*whole, *indexes)]
        used = {number: inside[number] for number, _ in spans}
        for number, layout in (used | {at: layout for each in making for at, layout in each.layouts.items()}).items():
            chunks += _frame(table, number, layout, manifest.files[number].size)
        chunks += [table.covering(number, span.start, span.stop) for number, span in spans]
        selected = Selected(
            RangeSet.of(chunks), RangeSet.from_indices(whole), tuple(to_make(each, manifest) for each in making)
        )
        patterns = (*self._include, *self._exclude, *self._tensors, *self._columns)
        given = [*(pattern for pattern, _ in patterns), *(text for text, _ in self._groups)]
        unmatched = tuple(Unmatched(pattern) for pattern in dict.fromkeys(given) if pattern not in matched)
        return Chosen(selected, tuple(self._as_asked(spans)), used, unmatched, known, tuple(indexes))

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
        for kinds, wanted in ((TENSOR_FORMATS, self._tensors), ((PARQUET,), self._columns or self._groups)):
            of_kind = {
                number: layouts[files[number]]
                for number in left
                if wanted and files[number] in layouts and layouts[files[number]].format in kinds
            }
            found |= {number: layout for number, layout in of_kind.items() if number in included} or of_kind
        return dict(sorted(found.items()))

    def _is_wanted(self, layout: Layout, span: Span, matched: set[str]) -> bool:
        """Whether a span of a file that is looked into was asked for; what asks for it is noted in `matched`."""
        if layout.format in TENSOR_FORMATS:
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
            return UsageError(f"no file is selected: {self._why_none(files)}", hint=self._what_there_is(files))
        known = [(files[number], layouts[files[number]]) for number in left if files[number] in layouts]
        kinds, what = (TENSOR_FORMATS, "tensor") if self._tensors else ((PARQUET,), "column of a row group")
        names = [span.name for _, layout in known if layout.format in kinds for span in layout.spans]
        if not names:
            return UsageError(
                f"there is no {' or '.join(kinds)} file with anything to select from", hint=f"it has: {_few(files)}"
            )
        return UsageError(f"no {what} is selected", hint=f"there are: {_few(names)}")

    def _why_none(self, files: Sequence[str]) -> str:
        if not self._include:
            return f"all are left out by {_quoted(self._exclude)}"
        if any(_any(self._include, path) for path in files):
            return "what is included is left out again"
        return f"nothing matches {_quoted(self._include)}"

    def _what_there_is(self, files: Sequence[str]) -> str:
        # Git's rule, which nobody guesses who means to match slashes, too.
        stars = any("***" in pattern for pattern, _ in self._include)
        return f"there are: {_few(files)}" + ("; three stars in a row match as one star does" if stars else "")


def whole_files(files: RangeSet, table: ChunkTable) -> Chosen:
    """Return what is fetched of these files alone, by number, each of them whole."""
    spans = ((table.span(start)[0], table.span(stop - 1)[1]) for start, stop in files.runs)
    return Chosen(Selected(RangeSet.of(spans), files), (), {}, (), {}, ())


def _header(table: ChunkTable, number: int, layout: Layout) -> Run:
    return table.covering(number, 0, max(layout.header_bytes, LENGTH_BYTES))


def _frame(table: ChunkTable, number: int, layout: Layout, size: int) -> list[Run]:
    """Return the runs of chunks in which it stands what a file is: of a table its magic, and all behind its columns.
    Raises Damaged for a header that none can be."""
    if layout.format in TENSOR_FORMATS:
        if layout.header_bytes > HEADER_END_MAX:
            raise Damaged(f"the publisher says of a file that its header has {layout.header_bytes:,} bytes")
        return [_header(table, number, layout)]
    return [table.covering(number, 0, len(TABLE_MAGIC)), table.covering(number, columns_end(layout), size)]


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


def _quoted(patterns: Sequence[Pattern]) -> str:
    return some_of([repr(pattern[:80]) for pattern, _ in patterns])


def _few(names: Sequence[str]) -> str:
    return some_of([name[:80] for name in names])
