"""When a fetch for readers ends by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from p2phub.content import RangeSet
from p2phub.engine.readers import NOTHING, Readers, place_whole
from p2phub.store import Origin
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, arrive, deliver_rest


def begun(*, have: RangeSet, chunks: int) -> tuple[Readers, float]:
    """Readers with an idle time of 20 s, and when they began."""
    arrival = SimpleNamespace(have=have, plan=SimpleNamespace(table=range(chunks)))
    job: Any = SimpleNamespace(arrival=arrival, complete=True, want=lambda runs: None)
    readers = Readers(20.0)
    readers.begin(job)
    return readers, trio.current_time()


async def test_a_part_is_kept_open_for_who_reads_on() -> None:
    readers, now = begun(have=RangeSet([(0, 3)]), chunks=4)
    assert not readers.are_done(now)
    assert not readers.are_done(now + 19)
    with readers.claim():
        assert not readers.are_done(now + 1000)
    assert readers.are_done(trio.current_time() + 20)


async def test_what_is_all_here_is_put_to_its_place_at_once() -> None:
    readers, now = begun(have=RangeSet([(0, 4)]), chunks=4)
    with readers.claim():
        assert not readers.are_done(now + 1000)
    assert readers.are_done(trio.current_time())


@covers("F07")
@pytest.mark.parametrize("collected", [True, False])
def test_what_came_whole_is_put_to_its_place_unless_another_process_collects_it_this_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collected: bool
) -> None:
    scene, content = DiskScene(tmp_path), content_of(random_files(1, model=5_500, other=300), 1000)
    scene.folder = scene.store.own_folder(content.root)
    arrival = arrive(scene, content, force=True, selected=NOTHING)
    deliver_rest(arrival, content)
    really = arrival.close

    def close() -> None:
        really()
        if collected:
            shutil.rmtree(scene.folder)  # Its lock was let go of with that.

    monkeypatch.setattr(arrival, "close", close)
    job: Any = SimpleNamespace(
        arrival=arrival,
        assembly=SimpleNamespace(manifest=lambda: content.manifest),
        means=SimpleNamespace(store=scene.store),
        wish=SimpleNamespace(allow_unsafe=False, manifest=content.root, destination=scene.folder),
    )
    place_whole(job)
    held = [(each.origin, each.complete) for each in scene.store.holdings()]
    assert held == ([] if collected else [(Origin.OWN, True)])
    assert scene.folder.exists() == (not collected)
    scene.store.close()
