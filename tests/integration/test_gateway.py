"""The gateway of a real daemon, asked by a plain HTTP client as tools ask a hub: of one node, and of two."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from p2phub import limits
from tests.support.covers import covers
from tests.support.folders import write_files
from tests.support.gateway_client import ANSWER_S, Client
from tests.support.hub_cache import COMMIT, Repository
from tests.support.processes import Node, Scene

END_S = 60.0
BIG = os.urandom(24 * limits.MIB)
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": BIG,
    "empty.txt": b"",
    "data/a b+c#d \u00fc.txt": b"odd",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", FILES)


Open = Callable[..., tuple[Node, Client]]


@pytest.fixture
def gateway(scene: Scene) -> Iterator[Open]:
    """Start a daemon with a gateway at the address `at`; return it and a client of that."""
    with contextlib.ExitStack() as stack:

        def start(title: str, *options: str, at: str = "127.0.0.1:0") -> tuple[Node, Client]:
            node = scene.node(title, "--gateway", at, *options)
            client = Client(node.ready["gateway"].replace("0.0.0.0", "127.0.0.1"))
            stack.callback(client.close)
            return node, client

        yield start


def test_what_is_published_is_had_by_its_name_its_key_and_a_mapping(scene: Scene, gateway: Open, model: Path) -> None:
    reference = scene.publish("ann", model, name="mini")["reference"]
    _, client = gateway("ann")
    commit = client.json("/api/models/mini")["sha"]
    for path, content in FILES.items():
        assert client.file("mini", path) == content
        assert client.file(reference, path) == content
        assert client.file("mini", path, commit) == content
    status, headers, _ = client.ask("HEAD", "/mini/resolve/main/model.safetensors")
    assert (status, headers["x-repo-commit"], int(headers["content-length"])) == (200, commit, len(BIG))
    assert headers["x-linked-etag"] == f'"{hashlib.sha256(BIG).hexdigest()}"'
    part = {"Range": "bytes=1000000-2999999"}
    assert client.ask("GET", "/mini/resolve/main/model.safetensors", part)[::2] == (206, BIG[1_000_000:3_000_000])

    status, headers, content = client.ask("GET", "/acme/mini/resolve/main/config.json")
    assert (status, headers["x-error-code"]) == (404, "RepoNotFound")
    command = f"p2phub name add acme/mini {reference}"
    assert command in headers["x-hf-warning"]
    assert command in json.loads(content)["error"]
    assert scene.start("ann", *command.split()[1:]).finish(timeout_s=END_S) == 0
    assert client.file("acme/mini", "config.json") == FILES["config.json"]
    assert {each["id"] for each in client.json("/api/models")} == {"mini", "acme/mini"}
    assert client.json("/api/datasets") == []


def test_versions_are_there_by_tag_and_by_commit_when_they_are_not_the_newest(
    scene: Scene, gateway: Open, model: Path
) -> None:
    scene.publish("ann", model, name="mini")
    _, client = gateway("ann")
    first = client.json("/api/models/mini")["sha"]
    second = model.with_name("second")
    second.mkdir()
    (second / "config.json").write_bytes(b"{}")
    scene.publish("ann", second, name="mini")
    assert scene.start("ann", "publish", second, "--name", "mini", "--tag", "v2").finish(timeout_s=END_S) == 0
    assert client.file("mini", "config.json") == client.file("mini", "config.json", "v2") == b"{}"
    assert client.file("mini", "config.json", first) == FILES["config.json"]
    refs = client.json("/api/models/mini/refs")
    assert [each["name"] for each in refs["branches"] + refs["tags"]] == ["main", "v2"]
    assert [each["id"] for each in client.json("/api/models/mini/commits/main")][1:] == [first]


def test_an_adopted_cache_is_served_with_the_hubs_own_commits(scene: Scene, gateway: Open, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "hub", "models--acme--mini")
    repository.add("config.json", b"{}")
    repository.add("model.safetensors", BIG, lfs=True)
    repository.list()
    assert scene.start("ann", "adopt", tmp_path / "hub").finish(timeout_s=END_S) == 0
    _, client = gateway("ann")
    assert client.json("/api/models/acme/mini")["sha"] == COMMIT
    assert client.file("acme/mini", "model.safetensors", COMMIT) == BIG


def test_what_another_node_has_is_sent_while_it_is_fetched_and_asked_for_once(
    scene: Scene, gateway: Open, model: Path
) -> None:
    reference = scene.publish("ann", model, name="mini")["reference"]
    ann = scene.node("ann")
    _, client = gateway("bob", "--bootstrap", ann.address)
    tree = client.json(f"/api/models/{reference}/tree/main?recursive=true")
    assert {each["path"] for each in tree} == {*FILES, "data"}
    part = {"Range": "bytes=-1000"}
    path = f"/{reference}/resolve/main/model.safetensors"
    assert client.ask("GET", path, part)[::2] == (206, BIG[-1000:])
    for name, content in FILES.items():
        assert client.file(reference, name) == content
    served = scene.start("ann", "status").wait_for("status", timeout_s=END_S)["served"]
    assert sum(served.values()) < sum(map(len, FILES.values())) * 1.2
    ann.stop()
    assert client.file(reference, "model.safetensors") == BIG  # It stands here now.


def test_one_model_after_the_other_comes_from_one_provider_though_none_was_closed(
    scene: Scene, gateway: Open, tmp_path: Path
) -> None:
    contents = {f"s{number}": os.urandom(3 * limits.MIB) for number in range(limits.CONNECTIONS_PER_PEER_MAX + 1)}
    references = {}
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
        references[name] = scene.publish("ann", tmp_path / name, name=name)["reference"]
    ann = scene.node("ann")
    _, client = gateway("bob", "--bootstrap", ann.address)
    for name, content in contents.items():
        assert client.file(references[name], "model.safetensors") == content


def test_a_provider_that_is_lost_is_a_503_and_never_a_404(scene: Scene, gateway: Open, model: Path) -> None:
    manifest = scene.publish("ann", model, name="mini")["manifest"]
    ann = scene.node("ann")
    _, client = gateway("bob", "--bootstrap", ann.address)
    assert scene.start("bob", "name", "add", "acme/mini", manifest).finish(timeout_s=END_S) == 0
    assert client.file("acme/mini", "config.json") == FILES["config.json"]
    ann.kill()
    for method in ("GET", "HEAD"):
        status, headers, _ = client.ask(method, "/acme/mini/resolve/main/nope")
        assert (status, headers["x-error-code"]) == (404, "EntryNotFound")
    status, headers, content = client.ask("GET", "/acme/mini/resolve/main/model.safetensors")
    assert (status, headers.get("x-error-code")) == (503, None), content
    assert client.ask("HEAD", "/acme/mini/resolve/main/model.safetensors")[0] == 200
    assert client.file("acme/mini", "config.json") == FILES["config.json"]


def test_what_may_run_code_is_not_passed_on_from_a_stranger(scene: Scene, gateway: Open, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n(S'id'\ntR.")
    (folder / "fine.bin").write_bytes(b"numbers")
    reference = scene.publish("ann", folder, name="bad")["reference"]
    ann, own = gateway("ann")
    assert own.file("bad", "pytorch_model.bin")  # The user's own.
    _, client = gateway("bob", "--bootstrap", ann.address)
    status, _, content = client.ask("GET", f"/{reference}/resolve/main/pytorch_model.bin")
    assert status == 403
    assert b"may run code" in content
    assert client.file(reference, "fine.bin") == b"numbers"


@pytest.mark.parametrize("of_another", [False, True], ids=["held", "fetched"])
def test_names_with_odd_letters_and_files_without_bytes_are_had(
    scene: Scene, gateway: Open, tmp_path: Path, of_another: bool
) -> None:
    files = {
        "a b.txt": b"space",
        "c++ + plus.md": b"plus",
        "issue #1.txt": b"hash",
        "100%/25%20.txt": b"percent",
        "what&=;,~.json": b"asked",
        "\u00dcbersicht \u2013 \u6982\u8981.md": b"letters",
        "empty": b"",
        "deep/er/empty.bin": b"",
    }
    folder = write_files(tmp_path / "odd", files)
    reference = scene.publish("ann", folder, name="odd")["reference"]
    ann, client = gateway("ann")
    if of_another:
        _, client = gateway("bob", "--bootstrap", ann.address)
    for path, content in files.items():
        assert client.file(reference, path) == content
        status, headers, _ = client.ask("HEAD", f"/{reference}/resolve/main/{quote(path)}")
        assert (status, headers["content-length"]) == (200, str(len(content)))
    tree = client.json(f"/api/models/{reference}/tree/main?recursive=true")
    assert {each["path"] for each in tree if each["type"] == "file"} == set(files)


SECRET = b"nobody may have this"
UPS = ("..", "%2e%2e", "%2E%2E", ".%2e", "%252e%252e", "..%00", "%c0%ae%c0%ae", "%e3%80%82%e3%80%82", "..;")
SLASHES = ("/", "%2f", "%2F", "//", "%5c", "\\", "%252f", "/./")


def test_no_spelling_of_a_way_out_leads_out_of_what_is_published(scene: Scene, gateway: Open, model: Path) -> None:
    for folder in (model.parent, model.parent.parent, scene.home("ann")):
        folder.mkdir(exist_ok=True)
        (folder / "secret").write_bytes(SECRET)
    scene.publish("ann", model, name="mini")
    _, client = gateway("ann")
    scene.publish("ann", model, name="rows", arguments=["--kind", "dataset"])
    starts = (
        "/mini/resolve/main/", "/mini/resolve/main/data/", "/api/models/mini/tree/main/", "/mini/resolve/", "/",
        "/datasets/rows/resolve/main/", "/api/datasets/rows/tree/main/",
    )  # fmt: skip
    for start in starts:
        for up in UPS:
            for slash in SLASHES:
                target = start + slash.join([up, up, "secret"])
                status, _, content = client.ask("GET", target)
                assert status in (400, 404), (target, status)
                assert SECRET not in content, target
    outside = ["../secret", "../../secret", "/etc/passwd", "data/../../secret", str(model.parent / "secret"), "..", ""]
    status, _, content = client.ask(
        "POST", "/api/models/mini/paths-info/main", {"Content-Type": "application/json"},
        json.dumps({"paths": outside}).encode(),
    )  # fmt: skip
    assert (status, json.loads(content)) == (200, [])
    absolute = quote(str(model.parent / "secret"), safe="")
    assert client.ask("GET", f"/mini/resolve/main/{absolute}")[0] in (400, 404)
    assert client.file("mini", "config.json") == FILES["config.json"]


def test_what_a_client_asks_for_comes_before_what_is_fetched_anyway(
    scene: Scene, gateway: Open, model: Path, tmp_path: Path
) -> None:
    reference = scene.publish("ann", model, name="mini")["reference"]
    ann, _ = gateway("ann")
    _, client = gateway("bob", "--bootstrap", ann.address)
    slowly = scene.start_fetch(
        "bob", reference, tmp_path / "whole", arguments=["--in-order", "--down", "500kB", "--provider", ann.address]
    )
    slowly.wait_for("started", timeout_s=END_S)
    start = len(BIG) - 100_000  # Front to back it would come last, in 48 s.
    status, _, content = client.ask(
        "GET", f"/{reference}/resolve/main/model.safetensors", {"Range": f"bytes={start}-{len(BIG) - 1}"}
    )
    assert (status, content) == (206, BIG[start:])
    slowly.wait_for("progress", timeout_s=END_S)
    assert all(each["bytes_verified"] < len(BIG) // 2 for each in slowly.events if each["event"] == "progress")


@pytest.mark.parametrize("of_another", [False, True], ids=["held", "fetched"])
def test_ranges_of_odd_forms_are_a_part_the_whole_or_refused(
    scene: Scene, gateway: Open, model: Path, of_another: bool
) -> None:
    reference = scene.publish("ann", model, name="mini")["reference"]
    ann, client = gateway("ann")
    if of_another:
        _, client = gateway("bob", "--bootstrap", ann.address)
    path, small = f"/{reference}/resolve/main/config.json", FILES["config.json"]
    size = len(small)
    parts = {"0-0": small[:1], "1-": small[1:], "-1": small[-1:], f"0-{10**30}": small, f"-{10**30}": small}
    for said, content in parts.items():
        assert client.ask("GET", path, {"Range": f"bytes={said}"})[::2] == (206, content), said
    for said in (f"{size}-", f"{10**30}-", "-0"):
        status, headers, _ = client.ask("GET", path, {"Range": f"bytes={said}"})
        assert (status, headers["content-range"]) == (416, f"bytes */{size}"), said
    for said in (
        "bytes=2-1",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=0x0-1",
        "bytes=0-1,3-4",
        "lines=0-1",
        "bytes 0-1",
    ):
        assert client.ask("GET", path, {"Range": said})[::2] == (200, small), said
    empty = f"/{reference}/resolve/main/empty.txt"
    assert client.ask("GET", empty, {"Range": "bytes=0-"})[0] == 416
    assert client.ask("GET", empty, {"Range": "bytes=-5"})[::2] == (200, b"")


def test_a_body_cut_short_is_no_question_and_holds_up_nobody(scene: Scene, gateway: Open, model: Path) -> None:
    scene.publish("ann", model, name="mini")
    _, client = gateway("ann")
    place = client.place
    head = (
        f"POST /api/models/mini/paths-info/main HTTP/1.1\r\nHost: {place.netloc}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n"
    )
    assert place.hostname is not None
    assert place.port is not None
    with socket.create_connection((place.hostname, place.port), timeout=ANSWER_S) as cut:
        cut.sendall(head.encode() + b"paths=config.json")
        cut.shutdown(socket.SHUT_WR)
        assert cut.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")
    assert client.file("mini", "config.json") == FILES["config.json"]


TOKEN = "hf_" + "ThisIsTheUsersOwnToken" * 2


def test_the_users_token_is_in_no_log_and_in_nobodys_home(tmp_path: Path, model: Path) -> None:
    with Scene(tmp_path / "told", verbose=True) as scene:
        reference = scene.publish("ann", model, name="mini")["reference"]
        ann = scene.node("ann")
        bob = scene.node("bob", "--gateway", "127.0.0.1:0", "--bootstrap", ann.address)
        client = Client(bob.ready["gateway"])
        said = {"Authorization": f"Bearer {TOKEN}"}
        path = f"/{reference}/resolve/main/config.json"
        assert client.ask("GET", path, said)[::2] == (200, FILES["config.json"])
        for method, target in (
            ("GET", "/api/whoami-v2"),
            ("GET", "/nope/nope/resolve/main/x"),
            ("DELETE", path),
            ("POST", "/api/repos/create"),
            ("GET", f"/{reference}/resolve/main/nope"),
        ):
            client.ask(method, target, said)
        client.close()
        for node in (bob, ann):
            assert node.stop() == 0
    written = [path for path in tmp_path.joinpath("told").rglob("*") if path.is_file()]
    assert [path for path in written if path.suffix == ".log"]
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]


@covers("T43", "T44", "T45")
def test_pages_of_other_sites_get_nothing_of_a_real_gateway(scene: Scene, gateway: Open, model: Path) -> None:
    scene.publish("ann", model, name="mini")
    _, client = gateway("ann")
    for said in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        status, headers, content = client.ask("GET", "/mini/resolve/main/config.json", said)
        assert (status, "bert" in content.decode()) == (403, False)
        assert not [name for name in headers if name.startswith("access-control")]


def test_beyond_loopback_a_gateway_opens_to_its_token_alone(scene: Scene, gateway: Open, model: Path) -> None:
    scene.publish("ann", model, name="mini")
    _, client = gateway("ann", at="0.0.0.0:0")
    assert client.ask("GET", "/api/models")[0] == 401
    token = scene.gateway_token("ann")
    said = {"Authorization": f"Bearer {token}"}
    assert client.ask("GET", "/mini/resolve/main/config.json", said)[::2] == (200, FILES["config.json"])


def test_a_port_that_is_taken_is_a_usage_error_that_names_another_way(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        node = scene.start("ann", "node", "--listen", "127.0.0.1:0", "--gateway", f"127.0.0.1:{taken.getsockname()[1]}")
        code = node.finish(timeout_s=END_S)
    assert code == 2
    failed = node.events[-1]
    assert "gateway" in failed["message"]
    assert "--gateway 127.0.0.1:PORT" in failed["hint"]


def test_without_the_option_there_is_no_gateway(scene: Scene) -> None:
    assert scene.node("ann").ready["gateway"] is None
