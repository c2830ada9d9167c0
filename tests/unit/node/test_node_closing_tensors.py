"""Who is done with tensors that were fetched for it removes them, and not what another fetches there by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.store import OPENED_FOLDER, OPENED_LETTERS
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.verbs import Scene

CONTENT = content_of(random_files(1, model=5_000), 1_000)


@covers("F07")
async def test_a_reader_who_is_done_waits_for_another_who_fetches_into_the_same_folder(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same call of another process, which would lose the files that it is told to read."""
    store, folder = scene.real_store, scene.parts.config.home / OPENED_FOLDER / ("a" * OPENED_LETTERS)
    folder.parent.mkdir()
    store.put_blobs(list(CONTENT.blobs.values()))
    another = store.arrive(CONTENT.manifest, CONTENT.root, CONTENT.table, folder, force=False)
    really, found = store.discard_opened, []

    def discard(path: Path) -> bool:
        found.append((really(path), folder.exists()))
        another.close()
        return found[-1][0]

    monkeypatch.setattr(store, "discard_opened", discard)
    await scene.call("close_tensors", folder=str(folder))
    assert found == [(False, True), (True, False)]
