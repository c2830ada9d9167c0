"""A target is split before it is decoded, and decoded once."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.http.refusal import Refusal
from p2phub.http.target import options_of, split_target


def test_a_target_is_taken_apart() -> None:
    assert split_target("/a/b%2Fc/%252e%252e?x=%2F") == (["a", "b/c", "%2e%2e"], "x=%2F")
    assert split_target("/") == ([""], "")
    assert split_target("//a/") == (["", "a", ""], "")
    assert options_of("a=1&b=%2F+x&a=") == [("a", "1"), ("b", "/ x"), ("a", "")]


@pytest.mark.parametrize("target", ["", "a", "*", "http://x/", "/a#b", "/%", "/%2", "/%zz", "/%ff", "/ä"])
def test_what_is_none_is_refused(target: str) -> None:
    with pytest.raises(Refusal) as refused:
        split_target(target)
    assert refused.value.status == 400


def test_a_target_that_is_too_long_and_one_option_too_many_are_refused() -> None:
    with pytest.raises(Refusal) as refused:
        split_target("/" + "x" * limits.GATEWAY_TARGET_BYTES_MAX)
    assert refused.value.status == 414
    with pytest.raises(Refusal) as refused:
        options_of("&".join(["a=b"] * (limits.GATEWAY_OPTIONS_MAX + 1)))
    assert refused.value.status == 400
