"""Which version a path leads to, of those that a hub tells of its repository."""

from __future__ import annotations

from typing import Any

import pytest

from p2phub.api import NotFound
from p2phub.content import Codec, digest_of
from p2phub.filesystem.paths import Place, parse_path
from p2phub.filesystem.versions import leads_to, of_kind, stands_for_nothing

OLD, NEW = (digest_of(name).text(Codec.MSGPACK) for name in (b"old", b"new"))
COMMIT = "0123456789abcdef" * 2 + "01234567"


def version(manifest: str, *, created: int, revision: str | None = None, kind: str | None = "model") -> dict[str, Any]:
    return {"manifest": manifest, "created": created, "revision": revision, "kind": kind}


VERSIONS = [version(NEW, created=2), version(OLD, created=1, revision=COMMIT)]


def place(path: str) -> Place:
    found = parse_path(path)
    assert isinstance(found, Place)
    return found


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("acme/mini/a.txt", "acme/mini"),
        ("acme/mini@main/a.txt", "acme/mini"),
        ("acme/mini@v2", "acme/mini@v2"),
        (f"acme/mini@{OLD}", f"acme/mini@{OLD}"),
    ],
)
def test_a_name_leads_wherever_its_reference_does(path: str, reference: str) -> None:
    assert leads_to(place(path), True, []) == (reference, None)


def test_what_was_adopted_leads_to_its_newest_version_and_to_a_digest() -> None:
    assert leads_to(place("acme/mini"), False, VERSIONS) == (NEW, 2)
    assert leads_to(place(f"acme/mini@{OLD}"), False, VERSIONS) == (OLD, None)
    with pytest.raises(NotFound, match="no revision 'v2'"):
        leads_to(place("acme/mini@v2"), False, VERSIONS)


@pytest.mark.parametrize("named", [True, False])
def test_a_commit_leads_to_the_version_that_is_called_so_or_nowhere(named: bool) -> None:
    assert leads_to(place(f"acme/mini@{COMMIT}"), named, VERSIONS) == (OLD, 1)
    with pytest.raises(NotFound, match="no commit"):
        leads_to(place(f"acme/mini@{'0' * 40}"), named, VERSIONS)


def test_a_path_that_says_a_kind_finds_no_other() -> None:
    assert of_kind(place("acme/mini"), VERSIONS) == VERSIONS
    assert of_kind(place("models/acme/mini"), VERSIONS) == VERSIONS
    assert of_kind(place("datasets/acme/mini"), [version(NEW, created=1, kind=None)])
    with pytest.raises(NotFound, match="no dataset here, but a model"):
        of_kind(place("datasets/acme/mini"), VERSIONS)


def test_what_is_called_alike_is_named_where_a_name_stands_for_nothing() -> None:
    assert "KEY/mini" in str(stands_for_nothing(place("acme/mini"), ["KEY/mini"]).hint)
    assert "p2phub name add" in str(stands_for_nothing(place("acme/mini"), []).hint)
