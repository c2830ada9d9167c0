"""What a request asks for: its method and raw target, read into one of a few values. Pure.

    /ORG/NAME/resolve/REVISION/PATH                     a file; a dataset's behind /datasets
    /api/models                                         which repositories there are; /api/datasets likewise
    /api/models/ORG/NAME[/revision/REVISION]            what one is
    /api/models/ORG/NAME/tree/REVISION[/FOLDER]         what is in it
    /api/models/ORG/NAME/paths-info/REVISION            what some paths of it are; the paths are in the body
    /api/models/ORG/NAME/refs, /commits/REVISION        how it changed
    /api/whoami-v2                                      who is asked for

What comes of a path (`http/target` takes it apart) is looked up in a manifest and never joined to a folder, so `..`
leads nowhere but to "no such file". A repository's name without an organisation is one that was published here; where
a path can be read both ways, it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from urllib.parse import parse_qsl

import msgspec

from p2phub import api, limits
from p2phub.gateway.absent import no_repository
from p2phub.gateway.revisions import MAIN
from p2phub.http.refusal import Refusal, no_such_path, not_offered
from p2phub.http.target import number_of, options_of, split_target

_OF_REPOSITORY = ("revision", "tree", "paths-info", "refs", "commits")
_UPLOADS = ("preupload", "commit", "branch", "tag", "settings", "discussions", "lfs-files")
_ENTRIES_MAX = 1000
_PUBLISH = "p2phub itself does: `p2phub publish`, `unpublish` and `rm`"


class Kind(Enum):
    """What a repository holds, as p2phub calls it, and as a path of the API does."""

    MODEL = "model"
    DATASET = "dataset"

    @property
    def plural(self) -> str:
        return f"{self.value}s"


class RepoId(msgspec.Struct, frozen=True):
    """A repository by its name here: `org/name`, or `name` alone."""

    kind: Kind
    name: str


class ReadFile(msgspec.Struct, frozen=True):
    """Bytes of a file, or its head. `path` is what the URL says: any text."""

    repo: RepoId
    revision: str
    path: str


class AskInfo(msgspec.Struct, frozen=True):
    """What a repository is; `blobs`: with the size and digest of each file."""

    repo: RepoId
    revision: str
    blobs: bool


class AskTree(msgspec.Struct, frozen=True):
    """What stands below a folder ("": the top); `cursor`: where the page before left off, 0 for the first one."""

    repo: RepoId
    revision: str
    folder: str
    recursive: bool
    expand: bool
    cursor: int
    limit: int


class AskPaths(msgspec.Struct, frozen=True):
    """What some paths are; which, the body says (`paths_of`)."""

    repo: RepoId
    revision: str


class AskRefs(msgspec.Struct, frozen=True):
    repo: RepoId


class AskCommits(msgspec.Struct, frozen=True):
    repo: RepoId
    revision: str
    cursor: int
    limit: int


class Search(msgspec.Struct, frozen=True):
    """Which repositories there are: of this author, with these words in their name and these tags."""

    kind: Kind
    words: tuple[str, ...]
    author: str | None
    tags: frozenset[str]
    full: bool
    cursor: int
    limit: int


class WhoAmI(msgspec.Struct, frozen=True):
    pass


Asked = ReadFile | AskInfo | AskTree | AskPaths | AskRefs | AskCommits | Search | WhoAmI


def read_request(method: str, target: str) -> Asked:
    """Return what is asked for. Raises Refusal: (400) for a target that is none, (404), (405) for another method than
    the path has, (501) for what hubs do and this one does not."""
    parts, query = split_target(target)
    if parts[0] == "api":
        asked = _read_api(method, parts[1:], _Options(query))
    elif ".git" in (part[-4:] for part in parts[:3]) and "info" in parts:
        raise not_offered("speak Git LFS, but for uploads", instead=_PUBLISH)
    else:
        asked = _read_file(parts)
    allowed = ("POST",) if isinstance(asked, AskPaths) else ("GET", "HEAD")
    if method not in allowed:
        raise Refusal(405, f"{method[:20]} is not what this path is for", headers=[("Allow", ", ".join(allowed))])
    return asked


def paths_of(content_type: str, body: bytes) -> tuple[str, ...]:
    """Return the paths that a body asks about, each once: of a form, or JSON. Raises Refusal(400)."""
    paths: Sequence[object]
    try:
        if content_type.partition(";")[0].strip().lower() == "application/json":
            value = msgspec.json.decode(body)
            paths = value.get("paths", []) if isinstance(value, dict) else []
            paths = [paths] if isinstance(paths, str) else paths
        else:
            fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=limits.GATEWAY_PATHS_MAX)
            paths = [value for name, value in fields if name in ("paths", "paths[]")]
    except (ValueError, msgspec.DecodeError, RecursionError) as exc:
        raise Refusal(400, "the body is neither a form nor JSON") from exc
    if not isinstance(paths, list) or len(paths) > limits.GATEWAY_PATHS_MAX:
        raise Refusal(400, f"paths are a list of at most {limits.GATEWAY_PATHS_MAX}")
    return tuple(dict.fromkeys(path.rstrip("/") for path in paths if isinstance(path, str)))


def _read_file(parts: Sequence[str]) -> ReadFile:
    kind = Kind.MODEL
    if parts[0] in ("datasets", "spaces", "kernels") and len(parts) > 3:
        if parts[0] != "datasets":
            raise no_repository(f"the p2phub gateway has no {parts[0]}")
        kind, parts = Kind.DATASET, parts[1:]
    for names in (2, 1):
        if len(parts) > names + 2 and parts[names] == "resolve":
            return ReadFile(repository(kind, parts[:names]), parts[names + 1], "/".join(parts[names + 2 :]))
    raise no_such_path()


def _read_api(method: str, parts: Sequence[str], options: _Options) -> Asked:
    if parts == ["whoami-v2"]:
        return WhoAmI()
    if parts[:1] == ["repos"] or parts == ["validate-yaml"]:
        raise not_offered("do that to repositories", instead=_PUBLISH)
    kind = next((kind for kind in Kind if parts[:1] == [kind.plural]), None)
    if kind is None:
        if parts[:1] in (["spaces"], ["kernels"]) and len(parts) > 1:
            raise no_repository(f"the p2phub gateway has no {parts[0]}")
        raise no_such_path()
    rest = list(parts[1:])
    if not rest or rest == [""]:
        return options.search(kind)
    names, what = _split_names(rest)
    repo = repository(kind, names)
    match what:
        case []:
            return AskInfo(repo, MAIN, options.is_set("blobs"))
        case ["revision", revision]:
            return AskInfo(repo, revision, options.is_set("blobs"))
        case ["tree", revision, *folder]:
            return AskTree(
                repo,
                revision,
                "/".join(folder).rstrip("/"),
                options.is_set("recursive"),
                options.is_set("expand"),
                options.cursor,
                options.limit,
            )
        case ["paths-info", revision]:
            return AskPaths(repo, revision)
        case ["refs"]:
            return AskRefs(repo)
        case ["commits", revision]:
            return AskCommits(repo, revision, options.cursor, options.limit)
        case [word, *_] if word in _UPLOADS and method != "GET":
            raise not_offered("do that to repositories", instead=_PUBLISH)
    raise no_such_path()


def _split_names(rest: list[str]) -> tuple[list[str], list[str]]:
    """Return the repository's name, in one part or two, and what is asked of it."""
    if rest == [rest[0], "refs"]:
        return rest[:1], rest[1:]
    if len(rest) < 3 or rest[2] in _OF_REPOSITORY or rest[1] not in _OF_REPOSITORY:
        return rest[:2], rest[2:]
    return rest[:1], rest[1:]


def repository(kind: Kind, names: Sequence[str]) -> RepoId:
    """Return the repository of that name, in one part or two. Raises Refusal (RepoNotFound) for what cannot be one."""
    if not all(map(api.is_alias, names)):
        raise no_repository("nothing here can be called so")
    return RepoId(kind, "/".join(names))


class _Options:
    """The part of a URL behind the question mark. Raises Refusal(400) for too many of them."""

    def __init__(self, query: str) -> None:
        self._given = options_of(query)
        self._last: Mapping[str, str] = dict(self._given)

    def is_set(self, name: str) -> bool:
        return self._last.get(name, "").lower() in ("true", "1")

    @property
    def cursor(self) -> int:
        return number_of(self._last, "cursor", 0)

    @property
    def limit(self) -> int:
        return max(1, min(number_of(self._last, "limit", _ENTRIES_MAX), _ENTRIES_MAX))

    def search(self, kind: Kind) -> Search:
        words = " ".join(value for name, value in self._given if name == "search").lower().split()
        tags = frozenset(value.lower() for name, value in self._given if name == "filter" and value)
        author = self._last.get("author") or None
        return Search(kind, tuple(words), author, tags, self.is_set("full"), self.cursor, self.limit)
