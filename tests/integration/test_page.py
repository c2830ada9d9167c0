"""The page of a real daemon, asked as a browser asks it: what is held and moves, fetching, publishing; who may not."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from p2phub import limits
from tests.support.covers import covers
from tests.support.page_client import PageClient
from tests.support.processes import Node, Scene

BIG = os.urandom(8 * limits.MIB)
CARD = """---
license: mit
---
# A model <script>alert(1)</script>

![shown](picture.png) <img src=x onerror=alert(1)> [a link](https://example.org/) [no link](javascript:alert(1))
"""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def safetensors(data: bytes) -> bytes:
    """Return a file of two tensors that share `data`."""
    half = len(data) // 2
    header = json.dumps(
        {
            "layers.0.weight": {"dtype": "U8", "shape": [half], "data_offsets": [0, half]},
            "layers.1.weight": {"dtype": "U8", "shape": [len(data) - half], "data_offsets": [half, len(data)]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + data


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "picture.png").write_bytes(PNG)
    (folder / "model.safetensors").write_bytes(safetensors(BIG))
    return folder


Open = Callable[..., tuple[Node, PageClient]]


@pytest.fixture
def page(scene: Scene) -> Open:
    """Start a daemon with a page; return it and a client of that."""

    def start(title: str, *options: str, **more: Any) -> tuple[Node, PageClient]:
        node = scene.node(title, "--gateway", "127.0.0.1:0", *options, **more)
        return node, PageClient(node, scene.home(title))

    return start


def test_what_is_published_is_shown_with_its_files_tensors_map_and_card(scene: Scene, page: Open, model: Path) -> None:
    reference = scene.publish("ann", model, name="mini", arguments=["--licence", "MIT"])["reference"]
    _, client = page("ann")
    overview = client.get("overview")
    assert (overview["held"], overview["jobs"], overview["rates"]) == (1, [], {"up": 0.0, "down": 0.0})
    assert overview["node"]["publisher_id"] in reference
    assert overview["disk"]["free_bytes"] > 0

    (item,) = client.get("repositories", q="MINI mit")["items"]
    assert (item["ref"], item["name"], item["complete"], item["origin"]) == (reference, "mini", True, "published")
    assert client.get("repositories", q="mini", kind="dataset")["items"] == []
    assert client.get("search", q="mini")["items"] == [item]

    told = client.get("model", ref=reference)
    assert {file["path"]: file["held_bytes"] for file in told["files"]} == {
        path.name: path.stat().st_size for path in model.iterdir()
    }
    assert (told["held"], told["licence"], told["card"]) == ("all", "MIT", "README.md")
    assert [version["manifest"] for version in told["versions"]] == [told["manifest"]]

    tensors = client.get("tensors", ref=reference, limit=1)
    assert (tensors["total"], tensors["cursor"]) == (2, 1)
    (tensor,) = tensors["items"]
    assert (tensor["name"], tensor["held_bytes"]) == ("layers.0.weight", len(BIG) // 2)
    assert client.get("tensors", ref=reference, q="layers.1")["total"] == 1
    drawn = client.get("map", ref=reference)["files"][0]
    assert (drawn["path"], len(drawn["tensors"])) == ("model.safetensors", 2)
    assert drawn["held"] == [[0, drawn["size"]]]

    card = client.raw("GET", f"/-/card?ref={quote(reference)}")
    assert card.status == 200
    assert "sandbox" in card.headers["content-security-policy"]
    assert b"<script" not in card.content.split(b"<body>")[1]
    assert b"data:image/png;base64," in card.content
    assert client.get("danger", ref=reference, path="README.md") == {"danger": None}
    assert client.get("providers", ref=reference)["items"] == []
    assert client.get("peers")["items"] == []
    assert client.get("unfinished")["items"] == []


def test_what_is_fetched_from_the_page_is_watched_as_it_comes_and_kept(
    scene: Scene, page: Open, model: Path, tmp_path: Path
) -> None:
    reference = scene.publish("ann", model, name="mini")["reference"]
    ann = scene.node("ann", "--up", "2MiB")
    _, client = page("bob", bootstrap=[ann.address])
    with closing(client.events()) as news:
        assert next(news)["held"] == 0
        number = client.change("fetch", ref=reference)["id"]
        seen = next(each for each in news if any(source["bytes"] for job in each["jobs"] for source in job["sources"]))
        (job,) = seen["jobs"]
        assert (job["id"], job["state"], job["ref"], job["mine"]) == (number, "running", reference, True)
        assert job["why"] is not None
        assert [source["peer_id"] for source in job["sources"]] == [ann.peer_id]
        drawn = client.get("map", ref=reference)["files"][0]
        here = sum(stop - start for start, stop in drawn["held"])
        assert here <= drawn["size"]
        peers = client.get("peers")["items"]
        assert peers[0]["peer_id"] == ann.peer_id
        assert client.change("limit", down="1MiB") == {"up": None, "down": limits.MIB, "by_schedule": False}
        next(each for each in news if each["caps"]["down"] == limits.MIB)
        client.change("limit", down="none")
    assert client.ended(number)["state"] == "done"
    told = client.get("model", ref=reference)
    assert (told["held"], told["pinned"], told["origin"]) == ("all", True, "own")
    client.change("unpin", ref=reference)
    assert client.get("model", ref=reference)["pinned"] is False
    assert client.ended(client.change("pin", ref=reference)["id"])["state"] == "done"
    (item,) = client.get("repositories")["items"]
    assert (item["ref"], item["pinned"], item["complete"]) == (reference, True, True)

    into = tmp_path / "copy"
    done = client.ended(client.change("fetch", ref=reference, into=str(into))["id"])
    assert (done["state"], done["into"]) == ("done", str(into))
    assert (into / "model.safetensors").read_bytes() == safetensors(BIG)
    failed = client.ended(client.change("fetch", ref=reference, into="/proc/nowhere")["id"])
    assert failed["state"] == "failed"
    assert failed["error"]


def test_a_fetch_that_is_stopped_goes_on_when_it_is_asked_for_again(scene: Scene, page: Open, model: Path) -> None:
    reference = scene.publish("ann", model, name="mini")["reference"]
    ann = scene.node("ann", "--up", "1MiB")
    _, client = page("bob", bootstrap=[ann.address])
    with closing(client.events()) as news:
        number = client.change("fetch", ref=reference)["id"]
        next(each for each in news if any((job["done_bytes"] or 0) > 0 for job in each["jobs"]))
        client.change("stop", id=number)
        assert client.ended(number)["state"] == "stopped"
    (left,) = client.get("unfinished")["items"]
    assert (left["reference"], left["own"], left["job"]) == (reference, True, None)
    client.change("limit", down="none")
    assert scene.start("ann", "limit", "--up", "none").finish(timeout_s=60) == 0
    assert client.ended(client.change("fetch", ref=reference)["id"])["state"] == "done"


def test_a_folder_is_published_by_its_path_and_named(page: Open, model: Path) -> None:
    _, client = page("ann")
    survey = client.change("survey", path=str(model))
    assert (survey["files_total"], survey["refused"], survey["refused_because"]) == (3, [], None)
    done = client.ended(client.change("publish", path=str(model), name="mini", description="A small one")["id"])
    assert (done["state"], done["action"]) == ("done", "publish")
    assert client.get("model", ref=done["ref"])["description"] == "A small one"
    client.change("name", name="acme/mini", ref=done["ref"])
    assert client.raw("GET", "/acme/mini/resolve/main/picture.png").content == PNG
    failed = client.ended(client.change("publish", path=str(model / "nothing"), name="mini")["id"])
    assert failed["state"] == "failed"


def test_what_is_dropped_into_the_page_is_published(page: Open) -> None:
    _, client = page("ann")
    number = client.change("drop")["id"]
    files = {"config.json": b"{}", "sub/ä b+c#d.txt": b"x" * 300_000, "empty.txt": b""}
    for path, content in files.items():
        answer = client.raw("PUT", f"/-/api/drop/{number}/{quote(path)}", client.authorized, content)
        assert answer.status == 200, answer.content
    answer = client.raw("POST", f"/-/api/drop/{number}/publish", client.authorized, b'{"name": "dropped"}')
    assert answer.status == 200, answer.content
    told = client.get("model", ref=answer.json["ref"])
    assert {file["path"]: file["size"] for file in told["files"]} == {path: len(data) for path, data in files.items()}
    for path, content in files.items():
        assert client.raw("GET", f"/dropped/resolve/main/{quote(path)}").content == content
    assert client.raw("DELETE", f"/-/api/drop/{number}", client.authorized).status == 404
    number = client.change("drop")["id"]
    assert client.raw("DELETE", f"/-/api/drop/{number}", client.authorized).status == 200
    assert client.raw("PUT", f"/-/api/drop/{number}/a", client.authorized, b"a").status == 404


CHANGES = [
    ("POST", "/-/api/check", b"{}"),
    ("POST", "/-/api/fetch", b'{"ref": "REF"}'),
    ("POST", "/-/api/stop", b'{"id": "p1"}'),
    ("POST", "/-/api/pin", b'{"ref": "REF"}'),
    ("POST", "/-/api/unpin", b'{"ref": "REF"}'),
    ("POST", "/-/api/limit", b'{"down": "1MiB"}'),
    ("POST", "/-/api/name", b'{"name": "acme/evil", "ref": "REF"}'),
    ("POST", "/-/api/survey", b'{"path": "/"}'),
    ("POST", "/-/api/publish", b'{"path": "/etc", "name": "evil"}'),
    ("POST", "/-/api/drop", b"{}"),
    ("PUT", f"/-/api/drop/{'0' * 32}/a", b"a"),
    ("POST", f"/-/api/drop/{'0' * 32}/publish", b'{"name": "evil"}'),
    ("DELETE", f"/-/api/drop/{'0' * 32}", b""),
]


@covers("T43", "T44", "T45")
def test_no_page_of_somebody_else_changes_or_is_told_anything(scene: Scene, page: Open, model: Path) -> None:
    reference = scene.publish("ann", model, name="mini")["reference"]
    _, client = page("ann")
    before = client.get("overview")["changed"]
    foreign = [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": f"evil.example:{client.port}"}, 403),
        ({"Host": f"127.0.0.1:{client.port + 1}"}, 403),
    ]
    for method, path, body in CHANGES:
        body = body.replace(b"REF", reference.encode())
        for headers, status in [*foreign, ({}, 401), ({"Authorization": "Bearer hf_other"}, 401)]:
            assert client.raw(method, path, headers, body).status == status, (method, path, headers)
        for headers, status in foreign:  # Not even with the token, should a page ever have it.
            assert client.raw(method, path, {**client.authorized, **headers}, body).status == status
    looks = ["/", "/-/api/overview", "/-/api/events", f"/-/api/model?ref={reference}", f"/-/card?ref={reference}"]
    for path in looks:
        for headers, status in foreign:
            answer = client.raw("GET", path, headers)
            assert answer.status == status
            assert "access-control-allow-origin" not in answer.headers
    after = client.get("overview")
    assert (after["changed"], after["jobs"], after["caps"]["down"]) == (before, [], None)


@covers("T44")
def test_no_path_leads_out_of_what_was_asked_for(scene: Scene, page: Open, model: Path) -> None:
    reference = scene.publish("ann", model, name="mini")["reference"]
    _, client = page("ann")
    out = ["../../../../etc/passwd", "/etc/passwd", "..", "%2e%2e/x", "a/../../b", "model.safetensors/..", "\x00"]
    for path in out:
        asked = f"ref={quote(reference, safe='')}&path={quote(path, safe='')}"
        for what in ("/-/card", "/-/api/danger", "/-/api/rows"):
            answer = client.raw("GET", f"{what}?{asked}")
            assert answer.status in (404, 503), (what, path, answer.content)
            assert b"root:" not in answer.content
    for ref in ["../../etc/passwd", "/etc/passwd", "..%2f..%2fetc", "file:///etc/passwd", str(model)]:
        for what in ("model", "map", "tensors", "providers"):
            answer = client.raw("GET", f"/-/api/{what}?ref={quote(ref, safe='')}")
            assert answer.status in (400, 503), (what, ref, answer.content)
    for name in ["../page.py", "..%2fpage.py", "%2e%2e/page.py", "..%2f..%2fcli%2fnode.py", "", ".", "x/y"]:
        assert client.raw("GET", f"/-/static/{name}").status in (400, 404)
    number = client.change("drop")["id"]
    for path in ["..%2f..%2fevil", "../evil", "%2e%2e/evil", "a//b", "", "a/%2e%2e/b", "%00", "%2fevil"]:
        answer = client.raw("PUT", f"/-/api/drop/{number}/{path}", client.authorized, b"evil")
        assert answer.status in (400, 404, 405), (path, answer.content)
    assert not list(scene.folder.rglob("evil"))
