"""Which caps hold at which time the wall clock shows: over midnight, over weeks, and when the clock is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub.errors import UsageError
from p2phub.node.rates import Rates
from p2phub.node.schedule import parse_schedule, rates_at

BASE = Rates(up=9_000_000, down=None)
MONDAY = datetime(2026, 3, 2)  # noqa: DTZ001  # A wall clock has no zone.
OFFICE: dict[str, Any] = {"from": "08:00", "to": "18:00", "days": ["mon", "tue", "wed", "thu", "fri"], "up": "2 MB"}
NIGHT: dict[str, Any] = {"from": "22:00", "to": "06:00", "days": ["fri"], "down": "1MB"}


def at(table: dict[str, Any] | list[dict[str, Any]], wall: datetime) -> Rates:
    return rates_at(parse_schedule(table if isinstance(table, list) else [table]), BASE, wall)


def clock(text: str, day: int = 0) -> datetime:
    hour, minute = text.split(":")
    return MONDAY + timedelta(days=day, hours=int(hour), minutes=int(minute))


@pytest.mark.parametrize(
    ("time", "day", "holds"),
    [
        ("07:59", 0, False),
        ("08:00", 0, True),
        ("17:59", 4, True),
        ("18:00", 4, False),
        ("12:00", 5, False),
    ],
)
def test_a_row_holds_on_its_days_from_its_first_minute_to_before_its_last(time: str, day: int, holds: bool) -> None:
    assert at(OFFICE, clock(time, day)) == (Rates(up=2_000_000) if holds else BASE)


@pytest.mark.parametrize(
    ("time", "day", "holds"),
    [
        ("21:59", 4, False),
        ("22:00", 4, True),
        ("23:59", 4, True),
        ("00:00", 5, True),
        ("05:59", 5, True),
        ("06:00", 5, False),
        ("00:00", 4, False),
        ("22:00", 5, False),
    ],
)
def test_a_row_over_midnight_belongs_to_the_day_on_which_it_begins(time: str, day: int, holds: bool) -> None:
    assert (at(NIGHT, clock(time, day)).down == 1_000_000) is holds


def test_a_row_over_midnight_on_sunday_reaches_into_monday() -> None:
    row = {"from": "22:00", "to": "06:00", "days": ["sun"], "up": "none"}
    assert at(row, clock("05:00", 0)).up is None
    assert at(row, clock("05:00", 6)) == BASE


@pytest.mark.parametrize(("begins", "ends"), [("00:00", "24:00"), ("09:00", "09:00")])
def test_a_whole_day_can_be_said(begins: str, ends: str) -> None:
    row = {"from": begins, "to": ends, "up": "1MB"}
    assert all(at(row, MONDAY + timedelta(minutes=7 * step)).up == 1_000_000 for step in range(1440))


def test_of_rows_that_overlap_the_last_one_wins_and_directions_do_not_mix() -> None:
    rows = [OFFICE, {"from": "12:00", "to": "13:00", "up": "none", "down": "3MB"}]
    assert at(rows, clock("12:30")) == Rates(None, 3_000_000)
    assert at(rows, clock("13:30")) == Rates(2_000_000, None)


def wall_over_berlin(begin: datetime, hours: int) -> list[datetime]:
    """What a clock in Berlin shows, each half hour."""
    zone = ZoneInfo("Europe/Berlin")
    times = (begin + timedelta(minutes=30 * step) for step in range(2 * hours))
    return [time.astimezone(zone).replace(tzinfo=None) for time in times]


def test_an_hour_that_the_clock_skips_is_skipped() -> None:
    row = {"from": "02:00", "to": "03:00", "up": "1MB"}
    spring = wall_over_berlin(datetime(2026, 3, 29, 0, 0, tzinfo=UTC), 4)  # 01:30 is followed by 03:00.
    assert [at(row, wall).up for wall in spring] == [BASE.up] * 8
    across = {"from": "01:00", "to": "04:00", "up": "1MB"}
    assert [at(across, wall).up == 1_000_000 for wall in spring] == [True] * 4 + [False] * 4


def test_an_hour_that_the_clock_shows_twice_holds_twice() -> None:
    row = {"from": "02:00", "to": "03:00", "up": "1MB"}
    autumn = wall_over_berlin(datetime(2026, 10, 24, 23, 0, tzinfo=UTC), 5)  # 01:00, 01:30, then 02:00 to 02:30 twice.
    assert [at(row, wall).up == 1_000_000 for wall in autumn] == [False] * 2 + [True] * 4 + [False] * 4


@given(st.datetimes(), st.integers(0, 1439), st.integers(0, 1439), st.sets(st.integers(0, 6), min_size=1))
def test_a_row_holds_as_long_a_week_as_it_says(when: datetime, begins: int, ends: int, days: set[int]) -> None:
    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    row = {
        "from": f"{begins // 60:02}:{begins % 60:02}",
        "to": f"{ends // 60:02}:{ends % 60:02}",
        "days": [names[day] for day in days],
        "up": "1MB",
    }
    rows = parse_schedule([row])
    week = [MONDAY + timedelta(minutes=15 * step) + timedelta(minutes=when.minute % 15) for step in range(4 * 24 * 7)]
    holding = sum(rates_at(rows, BASE, wall).up == 1_000_000 for wall in week)
    length = (ends - begins) % 1440 or 1440
    assert abs(holding - len(days) * length / 15) <= 2 * len(days)


@pytest.mark.parametrize(
    "wrong",
    [
        "x",
        [1],
        [{**OFFICE, "form": "08:00"}],
        [{**OFFICE, "from": "8:00"}],
        [{**OFFICE, "from": "24:00"}],
        [{**OFFICE, "from": "0\u0663:00"}],
        [{**OFFICE, "to": "18:60"}],
        [{**OFFICE, "to": 18}],
        [{**OFFICE, "days": []}],
        [{**OFFICE, "days": ["monday"]}],
        [{**OFFICE, "days": [["mon"]]}],
        [{**OFFICE, "days": "mon"}],
        [{**OFFICE, "up": "1kB"}],
        [{"from": "08:00", "to": "09:00"}],
        [{"to": "09:00", "up": "1MB"}],
        [OFFICE] * 1001,
    ],
)
def test_what_is_no_schedule_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError):
        parse_schedule(wrong)
