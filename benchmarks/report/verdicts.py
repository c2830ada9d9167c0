"""The last of a report: every target under what it was judged of, and how many of them were met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from benchmarks.payload import GIB, MIB
from benchmarks.plan import TARGET_BYTES
from benchmarks.report.layout import paragraph, table
from benchmarks.targets import Verdict

_HEADER = ("", "what", "target", "measured")


def verdict_table(verdicts: Sequence[Verdict], *, size: int, width: int) -> str:
    """Return the table; `size` is what `--bytes` said."""
    title = f"Targets, set for {TARGET_BYTES / GIB:g} GiB and 10,000 small files"
    if size != TARGET_BYTES:
        title += f"; this run was given {size / MIB:,.0f} MiB, so its verdicts only hint"
    lines = [paragraph(title, width=width), *_rows(verdicts, width=width), "", _count(verdicts, width=width)]
    return "\n".join(lines)


def _rows(verdicts: Sequence[Verdict], *, width: int) -> list[str]:
    headings: dict[int, str] = {}
    rows = [_HEADER]
    for of, group in groupby(verdicts, key=lambda one: one.of):
        headings[len(rows)] = of
        rows += [(f"  {one.word}", one.what, one.target, one.measured or "") for one in group]
    return table(rows, width=width, flexible=_HEADER.index("what"), headings=headings)


def _count(verdicts: Sequence[Verdict], *, width: int) -> str:
    counted = Counter(one.word for one in verdicts)
    return paragraph("Targets: " + ", ".join(f"{count} {word}" for word, count in counted.items()), width=width)
