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
        ("refs/pr/1", None),
        ("refs/convert/parquet", None),
        ("feature/x", None),
        ("V1", None),
        (COMMIT.upper(), None),
        ("..", None),
        ("", None),
        ("main\n", None),
        ("@" + COMMIT, None),
    ],
)
def test_a_revision_is_a_tag_a_commit_or_nothing_here(text: str, revision: object) -> None:
    assert parse_revision(text) == revision
