"""What one bulk connection may cost who serves it."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.identity import PeerId
from p2phub.net.channel import Progress, longest_idle
from p2phub.net.interface import Offer
from p2phub.net.service import BulkService
from p2phub.wire import Ask, Open, Want, encode
from tests.support.content import OpenFile, Published, content_of, random_files
from tests.support.covers import covers
from tests.support.hosts import key_of


class Asking:
    """A channel on which `requests` come, and then nothing."""

    peer: PeerId = key_of("eve").peer_id

    def __init__(self, *requests: Ask | Want) -> None:
        self.progress = Progress()
        self._coming = b"".join(encode(request) for request in requests)
        self.sent = 0

    def fill(self, into: memoryview) -> None:
        into[:], self._coming = self._coming[: len(into)], self._coming[len(into) :]

    def send(self, *parts: memoryview | bytes) -> None:
        self.sent += sum(map(len, parts))

    def widen(self) -> None:
        """There are no records here."""

    def wait(self, timeout_s: float) -> bool:
        return bool(self._coming)

    def close(self) -> None:
        """Nothing to let go of."""


class Keeping(Asking):
    """One that keeps what it is sent."""

    def __init__(self, *requests: Ask | Want) -> None:
        super().__init__(*requests)
        self.came = b""

    def send(self, *parts: memoryview | bytes) -> None:
        super().send(*parts)
        self.came += b"".join(parts)


class LargeBlobs(Published):
    """A shelf whose every blob is as large as one may be, made anew whenever it is asked for."""

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        found = super().offer(manifest, requester)
        return Offer(found.plan, (), lambda digest: os.urandom(limits.MANIFEST_PAGE_BYTES_MAX), found.held)


@covers("T40", "T37")
def test_many_large_blobs_in_one_answer_are_not_held_all_at_once(tmp_path: Path) -> None:
    shelf = LargeBlobs(content_of({"a": b"a" * 1000}, 1000), tmp_path)
    channel = Asking(Ask((digest_of(b"page"),) * limits.BLOBS_PER_REQUEST_MAX))
    service = BulkService(channel, Open(shelf.content.root, 0), shelf)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        service.run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert channel.sent > limits.BLOBS_PER_REQUEST_MAX * limits.MANIFEST_PAGE_BYTES_MAX
    assert peak < limits.BLOBS_KEPT_BYTES_MAX + 4 * limits.MIB


def test_a_connection_whose_chunks_are_read_from_a_slow_disk_is_not_idle(tmp_path: Path) -> None:
    channel = Asking(Want(((0, 1),)))
    idle: list[object] = []

    class SlowDisk(Published):
        def _open(self, file: int) -> OpenFile:
            idle.append(longest_idle([channel], at_least_s=-1))  # type: ignore[list-item]
            return super()._open(file)

    shelf = SlowDisk(content_of({"a": b"a" * 1000}, 1000), tmp_path)
    BulkService(channel, Open(shelf.content.root, 0), shelf).run()  # type: ignore[arg-type]
    assert idle == [None]
    assert longest_idle([channel], at_least_s=-1) is channel  # type: ignore[list-item]


def fail(monkeypatch: pytest.MonkeyPatch, start: int, stop: int) -> list[int]:
    """Let the disk fail at these bytes of each file; return where it was read at, in time."""
    really, read_at = os.preadv, list[int]()

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        read_at.append(offset)
        if offset < stop and offset + sum(map(len, buffers)) > start:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    return read_at


@covers("F03")
@pytest.mark.parametrize("bad", [0, 3, 9])
def test_where_the_disk_fails_at_one_chunk_all_others_of_its_file_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    content = content_of(random_files(7, a=10_000), 1000)
    shelf = Published(content, tmp_path)
    channel = Keeping(Want(((0, 5),)), Want(((5, 5),)))
    fail(monkeypatch, 1000 * bad + 100, 1000 * bad + 200)
    BulkService(channel, Open(content.root, 0), shelf).run()  # type: ignore[arg-type]
    assert [chunk for chunk in range(10) if content.chunk(chunk) not in channel.came] == [bad]


@covers("F03")
def test_a_file_that_the_disk_fails_at_again_and_again_is_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(random_files(7, a=100_000), 1000)
    channel = Asking(*(Want(((first, 10),)) for first in range(0, 100, 10)))
    read_at = fail(monkeypatch, 0, 100_000)
    BulkService(channel, Open(content.root, 0), Published(content, tmp_path)).run()  # type: ignore[arg-type]
    assert len(read_at) == 17
