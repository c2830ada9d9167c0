"""What a hub's answers look like: JSON bodies and headers, made of versions and files. Pure.

The smallest that clients take. What p2phub does not know (likes, downloads) is there where clients count on it, and 0.
Source: huggingface_hub 2.4 (`hf_api.py`, `file_download.py`), and what was seen to be asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from p2phub import api, limits
from p2phub.api.moments import moment_of
from p2phub.gateway.revisions import MAIN
from p2phub.gateway.routes import AskTree, RepoId, Search
from p2phub.gateway.shelf import File, Release, Repository, Snapshot
from p2phub.gateway.tree import Entry, Folder

Json = dict[str, Any]
USER = "local"
STRANGERS_BYTES = (
    ("Content-Type", "application/octet-stream"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
)
"""What goes with a file, which shares its origin with the page: no browser shows it as a document or runs it (T46)."""


def file_headers(snapshot: Snapshot, file: File) -> list[tuple[str, str]]:
    """Return the headers of a file: what HEAD is asked for, and GET has too. No Xet, so clients fetch by plain HTTP."""
    linked_size = [("X-Linked-Size", str(file.size))] if tells_size(file) else []
    headers = [
        ("ETag", f'"{file.etag}"'),
        ("X-Repo-Commit", snapshot.commit),
        ("Accept-Ranges", "bytes"),
        *STRANGERS_BYTES,
    ]
    if file.in_lfs:
        headers += [("X-Linked-Etag", f'"{file.sha256}"'), *linked_size]
    return headers


def tells_size(file: File) -> bool:
    """Return whether the head of a file says its size. By a large one clients know that they should want Xet, and fetch
    nothing; without it they take it from the answer to GET (huggingface_hub 1 and 2, `file_download.http_get`)."""
    return file.size <= limits.GATEWAY_SIZE_TOLD_MAX


def info(snapshot: Snapshot, *, blobs: bool) -> Json:
    """Return what a repository is at one version."""
    siblings: list[Json] = []
    for file in snapshot.files:
        sibling: Json = {"rfilename": file.path}
        if blobs:
            sibling |= {"size": file.size, "blobId": _oid(file)}
            if file.in_lfs:
                sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(_pointer(file))}
        siblings.append(sibling)
    return {**_about(snapshot.repo, snapshot.release), "siblings": siblings}


def listing(repositories: Iterable[Repository]) -> list[Json]:
    """Return the repositories of a search."""
    return [_about(each.repo, each.release) for each in repositories]


def matches(asked: Search, each: Repository) -> bool:
    """Return whether a search finds a repository."""
    name = each.repo.name.lower()
    if asked.author is not None and _author(each.repo).lower() != asked.author.lower():
        return False
    return all(word in name for word in asked.words) and asked.tags <= set(_tags(each.release))


def entries(found: Iterable[Entry], release: Release, *, expand: bool) -> list[Json]:
    """Return entries of a tree; with `expand`, with the version that they were last changed in, as far as is known."""
    told: list[Json] = []
    last = {"id": release.commit, "title": _title(release), "date": _date(release.created)}
    for entry in found:
        if isinstance(entry, Folder):
            oid = api.git_blob_sha1(entry.path.encode())  # Anything of the right form: git has no such tree.
            item: Json = {"type": "directory", "path": entry.path, "size": 0, "oid": oid}
        else:
            item = {"type": "file", "path": entry.path, "size": entry.size, "oid": _oid(entry)}
            if entry.in_lfs:
                item["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": len(_pointer(entry))}
        if expand:
            item["lastCommit"] = last
        told.append(item)
    return told


def refs(releases: Sequence[Release]) -> Json:
    """Return the branches and tags of a repository: p2phub's default tag is its one branch."""
    branches: list[Json] = []
    tags: list[Json] = []
    for release in releases:
        is_branch = release.is_branch or release.tag == MAIN
        where = "heads" if is_branch else "tags"
        ref = {"name": release.tag, "ref": f"refs/{where}/{release.tag}", "targetCommit": release.commit}
        (branches if is_branch else tags).append(ref)
    return {"branches": branches, "tags": tags, "converts": [], "pullRequests": []}


def commits(repo: RepoId, releases: Iterable[Release]) -> list[Json]:
    """Return versions as commits, the newest first."""
    return [
        {
            "id": release.commit,
            "title": _title(release),
            "message": "",
            "authors": [{"user": _author(repo)}],
            "date": _date(release.created),
        }
        for release in releases
    ]


def whoami(*, may_write: bool) -> Json:
    """Return who is asked for: whoever uses this machine. The token is not looked at."""
    token = {"displayName": "p2phub gateway", "role": "write" if may_write else "read"}
    return {
        "type": "user",
        "id": "0" * 24,
        "name": USER,
        "fullname": USER,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": token},
    }


def next_tree(host: str, asked: AskTree, commit: str, cursor: int) -> tuple[str, str]:
    """Return the header that leads to the next page of a tree: of the commit, whatever was asked for by its branch."""
    folder = f"/{quote(asked.folder)}" if asked.folder else ""
    path = f"/api/{asked.repo.kind.plural}/{asked.repo.name}/tree/{commit}{folder}"
    options = {"recursive": str(asked.recursive).lower(), "expand": str(asked.expand).lower(), "limit": asked.limit}
    return _next(host, path, {**options, "cursor": cursor})


def next_commits(host: str, repo: RepoId, revision: str, *, limit: int, cursor: int) -> tuple[str, str]:
    path = f"/api/{repo.kind.plural}/{repo.name}/commits/{quote(revision, safe='')}"
    return _next(host, path, {"limit": limit, "cursor": cursor})


def next_search(host: str, asked: Search, cursor: int) -> tuple[str, str]:
    options: dict[str, object] = {"limit": asked.limit, "full": str(asked.full).lower(), "cursor": cursor}
    if asked.words:
        options["search"] = " ".join(asked.words)
    if asked.author is not None:
        options["author"] = asked.author
    more = "".join(f"&filter={quote(tag, safe='')}" for tag in sorted(asked.tags))
    name, link = _next(host, f"/api/{asked.kind.plural}", options, more)
    return name, link


def _next(host: str, path: str, options: Mapping[str, object], more: str = "") -> tuple[str, str]:
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in options.items())
    return "Link", f'<http://{host}{path}?{query}{more}>; rel="next"'


def _about(repo: RepoId, release: Release) -> Json:
    date = _date(release.created)
    return {
        "_id": api.git_blob_sha1(repo.name.encode())[:24],
        "id": repo.name,
        ("modelId" if repo.kind.value == "model" else "datasetId"): repo.name,
        "author": _author(repo),
        "sha": release.commit,
        "private": release.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": _tags(release),
        "createdAt": date,
        "lastModified": date,
        **({"description": release.title} if release.title else {}),
    }


def _author(repo: RepoId) -> str:
    return repo.name.partition("/")[0] if "/" in repo.name else USER


def _tags(release: Release) -> list[str]:
    return ["p2phub", *([f"license:{release.licence.lower()}"] if release.licence else [])]


def _title(release: Release) -> str:
    return release.title or "as it was published"


def _date(created: int | None) -> str:
    return moment_of(created).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _oid(file: File) -> str:
    """Return the git SHA-1 of what git has of a file: of one in LFS a pointer."""
    if file.in_lfs or file.git_sha1 is None:
        return api.git_blob_sha1(_pointer(file))
    return file.git_sha1


def _pointer(file: File) -> bytes:
    return api.lfs_pointer(file.sha256, file.size)
