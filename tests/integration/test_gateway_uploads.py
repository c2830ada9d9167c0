"""Uploads through the gateway of a real daemon, by a plain HTTP client: as tools of the hub do it, and as none does."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from p2phub import limits
from tests.support.covers import covers
from tests.support.gateway_client import Client
from tests.support.processes import Node, Scene
from tests.support.xet_upload import chunk, file_entry, shard, xorb

END_S = 60.0
BIG = os.urandom(3 * limits.MIB + 5)
HASH = "0123456789abcdef" * 4


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Uploader(Client):
    """A client that has a token."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url)
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        found = super().ask(method, target, headers, body)
        if found[0] >= 400:  # What it did not take of the request ends the connection.
            self.close()
        return found

    def post(self, target: str, said: object, *, status: int = 200) -> Any:
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        found, _, content = self.ask("POST", target, self._headers, data)
        assert found == status, content
        return json.loads(content)

    def create(self, name: str, *, status: int = 200, **more: object) -> Any:
        org, _, last = name.partition("/")
        return self.post(
            "/api/repos/create", {"organization": org, "name": last, "type": "model", **more}, status=status
        )

    def commit(self, name: str, *lines: object, revision: str = "main", status: int = 200, **header: object) -> Any:
        first = {"key": "header", "value": {"summary": "a commit", "description": "", **header}}
        body = b"".join(json.dumps(line).encode() + b"\n" for line in (first, *lines))
        return self.post(f"/api/models/{name}/commit/{revision}", body, status=status)

    def place_for(self, name: str, data: bytes) -> str | None:
        """Return where a large file is to be put, None if it is here."""
        said = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": sha256(data), "size": len(data)}]}
        (told,) = self.post(f"/{name}.git/info/lfs/objects/batch", said)["objects"]
        return urlsplit(told["actions"]["upload"]["href"]).path if "actions" in told else None

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        listed = self.json(f"/api/models/{name}/tree/{revision}?recursive=true")
        return {each["path"]: self.file(name, each["path"], revision) for each in listed if each["type"] == "file"}


def put(path: str, content: bytes) -> dict[str, object]:
    encoded = base64.b64encode(content).decode()
    return {"key": "file", "value": {"path": path, "content": encoded, "encoding": "base64"}}


def large(path: str, content: bytes) -> dict[str, object]:
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": sha256(content), "size": len(content)}}


def delete(path: str) -> dict[str, object]:
    return {"key": "deletedFolder" if path.endswith("/") else "deletedFile", "value": {"path": path}}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("scene") / "scene") as scene:
        yield scene


@pytest.fixture(scope="module")
def node(scene: Scene) -> Node:
    return scene.node("ann", "--gateway", "127.0.0.1:0", "--gateway-uploads")


@pytest.fixture
def client(scene: Scene, node: Node) -> Iterator[Uploader]:
    made = Uploader(node.ready["gateway"], scene.gateway_token("ann"))
    yield made
    made.close()


@pytest.fixture
def repo(request: pytest.FixtureRequest) -> str:
    """A repository that no other test has."""
    return f"acme/r{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


def is_empty(client: Uploader, repo: str) -> bool:
    """Whether nothing was published there."""
    return bool(client.json(f"/api/models/{repo}")["siblings"] == [])


def test_small_and_large_files_become_a_version_that_is_read_back(client: Uploader, repo: str, node: Node) -> None:
    name = repo.replace("/r", "/Mini-")  # Clients may use capitals, and names of ours have none.
    told = client.create(name)
    assert told["url"] == f"{node.ready['gateway']}/{name}"
    assert client.json(f"/api/models/{name}")["siblings"] == []
    asked = [{"path": "a.txt", "size": 3, "sample": ""}, {"path": "big.bin", "size": len(BIG), "sample": ""}]
    modes = client.post(f"/api/models/{name}/preupload/main", {"files": asked})["files"]
    assert [each["uploadMode"] for each in modes] == ["regular", "lfs"]
    place = client.place_for(name, BIG)
    assert place is not None
    assert client.ask("PUT", place, {}, BIG)[0] == 200  # Without a token: the URL is one.
    assert client.place_for(name, BIG) is None
    assert client.ask("PUT", place, {}, b"again")[0] == 403
    done = client.commit(name, put("a.txt", b"one"), large("deep/big.bin", BIG))
    assert done["commitUrl"].endswith(f"/{name}/commit/{done['commitOid']}")
    assert client.json(f"/api/models/{name}")["sha"] == done["commitOid"]
    assert client.files(name) == {"a.txt": b"one", "deep/big.bin": BIG}
    assert client.create(name, status=409)["url"] == told["url"]


def test_a_commit_goes_on_from_the_one_before_unless_that_is_another(client: Uploader, repo: str) -> None:
    client.create(repo)
    first = client.commit(repo, put("a", b"1"), put("old/b", b"2"), put("old/c", b"3"))["commitOid"]
    known = client.post(f"/api/models/{repo}/preupload/main", {"files": [{"path": "a", "size": 1}]})["files"]
    assert known[0]["oid"] == hashlib.sha1(b"blob 1\x001").hexdigest()
    client.commit(repo, delete("old/"), put("d", b"4"), parentCommit=first)
    assert client.files(repo) == {"a": b"1", "d": b"4"}
    assert client.files(repo, first) == {"a": b"1", "old/b": b"2", "old/c": b"3"}
    client.commit(repo, put("a", b"9"), parentCommit=first, status=412)
    client.commit(repo, delete("nothing"), status=404)
    client.commit(repo, large("e", b"never came"), status=404)
    assert client.files(repo) == {"a": b"1", "d": b"4"}


def test_branches_and_tags_are_made(client: Uploader, repo: str) -> None:
    client.create(repo)
    client.post(f"/api/models/{repo}/branch/early", {})  # Of nothing: the first commit makes it.
    first = client.commit(repo, put("a", b"1"))["commitOid"]
    client.post(f"/api/models/{repo}/tag/main", {"tag": "v1"})
    client.post(f"/api/models/{repo}/tag/main", {"tag": "v1"}, status=409)
    client.commit(repo, put("a", b"2"))
    client.post(f"/api/models/{repo}/branch/back", {"startingPoint": first})
    client.post(f"/api/models/{repo}/branch/no_such", {"startingPoint": "nowhere"}, status=404)
    client.post(f"/api/models/{repo}/branch/No%2Fsuch", {}, status=400)
    client.commit(repo, put("b", b"3"), revision="back")
    assert client.files(repo, "v1") == {"a": b"1"}
    assert client.files(repo, "back") == {"a": b"1", "b": b"3"}
    assert client.files(repo) == {"a": b"2"}


def test_files_are_made_of_chunks(client: Uploader, repo: str) -> None:
    client.create(repo)
    token = {"Authorization": client._headers["Authorization"]}
    status, headers, content = client.ask("GET", f"/api/models/{repo}/xet-write-token/main", token)
    assert status == 200
    assert headers["x-xet-cas-url"] == json.loads(content)["casUrl"]
    place = urlsplit(headers["x-xet-cas-url"]).path
    one, two = BIG[:70_000], BIG[70_000:100_000]
    body = xorb(chunk(one), chunk(two))
    assert json.loads(client.ask("POST", f"{place}/v1/xorbs/default/{HASH}", {}, body)[2]) == {"was_inserted": True}
    assert json.loads(client.ask("POST", f"{place}/v1/xorbs/default/{HASH}", {}, body)[2]) == {"was_inserted": False}
    assert client.ask("POST", f"{place}/v2/shards", {}, b"")[0] == 404
    twice = two + one + two
    wrong = file_entry(b"", [(HASH, len(two), 1, 2)], sha256=sha256(b"another"))
    entry = file_entry(twice, [(HASH, len(two), 1, 2), (HASH, len(one) + len(two), 0, 2)])
    assert client.ask("POST", f"{place}/v1/shards", {}, shard(entry, wrong))[0] == 200
    client.commit(repo, large("wrong", b"another"), status=400)
    client.commit(repo, large("twice.bin", twice))
    assert client.files(repo) == {"twice.bin": twice}
    missing = shard(file_entry(b"x", [("ff" * 32, 1, 0, 1)]))
    assert client.ask("POST", f"{place}/v1/shards", {}, missing)[0] == 400
    elsewhere = place[:-4] + "0000"
    assert client.ask("POST", f"{elsewhere}/v1/xorbs/default/{HASH}", {}, body)[0] == 403


@covers("T44")
@pytest.mark.parametrize("token", [None, "hf_somebodyelses", ""])
def test_without_the_token_nothing_is_taken_and_none_is_logged(
    scene: Scene, node: Node, client: Uploader, repo: str, token: str | None
) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    client.create(repo)
    for method, target in (
        ("POST", "/api/repos/create"),
        ("POST", "/api/validate-yaml"),
        ("POST", f"/api/models/{repo}/preupload/main"),
        ("POST", f"/api/models/{repo}/commit/main"),
        ("POST", f"/api/models/{repo}/branch/b"),
        ("POST", f"/{repo}.git/info/lfs/objects/batch"),
        ("GET", f"/api/models/{repo}/xet-write-token/main"),
    ):
        assert client.ask(method, target, headers, b"{}")[0] == 401
    assert client.ask("PUT", "/api/uploads/" + "0" * 48, headers, b"bytes")[0] == 403
    log = node.log.read_text()
    assert "hf_somebodyelses" not in log
    assert scene.gateway_token("ann") not in log


@covers("T44")
@pytest.mark.parametrize(
    "page",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example:7700"}],
)
def test_a_page_of_another_origin_puts_nothing_even_where_it_knows_the_address(
    client: Uploader, repo: str, page: dict[str, str]
) -> None:
    client.create(repo)
    place = client.place_for(repo, BIG)
    assert place is not None
    assert client.ask("PUT", place, page, b"bytes")[0] == 403
    token = client._headers | page
    assert client.ask("POST", f"/api/models/{repo}/commit/main", token, b"{}")[0] == 403


@pytest.mark.parametrize(
    ("path", "content"),
    [("../out", b"x"), ("/etc/x", b"x"), ("a/../../b", b"x"), (".p2phub/x", b"x"), ("a\\b", b"x"), ("id_rsa", b"x")],
)
def test_names_that_lead_elsewhere_and_secrets_are_refused(
    scene: Scene, client: Uploader, repo: str, path: str, content: bytes
) -> None:
    client.create(repo)
    client.commit(repo, put("good", b"y"), put(path, content), status=400)
    assert is_empty(client, repo)
    client.commit(repo, put("good", b"y"))
    assert client.files(repo) == {"good": b"y"}


def test_a_file_of_another_digest_or_length_is_refused(client: Uploader, repo: str) -> None:
    client.create(repo)
    right = repo.encode() + BIG
    for wrong in (right[:-1], right + b"x", right[::-1]):
        place = client.place_for(repo, right)
        assert place is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # It was told before all was sent.
            assert client.ask("PUT", place, {}, wrong)[0] in (400, 413)
        client.close()
    client.commit(repo, large("big", right), status=404)


def test_a_commit_that_is_cut_short_publishes_nothing(scene: Scene, node: Node, client: Uploader, repo: str) -> None:
    client.create(repo)
    body = json.dumps({"key": "header", "value": {"summary": "half"}}).encode() + b"\n"
    body += json.dumps(put("a", b"1")).encode() + b"\n"
    send_cut(scene, node, "POST", f"/api/models/{repo}/commit/main", body, missing=100)
    assert is_empty(client, repo)


def test_of_a_large_file_that_is_cut_short_nothing_is_kept(
    scene: Scene, node: Node, client: Uploader, repo: str
) -> None:
    client.create(repo)
    data = BIG + repo.encode()
    place = client.place_for(repo, data)
    assert place is not None
    send_cut(scene, node, "PUT", place, data[:-1], missing=1)
    client.commit(repo, large("big.bin", data), status=404)
    assert client.place_for(repo, data) is not None
    assert client.ask("PUT", place, {}, data)[0] == 200  # It is sent again, by who gave up or by another.
    client.commit(repo, large("big.bin", data))
    assert client.files(repo) == {"big.bin": data}


def test_of_chunks_and_lists_of_chunks_that_are_cut_short_nothing_is_kept(
    scene: Scene, node: Node, client: Uploader, repo: str
) -> None:
    client.create(repo)
    token = {"Authorization": client._headers["Authorization"]}
    place = urlsplit(client.ask("GET", f"/api/models/{repo}/xet-write-token/main", token)[1]["x-xet-cas-url"]).path
    name, data = sha256(repo.encode()), BIG[:70_000] + repo.encode()
    body, listed = xorb(chunk(data)), shard(file_entry(data, [(name, len(data), 0, 1)]))
    send_cut(scene, node, "POST", f"{place}/v1/xorbs/default/{name}", body[:-1], missing=1)
    assert client.ask("POST", f"{place}/v1/shards", {}, listed)[0] == 400  # It names chunks that did not come.
    inserted = client.ask("POST", f"{place}/v1/xorbs/default/{name}", {}, body)[2]
    assert json.loads(inserted) == {"was_inserted": True}
    send_cut(scene, node, "POST", f"{place}/v1/shards", listed[:-1], missing=1)
    client.commit(repo, large("big.bin", data), status=404)
    assert client.ask("POST", f"{place}/v1/shards", {}, listed)[0] == 200
    client.commit(repo, large("big.bin", data))
    assert client.files(repo) == {"big.bin": data}


def send_cut(scene: Scene, node: Node, method: str, target: str, body: bytes, *, missing: int) -> None:
    """Send a body that ends `missing` bytes before it should, and be refused."""
    place = urlsplit(node.ready["gateway"])
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {scene.gateway_token('ann')}\r\nContent-Length: {len(body) + missing}\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port), timeout=END_S) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 400")


def test_no_repository_of_somebody_elses_and_none_that_was_not_made_is_written_to(
    scene: Scene, client: Uploader, repo: str, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a").write_bytes(b"theirs")
    theirs = scene.publish("bob", tmp_path / "model", name="mini")["reference"]
    assert scene.start("ann", "name", "add", repo, theirs).finish(timeout_s=END_S) == 0
    client.create(repo, status=403)
    client.commit(repo, put("a", b"ours"), status=403)
    client.create(theirs, status=403)
    client.commit("acme/other", put("a", b"ours"), status=404)
    assert client.ask("GET", "/api/models/acme/other")[0] == 404


def test_two_repositories_of_one_name_are_two(scene: Scene, node: Node, client: Uploader, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a").write_bytes(b"a folder")
    scene.publish("ann", tmp_path / "model", name="mini")
    for org in ("acme", "other"):
        client.create(f"{org}/mini")
        client.commit(f"{org}/mini", put("a", org.encode()))
    assert client.files("mini") == {"a": b"a folder"}
    assert client.files("acme/mini") == client.files(f"{node.publisher_id}/acme-mini") == {"a": b"acme"}
    assert client.files("other/mini") == {"a": b"other"}
    client.commit("mini", put("b", b"more"))  # What was published here, by its own name.
    assert client.files("mini") == {"a": b"a folder", "b": b"more"}
    assert sorted(os.listdir(tmp_path / "model")) == ["a"]


def test_what_is_to_be_private_is_published_so(scene: Scene, client: Uploader, repo: str) -> None:
    client.create(repo, visibility="private")
    client.commit(repo, put("a", b"1"))
    client.commit(repo, put("b", b"2"))
    assert client.files(repo) == {"a": b"1", "b": b"2"}
    items = scene.start("ann", "ls").wait_for("ls", timeout_s=END_S)["items"]
    ours = [item for item in items if any(each.endswith(repo.partition("/")[2]) for each in item["references"])]
    assert [(item["private"], item["announced_to"]) for item in ours] == [(True, None)]
