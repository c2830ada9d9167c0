"""The last of a report: every target under what it was judged of, what was not run at all, and how many were met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

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
    groups: dict[str, list[Verdict]] = {}
    for one in verdicts:
        groups.setdefault(one.of, []).append(one)
    asked = {of: group for of, group in groups.items() if any(one.measured is not None for one in group)}
    rest = [of for of in groups if of not in asked]
    lines = [paragraph(title, width=width), *_rows(asked, width=width), ""]
    if rest:
        lines.append(paragraph("Nothing measured of: " + "; ".join(rest), width=width))
    return "\n".join([*lines, _count(verdicts, width=width)])


def _rows(groups: Mapping[str, Sequence[Verdict]], *, width: int) -> list[str]:
    headings: dict[int, str] = {}
    rows = [_HEADER]
    for of, group in groups.items():
        headings[len(rows)] = of
        rows += [(f"  {one.word}", one.what, one.target, one.measured or "") for one in group]
    return table(rows, width=width, flexible=_HEADER.index("what"), headings=headings)


def _count(verdicts: Sequence[Verdict], *, width: int) -> str:
    counted = Counter(one.word for one in verdicts)
    return paragraph("Targets: " + ", ".join(f"{count} {word}" for word, count in counted.items()), width=width)
