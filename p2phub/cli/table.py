"""Rows in columns, as plain text; a block for each thing where the terminal has no room for a row."""

from __future__ import annotations

from collections.abc import Sequence

from p2phub import api


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return lines: the titles, then the rows, each column as wide as its widest cell; `right` are numbers' columns."""
    cells = [[api.printable(cell) for cell in row] for row in (titles, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def table_or_blocks(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    blocks: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    columns: int | None,
) -> list[str]:
    """Return the lines of `table`, or, where one would be wider than `columns` of a terminal, those of `blocks`.

    A block says the same of a row in lines of its own: its name, then what there is to say of it, indented. None: no
    terminal shows it, and rows may be as wide as they are.
    """
    lines = table(titles, rows, right=right)
    if columns is None or max(map(len, lines)) <= columns:
        return lines
    return [line for block in blocks for line in block]
