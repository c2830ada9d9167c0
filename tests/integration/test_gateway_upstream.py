"""A gateway with an upstream hub, over real HTTP: what nothing here is called comes from there, is checked and kept."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from p2phub import limits
from tests.support.covers import covers
from tests.support.gateway_client import Client
from tests.support.processes import Node, Scene
from tests.support.static_hub import StaticHub, git_sha1

END_S = 60.0
NAME = "acme/mini"
BIG = os.urandom(24 * limits.MIB)
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": BIG,
    "small.safetensors": b"few weights",
    "empty.txt": b"",
    "data/a b+c#d ü.txt": b"odd",
}
TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture
def hub() -> Iterator[StaticHub]:
    with StaticHub(page_entries=2) as hub:
        yield hub


Open = Callable[..., tuple[Node, Client]]


@pytest.fixture
def gateway(scene: Scene, hub: StaticHub) -> Iterator[Open]:
    """Start a daemon with a gateway, whose upstream is the hub; return it and a client of the gateway."""
    with contextlib.ExitStack() as stack:

        def start(title: str, *options: str) -> tuple[Node, Client]:
            node = scene.node(title, "--gateway", "127.0.0.1:0", "--upstream", hub.url, *options)
            client = Client(node.ready["gateway"])
            stack.callback(client.close)
            return node, client

        yield start


def files_asked(hub: StaticHub) -> list[str]:
    return [path for method, path in hub.asked if "/resolve/" in path]


def held(scene: Scene, title: str) -> list[dict[str, Any]]:
    process = scene.start(title, "ls")
    event = process.wait_for("ls", timeout_s=END_S)
    assert process.finish(timeout_s=END_S) == 0
    return list(event["items"])


def write_token(scene: Scene, title: str, token: str = TOKEN) -> None:
    assert scene.start(title, "init").finish(timeout_s=END_S) == 0
    place = scene.home(title) / "keys" / "upstream.token"
    place.touch(mode=0o600)
    place.write_text(token + "\n")


def test_a_repository_comes_once_with_the_hubs_own_commit_and_is_there_when_the_hub_is_not(
    scene: Scene, hub: StaticHub, gateway: Open
) -> None:
    commit = hub.add(NAME, FILES)
    node, client = gateway("ann")
    assert client.json(f"/api/models/{NAME}")["sha"] == commit
    for _ in range(2):
        for path, content in FILES.items():
            assert client.file(NAME, path) == content
            assert client.file(NAME, path, commit) == content
    assert len(files_asked(hub)) == len([content for content in FILES.values() if content])
    assert not any(hub.heard)
    status, headers, _ = client.ask("HEAD", f"/{NAME}/resolve/main/config.json")
    assert (status, headers["x-repo-commit"]) == (200, commit)
    node.stop()
    asked = len(hub.asked)
    hub.__exit__(None, None, None)
    _, client = gateway("ann")
    assert client.file(NAME, "model.safetensors") == BIG
    assert client.json(f"/api/models/{NAME}")["sha"] == commit
    assert [each["id"] for each in client.json("/api/models")] == [NAME]
    assert len(hub.asked) == asked


def test_what_is_here_of_the_hub_is_found_though_not_all_of_it_came(hub: StaticHub, gateway: Open) -> None:
    commit = hub.add(NAME, FILES)
    rows = hub.add("acme/rows", {"data/train.parquet": b"PAR1 rows", "README.md": b"old"}, kind="datasets")
    hub.add("acme/other", FILES)
    node, client = gateway("ann")
    assert client.json("/api/models?search=mini") == []
    assert client.file(NAME, "config.json") == FILES["config.json"]
    assert client.file("datasets/acme/rows", "README.md") == b"old"
    asked = len(hub.asked)
    assert [(each["id"], each["sha"]) for each in client.json("/api/models?search=mini&full=true")] == [(NAME, commit)]
    assert [each["id"] for each in client.json("/api/models?author=acme")] == [NAME]
    assert [(each["id"], each["sha"]) for each in client.json("/api/datasets?full=true")] == [("acme/rows", rows)]
    assert client.json("/api/models?search=other") == []
    assert len(hub.asked) == asked
    node.stop()
    _, client = gateway("ann")
    assert [each["id"] for each in client.json("/api/models?search=mini")] == [NAME]
    assert len(hub.asked) == asked


@covers("F33")
def test_a_gateway_stays_within_its_quota_and_what_went_comes_again(
    scene: Scene, hub: StaticHub, gateway: Open
) -> None:
    names = [f"acme/m{number}" for number in range(3)]
    contents = [os.urandom(3_000_000) for _ in names]
    for name, content in zip(names, contents, strict=True):
        hub.add(name, {"config.json": b"{}", "model.safetensors": content})
    assert scene.start("ann", "init").finish(timeout_s=END_S) == 0
    with (scene.home("ann") / "config.toml").open("a") as config:
        config.write('quota = "7MB"\n')
    _, client = gateway("ann")
    for name, content in zip(names[:2], contents, strict=False):
        assert client.file(name, "model.safetensors") == content
    status, _, body = client.ask("GET", f"/{names[2]}/resolve/main/model.safetensors")
    assert status >= 500, "all that is here was used this moment"
    assert b"quota" in body
    first = scene.home("ann") / "upstream" / "public" / "models--acme--m0"
    (snapshot,) = (first / "snapshots").iterdir()
    os.utime(snapshot, times=(time.time() - 86_400,) * 2)
    assert client.file(names[2], "model.safetensors") == contents[2]
    assert not first.exists()
    assert client.file(names[1], "model.safetensors") == contents[1]
    used = scene.start("ann", "du").wait_for("du", timeout_s=END_S)
    assert used["upstream"]["bytes"] == 6_000_000
    for folder in (scene.home("ann") / "upstream" / "public").glob("*/snapshots/*"):
        os.utime(folder, times=(time.time() - 86_400,) * 2)
    told = scene.start("ann", "gc", "--dry-run").wait_for("gc", timeout_s=END_S)
    assert sorted(each["name"] for each in told["items"]) == names[1:]
    gone = scene.start("ann", "gc").wait_for("gc", timeout_s=END_S)
    assert gone["bytes"] == told["bytes"] == 6_000_000
    asked = len(files_asked(hub))
    for name, content in zip(names, contents, strict=True):
        if name != names[2]:
            assert client.file(name, "model.safetensors") == content
    assert len(files_asked(hub)) == asked + 2


def test_branches_and_tags_of_the_hub_are_listed_and_read_whatever_they_are_called(
    hub: StaticHub, gateway: Open
) -> None:
    refs = {
        "refs/heads/main": b"main",
        "refs/heads/gptq-4bit-32g-actorder_True": b"four bits",
        "refs/heads/feature/x": b"feature",
        "refs/tags/V1.0": b"one",
        "refs/convert/parquet": b"converted",
    }
    commits = {ref: hub.add(NAME, {"config.json": content}, ref=ref) for ref, content in refs.items()}
    _, client = gateway("ann")
    told = client.json(f"/api/models/{NAME}/refs")
    assert {each["ref"]: each["targetCommit"] for each in [*told["branches"], *told["tags"]]} == {
        ref: commit for ref, commit in commits.items() if ref != "refs/convert/parquet"
    }
    assert [each["name"] for each in told["tags"]] == ["V1.0"]
    for ref, content in refs.items():
        name = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        for revision in {ref, name}:
            assert client.file(NAME, "config.json", revision.replace("/", "%2F")) == content
            assert client.json(f"/api/models/{NAME}/revision/{revision.replace('/', '%2F')}")["sha"] == commits[ref]
    for absent in ("V2", "refs%2Fpr%2F1", "feature%2Fy", "..%2Fx", "0" * 40):
        status, headers, _ = client.ask("GET", f"/{NAME}/resolve/{absent}/config.json")
        assert (status, headers["x-error-code"]) == (404, "RevisionNotFound"), absent


def test_what_came_for_everybody_is_shared_and_what_took_the_token_is_withheld(
    scene: Scene, hub: StaticHub, gateway: Open
) -> None:
    hub.add(NAME, FILES)
    hub.add("acme/secret", {"config.json": b"{}", "model.safetensors": b"secret"})
    hub.add("acme/gated", {"config.json": b"{ }", "model.safetensors": b"gated"})
    hub.tokens["acme/secret"] = hub.gated["acme/gated"] = TOKEN
    write_token(scene, "ann")
    node, client = gateway("ann")
    for path, content in FILES.items():
        assert client.file(NAME, path) == content
    for name, content in (("acme/secret", b"secret"), ("acme/gated", b"gated")):
        assert client.file(name, "model.safetensors") == content
        client.file(name, "config.json")
    until = time.monotonic() + END_S
    while len(items := held(scene, "ann")) < 3 and time.monotonic() < until:
        pass  # It is adopted beside what clients ask.
    assert sorted("public" in each["folder"] for each in items) == [False, False, True]
    for number, each in enumerate(items):
        command = ("fetch", each["manifest"], "--provider", node.address, "--into", scene.home(f"into-{number}"))
        code = scene.start("bob", *command, "--wait", "0").finish(timeout_s=END_S)
        assert (code == 0) == ("public" in each["folder"]), each
    assert {header for header in hub.heard if header is not None} == {f"Bearer {TOKEN}"}
    asked = [path for (_, path), header in zip(hub.asked, hub.heard, strict=True) if header is not None]
    assert not any(NAME in path for path in asked)


def test_without_a_token_what_takes_one_is_not_there(hub: StaticHub, gateway: Open) -> None:
    hub.add("acme/secret", {"config.json": b"{}"})
    hub.tokens["acme/secret"] = TOKEN
    _, client = gateway("ann")
    client.ask("GET", "/acme/secret/resolve/main/config.json", {"Authorization": f"Bearer {TOKEN}"})
    status, headers, _ = client.ask("GET", "/acme/secret/resolve/main/config.json")
    assert (status, headers["x-error-code"]) == (404, "RepoNotFound")
    assert not any(hub.heard), "a client's token is told to nobody"


def test_what_is_published_or_mapped_here_is_never_asked_of_the_hub(
    scene: Scene, hub: StaticHub, gateway: Open, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes(b'{"mine": 1}')
    reference = scene.publish("ann", folder, name="mini")["reference"]
    assert scene.start("ann", "name", "add", NAME, reference).finish(timeout_s=END_S) == 0
    commit = hub.add(NAME, FILES)
    _, client = gateway("ann")
    assert client.file(NAME, "config.json") == b'{"mine": 1}'
    assert client.ask("GET", f"/{NAME}/resolve/main/model.safetensors")[0] == 404
    status, headers, _ = client.ask("GET", f"/{NAME}/resolve/{commit}/model.safetensors")
    assert (status, headers["x-error-code"]) == (404, "RevisionNotFound")
    assert hub.asked == []


@covers("T33")
def test_a_file_that_is_not_what_the_hub_lists_is_never_had_whole_nor_kept(
    scene: Scene, hub: StaticHub, gateway: Open
) -> None:
    hub.add(NAME, FILES)
    hub.spoiled |= {"model.safetensors", "config.json"}
    _, client = gateway("ann")
    assert client.ask("GET", f"/{NAME}/resolve/main/config.json")[0] >= 500
    with pytest.raises(http.client.IncompleteRead) as cut:
        client.file(NAME, "model.safetensors")
    assert len(cut.value.partial) <= len(BIG) - limits.UPSTREAM_HELD_BACK_BYTES
    rest = {"Range": f"bytes={len(cut.value.partial)}-"}
    other = Client(f"http://{client.place.netloc}")
    hub.spoiled.clear()
    asked = len(files_asked(hub))
    assert other.ask("GET", f"/{NAME}/resolve/main/model.safetensors", rest)[0] >= 500, "it would go on from a lie"
    assert len(files_asked(hub)) == asked
    other.close()
    copy = scene.home("ann") / "upstream" / "public" / "models--acme--mini"
    assert [each.name for each in (copy / "blobs").iterdir()] == [git_sha1(b"")]
    assert list((copy / ".coming").iterdir()) == []


def test_a_part_of_a_large_file_moves_that_part_alone(scene: Scene, hub: StaticHub, gateway: Open) -> None:
    hub.add(NAME, FILES)
    _, client = gateway("ann")
    part = {"Range": "bytes=20000000-20000999"}
    status, _, content = client.ask("GET", f"/{NAME}/resolve/main/model.safetensors", part)
    assert (status, content) == (206, BIG[20_000_000:20_001_000])
    copy = scene.home("ann") / "upstream" / "public" / "models--acme--mini"
    assert [each.name for each in (copy / "blobs").iterdir()] == [git_sha1(b"")]
    assert sum(each.stat().st_size for each in (copy / ".coming").iterdir()) == 0
    assert client.file(NAME, "model.safetensors") == BIG


def test_a_hub_that_does_not_answer_is_a_503_and_a_name_that_none_has_a_404(hub: StaticHub, gateway: Open) -> None:
    node, client = gateway("ann")
    status, headers, _ = client.ask("GET", "/acme/none/resolve/main/config.json")
    assert (status, headers["x-error-code"]) == (404, "RepoNotFound")
    hub.add(NAME, {"config.json": b"{}"})
    assert client.file(NAME, "config.json") == b"{}"
    hub.__exit__(None, None, None)  # Its open connections last.
    node.stop()
    for title, path in (
        ("bob", "/acme/other/resolve/main/config.json"),
        ("ann", f"/{NAME}/resolve/v2/config.json"),
        ("ann", f"/api/models/{NAME}/revision/feature%2Fx"),
        ("ann", f"/{NAME}/resolve/{'0' * 40}/config.json"),
    ):
        node, client = gateway(title)
        status, headers, body = client.ask("GET", path)
        assert (status, headers.get("x-error-code")) == (503, None), (path, json.loads(body))
        node.stop()


def test_a_new_commit_of_a_dataset_takes_what_is_the_same_from_the_old_one(
    scene: Scene, hub: StaticHub, gateway: Open
) -> None:
    rows = {"data/train.parquet": b"PAR1 rows", "README.md": b"old"}
    first = hub.add("acme/rows", rows, kind="datasets")
    node, client = gateway("ann")
    for path, content in rows.items():
        assert client.file("datasets/acme/rows", path) == content
    second = hub.add("acme/rows", {**rows, "README.md": b"new"}, kind="datasets")
    node.stop()  # It looks for a newer one a minute later, or when it is started again.
    _, client = gateway("ann")
    assert client.json("/api/datasets/acme/rows")["sha"] == second
    assert client.file("datasets/acme/rows", "README.md") == b"new"
    assert client.file("datasets/acme/rows", "data/train.parquet") == b"PAR1 rows"
    assert client.file("datasets/acme/rows", "README.md", first) == b"old"
    assert len([path for path in files_asked(hub) if path.endswith(".parquet")]) == 1
