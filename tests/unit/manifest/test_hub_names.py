"""What a hub would call what is in a manifest."""

from __future__ import annotations

from hashlib import sha256

import pytest

from p2phub.content import digest_of
from p2phub.manifest import commit_of, git_blob_sha1, is_commit, is_git_sha1, is_sha256, lfs_pointer


def test_a_version_that_no_hub_ever_had_has_a_commit_of_its_repository() -> None:
    made = commit_of("acme/mini", digest_of(b"manifest"))
    assert is_commit(made)
    assert made == commit_of("acme/mini", digest_of(b"manifest"))
    assert made not in {commit_of("acme/other", digest_of(b"manifest")), commit_of("acme/mini", digest_of(b"another"))}


@pytest.mark.parametrize("text", ["", "main", "0" * 39, "0" * 41, "A" * 40, "0" * 39 + "g", "0" * 40 + "\n", "٠" * 40])
def test_what_is_not_forty_hex_digits_is_neither_commit_nor_blob(text: str) -> None:
    assert not is_commit(text)
    assert not is_git_sha1(text)


@pytest.mark.parametrize(
    "text", ["", "0" * 40, "0" * 63, "0" * 65, "A" * 64, "0" * 63 + "g", "0" * 64 + "\n", "٠" * 64]
)
def test_what_is_not_sixty_four_hex_digits_is_no_sha256(text: str) -> None:
    assert is_sha256(sha256(b"").hexdigest())
    assert not is_sha256(text)


def test_a_blob_is_called_as_git_calls_it() -> None:
    assert git_blob_sha1(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # git hash-object /dev/null
    assert is_git_sha1(git_blob_sha1(b""))


def test_a_pointer_says_what_stands_in_its_place() -> None:
    assert lfs_pointer("ab" * 32, 7).decode().splitlines() == [
        "version https://git-lfs.github.com/spec/v1",
        f"oid sha256:{'ab' * 32}",
        "size 7",
    ]
