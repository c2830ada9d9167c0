"""What somebody typed, as it is asked."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.catalog import Query, parse_query
from p2phub.errors import UsageError


def test_what_is_typed_last_is_begun_until_something_that_separates_follows() -> None:
    assert parse_query("Tiny Lla") == Query(("tiny",), "lla", ("tiny", "lla"))
    assert parse_query("tiny lla ") == Query(("tiny", "lla"), None, ("tiny", "lla"))
    assert parse_query("tiny-") == Query(("tiny",), None, ("tiny",))


def test_a_word_that_is_typed_twice_is_asked_once() -> None:
    assert parse_query("llama llama x") == Query(("llama",), "x", ("llama", "llama", "x"))


@pytest.mark.parametrize("text", ["", "  ", "/-_."])
def test_no_words_ask_for_everything(text: str) -> None:
    assert parse_query(text).is_empty


@pytest.mark.parametrize("text", ["x" * (limits.SEARCH_QUERY_CHARS_MAX + 1), "a " * (limits.SEARCH_WORDS_MAX + 1)])
def test_what_is_too_long_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="at most"):
        parse_query(text)


def test_a_text_that_becomes_longer_in_its_normal_form_has_no_more_words_than_may_be() -> None:
    with pytest.raises(UsageError, match="words"):
        parse_query("\ufdfa" * 200)  # Each stands for four words.


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="modle"):
        parse_query("x", kind="modle")
