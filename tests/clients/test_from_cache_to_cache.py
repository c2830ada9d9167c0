"""A model that two people have in their Hugging Face caches gets into the cache of a third, without hub and copies."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.support.folders import paths_below
from tests.support.hf_client import HfClient
from tests.support.models import disk_of
from tests.support.processes import Event, Node, Scene
from tests.support.real_model import real_model
from tests.support.real_repository import CACHE_FOLDER, NAME
from tests.support.static_hub import HubFile, StaticHub, git_sha1

pytestmark = pytest.mark.clients

LOAD_MODEL = Path(__file__).with_name("load_model.py")
ADOPT_S = 120.0
FETCH_S = 120.0
UP = "25MB"
"""What each of the two may send in a second: too little for one to give all before the other is asked."""

STATE_OF_CACHE = """
found = scan_cache_dir()
revisions = {each.commit_hash: sorted(each.refs) for repo in found.repos for each in repo.revisions}
whole = snapshot_download(sys.argv[1])
print(json.dumps({"revisions": revisions, "warnings": [str(each) for each in found.warnings], "whole": whole}))
"""


def user_of(scene: Scene, hub: StaticHub, title: str) -> HfClient:
    """Return a person with a Hugging Face home, whose p2phub knows of that by the environment, as the clients do."""
    user = HfClient(scene.folder.parent / f"{title}-hf", hub.url)
    scene.environment[title] = user.environment
    return user


def adopt(scene: Scene, title: str) -> Event:
    """Adopt all repositories of a person's cache; return what is told of the one that is there."""
    adopting = scene.start(title, "adopt", "hf", "--announce", "all")
    code = adopting.finish(timeout_s=ADOPT_S)
    assert code == 0, adopting.tail()
    (adopted,) = (event for event in adopting.events if event["event"] == "adopted")
    return adopted


def inodes(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return for each name below a folder which inode it is, and what would differ if that had been written to."""
    found: dict[str, tuple[int, int, int, int]] = {}
    for root, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            state = os.lstat(os.path.join(root, name))
            found[os.path.relpath(os.path.join(root, name), folder)] = (
                state.st_dev,
                state.st_ino,
                state.st_size,
                state.st_mtime_ns,
            )
    return found


def test_a_cache_is_adopted_on_two_nodes_and_a_third_fetches_from_both_and_loads_it_offline(
    scene: Scene, hub: StaticHub
) -> None:
    commit = hub.repositories["models", NAME].refs["refs/heads/main"]
    files = hub.repositories["models", NAME].commits[commit]
    bytes_total = sum(file.size for file in files.values())

    # Two download it from the hub, and adopt what their client wrote: nothing is copied, nothing changed.
    nodes: list[Node] = []
    manifests: set[str] = set()
    for title in ("ann", "bob"):
        user = user_of(scene, hub, title)
        user.hf("download", NAME)
        before = inodes(user.cache)
        adopted = adopt(scene, title)
        assert (adopted["name"], adopted["revision"]) == (NAME, commit)
        assert (adopted["files"], adopted["bytes"]) == (len(files), bytes_total)
        assert adopted["complete"] is True
        assert Path(adopted["folder"]).is_relative_to(user.cache / CACHE_FOLDER)
        manifests.add(adopted["manifest"])
        nodes.append(scene.node(title, "--up", UP))
        assert inodes(user.cache) == before
        assert disk_of(scene.home(title)) < bytes_total / 50
    (manifest,) = manifests

    # The third has neither the hub nor anything else but the digest and the two.
    asked = len(hub.asked)
    third = user_of(scene, hub, "cyd").offline()
    scene.environment["cyd"] = third.environment
    there = [word for node in nodes for word in ("--provider", node.address)]
    fetch = scene.start("cyd", "fetch", manifest, *there, "--no-lan", "--to", "hf-cache", "--as", NAME)
    done = fetch.wait_for("done", timeout_s=FETCH_S)
    assert fetch.finish(timeout_s=FETCH_S) == 0
    assert {source["peer_id"] for source in done["sources"] if source["bytes"]} == {node.peer_id for node in nodes}
    assert disk_of(third.folder, scene.home("cyd")) < bytes_total * 1.05

    # Its clients find all of it, with nobody to ask.
    assert third.file(LOAD_MODEL, NAME) == third.file(LOAD_MODEL, str(real_model()))
    state = third.python(STATE_OF_CACHE, NAME)
    snapshot = Path(state["whole"])
    assert state["warnings"] == []
    assert state["revisions"] == {snapshot.name: ["main"]}
    assert len(hub.asked) == asked
    assert_is_repository(third.cache / CACHE_FOLDER, snapshot, files)

    # And they find it to be what the hub has, when that is asked.
    online = HfClient(third.folder, hub.url)
    words = ["--local-dir", snapshot, "--revision", commit, "--fail-on-missing-files", "--fail-on-extra-files"]
    assert f"Verified {len(files)} file(s)" in online.hf("cache", "verify", NAME, *words)
    assert weights_downloaded(hub, online) == []


def assert_is_repository(folder: Path, snapshot: Path, files: dict[str, HubFile]) -> None:
    """A snapshot has exactly the repository's files, as relative links to blobs that are called as what they are."""
    assert snapshot.parent == folder / "snapshots"
    found = paths_below(snapshot)
    assert {path: file.stat().st_size for path, file in found.items()} == {p: f.size for p, f in files.items()}
    for path, file in found.items():
        content, target = file.read_bytes(), file.readlink()
        assert target.as_posix() == f"{'../' * path.count('/')}../../blobs/{target.name}"
        assert target.name in (hashlib.sha256(content).hexdigest(), git_sha1(content))
        assert files[path].etag in (hashlib.sha256(content).hexdigest(), git_sha1(content))


def weights_downloaded(hub: StaticHub, user: HfClient) -> list[str]:
    """Have the client look for what is new on the hub; return the large files that it downloads again."""
    before = len(hub.asked)
    user.hf("download", NAME)
    return [path for method, path in hub.asked[before:] if method == "GET" and path.endswith(".safetensors")]
