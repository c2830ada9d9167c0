"""Unchanged Hugging Face tools read through a node's gateway: HF_ENDPOINT is all that they are told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.folders import bytes_below, paths_below
from tests.support.hf_client import ClientFailed, HfClient
from tests.support.processes import Node, Scene
from tests.support.real_model import real_model
from tests.support.real_repository import ODD_FILES

pytestmark = pytest.mark.clients

LOAD_MODEL = Path(__file__).with_name("load_model.py")
NAME = "acme/all-MiniLM-L6-v2"
SMALL = b'{"model_type": "bert", "hidden_size": 7}'
END_S = 120.0

SHARDED = "acme/sharded"


def shard(name: str) -> bytes:
    """A safetensors file with one tensor."""
    header = json.dumps({name: {"dtype": "F16", "shape": [1024], "data_offsets": [0, 2048]}}).encode()
    return len(header).to_bytes(8, "little") + header + name.encode().ljust(2048, b"x")


WEIGHTS = {f"layers.{number}.weight": f"model-{number + 1:05}-of-00002.safetensors" for number in range(2)}
SHARDS = {path: shard(name) for name, path in WEIGHTS.items()} | {
    "config.json": SMALL,
    "model.safetensors.index.json": json.dumps({"metadata": {"total_size": 4096}, "weight_map": WEIGHTS}).encode(),
}

READ_ALL = """
root = Path(snapshot_download(sys.argv[1], revision=sys.argv[2] if len(sys.argv) > 2 else None))
print(json.dumps([str(root), sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())]))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model, with names that are easily got wrong."""
    folder = tmp_path_factory.mktemp("published") / "model"
    shutil.copytree(real_model(), folder)
    for path, content in ODD_FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("scene") / "scene") as scene:
        yield scene


@pytest.fixture(scope="module")
def reference(scene: Scene, model: Path) -> str:
    """Ann publishes it, and another version by a tag, and calls it NAME."""
    small = model.with_name("small")
    small.mkdir()
    (small / "config.json").write_bytes(SMALL)
    assert scene.start("ann", "publish", small, "--name", "minilm", "--tag", "small").finish(timeout_s=END_S) == 0
    reference = str(scene.publish("ann", model, name="minilm")["reference"])
    assert scene.start("ann", "name", "add", NAME, reference).finish(timeout_s=END_S) == 0
    return reference


@pytest.fixture(scope="module")
def sharded(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ann publishes a model in two shards."""
    folder = tmp_path_factory.mktemp("sharded")
    for path, content in SHARDS.items():
        (folder / path).write_bytes(content)
    return str(scene.publish("ann", folder, name="sharded")["reference"])


@pytest.fixture(scope="module")
def node(scene: Scene, reference: str, sharded: str) -> Node:
    return scene.node("ann", "--gateway", "127.0.0.1:0")


NEWEST = pytest.mark.parametrize("interpreter", ["newest"], indirect=True)
"""For what the older environment has no clients for."""


@pytest.fixture
def user(node: Node, interpreter: str, tmp_path: Path) -> HfClient:
    """A user of Ann's gateway, whose cache is empty."""
    return HfClient(tmp_path / "hf", node.ready["gateway"], interpreter=interpreter)


@pytest.fixture(scope="module")
def empty_node(scene: Scene, node: Node, reference: str, sharded: str, interpreter: str) -> Node:
    """A node that holds nothing at first, and calls Ann's models as she does; each client has its own."""
    title = "bob" if interpreter == sys.executable else "bob with older clients"
    for name, meaning in ((NAME, reference), (SHARDED, sharded)):
        assert scene.start(title, "name", "add", name, meaning).finish(timeout_s=END_S) == 0
    return scene.node(title, "--gateway", "127.0.0.1:0", "--bootstrap", node.address)


@pytest.fixture
def stranger(empty_node: Node, interpreter: str, tmp_path: Path) -> HfClient:
    """A user of that node's gateway, whose cache is empty."""
    return HfClient(tmp_path / "hf", empty_node.ready["gateway"], interpreter=interpreter)


def published_files(model: Path) -> dict[str, bytes]:
    return bytes_below(model)


def test_a_whole_repository_is_downloaded_found_again_and_verified(stranger: HfClient, model: Path) -> None:
    expected = published_files(model)
    root, paths = stranger.python(READ_ALL, NAME)
    assert paths == sorted(expected)
    assert {path: (Path(root) / path).read_bytes() for path in paths} == expected
    assert stranger.python(READ_ALL, NAME) == [root, paths]
    assert stranger.offline().python(READ_ALL, NAME) == [root, paths]
    assert f"Verified {len(paths)} file(s)" in stranger.hf("cache", "verify", NAME)


def test_the_command_downloads_what_matches_into_a_folder(stranger: HfClient, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    stranger.hf("download", NAME, "--include", "*.json", "--include", "*.md", "--local-dir", str(folder))
    found = {path for path in paths_below(folder) if not path.startswith(".cache/")}
    assert {
        "config.json",
        "onnx/quantized/config.json",
        "c++ notes.md",
        "Übersicht – 概要.md",
    } <= found
    assert "model.safetensors" not in found


def test_one_file_is_had_by_branch_tag_and_commit(stranger: HfClient, model: Path) -> None:
    code = """
from huggingface_hub import HfApi
api = HfApi()
commit = api.model_info(sys.argv[1]).sha
read = lambda revision: Path(hf_hub_download(sys.argv[1], "config.json", revision=revision)).read_text()
print(json.dumps({each: read(revision) for each, revision in
    {"none": None, "main": "main", "tag": "small", "commit": commit, "ref": "refs/tags/small"}.items()}))
"""
    found = stranger.python(code, NAME)
    config = (model / "config.json").read_text()
    assert found["none"] == found["main"] == found["commit"] == config
    assert found["tag"] == found["ref"] == SMALL.decode()


def test_what_clients_ask_of_a_repository_is_answered(user: HfClient, model: Path) -> None:
    code = """
from huggingface_hub import HfApi, file_exists, get_safetensors_metadata, list_repo_files, repo_exists, revision_exists
api, name = HfApi(), sys.argv[1]
info = api.model_info(name, files_metadata=True)
weights = next(each for each in info.siblings if each.rfilename == "model.safetensors")
print(json.dumps({
    "files": list_repo_files(name),
    "tree": [each.path for each in api.list_repo_tree(name, "onnx/quantized")],
    "weights": [weights.size, weights.lfs.sha256],
    "branches": [each.name for each in api.list_repo_refs(name).branches],
    "tags": [each.name for each in api.list_repo_refs(name).tags],
    "commits": [each.commit_id == info.sha for each in api.list_repo_commits(name)],
    "paths": [each.path for each in api.get_paths_info(name, ["config.json", "onnx", "nope"])],
    "there": [repo_exists(name), file_exists(name, "config.json"), revision_exists(name, "small")],
    "absent": [repo_exists("acme/other"), file_exists(name, "nope"), revision_exists(name, "nope"),
               repo_exists(name, repo_type="dataset")],
    "found": [each.id for each in api.list_models(search="minilm")],
    "datasets": [each.id for each in api.list_datasets()],
    "user": api.whoami(token="hf_whatever")["name"],
    "tensors": len(get_safetensors_metadata(name).files_metadata["model.safetensors"].tensors),
}))
"""
    found = user.python(code, NAME)
    assert found["files"] == sorted(published_files(model))
    assert found["tree"] == ["onnx/quantized/config.json", "onnx/quantized/copy of config.json"]
    assert found["weights"][0] == (model / "model.safetensors").stat().st_size
    assert (found["branches"], found["tags"], found["commits"]) == (["main"], ["small"], [True])
    assert found["paths"] == ["config.json", "onnx"]
    assert found["there"] == [True] * 3
    assert found["absent"] == [False] * 4
    assert NAME in found["found"]
    assert (found["datasets"], found["user"]) == ([], "local")
    assert found["tensors"] > 100


def test_the_file_system_reads_ranges(stranger: HfClient, model: Path) -> None:
    code = """
import hashlib
from huggingface_hub import HfFileSystem
fs, name = HfFileSystem(), sys.argv[1]
with fs.open(f"{name}/model.safetensors", "rb", block_size=1 << 16) as file:
    file.seek(5_000_001)
    part = file.read(100_000)
    file.seek(-1000, 2)
    end = file.read()
print(json.dumps({
    "part": hashlib.sha256(part).hexdigest(), "end": hashlib.sha256(end).hexdigest(),
    "small": fs.cat_file(f"{name}/config.json").decode(),
    "names": sorted(each.rpartition("/")[2] for each in fs.glob(f"{name}/onnx/**/*.json")),
    "size": fs.info(f"{name}/model.safetensors")["size"], "there": fs.exists(f"{name}/nope"),
    "odd": fs.cat_file(f"{name}/issue #1.txt").decode(),
}))
"""
    found = stranger.python(code, NAME)
    weights = (model / "model.safetensors").read_bytes()
    assert found["part"] == hashlib.sha256(weights[5_000_001:5_100_001]).hexdigest()
    assert found["end"] == hashlib.sha256(weights[-1000:]).hexdigest()
    assert found["small"] == (model / "config.json").read_text()
    assert found["names"] == ["config.json", "copy of config.json"]
    assert (found["size"], found["there"]) == (len(weights), False)
    assert found["odd"] == ODD_FILES["issue #1.txt"].decode()


@NEWEST
def test_a_model_loads_by_its_name_as_it_loads_from_its_folder(stranger: HfClient, model: Path) -> None:
    assert stranger.file(LOAD_MODEL, NAME) == stranger.file(LOAD_MODEL, str(model))
    assert stranger.offline().file(LOAD_MODEL, NAME) == stranger.file(LOAD_MODEL, str(model))


def test_a_publishers_key_is_an_organisation_at_once(stranger: HfClient, reference: str, model: Path) -> None:
    code = 'print(json.dumps(Path(hf_hub_download(sys.argv[1], "config.json")).read_text()))'
    assert stranger.python(code, reference) == (model / "config.json").read_text()


def test_a_name_that_stands_for_nothing_is_told_with_what_to_do(user: HfClient, reference: str) -> None:
    with pytest.raises(ClientFailed) as failed:
        user.python('hf_hub_download("sentence-transformers/minilm", "config.json")')
    assert "RepositoryNotFoundError" in str(failed.value)
    assert f"p2phub name add sentence-transformers/minilm {reference}" in str(failed.value)


def test_what_p2phub_wrote_into_a_cache_is_not_downloaded_again(user: HfClient, scene: Scene, model: Path) -> None:
    scene.environment["ann"] = user.environment
    given = scene.start("ann", "fetch", NAME, "--to", "hf-cache", "--as", NAME)
    assert given.finish(timeout_s=END_S) == 0, given.tail()
    blobs = {path: path.stat().st_ino for path in user.cache.rglob("blobs/*")}
    root, _ = user.python(READ_ALL, NAME)
    assert {path: path.stat().st_ino for path in user.cache.rglob("blobs/*")} == blobs
    assert len(os.listdir(Path(root).parent)) == 1


def test_a_model_in_shards_is_told_of_and_downloaded(stranger: HfClient) -> None:
    code = """
from huggingface_hub import get_safetensors_metadata
found = get_safetensors_metadata(sys.argv[1])
print(json.dumps([found.sharded, found.weight_map, sum(found.parameter_count.values())]))
"""
    assert stranger.python(code, SHARDED) == [True, WEIGHTS, 2048]
    root, paths = stranger.python(READ_ALL, SHARDED)
    assert {path: (Path(root) / path).read_bytes() for path in paths} == SHARDS


def test_what_a_client_may_search_is_what_this_home_has(stranger: HfClient) -> None:
    code = """
from huggingface_hub import HfApi
api = HfApi()
api.hf_hub_download(sys.argv[1], "config.json")  # A name is listed once somebody asked for it.
print(json.dumps([
    [each.id for each in api.list_models(search="MiniLM")],
    [each.id for each in api.list_models(author="acme", limit=1)],
    [each.id for each in api.list_models(search="nothing is called so")],
]))
"""
    found, first, none = stranger.python(code, NAME)
    assert NAME in found
    assert (len(first), none) == (1, [])
