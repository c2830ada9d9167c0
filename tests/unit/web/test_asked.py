"""What a request of the page asks for, and what it takes."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.http.refusal import Refusal
from p2phub.web.asked import (
    CHANGES,
    LISTS,
    Ask,
    AskFile,
    AskPage,
    Change,
    DropDraft,
    PublishDraft,
    PutFile,
    read_request,
)

DRAFT = "0123456789abcdef" * 2


def test_the_page_and_its_parts_are_asked_for() -> None:
    assert read_request("GET", "/") == AskPage()
    assert read_request("HEAD", "/?x=y") == AskPage()
    assert read_request("GET", "/-/static/app.js?v=0123") == AskFile("app.js", "0123")


def test_a_look_has_its_options_decoded_and_bounded() -> None:
    asked = read_request("GET", "/-/api/repositories?q=Big+model%20x&kind=model&cursor=20&limit=7")
    assert asked == Ask("repositories", words=("big", "model", "x"), kind="model", cursor=20, limit=7)
    for what, (usual, most) in LISTS.items():
        with_ref = f"/-/api/{what}?ref=x"
        assert read_request("GET", with_ref).limit == usual  # type: ignore[union-attr]
        assert read_request("GET", f"{with_ref}&limit=999999").limit == most  # type: ignore[union-attr]
        assert read_request("GET", f"{with_ref}&limit=0").limit == 1  # type: ignore[union-attr]


def test_a_reference_is_what_it_was_whatever_is_in_it() -> None:
    asked = read_request("GET", "/-/api/model?ref=12D3Koo%2Fa%2540b%23c")
    assert asked == Ask("model", "12D3Koo/a%40b#c")


@pytest.mark.parametrize(
    "target",
    [
        "/-/api/model",
        "/-/api/model?ref=",
        "/-/api/model?ref=" + "x" * (limits.PAGE_REF_LETTERS_MAX + 1),
        "/-/api/search?q=" + "x" * 201,
        "/-/api/search?cursor=-1",
        "/-/api/search?cursor=1e9",
        "/-/api/search?limit=x",
        "/-/card",
        "/-/api/search?" + "&".join(f"a{n}=b" for n in range(100)),
        "/-/%zz",
        "/-/%ff",
        "/#x",
    ],
)
def test_what_is_none_is_refused(target: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_request("GET", target)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "target",
    [
        "/-", "/-/", "/-/api", "/-/api/", "/-/api/nothing", "/-/api/model/x?ref=x", "/-/static", "/-/static/a/b",
        "/-//api/overview", "/-/api//overview", "/-/card/x", "/-/api/drop/x", "/-/..", "/-/api/../card",
        f"/-/api/drop/{DRAFT.upper()}", f"/-/api/drop/{DRAFT}0",
    ],
)  # fmt: skip
def test_what_nothing_stands_at_is_not_found(target: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_request("GET", target)
    assert refused.value.status == 404


def test_what_changes_something_is_asked_by_methods_for_that_alone() -> None:
    for what in CHANGES:
        assert read_request("POST", f"/-/api/{what}") == Change(what)
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            with pytest.raises(Refusal) as refused:
                read_request(method, f"/-/api/{what}")
            assert refused.value.status == 405
    assert read_request("PUT", f"/-/api/drop/{DRAFT}/a%2Fb/c%20d") == PutFile(DRAFT, "a/b/c d")
    assert read_request("PUT", f"/-/api/drop/{DRAFT}/publish") == PutFile(DRAFT, "publish")
    assert read_request("POST", f"/-/api/drop/{DRAFT}/publish") == PublishDraft(DRAFT)
    assert read_request("DELETE", f"/-/api/drop/{DRAFT}") == DropDraft(DRAFT)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for target in ("/", "/-/static/app.js", "/-/api/overview", "/-/card?ref=x", "/-/api/model?ref=x"):
            with pytest.raises(Refusal) as refused:
                read_request(method, target)
            assert refused.value.status == 405
