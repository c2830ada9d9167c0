"""What of a request is part of an upload: its method and raw target, read into one of a few values. Pure.

    POST /api/repos/create                               a repository is to be there; what is in it comes later
    POST /api/validate-yaml                              is the head of a card sound? Not looked at here
    POST /api/models/ORG/NAME/branch/B, /tag/REV         a name for a version; the tag's is in the body
    POST /api/models/ORG/NAME/preupload/REV              in which way is each of these files to come?
    POST /api/models/ORG/NAME/commit/REV                 files and deletions, a line of JSON each: the next version
    POST /ORG/NAME.git/info/lfs/objects/batch            where to put large files; a dataset's behind /datasets
    GET  /api/models/ORG/NAME/xet-write-token/REV        where to put what large files are made of
    PUT  /api/uploads/GRANT                              a large file
    POST /api/xet/GRANT/v1/xorbs/default/HASH, …/shards  chunks of large files, and which files they make

The last two are asked without the gateway's token, by URLs that only who had it was told, and that end. Everything else
takes it. Source: huggingface_hub 2.4 and hf_xet 1.8 as clients; what they were seen to send.
"""

from __future__ import annotations

import re

import msgspec

from p2phub import limits
from p2phub.gateway.routes import Kind, RepoId, repository
from p2phub.http.refusal import Refusal
from p2phub.http.target import decoded

GRANT_DIGITS = 48
_GRANT = re.compile(rf"[0-9a-f]{{{GRANT_DIGITS}}}")
_XET_HASH = re.compile(r"[0-9a-f]{64}")


class CreateRepo(msgspec.Struct, frozen=True):
    """Which one, the body says."""


class ValidateCard(msgspec.Struct, frozen=True):
    pass


class NameVersion(msgspec.Struct, frozen=True):
    """A branch, if it is named in the path (`branch`), or a tag of `revision`, named in the body."""

    repo: RepoId
    branch: str | None
    revision: str | None


class Preupload(msgspec.Struct, frozen=True):
    repo: RepoId
    revision: str


class CommitFiles(msgspec.Struct, frozen=True):
    """`as_request`: it is to be proposed alone, as a pull request."""

    repo: RepoId
    revision: str
    as_request: bool


class LfsBatch(msgspec.Struct, frozen=True):
    repo: RepoId


class XetToken(msgspec.Struct, frozen=True):
    repo: RepoId
    revision: str


class PutObject(msgspec.Struct, frozen=True):
    grant: str


class PutXorb(msgspec.Struct, frozen=True):
    grant: str
    hash: str


class PutShard(msgspec.Struct, frozen=True):
    grant: str


class NotOfXet(msgspec.Struct, frozen=True):
    """What clients ask of a store of Xet's and do without."""

    grant: str


Upload = (
    CreateRepo
    | ValidateCard
    | NameVersion
    | Preupload
    | CommitFiles
    | LfsBatch
    | XetToken
    | PutObject
    | PutXorb
    | PutShard
    | NotOfXet
)
GRANTED = (PutObject, PutXorb, PutShard, NotOfXet)
"""What is asked for by a URL that was granted."""


def read_upload(method: str, target: str) -> Upload | None:
    """Return which part of an upload a request is, None if it is none. Raises Refusal(400), (404) for a name that no
    repository can have."""
    path, _, query = target.partition("?")
    if not path.startswith("/") or len(path) > limits.GATEWAY_TARGET_BYTES_MAX or method in ("HEAD", "DELETE"):
        return None
    raw = path[1:].split("/")
    match method, raw:
        case "POST", ["api", "repos", "create"]:
            return CreateRepo()
        case "POST", ["api", "validate-yaml"]:
            return ValidateCard()
        case "PUT", ["api", "uploads", grant] if _GRANT.fullmatch(grant):
            return PutObject(grant)
        case _, ["api", "xet", grant, *rest] if _GRANT.fullmatch(grant):
            return _of_xet(method, grant, rest)
        case _, ["api", ("models" | "datasets") as plural, *rest]:
            return _of_repository(method, Kind.MODEL if plural == "models" else Kind.DATASET, rest, query)
        case "POST", [*names, "info", "lfs", "objects", "batch"]:
            return _of_lfs(names)
    return None


def _of_xet(method: str, grant: str, rest: list[str]) -> Upload:
    match method, rest:
        case "POST", ["v1", "xorbs", "default", digits] if _XET_HASH.fullmatch(digits):
            return PutXorb(grant, digits)
        case "POST", ["v1", "shards"]:
            return PutShard(grant)
    return NotOfXet(grant)


def _of_repository(method: str, kind: Kind, rest: list[str], query: str) -> Upload | None:
    parts = [decoded(part) for part in rest]
    for names in (2, 1):
        match method, parts[names:]:
            case "POST", ["branch", *branch] if branch:
                return NameVersion(repository(kind, parts[:names]), "/".join(branch), None)
            case "POST", ["tag", *revision] if revision:
                return NameVersion(repository(kind, parts[:names]), None, "/".join(revision))
            case "POST", ["preupload", *revision] if revision:
                return Preupload(repository(kind, parts[:names]), "/".join(revision))
            case "POST", ["commit", *revision] if revision:
                as_request = "create_pr=1" in query.split("&") or "create_pr=true" in query.lower().split("&")
                return CommitFiles(repository(kind, parts[:names]), "/".join(revision), as_request)
            case "GET", ["xet-write-token", *revision] if revision:
                return XetToken(repository(kind, parts[:names]), "/".join(revision))
    return None


def _of_lfs(names: list[str]) -> Upload | None:
    parts = [decoded(name) for name in names]
    kind = Kind.MODEL
    if len(parts) == 3 and parts[0] == "datasets":
        kind, parts = Kind.DATASET, parts[1:]
    if not 1 <= len(parts) <= 2 or not parts[-1].endswith(".git"):
        return None
    parts[-1] = parts[-1].removesuffix(".git")
    return LfsBatch(repository(kind, parts))


def check_size(size: object) -> int:
    """Return a length of a file that a client says. Raises Refusal(400)."""
    if type(size) is not int or not 0 <= size <= limits.GATEWAY_OBJECT_BYTES_MAX:
        raise Refusal(400, "a file's size is a number of bytes")
    return size
