"""Rates as a user writes them, and the caps of a node at one moment."""

from __future__ import annotations

import msgspec

from p2phub import limits
from p2phub.errors import UsageError
from p2phub.node.sizes import read_size


class Rates(msgspec.Struct, frozen=True):
    """Caps in bytes a second; None is as fast as it goes."""

    up: int | None = None
    down: int | None = None


def parse_rate(value: str | int | float) -> int:
    """Read bytes a second: a number, or a text such as 20MB (10^6) or 20MiB (2^20). Raises UsageError."""
    text = str(value).strip()
    rate = None if isinstance(value, bool) else read_size(text.removesuffix("/s"))
    if not rate:
        raise UsageError(f"not a rate: {text[:40]!r}", hint="bytes a second, like 500kB, 20MB or 20MiB, or none")
    return rate


def parse_cap(value: str | int | float) -> int | None:
    """Read a cap: a rate of at least CAP_MIN, or `none`. Raises UsageError."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    rate = parse_rate(value)
    if rate < limits.CAP_MIN:
        raise UsageError(
            f"a cap of {rate:,} bytes a second is too low",
            hint=f"at least {limits.CAP_MIN // limits.KIB}KiB: with less, peers take the connection for a stalled one",
        )
    return rate
