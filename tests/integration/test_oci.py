"""The registry of a daemon whose home holds nothing: an OCI client, and one like Ollama, get it from another node."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from p2phub import limits
from tests.support.covers import covers
from tests.support.folders import bytes_below, write_files
from tests.support.gguf_bytes import gguf_bytes
from tests.support.oci_clients import DOCKER_MANIFEST, Ollama, Refused, Registry
from tests.support.processes import Node, Scene

END_S = 60.0
BIG = gguf_bytes(60_000)  # 7.7 MB.
FILES = {
    "README.md": b"# mini",
    "config.json": b'{"model_type": "bert"}',
    "copy.json": b'{"model_type": "bert"}',
    "data/a b+c#d \u00fc.txt": b"odd",
    "empty.txt": b"",
    "m-Q4_K_M.gguf": BIG,
    "m-Q8_0.gguf": gguf_bytes(80),
    "model.safetensors": os.urandom(5 * limits.MIB),
    "params": b'{"temperature": 0.5}',
    "template": b"{{ .Prompt }}",
}
NAME = "acme/mini"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", FILES)


class World:
    """Ann has the model; Bob's home holds nothing, and calls it NAME, in upper and lower case."""

    def __init__(self, scene: Scene, model: Path) -> None:
        self.scene = scene
        self.reference = str(scene.publish("ann", model, name="mini")["reference"])
        self.ann = scene.node("ann", "--gateway", "127.0.0.1:0")
        self.bob = self.start_bob()
        assert scene.start("bob", "name", "add", "Acme/Mini", self.reference).finish(timeout_s=END_S) == 0

    def start_bob(self, at: str = "127.0.0.1:0") -> Node:
        self.bob = self.scene.node("bob", "--gateway", at, "--bootstrap", self.ann.address)
        return self.bob

    @property
    def url(self) -> str:
        return str(self.bob.ready["gateway"])


@pytest.fixture
def world(scene: Scene, model: Path) -> World:
    return World(scene, model)


def test_an_oci_client_pulls_a_model_that_another_node_has_as_its_files(world: World, tmp_path: Path) -> None:
    registry = Registry(world.url)
    config = registry.pull(NAME, "latest", tmp_path / "pulled")
    assert bytes_below(tmp_path / "pulled") == FILES
    assert len(config["modelfs"]["diffIds"]) == len(FILES)
    assert registry.listed(f"/v2/{NAME}/tags/list?n=2", "tags") == ["latest", "main", "Q4_K_M", "Q8_0"]
    assert registry.listed("/v2/_catalog", "repositories")
    world.ann.stop()
    Registry(world.url).pull(NAME, "Q8_0", tmp_path / "one")  # It stands here now.
    assert bytes_below(tmp_path / "one") == {path: FILES[path] for path in FILES if path != "m-Q4_K_M.gguf"}


def test_ollama_pulls_a_model_that_another_node_has_in_parts_at_once(world: World, tmp_path: Path) -> None:
    ollama = Ollama(world.url, tmp_path / "models", part_bytes=limits.MIB // 2)
    manifest = ollama.pull(NAME, "latest")
    assert [layer["mediaType"].rpartition(".")[2] for layer in manifest["layers"]] == ["model", "params", "template"]
    assert ollama.blob(manifest["layers"][0]["digest"]) == BIG
    assert json.loads(ollama.blob(manifest["config"]["digest"]))["file_type"] == "Q4_K_M"
    assert ollama.pull(NAME, "Q8_0")["layers"][0]["size"] == len(FILES["m-Q8_0.gguf"])
    served = world.scene.start("ann", "status").wait_for("status", timeout_s=END_S)["served"]
    assert sum(served.values()) < len(BIG) * 1.5  # Asked for once, whatever the parts; and nothing else of it.


def test_both_nodes_give_the_same_documents_under_whatever_name(world: World) -> None:
    at_ann, at_bob = Registry(str(world.ann.ready["gateway"])), Registry(world.url)
    for tag in ("latest", "Q4_K_M"):
        digest, _ = at_bob.manifest(NAME, tag)
        assert at_ann.manifest("mini", tag)[0] == digest
        image, other = [
            each.ask("GET", f"/v2/{name}/manifests/{tag}", {"Accept": DOCKER_MANIFEST}).body
            for each, name in ((at_ann, "library/mini"), (at_bob, NAME))
        ]
        assert image == other


def test_a_pull_goes_on_where_it_was_when_the_daemon_was_killed(world: World, tmp_path: Path) -> None:
    ollama = Ollama(world.url, tmp_path / "models", part_bytes=limits.MIB // 2)
    digest = "sha256:" + hashlib.sha256(BIG).hexdigest()
    head = Registry(world.url).ask("GET", f"/v2/{NAME}/blobs/{digest}", {"Range": "bytes=0-1048575"})
    assert (head.status, head.body) == (206, BIG[: limits.MIB])
    document, manifest = Registry(world.url).manifest(NAME, "latest")
    image = ollama.pull(NAME, "Q8_0")
    at = world.url.removeprefix("http://")
    world.bob.kill()
    with pytest.raises(OSError):
        ollama.pull(NAME, "latest")
    world.start_bob(at)
    registry = Registry(world.url)
    for each in (manifest["config"], image["config"]):  # Made by the one that was killed, and by digest alone.
        assert registry.blob(NAME, each)
    assert registry.manifest(NAME, document) == (document, manifest)
    assert ollama.blob(ollama.pull(NAME, "latest")["layers"][0]["digest"]) == BIG


def test_a_provider_that_is_lost_is_a_503_and_never_a_404(world: World) -> None:
    registry = Registry(world.url)
    _, manifest = registry.manifest(NAME, "latest")
    world.ann.kill()
    layer = next(layer for layer in manifest["layers"] if layer["size"] == len(BIG))
    for path, accept in (
        (f"blobs/{layer['digest']}", "*/*"),
        ("manifests/latest", DOCKER_MANIFEST),
    ):
        with pytest.raises(Refused) as caught:
            registry.ask("GET", f"/v2/{NAME}/{path}", {"Accept": accept})
        assert (caught.value.status, caught.value.codes) == (503, ("UNAVAILABLE",))
    with pytest.raises(Refused) as caught:
        registry.ask("GET", f"/v2/{NAME}/blobs/sha256:{'ab' * 32}")
    assert caught.value.status in (404, 503)
    assert registry.manifest(NAME, "latest")[1] == manifest


def test_what_may_run_code_is_not_passed_on_from_a_stranger(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n(S'id'\ntR.")
    (folder / "fine.bin").write_bytes(b"numbers")
    reference = world.scene.publish("ann", folder, name="bad")["reference"]
    assert world.scene.start("bob", "name", "add", "acme/bad", reference).finish(timeout_s=END_S) == 0
    _, manifest = Registry(world.url).manifest("acme/bad", "latest")
    fine, bad = manifest["layers"]
    assert Registry(world.url).blob("acme/bad", fine) == b"numbers"
    with pytest.raises(Refused) as caught:
        Registry(world.url).blob("acme/bad", bad)
    assert (caught.value.status, caught.value.codes) == (403, ("DENIED",))
    assert Registry(str(world.ann.ready["gateway"])).blob("bad", bad)  # Her own.


@covers("T44", "T45")
def test_hostile_paths_get_nothing_and_push_is_refused(world: World) -> None:
    registry = Registry(world.url)
    digest = "sha256:" + hashlib.sha256(FILES["config.json"]).hexdigest()
    for method, path, status in (
        ("GET", f"/v2/acme/..%2f..%2fmini/blobs/{digest}", 400),
        ("GET", f"/v2/%2e%2e/mini/blobs/{digest}", 400),
        ("GET", f"/v2//acme/mini/blobs/{digest}", 400),
        ("GET", f"/v2/../v2/acme/mini/blobs/{digest}", 400),
        ("GET", "/v2/acme/mini/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd", 400),
        ("GET", "/v2/acme/mini/manifests/..%2f..%2fetc%2fpasswd", 404),
        ("GET", f"/v2/acme/other/blobs/{digest}", 404),
        ("GET", f"/v2/datasets/acme/mini/blobs/{digest}", 404),
        ("GET", "/v2/acme/mini/tags/list?n=x", 400),
        ("POST", "/v2/acme/mini/blobs/uploads/", 405),
        ("PUT", "/v2/acme/mini/manifests/latest", 405),
        ("DELETE", "/v2/acme/mini/manifests/latest", 405),
    ):
        with pytest.raises(Refused) as caught:
            registry.ask(method, path)
        assert caught.value.status == status, path
        assert len(caught.value.codes) == 1
    for said in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        with pytest.raises(Refused) as caught:
            registry.ask("GET", f"/v2/{NAME}/blobs/{digest}", said)
        assert (caught.value.status, caught.value.codes) == (403, ("DENIED",))


def test_beyond_loopback_whoever_logged_in_with_the_token_pulls(scene: Scene, model: Path, tmp_path: Path) -> None:
    scene.publish("ann", model, name="mini")
    node = scene.node("ann", "--gateway", "0.0.0.0:0")
    url = node.ready["gateway"].replace("0.0.0.0", "127.0.0.1")
    token = scene.gateway_token("ann")
    for password in (None, "wrong", token + "x"):
        with pytest.raises(Refused) as caught:
            Registry(url, password=password).manifest("mini", "latest")
        assert caught.value.status == 401
    Registry(url, password=token).pull("mini", "latest", tmp_path / "pulled")
    assert bytes_below(tmp_path / "pulled") == FILES


def test_a_dataset_is_pulled_as_datasets_of_that_name(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.parquet").write_bytes(b"rows")
    published = scene.start("ann", "publish", tmp_path / "data", "--name", "rows", "--kind", "dataset")
    assert published.finish(timeout_s=END_S) == 0
    registry = Registry(scene.node("ann", "--gateway", "127.0.0.1:0").ready["gateway"])
    registry.pull("datasets/rows", "latest", tmp_path / "pulled")
    assert bytes_below(tmp_path / "pulled") == {"train.parquet": b"rows"}
    assert registry.listed("/v2/_catalog", "repositories") == ["datasets/rows"]
