"""Where the clients make no symbolic links, files stand in snapshots: such caches are adopted, and written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.test_from_cache_to_cache import LOAD_MODEL, STATE_OF_CACHE, adopt
from tests.support.folders import paths_below
from tests.support.hf_client import HfClient
from tests.support.processes import Scene
from tests.support.real_model import real_model
from tests.support.real_repository import CACHE_FOLDER, NAME
from tests.support.static_hub import StaticHub

pytestmark = pytest.mark.clients

WITHOUT: Mapping[str, str] = {"HF_HUB_DISABLE_SYMLINKS": "1", "HF_HUB_DISABLE_SYMLINKS_WARNING": "1"}
FETCH_S = 120.0


def links_below(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("before", ["nothing", "links"])
def test_a_cache_without_links_is_adopted_and_another_written_that_the_clients_load_offline(
    scene: Scene, hub: StaticHub, before: str
) -> None:
    commit = hub.repositories["models", NAME].refs["refs/heads/main"]
    files = hub.repositories["models", NAME].commits[commit]
    ann = HfClient(scene.folder / "ann-hf", hub.url, WITHOUT)
    scene.environment["ann"] = ann.environment
    if before == "links":  # Blobs that are there are copied into the snapshot, and stay.
        replace(ann, settings={}).hf("download", NAME)
        for path in paths_below(ann.cache / CACHE_FOLDER / "snapshots" / commit).values():
            path.unlink()
    ann.hf("download", NAME)
    assert links_below(ann.cache) == []
    assert bool(list((ann.cache / CACHE_FOLDER / "blobs").iterdir())) is (before == "links")
    adopted = adopt(scene, "ann")
    assert (adopted["revision"], adopted["files"], adopted["complete"]) == (commit, len(files), True)
    node = scene.node("ann")

    bob = HfClient(scene.folder / "bob-hf", hub.url, WITHOUT).offline()
    scene.environment["bob"] = bob.environment
    asked = len(hub.asked)
    words = ("--provider", node.address, "--no-lan", "--to", "hf-cache", "--as", NAME)
    fetch = scene.start("bob", "fetch", adopted["manifest"], *words)
    done = fetch.wait_for("done", timeout_s=FETCH_S)
    assert fetch.finish(timeout_s=FETCH_S) == 0, fetch.tail()
    assert links_below(bob.cache) == []
    assert list((bob.cache / CACHE_FOLDER / "blobs").iterdir()) == []
    assert bob.file(LOAD_MODEL, NAME) == bob.file(LOAD_MODEL, str(real_model()))
    state = bob.python(STATE_OF_CACHE, NAME)
    snapshot = Path(state["whole"])
    assert (state["warnings"], snapshot) == ([], Path(done["path"]))
    assert state["revisions"] == {snapshot.name: ["main"]}
    assert {path: os.stat(file).st_size for path, file in paths_below(snapshot).items()} == {
        path: file.size for path, file in files.items()
    }
    assert len(hub.asked) == asked
    # Clients that make links find it, too, and the hub says that it is what it has.
    linking = HfClient(bob.folder, hub.url)
    assert linking.offline().python(STATE_OF_CACHE, NAME)["whole"] == str(snapshot)
    words = ("--local-dir", str(snapshot), "--revision", commit, "--fail-on-missing-files", "--fail-on-extra-files")
    assert f"Verified {len(files)} file(s)" in linking.hf("cache", "verify", NAME, *words)
