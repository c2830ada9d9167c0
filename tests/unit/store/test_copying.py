"""What is cloned of a source that changes in that moment is neither believed nor in the way."""

from __future__ import annotations

import os
from pathlib import Path

from p2phub.store.disk import Disk
from tests.support.content import content_of, random_files
from tests.support.stores import DiskScene, arrive, deliver_rest, hold

CONTENT = content_of(random_files(3, model=5_500), 1000)


class GrowingDisk(Disk):
    """A file system that shares blocks. `source` gets longer before it is cloned."""

    source: Path | None = None

    def clone(self, source_fd: int, target_fd: int) -> bool:
        if self.source is not None:
            self.source.write_bytes(b"x" * 9_000)
        data = os.pread(source_fd, 1 << 20, 0)
        os.ftruncate(target_fd, len(data))
        os.pwrite(target_fd, data, 0)
        return True


def test_a_source_that_grows_while_it_is_cloned_leaves_nothing_behind_the_file(tmp_path: Path) -> None:
    disk = GrowingDisk()
    scene = DiskScene(tmp_path, disk)
    hold(scene, CONTENT)
    (run,) = scene.store.local(CONTENT.table, CONTENT.whole)
    assert run.file.trusted
    disk.source = scene.folder / "model.bin"
    scene.folder = tmp_path / "copy"
    arrival = arrive(scene, CONTENT)
    assert not arrival.clone(run)
    deliver_rest(arrival, CONTENT)
    arrival.finish()
    assert scene.files() == CONTENT.files
    scene.store.close()


def test_what_was_removed_by_hand_is_not_told_of_and_another_copy_is(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    scene.folder = tmp_path / "one"
    hold(scene, CONTENT)
    scene.folder = tmp_path / "two"
    hold(scene, CONTENT)
    (told,) = scene.store.local(CONTENT.table, CONTENT.whole)
    told.file.path.unlink()
    (other,) = scene.store.local(CONTENT.table, CONTENT.whole)
    assert other.file.path != told.file.path
    assert other.file.path.exists()
    other.file.path.write_bytes(b"shorter")
    assert scene.store.local(CONTENT.table, CONTENT.whole) == []
    scene.store.close()
