"""From patterns, and ranges that somebody reads, to chunks; and which files are told of (0065)."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.engine.awaited import READY_TOLD_MAX, Awaited, tell_ready
from p2phub.errors import NotFound, UsageError
from p2phub.observe import Event, FilesReady, Unmatched
from p2phub.store import Arrival
from tests.support.content import content_of

STEP = 100
CONTENT = content_of({"a/config.json": b"{}", "b.bin": bytes(250), "config.json": b"", "d.json": bytes(150)}, STEP)


def awaited(*first: str, in_order: bool = False) -> tuple[Awaited, list[Unmatched]]:
    made = Awaited(first, in_order=in_order)
    return made, made.begin(CONTENT.manifest, CONTENT.table)


def test_files_come_by_pattern_in_the_order_of_patterns_each_once_then_all_in_order() -> None:
    assert awaited("d.json", "*.json")[0].runs() == [(4, 6), (0, 1)]
    assert awaited("b*", in_order=True)[0].runs() == [(1, 4), (0, 6)]
    assert awaited()[0].runs() == []


def test_a_pattern_that_matches_nothing_is_said() -> None:
    assert awaited("/a/", "A", "#x", "b.bin")[1] == [Unmatched("A"), Unmatched("#x")]


@pytest.mark.parametrize("pattern", ["!", "a\\", "", " ", "*-*-*.bin", "**/*-*", "*/*/*"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        awaited(pattern)


def test_two_stars_are_no_more_than_that_however_they_are_written() -> None:
    assert awaited("**/*.json")[0].runs() == [(0, 1), (4, 6)]
    assert awaited("*on*ig.json")[0].runs() == [(0, 1)]


def test_of_very_many_files_the_first_come_in_order_and_the_rest_about_so() -> None:
    count = limits.SOON_RUNS_MAX
    many = content_of({f"{number:05}.{kind}": b"x" for number in range(count) for kind in ("a", "b", "c")}, STEP)
    made = Awaited(["*.b", "*.c"], in_order=True)
    made.begin(many.manifest, many.table)
    hint = made.runs()
    assert len(hint) <= limits.SOON_RUNS_MAX - limits.SOON_RANGES_MAX
    exact = count // 2 - limits.SOON_RANGES_MAX
    assert hint[:exact] == [(3 * number + 1, 3 * number + 2) for number in range(exact)]
    rest = hint[exact:-1]
    assert rest[-100:] == sorted(rest[-100:])
    wanted = RangeSet.of((file, file + 1) for file in range(3 * count) if file % 3)
    assert not wanted - RangeSet.of(hint[:-1])
    assert hint[-1] == (0, 3 * count)


def test_files_that_lie_side_by_side_are_one_run() -> None:
    assert awaited("b*", "d*")[0].runs() == [(1, 6)]


def test_a_range_goes_before_all_else_the_last_one_first() -> None:
    made, _ = awaited("d.json")
    made.move_up("b.bin", 100, 200)
    made.move_up("b.bin", 0, 101)
    made.move_up("b.bin", 100, 200)
    assert made.runs() == [(2, 3), (1, 3), (4, 6)]
    for path in ("b", "b.bin/", "\udcff"):
        with pytest.raises(NotFound):
            made.move_up(path, 0, 1)
    for start, stop in ((-1, 5), (5, 5), (6, 5)):
        with pytest.raises(UsageError):
            made.move_up("b.bin", start, stop)


def test_a_range_of_an_unknown_file_is_forgotten_when_the_manifest_comes() -> None:
    made = Awaited((), in_order=False)
    made.move_up("nothing", 0, 5)
    made.move_up("d.json", 0, 5)
    made.begin(CONTENT.manifest, CONTENT.table)
    assert made.runs() == [(4, 5)]


def test_so_many_ranges_are_remembered() -> None:
    made, _ = awaited()
    for start in range(limits.SOON_RANGES_MAX + 10):
        made.move_up("b.bin", start, start + 1)
    assert len(made.runs()) == limits.SOON_RANGES_MAX


def test_each_file_that_is_waited_for_is_told_of_once() -> None:
    there: list[int] = []

    def in_place(files: Sequence[int]) -> list[int]:
        return [file for file in files if file in there]

    arrival = cast(Arrival, SimpleNamespace(in_place=in_place))
    made, _ = awaited("*.json")
    assert made.take_ready(arrival) == []
    there += [0, 1]
    assert made.take_ready(arrival) == ["a/config.json"]
    assert made.take_ready(arrival) == []
    there += [2, 3]
    assert made.take_ready(arrival) == ["config.json", "d.json"]


def test_many_files_are_told_of_in_few_events() -> None:
    events: list[Event] = []
    tell_ready(events.append, [])
    assert not events
    tell_ready(events.append, [str(number) for number in range(READY_TOLD_MAX + 1)])
    assert [len(event.paths) for event in events if isinstance(event, FilesReady)] == [READY_TOLD_MAX, 1]
