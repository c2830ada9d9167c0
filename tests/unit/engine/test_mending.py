"""A damaged file is a source of what is still right in it, and nothing is believed that did not notice the damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.content import RangeSet
from p2phub.engine.mending import damaged_copies, distrusted
from p2phub.errors import ContentChanged
from tests.support.content import content_of, random_files
from tests.support.stores import DiskScene, arrive, deliver_rest, hold

CONTENT = content_of(random_files(1, a=3_500, b=2_000, c=900), 1000)


def test_what_is_right_of_a_damaged_file_is_copied_and_the_rest_is_not(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    arrival = arrive(scene, CONTENT)
    deliver_rest(arrival, CONTENT)
    arrival.finish()
    damaged = bytearray(CONTENT.files["a.bin"])
    damaged[1_500] ^= 1
    scene.put("a.bin", bytes(damaged))
    scene.put("b.bin", CONTENT.files["b.bin"] + b"more")
    scene.remove("c.bin")
    for number in range(3):
        scene.store.mark_damaged(CONTENT.root, scene.folder, number)
    mending = arrive(scene, CONTENT, force=True)
    runs = damaged_copies(CONTENT.manifest, CONTENT.table, CONTENT.whole - mending.have, scene.folder, scene.store)
    copied = RangeSet()
    for run in runs:
        assert not mending.clone(run)  # Never believed unread.
        copied |= mending.copy(run)
    mending.verified(copied)
    assert list(CONTENT.whole - mending.have) == [1, 6]  # The spoilt one, and the file that is gone.
    assert deliver_rest(mending, CONTENT) == [1, 6]
    mending.finish()
    assert scene.files() == CONTENT.files
    scene.store.close()


def test_a_copy_elsewhere_is_read_and_not_cloned_however_well_the_index_knows_it(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    hold(scene, CONTENT)
    runs = scene.store.local(CONTENT.table, CONTENT.whole)
    assert all(run.file.trusted for run in runs)
    assert [run.file.trusted for run in distrusted(runs)] == [False] * len(runs)
    assert [(run.first, run.count) for run in distrusted(runs)] == [(run.first, run.count) for run in runs]
    scene.put("a.bin", b"other")
    with pytest.raises(ContentChanged):
        distrusted(runs)[0].file.open()
    scene.store.close()
