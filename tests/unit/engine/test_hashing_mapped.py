"""A file that some program has mapped, and has written to, is hashed so that its next store there is seen."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from p2phub.engine.hashing_all import hash_folder
from p2phub.engine.workers import Workers
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.tmpfs import is_in_memory
from tests.support.covers import covers


@covers("F05")
async def test_what_is_stored_through_a_mapping_after_a_pass_is_hashed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_in_memory(tmp_path):
        pytest.skip("a file system in memory writes nothing back, so nothing that is stored there can be told by times")
    monkeypatch.setattr("p2phub.limits.RACY_FINGERPRINT_S", 0)  # The ctime cannot be set back, and nobody is to wait.
    store, folder = FilesystemStore(tmp_path / "home"), tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(bytes(9_000))

    async def hashed() -> tuple[bytes, bool]:
        scan = store.scan(folder, lambda path, is_folder: None)
        found = await hash_folder(folder, scan, store=store, workers=Workers(1), watch=lambda event: None)
        store.note_hashed({folder / "weights": found.files[0]})
        return found.files[0].entry.sha256, found.bytes_hashed > 0

    with (folder / "weights").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[0] = 1
        os.utime(folder / "weights", (10**9, 10**9))
        first, read = await hashed()
        assert read
        assert await hashed() == (first, False)
        mapping[0] = 2
        second, read = await hashed()
        assert read
        assert second != first
    store.close()
