"""What OCI clients, who know lower case alone, call a repository."""

from __future__ import annotations

import pytest

from p2phub.gateway.oci.names import alike, listed, readings_of
from p2phub.gateway.routes import Kind, RepoId


def model(name: str) -> RepoId:
    return RepoId(Kind.MODEL, name)


def test_a_name_without_an_organisation_is_read_behind_library_too() -> None:
    assert readings_of(model("library/mini")) == [model("library/mini"), model("mini")]
    assert readings_of(model("acme/mini")) == [model("acme/mini")]


def test_what_differs_in_case_alone_is_alike_if_its_kind_is_the_same() -> None:
    known = [model("Acme/Mini"), model("acme/Minis"), RepoId(Kind.DATASET, "acme/Mini"), model("Mini")]
    assert alike(model("acme/mini"), known) == [model("Acme/Mini")]
    assert alike(model("library/mini"), known) == [model("Mini")]
    assert alike(model("acme/mini"), [model("ACME/mini"), model("Acme/Mini")]) == [
        model("ACME/mini"),
        model("Acme/Mini"),
    ]


def test_a_list_has_what_each_name_leads_to_and_no_name_that_leads_to_two() -> None:
    known = [model("mini"), RepoId(Kind.DATASET, "Acme/Data"), model("a/B"), model("A/b"), model("c/D"), model("c/d")]
    assert listed(known) == ["c/d", "datasets/acme/data", "mini"]


@pytest.mark.parametrize("name", ["a..b", "a.", "a-", "a/b_-c", "a/b__c_", "x" * 256])
def test_what_an_oci_client_cannot_write_is_not_listed(name: str) -> None:
    assert listed([model(name)]) == []


@pytest.mark.parametrize("name", ["a.b", "a-b", "a--b", "a_b", "a__b/c9"])
def test_what_an_oci_client_can_write_is_listed(name: str) -> None:
    assert listed([model(name)]) == [name]
