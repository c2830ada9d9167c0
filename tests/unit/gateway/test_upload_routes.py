"""Which part of an upload a request is; what is none is left to who reads."""

from __future__ import annotations

import pytest

from p2phub.gateway.routes import Kind, RepoId
from p2phub.gateway.upload_routes import (
    CommitFiles,
    CreateRepo,
    LfsBatch,
    NameVersion,
    NotOfXet,
    Preupload,
    PutObject,
    PutShard,
    PutXorb,
    ValidateCard,
    XetToken,
    read_upload,
)
from p2phub.http.refusal import Refusal

MINI = RepoId(Kind.MODEL, "acme/mini")
DATA = RepoId(Kind.DATASET, "acme/data")
GRANT = "ab" * 24
HASH = "cd" * 32


@pytest.mark.parametrize(
    ("method", "target", "found"),
    [
        ("POST", "/api/repos/create", CreateRepo()),
        ("POST", "/api/validate-yaml", ValidateCard()),
        ("POST", "/api/models/acme/mini/branch/next", NameVersion(MINI, "next", None)),
        ("POST", "/api/models/acme/mini/branch/a%2Fb", NameVersion(MINI, "a/b", None)),
        ("POST", "/api/models/acme/mini/tag/main", NameVersion(MINI, None, "main")),
        ("POST", "/api/datasets/acme/data/preupload/main", Preupload(DATA, "main")),
        ("POST", "/api/models/mini/preupload/main", Preupload(RepoId(Kind.MODEL, "mini"), "main")),
        ("POST", "/api/models/acme/mini/preupload/refs%2Fheads%2Fx", Preupload(MINI, "refs/heads/x")),
        ("POST", "/api/models/acme/mini/commit/main", CommitFiles(MINI, "main", False)),
        ("POST", "/api/models/acme/mini/commit/main?create_pr=1", CommitFiles(MINI, "main", True)),
        ("POST", "/acme/mini.git/info/lfs/objects/batch", LfsBatch(MINI)),
        ("POST", "/datasets/acme/data.git/info/lfs/objects/batch", LfsBatch(DATA)),
        ("GET", "/api/models/acme/mini/xet-write-token/main", XetToken(MINI, "main")),
        ("PUT", f"/api/uploads/{GRANT}", PutObject(GRANT)),
        ("POST", f"/api/xet/{GRANT}/v1/xorbs/default/{HASH}", PutXorb(GRANT, HASH)),
        ("POST", f"/api/xet/{GRANT}/v1/shards", PutShard(GRANT)),
        ("POST", f"/api/xet/{GRANT}/v2/shards", NotOfXet(GRANT)),
        ("GET", f"/api/xet/{GRANT}/v1/chunks/default/{HASH}", NotOfXet(GRANT)),
    ],
)
def test_what_clients_ask_while_they_upload_is_read(method: str, target: str, found: object) -> None:
    assert read_upload(method, target) == found


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/api/models/acme/mini"),
        ("GET", "/api/models/acme/mini/commits/main"),
        ("GET", "/acme/mini/resolve/main/commit/main"),
        ("POST", "/api/models/acme/mini/paths-info/main"),
        ("GET", "/api/models/acme/mini/xet-read-token/main"),
        ("PUT", "/api/uploads/short"),
        ("PUT", f"/api/uploads/{GRANT.upper()}"),
        ("GET", f"/api/uploads/{GRANT}"),
        ("POST", "/acme/mini/info/lfs/objects/batch"),
        ("DELETE", "/api/repos/delete"),
        ("POST", "/" + "a" * 10_000),
    ],
)
def test_what_is_no_part_of_one_is_left_to_others(method: str, target: str) -> None:
    assert read_upload(method, target) is None


@pytest.mark.parametrize(
    "target",
    [
        "/api/models/../mini/commit/main",
        "/api/models/%2e%2e/mini/commit/main",
        "/api/models/a%2fb/mini/commit/main",
        "/api/models/acme/-/commit/main",
        "/..%2f..git/info/lfs/objects/batch",
        "/api/models/acme/%zz/commit/main",
    ],
)
def test_names_that_no_repository_can_have_are_refused(target: str) -> None:
    with pytest.raises(Refusal):
        read_upload("POST", target)
