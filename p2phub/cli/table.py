"""Rows in columns, as plain text."""

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
