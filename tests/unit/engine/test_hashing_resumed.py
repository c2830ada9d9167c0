"""Who is stopped in the middle of a large file goes on from what was noted of it, and comes to the same; whatever is
not as it was noted is hashed from its beginning."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Readable
from p2phub.engine import at_hand, sha256
from p2phub.engine.at_hand import AtHand
from p2phub.engine.hashing_all import Hashing
from p2phub.engine.workers import Workers
from p2phub.store import Fingerprint, HashedFile, PartHashed
from p2phub.store.filesystem import FilesystemStore

CHUNK = limits.CHUNK_BYTES_MAX
SETTLED_NS = 60 * 10**9


class Killed(BaseException):
    """As kill -9 would, in the middle of a thread."""


class One:
    """`hashing_all.Files`: one file."""

    def __init__(self, place: Path, store: FilesystemStore) -> None:
        self._place, self._store = place, store

    def __len__(self) -> int:
        return 1

    def path(self, number: int) -> str:
        return self._place.name

    def place(self, number: int) -> Path:
        return self._place

    def fingerprint(self, number: int) -> Fingerprint:
        file = self.open(number)
        try:
            return self._store.fingerprint_of(file)
        finally:
            file.close()

    def known(self, number: int) -> HashedFile | None:
        return None

    def open(self, number: int) -> Readable:
        return self._store.open_place(self._place)


class Scene:
    """A home, and a file of four chunks and an odd tail, as safetensors has them: no cut is a whole block of SHA-256."""

    def __init__(self, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.place = at / "home", at / "model.safetensors"
        self.place.write_bytes(model(seed=1))
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(limits, "RACY_FINGERPRINT_S", 0)  # As if it had been left alone for long.
        monkeypatch.setattr(at_hand, "KEPT_BYTES_MIN", 2 * CHUNK)
        monkeypatch.setattr("p2phub.engine.hashing_all.KEPT_BYTES_MIN", 2 * CHUNK)

    def hash(self, *, kill_after: int | None = None, note_at: Sequence[int] = ()) -> tuple[HashedFile | None, int]:
        """Run a pass in a store of its own; return what the file is, and how many bytes were hashed for it. It is noted
        after each chunk whose number is in `note_at`, and killed after number `kill_after`."""
        store = FilesystemStore(self.home)
        hashing = Hashing(One(self.place, store), store=store, workers=Workers(1), watch=lambda event: None)
        add, added = AtHand.add, 0

        def add_and_note(hand: AtHand, chunk: memoryview, digest: bytes) -> None:
            nonlocal added
            add(hand, chunk, digest)
            added += len(chunk)
            if hand.chunks in note_at:
                hashing.note()
            if hand.chunks == kill_after:
                raise Killed

        with self._monkeypatch.context() as patch:
            patch.setattr(AtHand, "add", add_and_note)
            try:
                hashing._waiting = iter([0])
                hashing._hash_until_done(0)
            except Killed:
                return None, added
            finally:
                store.close()
        return hashing.results[0], added

    def noted(self) -> PartHashed | None:
        store = FilesystemStore(self.home)
        try:
            return store.part_hashed(self.place)
        finally:
            store.close()

    def note(self, part: PartHashed) -> None:
        store = FilesystemStore(self.home)
        store.note_parts({self.place: part})
        store.close()

    def is_right(self, found: HashedFile | None) -> bool:
        """Whether it is what a pass finds that nobody ended, in a home that knows nothing."""
        other = Scene(self.home.parent / "other", self._monkeypatch) if False else None
        assert other is None
        whole = self.place.read_bytes()
        return found is not None and found.entry.sha256 == hashlib.sha256(whole).digest() and found.chunks is not None


def model(*, seed: int) -> bytes:
    size = 4 * CHUNK + 12_345
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + Random(seed).randbytes(size)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    yield Scene(tmp_path, monkeypatch)


pytestmark = pytest.mark.skipif(sha256.begin() is None, reason="this Python has no OpenSSL whose state can be saved")
