"""The body of a commit is read a line at a time, and what is none is refused."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest

from p2phub import limits
from p2phub.gateway.commits import Delete, Header, Line, PutFile, PutLarge, read_commit, read_line
from p2phub.http.refusal import Refusal

OID = "ab" * 32
HEADER = {"key": "header", "value": {"summary": "first", "description": "", "parentCommit": "0" * 40}}
FILE = {"key": "file", "value": {"content": base64.b64encode(b"bytes").decode(), "path": "a/b", "encoding": "base64"}}
LARGE = {"key": "lfsFile", "value": {"path": "big", "algo": "sha256", "oid": OID, "size": 9}}
GONE = {"key": "deletedFolder", "value": {"path": "old/"}}


def body(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def read(data: bytes, length: int = 1 << 16) -> Sequence[Line]:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), length):
            yield data[at : at + length]

    async with aclosing(pieces()) as source, aclosing(read_commit(source)) as lines:
        return [line async for line in lines]


@pytest.mark.parametrize("length", [1, 7, 100, 10_000])
async def test_every_line_is_read_however_it_comes(length: int) -> None:
    found = [Header("first", "0" * 40), PutFile("a/b", b"bytes"), PutLarge("big", OID, 9), Delete("old/")]
    assert await read(body(HEADER, FILE, LARGE, GONE), length) == found
    assert await read(body(HEADER, FILE, LARGE, GONE).rstrip(), length) == found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        body(FILE),
        body(HEADER, HEADER),
        body(HEADER)[:-4],
        body(HEADER) + b"{",
        body(HEADER, []),
        body(HEADER, {"key": "file"}),
        body(HEADER, {"key": "rename", "value": {"path": "a"}}),
        body(HEADER, {"key": "file", "value": {"path": "a", "content": "not base64!", "encoding": "base64"}}),
        body(HEADER, {"key": "file", "value": {"content": "", "encoding": "base64"}}),
        body(HEADER, {"key": "file", "value": {"path": "a" * 5000, "content": ""}}),
        body(HEADER, {"key": "lfsFile", "value": {**LARGE["value"], "oid": "../x"}}),  # type: ignore[dict-item]
        body(HEADER, {"key": "lfsFile", "value": {**LARGE["value"], "size": -1}}),  # type: ignore[dict-item]
        body(HEADER, {"key": "lfsFile", "value": {**LARGE["value"], "size": True}}),  # type: ignore[dict-item]
        body(HEADER, {"key": "lfsFile", "value": {**LARGE["value"], "algo": "md5"}}),  # type: ignore[dict-item]
        body(HEADER) + b"[" * 100_000,
    ],
)
async def test_what_is_no_commit_is_refused(data: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        await read(data)
    assert caught.value.status == 400


@pytest.mark.parametrize("filler", [b'"x":[' + b"[]," * 100_000 + b"[]]", b'"path":[' + b"{}," * 100_000 + b"{}]"])
def test_of_what_a_line_says_beside_nothing_is_made_in_memory(filler: bytes) -> None:
    line = b'{"key":"file","value":{' + filler + b"}}"
    tracemalloc.start()
    try:
        with pytest.raises(Refusal):
            read_line(line)
        assert tracemalloc.get_traced_memory()[1] < len(line)
    finally:
        tracemalloc.stop()


async def test_a_line_that_is_too_long_is_refused_before_it_ends() -> None:
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        yield body(HEADER)
        while True:
            taken += limits.MIB
            yield b"a" * limits.MIB

    async def read_on() -> None:
        async with aclosing(pieces()) as source, aclosing(read_commit(source)) as lines:
            async for _ in lines:
                pass

    with pytest.raises(Refusal) as caught:
        await read_on()
    assert caught.value.status == 413
    assert taken <= limits.GATEWAY_COMMIT_LINE_BYTES_MAX + limits.MIB


async def test_too_many_files_are_refused() -> None:
    with pytest.raises(Refusal) as caught:
        await read(body(HEADER) + body(GONE) * limits.GATEWAY_COMMIT_FILES_MAX)
    assert caught.value.status == 413
