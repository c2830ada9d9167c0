"""What a path means is told by the path alone: which repository, which revision, which file."""

from __future__ import annotations

import pytest

from p2phub.filesystem.paths import Above, Place, parse_path

KEY = "12D3KooWDsF1CvQjBFn83qYuoVmEiDvGxsTThQsTYx2GWjrw7bEw"
DIGEST = "bagaqihrauqqfvumyk5gs3gmaqt42sglyyutek46ntjqsiiscgh4tkywwujna"


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        (f"{KEY}/minilm/config.json", Place("", f"{KEY}/minilm", None, "config.json")),
        (f"{KEY}/minilm@v2/a/b.txt", Place("", f"{KEY}/minilm", "v2", "a/b.txt")),
        ("alice/minilm", Place("", "alice/minilm", None, "")),
        (f"alice/minilm@{DIGEST}/a", Place("", "alice/minilm", DIGEST, "a")),
        ("minilm@main/config.json", Place("", "minilm", "main", "config.json")),
        ("minilm@main", Place("", "minilm", "main", "")),
        ("minilm/config.json", Place("", "minilm/config.json", None, "")),
        ("minilm/config.json/x", Place("", "minilm/config.json", None, "x")),
        ("datasets/acme/squad/data/a.parquet", Place("datasets/", "acme/squad", None, "data/a.parquet")),
        ("datasets/squad@main/a.parquet", Place("datasets/", "squad", "main", "a.parquet")),
        ("models/acme/mini@v1", Place("models/", "acme/mini", "v1", "")),
        (f"{DIGEST}/a/b", Place("", DIGEST, None, "a/b")),
        (DIGEST, Place("", DIGEST, None, "")),
        ("p2phub:abcd/a/b", Place("", "p2phub:abcd", None, "a/b")),
        ("acme/mini/a@b/c@d", Place("", "acme/mini", None, "a@b/c@d")),
        ("acme/mini/50% of it #1?.txt", Place("", "acme/mini", None, "50% of it #1?.txt")),
        ("", Above("", "")),
        ("acme", Above("", "acme")),
        ("datasets", Above("datasets/", "")),
        ("datasets/acme", Above("datasets/", "acme")),
    ],
)
def test_a_path_names_a_repository_a_revision_and_a_file(path: str, meant: Place | Above) -> None:
    assert parse_path(path) == meant


@pytest.mark.parametrize(
    "path", ["acme/mini/a/b", "acme/mini@v1/a", "mini@main/a", "datasets/acme/squad/a", f"{DIGEST}/a", "p2phub:abcd/a"]
)
def test_the_root_and_the_file_make_the_path_again(path: str) -> None:
    place = parse_path(path)
    assert isinstance(place, Place)
    assert f"{place.root}/{place.path}" == path


@pytest.mark.parametrize(
    ("path", "pinned"),
    [
        ("acme/mini/a", f"acme/mini@{DIGEST}/a"),
        ("datasets/mini@main/a", f"datasets/mini@{DIGEST}/a"),
        (f"{DIGEST}/a", f"{DIGEST}/a"),
        ("p2phub:abcd/a", "p2phub:abcd/a"),
        ("acme/mini", f"acme/mini@{DIGEST}"),
    ],
)
def test_the_same_file_of_a_settled_version_has_a_path_too(path: str, pinned: str) -> None:
    place = parse_path(path)
    assert isinstance(place, Place)
    assert place.at(DIGEST) == pinned


def test_a_prefix_says_the_kind() -> None:
    kinds = [parse_path(path) for path in ("acme/x", "models/acme/x", "datasets/acme/x")]
    assert [place.kind for place in kinds if isinstance(place, Place)] == [None, "model", "dataset"]
