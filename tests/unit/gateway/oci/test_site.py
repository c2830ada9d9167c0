"""What the registry answers, by a shelf in memory."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.api import GgufFacts, OllamaPart, ollama_image
from p2phub.errors import NoProvider, Unsafe
from p2phub.gateway.oci.modelpack import modelpack
from p2phub.gateway.oci.site import OciSite
from p2phub.gateway.routes import Kind
from p2phub.gateway.shelf import File
from p2phub.http.guard import Door
from tests.support.covers import covers
from tests.support.gguf_bytes import gguf_bytes
from tests.support.memory_exchange import TOKEN, MemoryExchange, ask
from tests.support.memory_shelf import MemoryShelf

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
OLLAMA = {"accept": DOCKER, "user-agent": "ollama/0.12.3 (amd64 linux) Go/go1.24"}
ORAS = {"accept": f"{DOCKER}, {OCI}"}
GGUF = gguf_bytes()
OTHER = gguf_bytes(80)
FILES = {
    "README.md": b"# mini",
    "config.json": b"{}",
    "empty.txt": b"",
    "model.safetensors": bytes(range(256)) * 1000,
}
QUANTISED = {
    "LICENSE": b"free",
    "m-Q4_K_M.gguf": GGUF,
    "m-Q8_0.gguf": OTHER,
    "mmproj.gguf": gguf_bytes(8, architecture="clip"),
    "template": b"{{ .Prompt }}",
}


@pytest.fixture
def shelf() -> MemoryShelf:
    return MemoryShelf()


class Client:
    """Asks one registry. `at`: what stands before the name."""

    def __init__(self, shelf: MemoryShelf) -> None:
        self.shelf = shelf
        self.site = OciSite(shelf)

    async def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> MemoryExchange:
        return await ask(self.shelf, f"/v2/{path}", method, headers=headers, site=self.site)

    async def manifest(self, name: str, tag: str = "latest", headers: dict[str, str] = ORAS) -> dict[str, Any]:
        told = await self.get(f"{name}/manifests/{tag}", headers)
        assert told.status == 200, told.content
        assert told.headers["docker-content-digest"] == digest_of(told.content)
        found: dict[str, Any] = told.json
        assert told.headers["content-type"] == found["mediaType"]
        return found

    async def blob(self, name: str, digest: str) -> bytes:
        told = await self.get(f"{name}/blobs/{digest}")
        assert told.status == 200, told.content
        assert digest_of(told.content) == digest == told.headers["docker-content-digest"]
        return told.content


@pytest.fixture
def client(shelf: MemoryShelf) -> Client:
    return Client(shelf)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def error_of(told: MemoryExchange) -> tuple[int, str]:
    (error,) = told.json["errors"]
    assert error["message"]
    return told.status, error["code"]


async def test_it_says_that_it_is_a_registry(client: Client) -> None:
    for method in ("GET", "HEAD"):
        told = await client.get("", method=method)
        assert (told.status, told.headers["docker-distribution-api-version"]) == (200, "registry/2.0")


async def test_a_model_is_pulled_as_its_files(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    manifest = await client.manifest("acme/mini")
    pulled = {
        layer["annotations"]["org.cncf.model.filepath"]: await client.blob("acme/mini", layer["digest"])
        for layer in manifest["layers"]
    }
    assert pulled == FILES
    config = json.loads(await client.blob("acme/mini", manifest["config"]["digest"]))
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]


async def test_a_head_says_what_a_get_gives(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    layers = (await client.manifest("acme/mini"))["layers"]
    for path in ("manifests/main", *(f"blobs/{layer['digest']}" for layer in layers)):
        head, get = [await client.get(f"acme/mini/{path}", method=method) for method in ("HEAD", "GET")]
        assert (head.headers, head.content) == (get.headers, b"")
        assert head.length == len(get.content)


async def test_a_blob_is_sent_in_ranges_and_says_where_it_is(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    content = FILES["model.safetensors"]
    path = f"acme/mini/blobs/{digest_of(content)}"
    for standing in (True, False):
        client.shelf.standing = standing
        part = await client.get(path, {"range": "bytes=1000-1999"})
        assert (part.status, part.content) == (206, content[1000:2000])
        assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
        whole = await client.get(path)
        assert (whole.status, whole.headers["location"]) == (200, f"/v2/{path}")
        assert error_of(await client.get(path, {"range": f"bytes={len(content)}-"})) == (416, "RANGE_INVALID")
        changed = {"range": "bytes=1-", "if-range": '"sha256:00"'}
        assert (await client.get(path, changed)).status == 200
    config = (await client.manifest("acme/mini"))["config"]
    part = await client.get(f"acme/mini/blobs/{config['digest']}", {"range": "bytes=2-"})
    assert (part.status, part.length) == (206, config["size"] - 2)


async def test_what_comes_while_it_is_fetched_ends_short_when_it_fails(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    client.shelf.standing, client.shelf.fails_after, client.shelf.failure = False, 1 << 16, NoProvider("nobody")
    told = await client.get(f"acme/mini/blobs/{digest_of(FILES['model.safetensors'])}")
    assert (told.status, told.cut is not None) == (200, True)
    assert FILES["model.safetensors"].startswith(told.content)
    client.shelf.fails_after = 0
    told = await client.get(f"acme/mini/blobs/{digest_of(FILES['model.safetensors'])}")
    assert error_of(told) == (503, "UNAVAILABLE")
    assert "retry-after" in told.headers


async def test_ollama_gets_its_own_document_of_what_ollama_runs(client: Client) -> None:
    client.shelf.add("acme/mini", QUANTISED)
    manifest = await client.manifest("acme/mini", headers=OLLAMA)
    assert manifest["mediaType"] == DOCKER
    layers = {layer["mediaType"].rpartition(".")[2]: layer for layer in manifest["layers"]}
    assert list(layers) == ["model", "projector", "license", "template"]
    assert await client.blob("acme/mini", layers["model"]["digest"]) == GGUF
    assert await client.blob("acme/mini", layers["template"]["digest"]) == b"{{ .Prompt }}"
    config = json.loads(await client.blob("acme/mini", manifest["config"]["digest"]))
    assert (config["model_format"], config["model_family"], config["file_type"]) == ("gguf", "qwen2", "Q4_K_M")
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


@pytest.mark.parametrize(
    ("tag", "content"), [("main", GGUF), ("Q4_K_M", GGUF), ("q8_0", OTHER), ("m-Q8_0.gguf", OTHER), ("v0", OTHER)]
)
async def test_a_tag_is_a_quantisation_or_a_version(client: Client, tag: str, content: bytes) -> None:
    client.shelf.add("acme/mini", {"m-Q8_0.gguf": OTHER}, tag="v0")
    client.shelf.add("acme/mini", QUANTISED)
    layer = (await client.manifest("acme/mini", tag, OLLAMA))["layers"][0]
    assert layer["digest"] == digest_of(content)
    paths = {
        each["annotations"]["org.cncf.model.filepath"] for each in (await client.manifest("acme/mini", tag))["layers"]
    }
    assert ("m-Q4_K_M.gguf" in paths, "m-Q8_0.gguf" in paths) == {
        "main": (True, True),
        "Q4_K_M": (True, False),
    }.get(tag, (False, True))


async def test_latest_is_main_unless_something_is_tagged_so(client: Client) -> None:
    client.shelf.add("acme/mini", {"config.json": b"1"})
    assert await client.manifest("acme/mini") == await client.manifest("acme/mini", "main")
    client.shelf.add("acme/mini", {"config.json": b"2"}, tag="latest")
    assert (await client.manifest("acme/mini"))["layers"][0]["digest"] == digest_of(b"2")


async def test_a_commit_is_a_tag_too(client: Client) -> None:
    first = client.shelf.add("acme/mini", {"config.json": b"1"})
    client.shelf.add("acme/mini", {"config.json": b"2"})
    assert (await client.manifest("acme/mini", first.commit))["layers"][0]["digest"] == digest_of(b"1")


@pytest.mark.parametrize("headers", [ORAS, OLLAMA])
async def test_everything_is_found_again_by_its_digest_after_a_restart(
    shelf: MemoryShelf, headers: dict[str, str]
) -> None:
    shelf.add("acme/mini", {"m-Q4_K_M.gguf": OTHER}, tag="v0")
    shelf.add("acme/mini", {"m-Q4_K_M.gguf": OTHER, "config.json": b"older"})
    shelf.add("acme/mini", QUANTISED)
    for tag in ("latest", "v0", "Q8_0"):
        told = await Client(shelf).get(f"acme/mini/manifests/{tag}", headers)
        again = await Client(shelf).get(f"acme/mini/manifests/{digest_of(told.content)}", ORAS)
        assert (again.content, again.headers["content-type"]) == (told.content, told.headers["content-type"])
        for each in (told.json["config"], *told.json["layers"]):
            assert len(await Client(shelf).blob("acme/mini", each["digest"])) == each["size"]
        assert await Client(shelf).blob("acme/mini", digest_of(told.content)) == told.content
    assert await Client(shelf).blob("acme/mini", digest_of(b"older")) == b"older"


async def test_a_document_is_the_same_whoever_has_the_files_and_under_whatever_name_and_date() -> None:
    digests = set()
    for name, licence, tag in (("acme/mini", "mit", "main"), ("other/name", "", "v7")):
        shelf = MemoryShelf()
        shelf.add("acme/first", FILES)
        shelf.add(name, QUANTISED, licence=licence, tag=tag)
        for headers in (ORAS, OLLAMA):
            digests.add((await Client(shelf).get(f"{name}/manifests/{tag}", headers)).headers["docker-content-digest"])
    assert len(digests) == 2


async def test_a_pull_and_an_export_to_ollamas_store_are_one_image(client: Client) -> None:
    client.shelf.add("acme/mini", {"m.gguf": GGUF})
    part = OllamaPart("model", hashlib.sha256(GGUF).hexdigest(), len(GGUF))
    image = ollama_image(GgufFacts("qwen2", "Q4_K_M", 40 * 32), [part])
    assert (await client.get("acme/mini/manifests/latest", OLLAMA)).content == image.manifest


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"model.safetensors": b""}, "no GGUF"),
        ({"m-00001-of-00002.gguf": GGUF, "m-00002-of-00002.gguf": OTHER}, "one of several"),
        ({"m.gguf": b"not really"}, "no GGUF file"),
    ],
)
async def test_what_ollama_cannot_run_is_no_manifest_for_it(client: Client, files: dict[str, bytes], why: str) -> None:
    client.shelf.add("acme/mini", files)
    told = await client.get("acme/mini/manifests/latest", OLLAMA)
    assert error_of(told) == (404, "MANIFEST_UNKNOWN")
    assert why in told.json["errors"][0]["message"]
    assert await client.manifest("acme/mini")


async def test_a_header_that_breaks_a_rule_is_given_to_ollama_all_the_same(client: Client) -> None:
    client.shelf.add("acme/mini", {"m.gguf": GGUF[:8] + b"\xff" * 8 + GGUF[16:]})
    manifest = await client.manifest("acme/mini", headers=OLLAMA)
    config = json.loads(await client.blob("acme/mini", manifest["config"]["digest"]))
    assert config["model_family"] == "unknown"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("acme/other/manifests/latest", "NAME_UNKNOWN"),
        ("acme/other/tags/list", "NAME_UNKNOWN"),
        (f"acme/other/blobs/{digest_of(b'{}')}", "NAME_UNKNOWN"),
        (f"acme/other/referrers/{digest_of(b'{}')}", "NAME_UNKNOWN"),
        ("datasets/acme/mini/manifests/latest", "NAME_UNKNOWN"),
        ("acme/mini/manifests/v9", "MANIFEST_UNKNOWN"),
        ("acme/mini/manifests/Upper", "MANIFEST_UNKNOWN"),
        ("acme/mini/manifests/Q4_K_M", "MANIFEST_UNKNOWN"),
        ("acme/mini/manifests/" + "ab" * 20, "MANIFEST_UNKNOWN"),
        (f"acme/mini/manifests/{digest_of(b'{}')}", "MANIFEST_UNKNOWN"),  # A file, and no manifest.
        (f"acme/mini/blobs/{digest_of(b'?')}", "BLOB_UNKNOWN"),
    ],
)
async def test_what_is_not_there_is_a_404_with_its_code(client: Client, path: str, code: str) -> None:
    client.shelf.add("acme/mini", FILES)
    assert error_of(await client.get(path)) == (404, code)
    assert (await client.get(path, method="HEAD")).status == 404


async def test_a_blob_is_answered_only_under_a_repository_that_has_it(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    client.shelf.add("acme/secret", {"config.json": b"secret"})
    assert await client.blob("acme/secret", digest_of(b"secret")) == b"secret"
    assert error_of(await client.get(f"acme/mini/blobs/{digest_of(b'secret')}")) == (404, "BLOB_UNKNOWN")
    secret = (await client.get("acme/secret/manifests/latest")).headers["docker-content-digest"]
    assert error_of(await client.get(f"acme/mini/manifests/{secret}")) == (404, "MANIFEST_UNKNOWN")


async def test_a_config_is_a_blob_and_no_manifest(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    config = (await client.manifest("acme/mini"))["config"]["digest"]
    assert await client.blob("acme/mini", config)
    assert error_of(await client.get(f"acme/mini/manifests/{config}")) == (404, "MANIFEST_UNKNOWN")


async def test_what_nobody_can_tell_now_is_a_503_and_never_a_404(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    manifest = await client.manifest("acme/mini")
    client.shelf.unreachable = NoProvider("nobody has it")
    for path in ("manifests/latest", f"blobs/{digest_of(b'?')}", f"manifests/{digest_of(b'?')}", "tags/list"):
        assert error_of(await client.get(f"acme/mini/{path}")) == (503, "UNAVAILABLE")
        assert error_of(await Client(client.shelf).get(f"acme/mini/{path}")) == (503, "UNAVAILABLE")
    client.shelf.unreachable = None
    assert await client.manifest("acme/mini") == manifest


async def test_a_header_that_nobody_has_is_a_503(client: Client) -> None:
    client.shelf.add("acme/mini", QUANTISED)
    client.shelf.standing, client.shelf.fails_after, client.shelf.failure = False, 0, NoProvider("nobody")
    assert error_of(await client.get("acme/mini/manifests/latest", OLLAMA)) == (503, "UNAVAILABLE")
    assert error_of(await client.get(f"acme/mini/blobs/{digest_of(b'?')}")) == (503, "UNAVAILABLE")
    assert await client.manifest("acme/mini")


async def test_what_may_run_code_is_denied_as_to_other_clients(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.shelf.add("acme/mini", {"pytorch_model.bin": b"pickle"})

    def refuse(*_: object, **__: object) -> None:
        raise Unsafe("pytorch_model.bin may run code when it is loaded")

    monkeypatch.setattr(client.shelf, "open", refuse)
    assert error_of(await client.get(f"acme/mini/blobs/{digest_of(b'pickle')}")) == (403, "DENIED")


async def test_names_in_lower_case_lead_to_the_one_that_differs_in_case_alone(client: Client) -> None:
    client.shelf.add("Acme/Mini", FILES)
    client.shelf.add("mini", {"config.json": b"mine"})
    client.shelf.add("Two/a", FILES)
    client.shelf.add("two/A", FILES)
    assert len((await client.manifest("acme/mini"))["layers"]) == len(FILES)
    assert len((await client.manifest("Acme/Mini"))["layers"]) == len(FILES)
    assert (await client.manifest("library/mini"))["layers"][0]["digest"] == digest_of(b"mine")
    assert await client.blob("acme/mini", digest_of(b"{}")) == b"{}"
    told = await client.get("two/a/manifests/latest")
    assert error_of(told) == (404, "NAME_UNKNOWN")
    assert "p2phub name add" in told.json["errors"][0]["message"]
    assert (await client.get("_catalog")).json == {"repositories": ["acme/mini", "mini"]}


async def test_an_exact_name_goes_before_one_that_differs_in_case(client: Client) -> None:
    client.shelf.add("Acme/mini", {"config.json": b"upper"})
    client.shelf.add("acme/mini", {"config.json": b"lower"})
    assert (await client.manifest("acme/mini"))["layers"][0]["digest"] == digest_of(b"lower")
    assert (await client.manifest("Acme/mini"))["layers"][0]["digest"] == digest_of(b"upper")


async def test_a_dataset_is_called_as_in_a_hubs_urls(client: Client) -> None:
    client.shelf.add("acme/data", {"train.parquet": b"rows"}, kind=Kind.DATASET)
    (layer,) = (await client.manifest("datasets/acme/data"))["layers"]
    assert layer["mediaType"] == "application/vnd.cncf.model.dataset.v1.raw"
    assert await client.blob("datasets/acme/data", layer["digest"]) == b"rows"
    assert (await client.get("acme/data/manifests/latest")).status == 404
    assert (await client.get("_catalog")).json == {"repositories": ["datasets/acme/data"]}
    listed = (await client.get("datasets/acme/data/tags/list")).json
    assert listed == {"name": "datasets/acme/data", "tags": ["latest", "main"]}


async def test_lists_come_in_pages_that_lead_to_the_next(client: Client) -> None:
    client.shelf.add("acme/mini", {"m-Q4_0.gguf": GGUF, "m-F16.gguf": OTHER})
    client.shelf.add("acme/mini", FILES, tag="v1")
    everything = ["F16", "latest", "main", "Q4_0", "v1"]
    assert (await client.get("acme/mini/tags/list")).json == {"name": "acme/mini", "tags": everything}
    seen: list[str] = []
    path: str | None = "acme/mini/tags/list?n=2"
    while path is not None:
        told = await client.get(path)
        seen += told.json["tags"]
        assert len(told.json["tags"]) <= 2
        link = told.headers.get("link")
        path = link.removeprefix("</v2/").removesuffix('>; rel="next"') if link else None
    assert seen == everything
    assert (await client.get("acme/mini/tags/list?n=0")).json["tags"] == []
    assert (await client.get("acme/mini/tags/list?last=Mzzz")).json["tags"] == ["Q4_0", "v1"]
    assert (await client.get("_catalog?n=1&last=acme/mini")).json == {"repositories": []}


async def test_nobody_ever_said_anything_of_a_manifest(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    told = await client.get(f"acme/mini/referrers/{digest_of(b'?')}?artifactType=a")
    assert told.headers["content-type"] == "application/vnd.oci.image.index.v1+json"
    assert (told.status, told.json["manifests"], told.json["schemaVersion"]) == (200, [], 2)


async def test_what_no_document_can_name_is_told_so_without_making_one(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.shelf.add("acme/mini", FILES)
    for name in ("OCI_LAYERS_MAX", "OCI_MANIFEST_BYTES_MAX"):
        with monkeypatch.context() as patched:
            patched.setattr(limits, name, 3)
            told = await Client(client.shelf).get("acme/mini/manifests/latest")
            assert error_of(told) == (404, "MANIFEST_UNKNOWN")
            assert "4 files" in told.json["errors"][0]["message"]


async def test_no_more_versions_and_headers_are_remembered_than_the_bounds_say(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OCI_VERSIONS_KEPT_MAX", 2)
    monkeypatch.setattr(limits, "OCI_FACTS_KEPT_MAX", 2)
    for number in range(4):
        client.shelf.add(f"acme/m{number}", {"m.gguf": gguf_bytes(number + 1)})
        await client.manifest(f"acme/m{number}", headers=OLLAMA)
    registry = client.site._registry
    assert (len(registry._versions), len(registry._documents._facts), len(registry._aliases)) == (2, 2, 2)
    assert await client.manifest("acme/m0", headers=OLLAMA)


async def test_a_version_of_many_files_is_written_once_for_all_who_ask_at_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def make(kind: Kind, files: Sequence[File]) -> tuple[bytes, bytes]:
        made.append(len(files))
        return modelpack(kind, files)

    monkeypatch.setattr("p2phub.gateway.oci.documents.modelpack", make)
    client.shelf.add("acme/many", {f"f{number:04}.json": b"%d" % number for number in range(600)})
    told: list[dict[str, Any]] = []

    async def pull() -> None:
        told.append(await client.manifest("acme/many"))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(pull)
    assert made == [600]
    assert [len(each["layers"]) for each in told] == [600] * 5
    assert await client.blob("acme/many", told[0]["layers"][77]["digest"]) == b"77"


async def test_a_commit_that_comes_to_have_more_files_is_told_as_it_is_now(client: Client) -> None:
    snapshot = client.shelf.add("acme/mini", {"config.json": b"{}"})
    assert len((await client.manifest("acme/mini", snapshot.commit))["layers"]) == 1
    assert await client.blob("acme/mini", digest_of(b"{}")) == b"{}"
    more = client.shelf.add("acme/mini", FILES)
    client.shelf.become(snapshot, more)
    assert len((await client.manifest("acme/mini", snapshot.commit))["layers"]) == len(FILES)
    assert await client.blob("acme/mini", digest_of(b"# mini")) == b"# mini"


async def test_a_search_that_takes_long_is_given_up_as_a_503(
    client: Client, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    client.shelf.add("acme/mini", FILES)
    await client.manifest("acme/mini")

    async def never(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(client.shelf, "snapshot", never)
    began = trio.current_time()
    assert error_of(await client.get(f"acme/mini/blobs/{digest_of(b'?')}")) == (503, "UNAVAILABLE")
    assert trio.current_time() - began == limits.OCI_SEARCH_S


async def test_no_more_versions_are_looked_into_than_the_bound_says(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OCI_VERSIONS_SEARCHED_MAX", 2)
    for number in range(4):
        client.shelf.add("acme/mini", {"config.json": b"%d" % number})
    for number, status in ((3, 200), (2, 200), (1, 404), (0, 404)):
        assert (await client.get(f"acme/mini/blobs/{digest_of(b'%d' % number)}")).status == status


async def test_headers_of_a_few_files_are_read_at_once_and_of_no_more_than_a_bound(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OCI_GGUF_MAX", 6)
    client.shelf.add("acme/mini", {f"m{number}.gguf": gguf_bytes(number + 1) for number in range(9)})
    opened: list[str] = []
    opens = client.shelf.open
    monkeypatch.setattr(client.shelf, "open", lambda snapshot, file: opened.append(file.path) or opens(snapshot, file))
    assert error_of(await client.get(f"acme/mini/blobs/{digest_of(b'?')}")) == (404, "BLOB_UNKNOWN")
    assert len(opened) == 6

    client.shelf.add("acme/more", {f"n{number}.gguf": gguf_bytes(20 + number) for number in range(9)})
    client.shelf.standing, client.shelf.stalls_after = False, 0
    async with trio.open_nursery() as nursery:
        for number in range(9):
            nursery.start_soon(client.get, f"acme/more/manifests/n{number}.gguf", OLLAMA)
        with trio.fail_after(30):
            while client.shelf.reads < limits.OCI_HEADERS_READ_MAX:
                await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert client.shelf.reads == client.shelf.opened == limits.OCI_HEADERS_READ_MAX
        nursery.cancel_scope.cancel()


@covers("T44", "T45")
async def test_beyond_loopback_it_takes_the_token_as_docker_and_oras_send_it(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    door = Door("192.168.1.5", 7700, TOKEN)

    async def get(path: str, method: str = "GET", **headers: str) -> MemoryExchange:
        said = {"host": "192.168.1.5:7700", **headers}
        return await ask(client.shelf, path, method, headers=said, door=door, site=client.site)

    for path in ("/v2/", "/v2/_catalog", "/v2/acme/mini/manifests/latest", "/v2/nothing"):
        for method in ("GET", "POST"):
            told = await get(path, method)
            assert error_of(told) == (401, "UNAUTHORIZED")
            assert told.headers["www-authenticate"] == 'Basic realm="p2phub gateway"'
    basic = "Basic " + base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    for authorization in (basic, f"Bearer {TOKEN}"):
        assert (await get("/v2/acme/mini/manifests/latest", authorization=authorization)).status == 200
    assert (await get("/v2/", host="evil.example", authorization=basic)).status == 403


async def test_to_push_is_unsupported_and_said_so_to_whoever_may_read(client: Client) -> None:
    client.shelf.add("acme/mini", FILES)
    for method, path in (
        ("POST", "acme/mini/blobs/uploads/"),
        ("PUT", "acme/mini/manifests/v1"),
        ("DELETE", "acme/mini"),
    ):
        told = await client.get(path, method=method)
        assert error_of(told) == (405, "UNSUPPORTED")
        assert told.headers["allow"] == "GET, HEAD"
