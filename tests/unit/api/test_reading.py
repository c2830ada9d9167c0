"""What a reader makes of what the node tells it: pieces in order, from wherever they stand, and never a wrong byte."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.api.reading import AHEAD_BYTES, PIECE_BYTES_MAX, OpenModel
from p2phub.errors import ContentChanged, NoProvider, NotFound
from p2phub.observe import ModelOpened, RangeReady, Watch
from tests.support.covers import covers

MIB = limits.MIB
DATA = Random(3).randbytes(5 * MIB + 11)
Answer = Callable[[int, int, Watch], None]


class Node:
    """A node that has one file, of `size` bytes; `answer` tells where a range of it stands."""

    def __init__(self, answer: Answer, size: int = len(DATA)) -> None:
        self._answer, self._size = answer, size
        self._closed = trio.Event()
        self.asked: list[tuple[int, int]] = []
        self.waits = False  # Whether it has more to tell after what it answers, which never comes.
        self.left = 0

    async def call(self, verb: str, args: dict[str, Any], watch: Watch) -> dict[str, Any]:
        if verb == "open_model":
            watch(ModelOpened(1, args["ref"], "digest", None, [["a", self._size, "00"], ["b", 0, "00"]]))
            await self._closed.wait()
        elif verb == "close_model":
            self._closed.set()
        elif verb == "read_range":
            self.asked.append((args["start"], args["stop"]))
            await trio.lowlevel.checkpoint()
            self._answer(args["start"], args["stop"], watch)
            if self.waits:
                try:
                    await trio.sleep_forever()
                finally:
                    self.left += 1
        return {}


@asynccontextmanager
async def opened(node: Node) -> AsyncIterator[OpenModel]:
    async with (
        trio.open_nursery() as nursery,
        OpenModel(node.call, nursery, {"ref": "m"}, lambda event: None) as model,
    ):
        yield model


async def read(model: OpenModel, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([bytes(piece) async for piece in model.read("a", start, stop)])


def exactly(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "0"
    path.write_bytes(DATA)
    return path


async def test_pieces_come_in_order_and_none_is_longer_than_the_most(file: Path) -> None:
    def answer(start: int, stop: int, watch: Watch) -> None:
        for at in range(start, stop, 700_000):
            watch(RangeReady(str(file), at, min(at + 700_000, stop), None))

    async with opened(Node(answer)) as model:
        assert await read(model, 3, 4 * MIB) == DATA[3 : 4 * MIB]
        pieces = [bytes(piece) async for piece in model.read("a")]
        assert b"".join(pieces) == DATA
        assert max(map(len, pieces)) <= PIECE_BYTES_MAX
        with pytest.raises(NotFound):
            await anext(model.read("c"))


async def test_what_it_was_not_told_of_it_asks_for_again(file: Path) -> None:
    """A slow reader of a local socket loses the oldest events."""

    def answer(start: int, stop: int, watch: Watch) -> None:
        middle = start + (stop - start) // 2
        told = [(start, middle)] if len(node.asked) % 2 else [(middle, stop)]
        for low, high in told:
            watch(RangeReady(str(file), low, max(high, low + 1), None))

    node = Node(answer)
    async with opened(node) as model:
        assert await read(model) == DATA


async def test_a_file_that_went_elsewhere_before_it_was_opened_is_asked_for_again(file: Path, tmp_path: Path) -> None:
    def answer(start: int, stop: int, watch: Watch) -> None:
        watch(RangeReady(str(file if len(node.asked) > 2 else tmp_path / "gone"), start, stop, None))

    node = Node(answer)
    async with opened(node) as model:
        assert await read(model) == DATA
    assert len(node.asked) == 3


@covers("F07")
@pytest.mark.parametrize("when", ["before it was opened", "after"])
async def test_of_an_unfinished_file_that_another_was_begun_in_place_of_no_byte_is_given(
    file: Path, tmp_path: Path, when: str
) -> None:
    first = file.stat()
    keeps_its_number = tmp_path / "old"

    def begin_anew() -> None:
        os.link(file, keeps_its_number)
        file.unlink()
        file.write_bytes(bytes(2 * MIB) + DATA[2 * MIB :])  # What came first is not there yet.

    def answer(start: int, stop: int, watch: Watch) -> None:
        if len(node.asked) == 1:
            watch(RangeReady(str(file), 0, 2 * MIB, [first.st_dev, first.st_ino]))
            if when == "before it was opened":
                begin_anew()
        else:
            now = file.stat()
            if when == "before it was opened":
                file.write_bytes(DATA)
            watch(RangeReady(str(file), start, stop, [now.st_dev, now.st_ino]))

    node = Node(answer)
    async with opened(node) as model, aclosing(model.read("a")) as pieces:
        got = bytes(await anext(pieces))
        if when == "after":
            os.truncate(file, 2 * MIB)  # The rest of it never came.
            os.truncate(file, len(DATA))
            begin_anew()
        got += b"".join([bytes(piece) async for piece in pieces])
    assert got == DATA


@pytest.mark.parametrize("when", ["before", "between", "during"])
async def test_of_a_file_that_changed_no_byte_is_given(
    file: Path, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = tmp_path / "right"
    right.write_bytes(DATA)
    was = exactly(file)

    def answer(start: int, stop: int, watch: Watch) -> None:
        if len(node.asked) == 1:
            if when == "before":
                file.write_bytes(bytes(len(DATA)))
                os.utime(file, ns=(was[3], was[3]))  # As long, and as old, as it was.
            watch(RangeReady(str(file), start, len(DATA), was))
        else:
            watch(RangeReady(str(right), start, stop, exactly(right)))

    node = Node(answer)
    async with opened(node) as model, aclosing(model.read("a")) as pieces:
        got = bytes(await anext(pieces))
        if when == "between":
            file.write_bytes(bytes(len(DATA)))
        if when == "during":

            def pread(descriptor: int, length: int, offset: int) -> bytes:
                if os.path.samestat(os.fstat(descriptor), file.stat()):
                    file.write_bytes(bytes(len(DATA)))
                buffer = bytearray(length)
                return bytes(buffer[: os.preadv(descriptor, [buffer], offset)])

            monkeypatch.setattr(os, "pread", pread)
        got += b"".join([bytes(piece) async for piece in pieces])
    assert got == DATA


async def test_one_that_is_never_as_it_should_be_is_given_up(file: Path) -> None:
    def answer(start: int, stop: int, watch: Watch) -> None:
        watch(RangeReady(str(file), start, stop, [1, 2, 3, 4, 5]))

    async with opened(Node(answer)) as model:
        with pytest.raises(ContentChanged):
            await read(model)


async def test_what_cannot_be_had_is_said_after_what_could(file: Path) -> None:
    def answer(start: int, stop: int, watch: Watch) -> None:
        watch(RangeReady(str(file), start, 2 * MIB, None))
        raise NoProvider("nobody")

    async with opened(Node(answer)) as model, aclosing(model.read("a")) as pieces:
        assert bytes(await anext(pieces)) + bytes(await anext(pieces)) == DATA[: 2 * MIB]
        with pytest.raises(NoProvider):
            await anext(pieces)


async def test_no_more_than_a_bound_is_asked_for_ahead_and_who_leaves_lets_go_of_it(tmp_path: Path) -> None:
    long = tmp_path / "long"
    long.touch()
    os.truncate(long, 4 * AHEAD_BYTES)

    def answer(start: int, stop: int, watch: Watch) -> None:
        watch(RangeReady(str(long), start, stop, None))

    node = Node(answer, 4 * AHEAD_BYTES)
    node.waits = True
    async with opened(node) as model:
        taken = 0
        async with aclosing(model.read("a")) as pieces:
            async for piece in pieces:
                taken += len(piece)
                await trio.testing.wait_all_tasks_blocked()
                assert max(stop for _, stop in node.asked) <= taken + AHEAD_BYTES
                if taken >= 2 * AHEAD_BYTES:
                    break
        await trio.testing.wait_all_tasks_blocked()
        assert node.left == len(node.asked)
        still = model.read("a")
        await anext(still)
    assert node.left == len(node.asked)  # The end of the model ends its reads.
    await still.aclose()
