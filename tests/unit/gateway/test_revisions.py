"""What a revision in a URL means."""

from __future__ import annotations

import pytest

from p2phub.gateway.revisions import Commit, Tag, parse_revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "revision"),
    [
        ("main", Tag("main")),
        ("refs/heads/main", Tag("main")),
        ("refs/tags/v1.0", Tag("v1.0")),
        (COMMIT, Commit(COMMIT)),
        (COMMIT[:39], Tag(COMMIT[:39])),
        ("refs/pr/1", Tag("refs/pr/1")),
        ("refs/convert/parquet", Tag("refs/convert/parquet")),
        ("refs/heads/feature/x", Tag("feature/x")),
        ("V1", Tag("V1")),
        (COMMIT.upper(), Tag(COMMIT.upper())),
        ("a" * 129, None),
        ("a/", None),
        ("/a", None),
        ("a//b", None),
        ("a/../b", None),
        ("a/.b", None),
        ("..", None),
        ("", None),
        ("main\n", None),
        ("@" + COMMIT, None),
    ],
)
def test_a_revision_is_a_tag_a_commit_or_nothing(text: str, revision: object) -> None:
    assert parse_revision(text) == revision


@pytest.mark.parametrize(("name", "may"), [("v1.0", True), ("V1", False), ("feature/x", False), ("a" * 65, False)])
def test_a_release_is_called_by_few_of_the_names_that_branches_of_hubs_have(name: str, may: bool) -> None:
    assert Tag(name).may_be_released == may
