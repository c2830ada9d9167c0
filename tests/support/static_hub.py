"""A hub whose repositories stand still: the part of the Hugging Face hub's HTTP that reading from it takes.

    with StaticHub() as hub:                                   # hub.url is what HF_ENDPOINT is for
        commit = hub.add("acme/mini", {"config.json": b"{}"})  # or a folder; the branch `main` leads there now

    python -m tests.support.static_hub FOLDER --name acme/mini

runs it as a process, which prints one line, {"event": "ready", "url", "name", "commit"}, and serves until it is ended.

It answers HEAD and GET of files with byte ranges, and `/api/{models,datasets}/ORG/NAME` with `/revision`, `/tree` in
pages, `/paths-info` and `/refs`; anything else is a 404 without `X-Error-Code`. It advertises no Xet, so clients use
plain HTTP. A path is looked up as it stands in the listing, and never joined to a folder.
Source: what `hf download`, `snapshot_download`, `hf cache verify` and `from_pretrained` of huggingface_hub 2.4 and
transformers 5.24 ask for and rely on (tests/clients shows that they are content).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

from tests.support.folders import paths_below
from tests.support.web_server import listening

Kind = Literal["models", "datasets"]
Json = dict[str, Any]

LFS_SUFFIXES = frozenset({".safetensors", ".bin", ".gguf", ".h5", ".onnx", ".parquet", ".pt", ".zip"})
"""What a new repository's `.gitattributes` gives to LFS, as far as tests have it."""

LFS_BYTES = 10 << 20
"""A larger file is in LFS, whatever it is called: the hub takes it no other way."""

BLOCK_BYTES = 1 << 20
"""How much of a file is in memory at once."""

DATE = "2026-01-01T00:00:00.000Z"

_FILE = re.compile(r"/(?P<kind>datasets/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+)"
    r"(?:/(?P<what>revision|tree|paths-info|refs)(?:/(?P<revision>[^/]+)(?:/(?P<path>.+))?)?)?"
)
_RANGE = re.compile(r"bytes=(?:(?P<first>\d+)-(?P<last>\d*)|-(?P<tail>\d+))")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file at one commit. `oid`: the git SHA-1 of what git has of it, which in LFS is a pointer. `sha256`: that of
    the file itself, where it is in LFS, else None."""

    source: bytes | Path
    size: int
    oid: str
    sha256: str | None

    @property
    def etag(self) -> str:
        """What names its blob in a client's cache."""
        return self.sha256 or self.oid


@dataclass
class Repository:
    """One repository: the files of each commit by path, and which commit each ref (`refs/heads/main`) leads to."""

    kind: Kind
    name: str
    commits: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def resolved(self, revision: str) -> str:
        """Return the commit that a branch, tag, whole ref or commit means. Raises Refused."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in self.refs:
                return self.refs[name]
        if revision not in self.commits:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return revision


class Refused(Exception):
    """An answer that is an error. Clients tell errors apart by `code`, not by the status."""

    def __init__(self, status: int, code: str | None, message: str, *, commit: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Repo-Commit": commit}


class StaticHub:
    """Serves on loopback while its context is open. `asked` is what came, as (method, path and query as sent).

    `page_entries`: how many entries a page of a tree has; clients follow links to the next.
    """

    def __init__(self, *, page_entries: int = 1000) -> None:
        self.page_entries = page_entries
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.asked: list[tuple[str, str]] = []
        self.heard: list[str | None] = []
        """What came as Authorization with each."""
        self.tokens: dict[str, str] = {}
        """What opens a repository, by its name; to who does not show it the repository is not there."""
        self.gated: dict[str, str] = {}
        """The same for its files, while everybody may see what it has."""
        self.spoiled: set[str] = set()
        """Paths of files of which the last byte is sent wrong."""
        self.port = 0
        self._open = ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> StaticHub:
        self.port = self._open.enter_context(listening(partial(_Handler, self)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add(
        self,
        name: str,
        files: Mapping[str, bytes | Path] | Path,
        *,
        kind: Kind = "models",
        ref: str = "refs/heads/main",
    ) -> str:
        """Add a commit with exactly these files to the repository `name`, and let `ref` lead to it. Return the commit.

        A folder gives every file below it. What stands on disk must not change while it is served. Equal files of one
        repository make an equal commit, on every hub.
        """
        sources = paths_below(files) if isinstance(files, Path) else files
        listing = {path: _file(path, sources[path]) for path in sorted(sources)}
        told = [kind, name, *(f"{path}\0{file.oid}\0{file.etag}" for path, file in listing.items())]
        commit = hashlib.sha1("\n".join(told).encode()).hexdigest()
        repository = self.repositories.setdefault((kind, name), Repository(kind, name))
        repository.commits[commit] = listing
        repository.refs[ref] = commit
        return commit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # It writes head and body apart.

    def __init__(self, hub: StaticHub, *args: object) -> None:
        self.hub = hub
        super().__init__(*args)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        self.hub.asked.append((self.command, self.path))
        self.hub.heard.append(self.headers["Authorization"])
        path, _, query = self.path.partition("?")
        # Read whatever happens: what is left of one request would be taken for the next.
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        try:
            if asked := _FILE.fullmatch(path):
                repository = self._repository(asked["kind"].rstrip("/") if asked["kind"] else "models", asked["name"])
                self._send_file(repository, unquote(asked["revision"]), unquote(asked["path"]))
            elif asked := _API.fullmatch(path):
                repository = self._repository(asked["kind"], asked["name"])
                revision, below = (unquote(asked[each]) if asked[each] else "" for each in ("revision", "path"))
                self._send_json(*self._told(repository, asked["what"], revision or "main", below, query, body))
            else:
                raise Refused(404, None, f"this hub has no {path}")
        except Refused as refused:
            self._send_json({"error": str(refused)}, refused.headers, status=refused.status)

    def _repository(self, kind: str, name: str) -> Repository:
        found = self.hub.repositories.get((kind, unquote(name)))
        if found is None or not self._is_shown(self.hub.tokens, unquote(name)):
            raise Refused(404, "RepoNotFound", "Repository not found")
        return found

    def _is_shown(self, tokens: Mapping[str, str], name: str) -> bool:
        return name not in tokens or self.headers["Authorization"] == f"Bearer {tokens[name]}"

    def _told(
        self, repository: Repository, what: str | None, revision: str, below: str, query: str, body: bytes
    ) -> tuple[Any, dict[str, str | None]]:
        """Return what `/api` answers, and headers with it."""
        if what == "refs":
            return _refs(repository), {}
        commit = repository.resolved(revision)
        files, options = repository.commits[commit], parse_qs(query)
        expand = options.get("expand") == ["true"]
        if what == "paths-info":
            paths = set(parse_qs(body.decode()).get("paths", []))
            return [each for each in _entries(files, "", commit, True, expand) if each["path"] in paths], {}
        if what != "tree":
            return _info(repository, commit, with_blobs=options.get("blobs") == ["true"]), {}
        entries = _entries(files, below, commit, options.get("recursive") == ["true"], expand)
        if below and not entries:
            raise Refused(404, "EntryNotFound", f"{below} does not exist on {revision}")
        start = int(options.get("cursor", ["0"])[0])
        stop = start + self.hub.page_entries
        if stop >= len(entries):
            return entries[start:], {}
        kept = "".join(f"{part}&" for part in query.split("&") if part and not part.startswith("cursor="))
        there = f"http://{self.headers['Host']}{self.path.partition('?')[0]}?{kept}cursor={stop}"
        return entries[start:stop], {"Link": f'<{there}>; rel="next"'}

    def _send_json(self, value: Any, headers: Mapping[str, str | None], *, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self._send_head(status, {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, repository: Repository, revision: str, path: str) -> None:
        if not self._is_shown(self.hub.gated, repository.name):
            raise Refused(403, "GatedRepo", "Access to it is restricted")
        commit = repository.resolved(revision)
        file = repository.commits[commit].get(path)
        if file is None:
            # With the commit, a client notes that the file is absent there, and never asks again.
            raise Refused(404, "EntryNotFound", f"{path} does not exist on {revision}", commit=commit)
        headers: dict[str, str | None] = {
            "ETag": f'"{file.etag}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if file.sha256 is not None:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        if self.command == "HEAD":
            self._send_head(200, {**headers, "Content-Length": str(file.size)})
            return
        status, start, stop = 200, 0, file.size
        if wanted := _RANGE.fullmatch(self.headers["Range"] or ""):
            status, (start, stop) = 206, _span(wanted, file.size)
            if start >= stop:
                self._send_head(416, {**headers, "Content-Range": f"bytes */{file.size}", "Content-Length": "0"})
                return
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
        self._send_head(status, {**headers, "Content-Length": str(stop - start)})
        source = file.source
        if path in self.hub.spoiled:
            assert isinstance(source, bytes), "only what is in memory can be spoiled"
            source = source[:-1] + bytes([source[-1] ^ 1])
        self._send_bytes(source, start, stop)

    def _send_bytes(self, source: bytes | Path, start: int, stop: int) -> None:
        if isinstance(source, bytes):
            self.wfile.write(source[start:stop])
            return
        with source.open("rb") as file:
            file.seek(start)
            while start < stop and (block := file.read(min(BLOCK_BYTES, stop - start))):
                self.wfile.write(block)
                start += len(block)

    def _send_head(self, status: int, headers: Mapping[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def git_sha1(content: bytes) -> str:
    """Return what git calls a blob of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _file(path: str, source: bytes | Path) -> HubFile:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if PurePosixPath(path).suffix not in LFS_SUFFIXES and size <= LFS_BYTES:
        return HubFile(source, size, git_sha1(source if isinstance(source, bytes) else source.read_bytes()), None)
    if isinstance(source, bytes):
        sha256 = hashlib.sha256(source).hexdigest()
    else:
        with source.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return HubFile(source, size, git_sha1(_pointer(sha256, size)), sha256)


def _pointer(sha256: str, size: int) -> bytes:
    """Return what git has of a file in LFS."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _span(wanted: re.Match[str], size: int) -> tuple[int, int]:
    """Return (start, stop) of a range within a file; empty if it begins past the end."""
    if wanted["tail"] is not None:
        return max(0, size - int(wanted["tail"])), size
    last = int(wanted["last"]) if wanted["last"] else size - 1
    return int(wanted["first"]), min(last + 1, size)


def _info(repository: Repository, commit: str, *, with_blobs: bool) -> Json:
    siblings: list[Json] = []
    for path, file in repository.commits[commit].items():
        sibling: Json = {"rfilename": path}
        if with_blobs:
            sibling |= {"size": file.size, "blobId": file.oid}
            if file.sha256 is not None:
                sibling["lfs"] = _lfs("sha256", file.sha256, file.size)
        siblings.append(sibling)
    return {
        "id": repository.name,
        "author": repository.name.partition("/")[0],
        "sha": commit,
        "siblings": siblings,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "createdAt": DATE,
        "lastModified": DATE,
    }


def _entries(files: Mapping[str, HubFile], below: str, commit: str, recursive: bool, expand: bool) -> list[Json]:
    """Return the tree's entries below a folder ("" is the top) by path: files, and the folders that they stand in."""
    prefix = below.rstrip("/") + "/" if below else ""
    found: dict[str, Json] = {}
    for path, file in files.items():
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            folder = prefix + "/".join(parts[:depth])
            found[folder] = {"type": "directory", "path": folder, "size": 0, "oid": git_sha1(folder.encode())}
        if recursive or len(parts) == 1:
            found[path] = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
            if file.sha256 is not None:
                found[path]["lfs"] = _lfs("oid", file.sha256, file.size)
    if expand:
        for entry in found.values():
            entry["lastCommit"] = {"id": commit, "title": "Add files", "date": DATE}
    return [found[path] for path in sorted(found)]


def _lfs(name: str, sha256: str, size: int) -> Json:
    """Return what the API says of a file in LFS; its SHA-256 has another `name` in a tree than among siblings."""
    return {name: sha256, "size": size, "pointerSize": len(_pointer(sha256, size))}


def _refs(repository: Repository) -> Json:
    def below(prefix: str) -> list[Json]:
        return [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": commit}
            for ref, commit in sorted(repository.refs.items())
            if ref.startswith(prefix)
        ]

    converts = below("refs/convert/")
    return {"branches": below("refs/heads/"), "tags": below("refs/tags/"), "converts": converts, "pullRequests": []}


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.support.static_hub", description="Serve a folder as a hub would.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="acme/mini", help="ORG/NAME that it has there")
    parser.add_argument("--dataset", action="store_true", help="a dataset, not a model")
    told = parser.parse_args()
    with StaticHub() as hub:
        commit = hub.add(told.name, told.folder, kind="datasets" if told.dataset else "models")
        print(json.dumps({"event": "ready", "url": hub.url, "name": told.name, "commit": commit}), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
