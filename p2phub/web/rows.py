"""The first rows of a Parquet file, for a look at it: read by pyarrow in a process of its own, out of verified bytes.

A Parquet file is a stranger's bytes, and its reader a large library: so a child of ours reads it, with bounds on its
memory and processor time, that has nothing of this node but what it is handed. It asks for bytes by offset on its
output; we read them as everything is read here, verified and, if they are missing, fetched; and bound how many.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from importlib.util import find_spec
from typing import Any

import msgspec
import trio

from p2phub import api, limits
from p2phub.errors import Damaged, HubError
from p2phub.http.refusal import Refusal, not_offered
from p2phub.web import reading_rows
from p2phub.web.models import in_time
from p2phub.web.reading_rows import ANSWER_BYTES_MAX, ASKED_AT_ONCE_BYTES_MAX, LINE_BYTES_MAX

Json = dict[str, Any]


class Rows:
    """Reads them for one page, a few files at a time."""

    def __init__(self, hub: api.Hub) -> None:
        self._hub = hub
        self._turns = trio.CapacityLimiter(limits.ROWS_READERS_MAX)

    async def first(self, ref: str, path: str, limit: int) -> Json:
        """Return {"columns", "columns_total", "rows", "total", "cut"}. Raises Refusal: (404) no such file, (415) no
        Parquet, (501) pyarrow is not installed; HubError."""
        if find_spec("pyarrow") is None:
            raise not_offered("show rows without pyarrow", instead="pip install 'p2phub[page]' adds it")
        async with self._turns:
            with in_time():
                async with self._hub.open_model(ref) as model:
                    file = model.files.get(path)
                    if file is None:
                        raise Refusal(404, f"there is no file {path[:200]!r} in it")
                    return await _read(model, path, file.size, limit)


async def _read(model: api.OpenModel, path: str, size: int, limit: int) -> Json:
    # By its file, in a Python that is told nothing by its surroundings: it needs nothing of this package.
    command = [sys.executable, "-IB", reading_rows.__file__, str(size), str(limit)]
    told: Json = {}
    error: HubError | Refusal | None = None
    async with trio.open_nursery() as nursery:
        run = partial(
            trio.run_process,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            deliver_cancel=_end,
            env=_environment(),
            cwd="/",
        )
        child: trio.Process = await nursery.start(run)
        try:
            told = await _serve(child, model, path, size)
        except (HubError, Refusal) as exc:  # Not raised here: the nursery would wrap it.
            error = exc
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error
    return told


async def _serve(child: trio.Process, model: api.OpenModel, path: str, size: int) -> Json:
    """Hand the child what it asks for, until it tells the rows. Raises HubError, Refusal."""
    assert child.stdin is not None
    assert child.stdout is not None
    lines = _Lines(child.stdout)
    read = 0
    while True:
        word, *numbers = (await lines.next()).split()
        if word == b"rows" and len(numbers) == 1:
            return _rows(await lines.exactly(min(_number(numbers[0]), ANSWER_BYTES_MAX)))
        if word != b"read" or len(numbers) != 2:
            raise Damaged("what reads Parquet files broke off")
        start, length = map(_number, numbers)
        read += length
        if read > limits.ROWS_READ_BYTES_MAX or length > ASKED_AT_ONCE_BYTES_MAX or start + length > size:
            raise Refusal(415, f"its first rows take more than {limits.ROWS_READ_BYTES_MAX // 1024**2} MiB to read")
        async with aclosing(model.read(path, start, start + length)) as pieces:
            async for piece in pieces:
                try:
                    await child.stdin.send_all(piece)
                except trio.BrokenResourceError as exc:
                    raise Damaged("what reads Parquet files broke off") from exc


def _rows(answer: bytes) -> Json:
    try:
        told = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise Damaged("what reads Parquet files broke off") from exc
    if "error" in told:
        raise Refusal(415, f"it cannot be read as Parquet: {str(told['error'])[:200]}")
    return told


class _Lines:
    """What the child says."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream, self._had = stream, b""

    async def next(self) -> bytes:
        while b"\n" not in self._had:
            if len(self._had) > LINE_BYTES_MAX:
                raise Damaged("what reads Parquet files broke off")
            await self._more()
        line, _, self._had = self._had.partition(b"\n")
        return line

    async def exactly(self, count: int) -> bytes:
        while len(self._had) < count:
            await self._more()
        return self._had[:count]

    async def _more(self) -> None:
        piece = await self._stream.receive_some(64 * 1024)
        if not piece:
            raise Refusal(415, "it takes too much memory or time to read")
        self._had += bytes(piece)


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise Damaged("what reads Parquet files broke off")
    return int(text)


async def _end(child: trio.Process) -> None:
    child.kill()


def _environment() -> Mapping[str, str]:
    """Nothing of ours, which may hold tokens; one thread, or memory would be for as many as there are processors."""
    return {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "PATH": "/usr/bin:/bin"}
