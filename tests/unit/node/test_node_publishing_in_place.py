"""Publishing reads each file once, and neither copies nor touches any."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.models import disk_of, make_safetensors_folder
from tests.support.verbs import Scene, publish_as_it_is

MIB = 1 << 20
LOOKED_AT_BYTES = MIB // 4
"""Of a file's beginning and end, at most, to tell what it is."""


def states(folder: Path) -> dict[str, tuple[int, ...]]:
    """Everything that the disk tells of a folder and what is in it, but for when it was last read."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        is_ = os.lstat(path)
        found[str(path)] = (is_.st_ino, is_.st_nlink, is_.st_mode, is_.st_size, is_.st_mtime_ns, is_.st_ctime_ns)
    return found


async def test_what_is_published_is_left_as_it_was_and_nothing_is_copied(scene: Scene, tmp_path: Path) -> None:
    folder = make_safetensors_folder(tmp_path / "model", 200 * MIB, files=2)
    home: Path = scene.parts.config.home
    before, room_before = states(folder), disk_of(home)
    await publish_as_it_is(scene, folder)
    assert states(folder) == before
    assert disk_of(home) - room_before < disk_of(folder) / 100


async def test_one_pass_over_a_file_gives_all_of_its_digests(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for its beginning and end, which say what it is: that, and how it is cut, is known before the pass begins."""
    folder = make_safetensors_folder(tmp_path / "model", 5 * MIB)
    read: dict[str, list[tuple[int, int]]] = {path.name: [] for path in folder.iterdir()}
    really = os.preadv

    def preadv(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        count = really(descriptor, buffers, offset)
        read[Path(os.readlink(f"/proc/self/fd/{descriptor}")).name].append((offset, count))
        return count

    monkeypatch.setattr(os, "preadv", preadv)
    published = await publish_as_it_is(scene, folder)
    monkeypatch.undo()
    files = (await scene.call("info", ref=published["reference"], providers=()))["files"]
    assert len(files) == len(read) > 1
    for file in files:
        data = (folder / file["path"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        assert file["git_sha1"] == git
        assert sum(count for _, count in read[file["path"]]) <= len(data) + LOOKED_AT_BYTES
