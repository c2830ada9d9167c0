"""Durations as a user writes them."""

from __future__ import annotations

import math
import re

from p2phub.errors import UsageError

_UNITS = {"": 1, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")


def parse_duration(value: str | float) -> float:
    """Read a time in seconds: a number of them, a text such as 30s, 10m, 24h or 7d, or `forever`, which is math.inf.

    Raises UsageError.
    """
    text = str(value).strip().lower()
    if text in ("forever", "inf"):
        return math.inf
    match = _DURATION.fullmatch(text)
    unit = None if match is None or isinstance(value, bool) or len(text) > 40 else _UNITS.get(match[2])
    if match is None or unit is None:
        raise UsageError(f"not a time to wait: {text[:40]!r}", hint="like 30s, 10m, 24h, 7d or forever")
    return float(match[1]) * unit
