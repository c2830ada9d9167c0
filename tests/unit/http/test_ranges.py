"""Which bytes a Range header means, in every form that clients and strangers send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub.http.ranges import wanted_span
from p2phub.http.refusal import Refusal


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-", (10, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=99-1000", (99, 100)),
        ("Bytes=1-2", (1, 3)),
        ("bytes = 1-2 ", (1, 3)),
        ("bytes=00000000000000000000000001-2", (1, 3)),
        ("bytes=1-99999999999999999999999999999999999", (1, 100)),
        ("bytes=-99999999999999999999999999999999999", (0, 100)),
    ],
)
def test_one_range_is_answered_and_clipped_to_the_file(header: str, span: tuple[int, int]) -> None:
    assert wanted_span(header, 100) == span


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1-0",
        "bytes=5-2",
        "bytes=1-2,4-5",
        "bytes=1-2, 4-5",
        "bytes=1--2",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1.0-2",
        "bytes=0x1-2",
        "bytes=1 - 2",
        "bytes=١-٢",
        "items=0-5",
        "bytes 0-5/100",
    ],
)
def test_what_is_no_range_and_several_at_once_mean_the_whole(header: str | None) -> None:
    assert wanted_span(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=9" + "9" * 5000 + "-"])
def test_what_lies_behind_the_end_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(Refusal) as refused:
        wanted_span(header, 100)
    assert refused.value.status == 416
    assert refused.value.headers == (("Content-Range", "bytes */100"),)


def test_of_an_empty_file_no_byte_can_be_asked_for_but_its_last_ones_are_all_of_it() -> None:
    assert wanted_span("bytes=-5", 0) is None
    for header in ("bytes=0-", "bytes=0-0", "bytes=-0"):
        with pytest.raises(Refusal):
            wanted_span(header, 0)


@given(st.text(max_size=40) | st.from_regex(r"bytes=[0-9]{0,25}-[0-9]{0,25}", fullmatch=True), st.integers(0, 1 << 45))
def test_any_header_is_a_span_within_the_file_the_whole_or_refused(header: str, size: int) -> None:
    try:
        span = wanted_span(header, size)
    except Refusal:
        return
    assert span is None or 0 <= span[0] < span[1] <= size
