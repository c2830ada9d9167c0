"""Unchanged Hugging Face tools publish through a node's gateway: HF_ENDPOINT, and its token as HF_TOKEN."""

from __future__ import annotations

import os
import random
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.covers import covers
from tests.support.folders import bytes_below
from tests.support.hf_client import ClientFailed, HfClient
from tests.support.processes import Node, Scene
from tests.support.real_repository import ODD_FILES

pytestmark = pytest.mark.clients

WAYS = pytest.mark.parametrize("disable_xet", ["0", "1"], ids=["xet", "lfs"])
END_S = 120.0

API = """
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError
api, name = HfApi(), sys.argv[1]
"""
READ = """
root = Path(snapshot_download(sys.argv[1], repo_type=sys.argv[2], revision=sys.argv[3]))
print(json.dumps([str(root), sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())]))
"""


@pytest.fixture
def node(scene: Scene) -> Node:
    return scene.node("ann", "--gateway", "127.0.0.1:0", "--gateway-uploads")


@pytest.fixture
def user(scene: Scene, node: Node, interpreter: str, tmp_path: Path) -> HfClient:
    settings = {"HF_TOKEN": scene.gateway_token("ann")}
    return HfClient(tmp_path / "hf", node.ready["gateway"], settings, interpreter)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is uploaded: small and large, what packs well and what does not, names that are easily got wrong."""
    chance = random.Random(1)
    floats = struct.pack("<400000f", *(chance.gauss(0, 1) for _ in range(400_000)))
    files = {
        **ODD_FILES,
        "README.md": b"---\nlicense: mit\n---\n# A model\n",
        "config.json": b'{"model_type": "bert"}',
        "data/random.bin": chance.randbytes(3_000_000),
        "data/floats.bin": floats,
        "text.txt": b"the same words again and again\n" * 60_000,
        "empty.txt": b"",
    }
    for path, content in files.items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(content)
    return tmp_path / "model"


def read_back(user: HfClient, name: str, *, kind: str = "model", revision: str = "main") -> dict[str, bytes]:
    shutil.rmtree(user.cache, ignore_errors=True)
    root, paths = user.python(READ, name, kind, revision)
    return {path: (Path(root) / path).read_bytes() for path in paths}


@WAYS
def test_a_folder_is_uploaded_and_read_back_here_and_from_another_node(
    scene: Scene, node: Node, user: HfClient, folder: Path, tmp_path: Path, disable_xet: str
) -> None:
    user = replace(user, settings={**user.settings, "HF_HUB_DISABLE_XET": disable_xet})
    assert "Uploaded" in user.hf("upload", "acme/My-Model", folder)
    assert read_back(user, "acme/My-Model") == bytes_below(folder)
    assert "Verified" in user.hf("cache", "verify", "acme/My-Model")

    reference = f"{node.publisher_id}/my-model"
    bob = scene.node("bob", "--gateway", "127.0.0.1:0", bootstrap=[node.address])
    other = HfClient(tmp_path / "other", bob.ready["gateway"], interpreter=user.interpreter)
    assert read_back(other, reference) == bytes_below(folder)


@WAYS
def test_what_is_uploaded_again_changes_what_differs_and_serves_both(
    user: HfClient, folder: Path, disable_xet: str
) -> None:
    user = replace(user, settings={**user.settings, "HF_HUB_DISABLE_XET": disable_xet})
    user.hf("upload", "acme/model", folder)
    first = user.python(API + "print(json.dumps(api.model_info(name).sha))", "acme/model")
    before = bytes_below(folder)
    (folder / "data/random.bin").write_bytes(before["data/random.bin"][:2_000_000] + os.urandom(1_500_000))
    (folder / "config.json").write_bytes(b"{}")
    shutil.rmtree(folder / "data2", ignore_errors=True)
    user.hf("upload", "acme/model", folder, "--delete", "*.txt", "--commit-message", "the second one")
    second = bytes_below(folder)
    assert read_back(user, "acme/model") == second
    assert read_back(user, "acme/model", revision=first) == before
    titles = user.python(API + "print(json.dumps([each.title for each in api.list_repo_commits(name)]))", "acme/model")
    assert titles[0] == "the second one"


def test_chunks_are_not_counted_on_that_another_start_of_the_node_had(
    scene: Scene, node: Node, user: HfClient, folder: Path
) -> None:
    """Clients remember what a store was given, for weeks: this one forgets, and so is another store each time."""
    user.hf("upload", "acme/model", folder)
    node.stop()
    again = scene.node("ann", "--gateway", user.endpoint.removeprefix("http://"), "--gateway-uploads")
    assert again.ready["gateway"] == user.endpoint
    big = bytes_below(folder)["data/random.bin"]
    (folder / "data/random.bin").write_bytes(big[:2_500_000] + os.urandom(100_000) + big[2_500_000:])
    user.hf("upload", "acme/model", folder)
    assert read_back(user, "acme/model") == bytes_below(folder)


def test_single_files_deletes_branches_and_tags(user: HfClient, folder: Path) -> None:
    code = """
api.create_repo(name)
assert api.repo_exists(name) and not api.file_exists(name, "a.txt")
assert api.list_repo_files(name) == []
api.upload_file(path_or_fileobj=b"one", path_in_repo="a.txt", repo_id=name)
api.upload_file(path_or_fileobj=sys.argv[2], path_in_repo="deep/er/random.bin", repo_id=name)
with open(sys.argv[2], "rb") as file:
    api.upload_file(path_or_fileobj=file, path_in_repo="from a buffer.bin", repo_id=name)
api.create_tag(name, tag="v1")
api.create_branch(name, branch="next")
done = api.create_commit(name, revision="next", commit_message="several", operations=[
    CommitOperationAdd("b.txt", b"two"), CommitOperationDelete("a.txt"), CommitOperationDelete("deep/"),
])
try:
    api.create_commit(name, operations=[CommitOperationAdd("c", b"c")], commit_message="late", parent_commit="0" * 40)
    late = None
except HfHubHTTPError as error:
    late = error.response.status_code
api.delete_file("from a buffer.bin", name)
print(json.dumps({
    "next": api.list_repo_files(name, revision="next"), "main": api.list_repo_files(name),
    "v1": api.list_repo_files(name, revision="v1"),
    "late": late, "oid": done.oid == api.model_info(name, revision="next").sha,
    "branches": [each.name for each in api.list_repo_refs(name).branches],
    "role": api.whoami()["auth"]["accessToken"]["role"],
}))
"""
    found = user.python(API + code, "acme/model", str(folder / "data/random.bin"))
    first = ["a.txt", "deep/er/random.bin", "from a buffer.bin"]
    assert found["v1"] == first
    assert found["next"] == ["b.txt", "from a buffer.bin"]
    assert found["main"] == ["a.txt", "deep/er/random.bin"]
    assert (found["late"], found["oid"], found["role"]) == (412, True, "write")


def test_a_dataset_is_uploaded_and_loaded_and_a_branch_made_with_it(user: HfClient, folder: Path) -> None:
    user.hf("upload", "acme/data", folder / "text.txt", "texts/words.txt", "--repo-type", "dataset")
    assert read_back(user, "acme/data", kind="dataset") == {"texts/words.txt": bytes_below(folder)["text.txt"]}
    user.hf("upload", "acme/fresh", folder, "--revision", "trial")
    assert read_back(user, "acme/fresh", revision="trial") == bytes_below(folder)
    with pytest.raises(ClientFailed, match="is no model here"):
        user.hf("upload", "acme/data", folder)


@covers("T44")
def test_without_the_token_or_where_it_is_off_nothing_is_published(
    scene: Scene, node: Node, user: HfClient, folder: Path, tmp_path: Path
) -> None:
    for settings in ({}, {"HF_TOKEN": "hf_somebodyelses"}):
        stranger = replace(user, folder=tmp_path / "stranger", settings=settings)
        with pytest.raises(ClientFailed, match=r"401|token"):
            stranger.hf("upload", "acme/model", folder)
    bob = scene.node("bob", "--gateway", "127.0.0.1:0")
    token = scene.gateway_token("bob")
    with pytest.raises(ClientFailed, match="takes no uploads"):
        replace(user, endpoint=bob.ready["gateway"], settings={"HF_TOKEN": token}).hf("upload", "acme/model", folder)
    assert "hf_somebodyelses" not in node.log.read_text()
    assert scene.gateway_token("ann") not in node.log.read_text()
    for title in ("ann", "bob"):
        (listed,) = [event for event in _run(scene, title, "ls") if event["event"] == "ls"]
        assert listed["items"] == []


def test_a_secret_and_what_is_somebody_elses_are_refused(
    scene: Scene, user: HfClient, folder: Path, tmp_path: Path
) -> None:
    (folder / "id_rsa").write_bytes(b"secret")
    with pytest.raises(ClientFailed, match="looks like a secret"):
        user.hf("upload", "acme/model", folder)
    (folder / "id_rsa").unlink()
    other = scene.publish("bob", folder, name="theirs")["reference"]
    assert scene.start("ann", "name", "add", "acme/theirs", other).finish(timeout_s=END_S) == 0
    with pytest.raises(ClientFailed, match="stands for what"):
        user.hf("upload", "acme/theirs", folder)


def _run(scene: Scene, title: str, *words: str) -> list[dict[str, object]]:
    process = scene.start(title, *words)
    assert process.finish(timeout_s=END_S) == 0
    return process.events
