"""Which caps hold at which time of day: the `[[schedule]]` tables of config.toml.

    [[schedule]]
    from = "08:00"         # of the local wall clock
    to = "18:00"           # not included; earlier than `from`: on the next day
    days = ["mon", "fri"]  # on which it begins; left out: every day
    up = "2MB"             # or "none"; what is left out stays as it is otherwise
    down = "none"

Pure: the time is an argument, as the wall clock shows it. So a change to summer time or back needs no rule of its own:
what the clock skips is skipped, and what it shows twice holds twice. Of tables that overlap the last one wins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from p2phub.errors import UsageError
from p2phub.node.rates import Rates, parse_cap

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ROWS_MAX = 1000
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_KEYS = {"from", "to", "days", "up", "down"}
_DAY_MINUTES = 24 * 60


class Row(msgspec.Struct, frozen=True):
    """From minute `begins` of each of `days` (0 is Monday) until minute `ends`: what `sets` says, `up` or `down`."""

    begins: int
    ends: int  # Not included. Not above `begins`: of the next day.
    days: frozenset[int]
    sets: tuple[tuple[str, int | None], ...]

    def holds_at(self, wall: datetime) -> bool:
        minute, today = wall.hour * 60 + wall.minute, wall.weekday()
        if self.begins < self.ends:
            return today in self.days and self.begins <= minute < self.ends
        yesterday = (today - 1) % 7
        return (today in self.days and minute >= self.begins) or (yesterday in self.days and minute < self.ends)


def rates_at(rows: Sequence[Row], otherwise: Rates, wall: datetime) -> Rates:
    """Return the caps at `wall`, a time as the local clock shows it; `otherwise` where no row says any."""
    rates = otherwise
    for row in rows:
        if row.holds_at(wall):
            rates = replace(rates, **dict(row.sets))
    return rates


def parse_schedule(value: Any) -> tuple[Row, ...]:
    """Read the tables of config.toml. Raises UsageError."""
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value) or len(value) > ROWS_MAX:
        raise UsageError("tables are wanted", hint='like [[schedule]] and below it from = "08:00", to = "18:00"')
    return tuple(_parse_row(table) for table in value)


def _parse_row(table: dict[str, Any]) -> Row:
    for key in table:
        if key not in _KEYS:
            raise UsageError(f"there is no {key[:40]!r} in a schedule", hint="from, to, days, up, down")
    sets = tuple((key, parse_cap(table[key])) for key in ("up", "down") if key in table)
    if not sets:
        raise UsageError("neither up nor down is set", hint='like up = "2MB"')
    return Row(_minute(table, "from"), _minute(table, "to"), _days(table.get("days", list(DAYS))), sets)


def _minute(table: dict[str, Any], key: str) -> int:
    value = table.get(key)
    if key == "to" and value == "24:00":
        return _DAY_MINUTES
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise UsageError(f"{key}: a time is wanted", hint=f'like {key} = "08:00"')
    return int(match[1]) * 60 + int(match[2])


def _days(value: Any) -> frozenset[int]:
    if not isinstance(value, list) or not value or not all(day in DAYS for day in value):
        raise UsageError("days: a list of days is wanted", hint=f"of {', '.join(DAYS)}")
    return frozenset(DAYS.index(day) for day in value)
