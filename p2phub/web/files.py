"""The page itself: what stands in `static/`, read once, with what browsers need to keep it.

`index.html` is what `/` answers; where it names a part, the part's hash is put behind it, so that the part may be kept
for ever and a newer version is asked for under another name.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.resources import files

import msgspec

from p2phub.http.exchange import Headers, Request
from p2phub.http.refusal import no_such_path
from p2phub.web.policy import FILE_HEADERS, PAGE_HEADERS

INDEX = "index.html"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
    "webmanifest": "application/manifest+json",
}
_PACKED_BEFORE = ("png", "woff2")
_LEAST_TO_PACK_BYTES = 512  # A packet takes it anyway.
_HASH_LETTERS = 16


class Part(msgspec.Struct, frozen=True):
    """A file of the page. `packed`: by gzip, None where that does not pay."""

    content: bytes
    kind: str
    version: str
    packed: bytes | None


class Files:
    """The files of one page, as they were when it was opened."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._parts = {name: _part(name, content) for name, content in contents.items() if name != INDEX}
        index = contents.get(INDEX, b"").decode()
        named = re.sub(r"(?<=/-/static/)([\w.-]+)", lambda match: self._versioned(match[1]), index)
        self._index = _part(INDEX, named.encode())

    def index(self, request: Request) -> tuple[int, Headers, bytes]:
        """Return the answer that is the page: status, headers, body."""
        return _answer(request, self._index, [*PAGE_HEADERS, ("Cache-Control", "no-cache")])

    def part(self, request: Request, name: str, version: str) -> tuple[int, Headers, bytes]:
        """Return the answer that is a part of it. Raises Refusal(404)."""
        part = self._parts.get(name)
        if part is None:
            raise no_such_path()
        kept = "max-age=31536000, immutable" if version == part.version else "no-cache"
        return _answer(request, part, [*FILE_HEADERS, ("Cache-Control", kept)])

    def _versioned(self, name: str) -> str:
        part = self._parts.get(name)
        return name if part is None else f"{name}?v={part.version}"


def read_files() -> Files:
    """Return the page that came with this package. Blocks."""
    return Files(dict(_found()))


def _found() -> Iterable[tuple[str, bytes]]:
    folder = files("p2phub.web").joinpath("static")
    if folder.is_dir():
        for each in folder.iterdir():
            if each.is_file() and each.name.rpartition(".")[2] in _TYPES:
                yield each.name, each.read_bytes()


def _part(name: str, content: bytes) -> Part:
    ending = name.rpartition(".")[2]
    packed = None
    if ending not in _PACKED_BEFORE and len(content) >= _LEAST_TO_PACK_BYTES:
        packed = gzip.compress(content, 9, mtime=0)
    return Part(content, _TYPES[ending], sha256(content).hexdigest()[:_HASH_LETTERS], packed)


def _answer(request: Request, part: Part, headers: list[tuple[str, str]]) -> tuple[int, Headers, bytes]:
    is_packed = part.packed is not None and _takes_gzip(request.headers.get("accept-encoding", ""))
    etag = f'"{part.version}{"-gz" if is_packed else ""}"'  # Another representation is another thing.
    headers = [*headers, ("ETag", etag), ("Vary", "Accept-Encoding")]
    if etag in [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]:
        return 304, headers, b""
    headers.append(("Content-Type", part.kind))
    if is_packed and part.packed is not None:
        return 200, [*headers, ("Content-Encoding", "gzip")], part.packed
    return 200, headers, part.content


def _takes_gzip(accepted: str) -> bool:
    for each in accepted.lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
