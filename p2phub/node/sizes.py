"""Sizes as a user writes them: 200GB (10^9), 20MiB (2^20), or a number of bytes."""

from __future__ import annotations

import re

from p2phub.errors import UsageError

_UNITS = {"": 1, "B": 1} | {
    f"{letter}{binary}B": (1024 if binary else 1000) ** power
    for power, letter in enumerate("kMGTP", start=1)
    for binary in ("", "i")
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)")
_TEXT_MAX = 40


def read_size(value: str | int | float) -> int | None:
    """Return how many bytes `value` says, None if it says none."""
    text = str(value).strip()
    match = _SIZE.fullmatch(text) if len(text) <= _TEXT_MAX and not isinstance(value, bool) else None
    unit = None if match is None else _UNITS.get(match[2].replace("K", "k"))
    return None if match is None or unit is None else int(float(match[1]) * unit)


def parse_quota(value: str | int | float) -> int | None:
    """Read how much there may be: a size, or `none`. Raises UsageError."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    found = read_size(value)
    if found is None:
        raise UsageError(f"not a size: {str(value)[:_TEXT_MAX]!r}", hint="bytes, like 200GB or 1.5TiB, or none")
    return found
