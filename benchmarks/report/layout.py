"""Lay tables and paragraphs out in plain text, in as many columns as the reader's terminal has.

A table that is too wide first breaks the words of its one flexible column; if that is not enough, it goes on below in
blocks that repeat the first column. Nothing is ever cut off.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

_INDENT, _GAP = "  ", "  "
_FLEXIBLE_MIN = 24  # A column of words that is narrower than this is harder to read than a second block.

Cells = Sequence[str]


def table(
    rows: Sequence[Cells], *, width: int, flexible: int | None = None, headings: Mapping[int, str] | None = None
) -> list[str]:
    """Return the lines of a table within `width` columns, if it can be. A cell may have several lines; a heading
    stands above the row of its number."""
    widths = [max(_cell_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    if flexible is not None:
        spare = width - _row_width(widths)
        if spare < 0:
            room = max(min(widths[flexible], _FLEXIBLE_MIN), widths[flexible] + spare)
            rows = [_wrapped(row, flexible, room) for row in rows]
            widths[flexible] = max(_cell_width(row[flexible]) for row in rows)
    lines: list[str] = []
    for columns in _blocks(widths, width):
        lines += [""] if lines else []
        for number, row in enumerate(rows):
            if headings is not None and number in headings:
                lines.append(paragraph(headings[number], width=width, indent=_INDENT))
            lines += _lines([row[column] for column in columns], [widths[column] for column in columns])
    return lines


def paragraph(text: str, *, width: int, indent: str = "") -> str:
    """Return `text` in lines of at most `width` columns; those after the first are indented further."""
    return textwrap.fill(
        text,
        max(width, _FLEXIBLE_MIN),
        initial_indent=indent,
        subsequent_indent=indent + _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _blocks(widths: Sequence[int], width: int) -> Iterator[list[int]]:
    """Yield which columns stand beside each other; the first one stands in each block."""
    block = [0]
    for column in range(1, len(widths)):
        if len(block) > 1 and _row_width([widths[each] for each in (*block, column)]) > width:
            yield block
            block = [0]
        block.append(column)
    yield block


def _lines(cells: Cells, widths: Sequence[int]) -> Iterator[str]:
    parts = [cell.split("\n") for cell in cells]
    for number in range(max(map(len, parts))):
        line = [part[number] if number < len(part) else "" for part in parts]
        yield _INDENT + _GAP.join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def _wrapped(row: Cells, column: int, width: int) -> list[str]:
    filled = [_broken(line, width) for line in row[column].split("\n")]
    return [*row[:column], "\n".join(filled), *row[column + 1 :]]


def _broken(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line, width, subsequent_indent=indent + _INDENT)


def _row_width(widths: Sequence[int]) -> int:
    return len(_INDENT) + sum(widths) + len(_GAP) * (len(widths) - 1)


def _cell_width(cell: str) -> int:
    return max(map(len, cell.split("\n")))
