"""Who is stopped in the middle of a large file goes on from what was noted of it, and comes to the same; whatever is
not as it was noted is hashed from its beginning."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Collection
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
from tests.support.stores import as_on_a_disk

CHUNK = limits.CHUNK_BYTES_MAX
TENSOR = 3 * CHUNK + 12_345
CHUNKS = 5
"""Of the header, and the tensor: as it begins behind the header, no cut is where a block of SHA-256 ends."""

pytestmark = pytest.mark.skipif(sha256.begin() is None, reason="this Python has no OpenSSL whose state can be saved")


class Killed(BaseException):
    """In the middle of a thread, and nothing is done any more; but that files are closed."""


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
    """A large file (`place`), and a home that hashes it."""

    def __init__(self, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.place = at / "home", at / "model.safetensors"
        self.place.write_bytes(weights(seed=1))
        self._monkeypatch = monkeypatch
        as_on_a_disk(monkeypatch)

    async def hash(
        self, *, noted_at: Collection[int] = (), killed_at: int | None = None, home: Path | None = None
    ) -> tuple[HashedFile | None, int]:
        """Run a pass; return what the file is, None if it was killed, and how many bytes were hashed for it. It is
        noted when it has as many chunks as `noted_at` says, and killed when it has `killed_at`."""
        store = FilesystemStore(home or self.home)
        hashing = Hashing(One(self.place, store), store=store, workers=Workers(1), watch=lambda event: None)
        add, hashed = AtHand.add, 0

        def add_and_note(at: AtHand, chunk: memoryview, digest: bytes) -> None:
            nonlocal hashed
            add(at, chunk, digest)
            hashed += len(chunk)
            if at.chunks in noted_at:
                hashing.note()
            if at.chunks == killed_at:
                raise Killed

        with self._monkeypatch.context() as patch:
            patch.setattr(AtHand, "add", add_and_note)
            try:
                await hashing.run()
            except* Killed:
                pass
            finally:
                store.close()
        assert hashing.errors == {}
        assert (hashing.results[0] is None) == (killed_at is not None)
        return hashing.results[0], hashed

    async def anew(self) -> HashedFile | None:
        """Return what a home finds that knows nothing."""
        found, hashed = await self.hash(home=self.home.with_name("other"))
        assert hashed == self.place.stat().st_size
        return found

    @property
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


def weights(*, seed: int) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [TENSOR], "data_offsets": [0, TENSOR]}}).encode()
    return struct.pack("<Q", len(header)) + header + Random(seed).randbytes(TENSOR)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(limits, "RACY_FINGERPRINT_S", 0)  # As if the file had been left alone for long.
    monkeypatch.setattr(limits, "GIT_SHA1_FILE_BYTES_MAX", CHUNK)
    return Scene(tmp_path, monkeypatch)


@pytest.mark.parametrize("killed_at", range(1, CHUNKS + 1))
@pytest.mark.parametrize("behind", [0, 1])
async def test_a_pass_killed_after_any_chunk_is_gone_on_with_from_what_was_noted(
    scene: Scene, killed_at: int, behind: int
) -> None:
    found, _ = await scene.hash(noted_at=range(1, killed_at + 1 - behind), killed_at=killed_at)
    assert found is None
    part = scene.noted
    assert (0 if part is None else part.chunks) == killed_at - behind
    found, hashed = await scene.hash()
    assert hashed == scene.place.stat().st_size - (0 if part is None else part.offset)
    assert found == await scene.anew()
    assert found is not None
    assert found.entry.chunks == CHUNKS


async def test_a_pass_killed_again_and_again_comes_to_its_end(scene: Scene) -> None:
    total = 0
    for done in range(1, CHUNKS):
        _, hashed = await scene.hash(noted_at=[done], killed_at=done)
        total += hashed
    found, hashed = await scene.hash()
    assert total + hashed == scene.place.stat().st_size
    assert found == await scene.anew()


async def test_what_is_noted_as_a_whole_leaves_no_part(scene: Scene) -> None:
    await scene.hash(noted_at=[2], killed_at=3)
    store = FilesystemStore(scene.home)
    hashing = Hashing(One(scene.place, store), store=store, workers=Workers(1), watch=lambda event: None)
    await hashing.run()
    hashing.note()
    assert store.part_hashed(scene.place) is None
    assert list(store.hashed_at([scene.place])) == [scene.place]
    hashing.note()
    assert store.part_hashed(scene.place) is None
    store.close()


async def test_a_file_that_changed_is_hashed_from_its_beginning(scene: Scene) -> None:
    await scene.hash(noted_at=[3], killed_at=4)
    fd = os.open(scene.place, os.O_RDWR)
    os.pwrite(fd, b"changed", CHUNK // 2)  # Not in the chunk that is looked at: only the fingerprint tells.
    os.close(fd)
    found, hashed = await scene.hash()
    assert hashed == scene.place.stat().st_size
    assert found == await scene.anew()


async def test_a_file_that_was_too_young_is_hashed_from_its_beginning(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RACY_FINGERPRINT_S", 3600)
    await scene.hash(noted_at=[3], killed_at=4)
    assert scene.noted is None


async def test_a_home_that_lost_its_index_begins_again(scene: Scene) -> None:
    await scene.hash(noted_at=[3], killed_at=4)
    for file in scene.home.glob("index.sqlite*"):
        file.unlink()
    found, hashed = await scene.hash()
    assert hashed == scene.place.stat().st_size
    assert found == await scene.anew()


def other_cuts(part: PartHashed) -> PartHashed:
    return replace(part, cuts=bytes(32))


def other_offset(part: PartHashed) -> PartHashed:
    return replace(part, offset=part.offset - 64)


def other_last_chunk(part: PartHashed) -> PartHashed:
    return replace(part, digests=part.digests[:-1] + bytes([part.digests[-1] ^ 1]))


def longer_state(part: PartHashed) -> PartHashed:
    return replace(part, state=part.state.ljust(112, b"\0"))


def whole_struct(part: PartHashed) -> PartHashed:
    return replace(part, state=bytes(216))


def more_than_there_is(part: PartHashed) -> PartHashed:
    return replace(part, digests=part.digests * CHUNKS)


@pytest.mark.parametrize(
    "changed",
    [other_cuts, other_offset, other_last_chunk, longer_state, whole_struct, more_than_there_is],
)
async def test_what_does_not_fit_the_file_is_not_gone_on_from(
    scene: Scene, changed: Callable[[PartHashed], PartHashed]
) -> None:
    await scene.hash(noted_at=[3], killed_at=4)
    part = scene.noted
    assert part is not None
    scene.note(replace(part, fingerprint=Fingerprint(0, 0, 0, 0, 0)))  # So that it is written anew.
    scene.note(changed(part))
    found, hashed = await scene.hash()
    assert hashed == scene.place.stat().st_size
    assert found == await scene.anew()


async def test_a_file_that_is_another_behind_an_unchanged_fingerprint_is_seen_at_its_last_chunk(scene: Scene) -> None:
    await scene.hash(noted_at=[3], killed_at=4)
    part = scene.noted
    assert part is not None
    fd = os.open(scene.place, os.O_RDWR)
    os.pwrite(fd, b"rot", part.offset - 3)
    os.close(fd)
    store = FilesystemStore(scene.home)
    now = One(scene.place, store).fingerprint(0)
    store.close()
    scene.note(replace(part, fingerprint=now))
    found, hashed = await scene.hash()
    assert hashed == scene.place.stat().st_size
    assert found == await scene.anew()


async def test_where_no_sha256_can_be_saved_nothing_is_noted_and_all_is_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await scene.anew()
    await scene.hash(noted_at=[3], killed_at=4)
    part = scene.noted
    assert part is not None
    with monkeypatch.context() as patch:
        patch.setattr(at_hand.sha256, "begin", lambda: None)
        patch.setattr(at_hand.sha256, "resume", lambda state, length: None)
        found, hashed = await scene.hash(noted_at=[1, 4])
        assert (found, hashed) == (expected, scene.place.stat().st_size)
        assert scene.noted == part


async def test_a_small_file_is_hashed_whole_with_its_git_sha1(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GIT_SHA1_FILE_BYTES_MAX", scene.place.stat().st_size)
    await scene.hash(noted_at=[3], killed_at=4)
    assert scene.noted is None
    found, _ = await scene.hash()
    assert found is not None
    assert found.entry.git_sha1 is not None
