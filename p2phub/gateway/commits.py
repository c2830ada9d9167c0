"""The body of a commit: a line of JSON for each thing that it does, read one at a time. Pure.

{"key": "header", "value": {"summary", "description", "parentCommit"?}}     first, and once
{"key": "file", "value": {"path", "content", "encoding": "base64"}}         a file, with all that is in it
{"key": "lfsFile", "value": {"path", "algo": "sha256", "oid", "size"}}      a file that came by itself
{"key": "deletedFile" | "deletedFolder", "value": {"path"}}
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

import msgspec

from p2phub import api, limits
from p2phub.gateway.upload_routes import check_size
from p2phub.http.refusal import Refusal


class Header(msgspec.Struct, frozen=True):
    """`parent`: the commit that this one is to follow, if the client says it."""

    summary: str
    parent: str | None


class PutFile(msgspec.Struct, frozen=True):
    path: str
    content: bytes


class PutLarge(msgspec.Struct, frozen=True):
    """A file that came before, by its SHA-256 in hex."""

    path: str
    sha256: str
    size: int


class Delete(msgspec.Struct, frozen=True):
    """A file, or a folder with all that is in it."""

    path: str


_NULL = msgspec.Raw(b"null")


class _Value(msgspec.Struct):
    """What lines have, each as it stands there: of whatever else there is nothing is made, so that a line of brackets
    does not become thirty times its length in memory."""

    summary: msgspec.Raw = _NULL
    parentCommit: msgspec.Raw = _NULL  # noqa: N815  # As clients call it.
    path: msgspec.Raw = _NULL
    content: msgspec.Raw = _NULL
    encoding: msgspec.Raw = msgspec.Raw(b'"base64"')
    algo: msgspec.Raw = _NULL
    oid: msgspec.Raw = _NULL
    size: msgspec.Raw = _NULL


class _Said(msgspec.Struct):
    key: str
    value: _Value


Line = Header | PutFile | PutLarge | Delete


async def read_commit(pieces: AsyncIterable[bytes]) -> AsyncGenerator[Line, None]:
    """Yield what each line of a body says, the header first. Raises Refusal: (400) for a line that says nothing of
    that, (413) for one that is too long and for too many; and what `pieces` raises."""
    count = 0
    async with aclosing(_lines(pieces)) as lines:
        async for line in lines:
            if not line.strip():
                continue
            found = read_line(line)
            if isinstance(found, Header) != (count == 0):
                raise Refusal(400, "a commit begins with its header, and has one")
            count += 1
            if count > limits.GATEWAY_COMMIT_FILES_MAX:
                raise Refusal(413, f"a commit here has at most {limits.GATEWAY_COMMIT_FILES_MAX} files")
            yield found
    if not count:
        raise Refusal(400, "a commit begins with its header")


async def _lines(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytearray, None]:
    held = bytearray()
    async for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            held += piece[start:end]
            _check_length(held)
            yield held
            held = bytearray()
            start = end + 1
        held += piece[start:]
        _check_length(held)
    yield held


def _check_length(line: bytearray) -> None:
    if len(line) > limits.GATEWAY_COMMIT_LINE_BYTES_MAX:
        raise Refusal(413, "a file of this size is not sent in the commit: a client that asks how, is told")


def read_line(line: bytes | bytearray) -> Line:
    """Return what a line says. Raises Refusal(400)."""
    try:
        said = msgspec.json.decode(line, type=_Said)
    except msgspec.ValidationError as exc:
        raise Refusal(400, "a line of the commit has a key and a value") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refusal(400, "a line of the commit is no JSON") from exc
    value = said.value
    match said.key:
        case "header":
            return Header(_text(value.summary, 1000), _text(value.parentCommit, 64) or None)
        case "file":
            return PutFile(_path(value), _content(value))
        case "lfsFile":
            oid, size = _plain(value.oid), _plain(value.size)
            if _plain(value.algo) == "sha256" and isinstance(oid, str) and api.is_sha256(oid):
                return PutLarge(_path(value), oid, check_size(size))
        case "deletedFile" | "deletedFolder":
            return Delete(_path(value))
    raise Refusal(400, "a line of the commit says nothing that this gateway knows")


def _plain(raw: msgspec.Raw) -> str | int | None:
    """Return a text or a number, None for anything else."""
    try:
        return msgspec.json.decode(raw, type=str | int | None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _path(value: _Value) -> str:
    path = _plain(value.path)
    if not isinstance(path, str) or not path or len(path) > limits.PATH_BYTES_MAX:
        raise Refusal(400, "a line of the commit has no path")
    return path


def _text(raw: msgspec.Raw, most: int) -> str:
    text = _plain(raw)
    return text[:most] if isinstance(text, str) else ""


def _content(value: _Value) -> bytes:
    content, encoding = _plain(value.content), _plain(value.encoding)
    if not isinstance(content, str) or encoding not in ("base64", "utf-8"):
        raise Refusal(400, "a file of the commit has no content")
    try:
        return base64.b64decode(content, validate=True) if encoding == "base64" else content.encode()
    except (binascii.Error, ValueError) as exc:
        raise Refusal(400, "a file of the commit is no base64") from exc
