"""What a request's target means: read once, exactly, and never as a place on a disk."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub import limits
from p2phub.gateway.routes import (
    AskCommits,
    AskInfo,
    AskPaths,
    AskRefs,
    AskTree,
    Kind,
    ReadFile,
    RepoId,
    Search,
    WhoAmI,
    paths_of,
    read_request,
)
from p2phub.http.refusal import Refusal

M = RepoId(Kind.MODEL, "acme/m")
D = RepoId(Kind.DATASET, "acme/d")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/acme/m/resolve/main/config.json", ReadFile(M, "main", "config.json")),
        (f"/acme/m/resolve/{COMMIT}/a/b%20c+%23%C3%BC.bin", ReadFile(M, COMMIT, "a/b c+#ü.bin")),
        ("/acme/m/resolve/refs%2Fpr%2F1/x", ReadFile(M, "refs/pr/1", "x")),
        ("/datasets/acme/d/resolve/main/data/x.parquet?download=true", ReadFile(D, "main", "data/x.parquet")),
        ("/m/resolve/main/resolve/x", ReadFile(RepoId(Kind.MODEL, "m"), "main", "resolve/x")),
        ("/datasets/m/resolve/main/x", ReadFile(RepoId(Kind.DATASET, "m"), "main", "x")),
        ("/acme/m/resolve/main/", ReadFile(M, "main", "")),
        ("/api/models/acme/m", AskInfo(M, "main", blobs=False)),
        ("/api/models/m", AskInfo(RepoId(Kind.MODEL, "m"), "main", blobs=False)),
        ("/api/models/acme/m?blobs=true", AskInfo(M, "main", blobs=True)),
        ("/api/datasets/acme/d/revision/refs%2Ftags%2Fv1", AskInfo(D, "refs/tags/v1", blobs=False)),
        ("/api/models/m/revision/v1", AskInfo(RepoId(Kind.MODEL, "m"), "v1", blobs=False)),
        ("/api/models/acme/m/tree/main", AskTree(M, "main", "", False, False, 0, 1000)),
        ("/api/models/acme/m/tree/main/", AskTree(M, "main", "", False, False, 0, 1000)),
        (
            "/api/models/acme/m/tree/main/a%2Fb?recursive=true&expand=True&cursor=7&limit=3",
            AskTree(M, "main", "a/b", True, True, 7, 3),
        ),
        ("/api/models/acme/m/tree/main/a/b?limit=100000", AskTree(M, "main", "a/b", False, False, 0, 1000)),
        ("/api/models/acme/m/refs", AskRefs(M)),
        ("/api/models/m/refs", AskRefs(RepoId(Kind.MODEL, "m"))),
        ("/api/models/acme/m/commits/main?limit=2", AskCommits(M, "main", 0, 2)),
        ("/api/models/acme/tree", AskInfo(RepoId(Kind.MODEL, "acme/tree"), "main", blobs=False)),
        ("/api/models", Search(Kind.MODEL, (), None, frozenset(), False, 0, 1000)),
        (
            "/api/datasets?search=Mini+LM&author=acme&filter=p2phub&limit=30&full=true&sort=x",
            Search(Kind.DATASET, ("mini", "lm"), "acme", frozenset({"p2phub"}), True, 0, 30),
        ),
        ("/api/whoami-v2", WhoAmI()),
    ],
)
def test_each_request_that_clients_make_is_read(target: str, asked: object) -> None:
    assert read_request("GET", target) == asked
    assert read_request("HEAD", target) == asked


def test_paths_are_asked_about_by_post_and_nothing_else_is() -> None:
    assert read_request("POST", "/api/models/acme/m/paths-info/main") == AskPaths(M, "main")
    for method, target in [
        ("GET", "/api/models/acme/m/paths-info/main"),
        ("POST", "/acme/m/resolve/main/x"),
        ("DELETE", "/acme/m/resolve/main/x"),
        ("PUT", "/api/models/acme/m"),
        ("BREW", "/api/models"),
    ]:
        with pytest.raises(Refusal) as refused:
            read_request(method, target)
        assert refused.value.status == 405
        assert "Allow" in dict(refused.value.headers)


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "../../x", "a//b", "/etc/passwd", "%252e%252e/x"]
)
def test_dots_and_slashes_stay_letters_of_a_path_that_no_manifest_has(path: str) -> None:
    asked = read_request("GET", f"/acme/m/resolve/main/{path}")
    assert isinstance(asked, ReadFile)
    assert asked.repo == M
    assert ".." in asked.path or "//" in asked.path or asked.path.startswith("/") or "%2e" in asked.path


@pytest.mark.parametrize(
    "target",
    [
        "/%2e%2e/m/resolve/main/x",
        "/acme/%2e%2e/resolve/main/x",
        "/acme/a%2Fb/resolve/main/x",
        "/acme/m%20/resolve/main/x",
        "/acme/%C3%BC/resolve/main/x",
        "//m/resolve/main/x",
        "/api/models/-a/b",
        f"/acme/{'m' * 97}/resolve/main/x",
        "/spaces/acme/m/resolve/main/x",
        "/api/spaces/acme/m",
    ],
)
def test_what_no_repository_can_be_called_is_no_repository(target: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_request("GET", target)
    assert (refused.value.status, refused.value.code) == (404, "RepoNotFound")


@pytest.mark.parametrize(
    "target",
    ["/", "/acme", "/acme/m", "/api", "/api/agent-harnesses", "/acme/m/raw/main/x", "/acme/m/resolve", "/api/x"],
)
def test_other_paths_are_not_there(target: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_request("GET", target)
    assert (refused.value.status, refused.value.code) == (404, None)


@pytest.mark.parametrize(
    "target", ["", "*", "http://evil/acme/m/resolve/main/x", "/a/%zz", "/a/%f", "/a/%ff", "/a/\xff"]
)
def test_what_is_no_path_is_a_bad_request(target: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_request("GET", target)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/api/repos/create"),
        ("POST", "/api/validate-yaml"),
        ("POST", "/api/models/acme/m/preupload/main"),
        ("POST", "/api/models/acme/m/commit/main"),
        ("POST", "/api/models/acme/m/branch/x"),
        ("POST", "/acme/m.git/info/lfs/objects/batch"),
    ],
)
def test_an_upload_is_told_that_there_is_none(method: str, target: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_request(method, target)
    assert refused.value.status == 501
    assert "p2phub publish" in refused.value.message


def test_a_xet_token_is_not_there_so_that_clients_do_not_ask_again() -> None:
    with pytest.raises(Refusal) as refused:
        read_request("GET", "/api/models/acme/m/xet-write-token/main")
    assert refused.value.status == 404


def test_long_paths_many_options_and_wild_numbers_are_refused() -> None:
    for status, target in [
        (414, "/acme/m/resolve/main/" + "a" * limits.GATEWAY_TARGET_BYTES_MAX),
        (400, "/api/models?" + "a=1&" * 100),
        (400, "/api/models?limit=" + "9" * 30),
        (400, "/api/models/acme/m/tree/main?cursor=-1"),
    ]:
        with pytest.raises(Refusal) as refused:
            read_request("GET", target)
        assert refused.value.status == status


@pytest.mark.parametrize(
    ("content_type", "body", "paths"),
    [
        ("application/x-www-form-urlencoded", b"paths=a%2Fb+c&paths=%C3%BC&expand=false", ("a/b c", "ü")),
        ("application/x-www-form-urlencoded", b"paths=a/&paths=a", ("a",)),
        ("application/json; charset=utf-8", b'{"paths":["a","b",3],"expand":true}', ("a", "b")),
        ("application/json", b'{"paths":"a"}', ("a",)),
        ("application/json", b"[]", ()),
        ("", b"", ()),
    ],
)
def test_paths_are_read_of_a_form_and_of_json(content_type: str, body: bytes, paths: tuple[str, ...]) -> None:
    assert paths_of(content_type, body) == paths


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"paths":{"a":1}}'),
        ("application/x-www-form-urlencoded", b"\xff\xfe"),
        ("application/x-www-form-urlencoded", b"paths=a&" * 20_000),
        ("application/json", b'{"paths":[' + b'"a",' * 20_000 + b'"a"]}'),
    ],
)
def test_a_body_that_is_neither_is_a_bad_request(content_type: str, body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        paths_of(content_type, body)
    assert refused.value.status == 400


@given(st.sampled_from(["GET", "HEAD", "POST", "PUT"]), st.text(max_size=80))
def test_any_target_is_read_or_refused(method: str, text: str) -> None:
    for target in (text, f"/api/models/{text}", f"/acme/m/resolve/{text}"):
        with contextlib.suppress(Refusal):
            read_request(method, target)
