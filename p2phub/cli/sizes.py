"""Sizes, durations and counts as people read them. MB are 10^6 bytes."""

from __future__ import annotations


def size(count: float) -> str:
    """Write a number of bytes: `812 B`, `45.2 MB`, `1.31 GB`."""
    for unit, power in (("TB", 4), ("GB", 3), ("MB", 2), ("kB", 1)):
        scaled = count / 1000**power
        if scaled >= 0.9995:
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Write a time: `0.31 s`, `12 s`, `3:07`, `2:03:07`."""
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def milliseconds(seconds: float) -> str:
    """Write a time too short for `duration`: `0.38 ms`, `1.2 ms`, `250 ms`."""
    count = seconds * 1000
    return f"{count:.2g} ms" if count < 9.95 else f"{count:.0f} ms"


def plural(count: int, noun: str) -> str:
    """Write `1 file`, `2 files`, `12,000 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
