"""The hub that stands still answers as clients rely on: headers, ranges, pages, and errors told apart by their code."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.folders import paths_below
from tests.support.house import ROOT
from tests.support.processes import READY_S, Process
from tests.support.static_hub import StaticHub, git_sha1

ANSWER_S = 30.0
"""When an answer that does not come, or is shorter than it says, fails its test."""

WEIGHTS = bytes(range(256))
FILES = {"config.json": b"{}", "a/b/w.safetensors": WEIGHTS, "a/c++ #1 é.txt": b"odd", "a/empty": b""}
ODD = "a/c%2B%2B%20%231%20%C3%A9.txt"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(scope="module")
def hub() -> Iterator[StaticHub]:
    with StaticHub(page_entries=2) as hub:
        hub.add("acme/m", FILES)
        yield hub


@pytest.fixture(scope="module")
def connection(hub: StaticHub) -> Iterator[HTTPConnection]:
    """One connection for all: what an answer leaves unsent or unread, the next one shows."""
    with closing(HTTPConnection("127.0.0.1", hub.port, timeout=ANSWER_S)) as connection:
        yield connection


def ask(
    connection: HTTPConnection, path: str, *, method: str = "GET", body: str = "", headers: Mapping[str, str] = {}
) -> tuple[HTTPResponse, bytes]:
    connection.request(method, path, body or None, dict(headers))
    answer = connection.getresponse()
    return answer, answer.read()


def value(connection: HTTPConnection, path: str) -> Any:
    answer, body = ask(connection, path)
    assert answer.status == 200, body
    return json.loads(body)


def commit_of(hub: StaticHub) -> str:
    return hub.repositories["models", "acme/m"].refs["refs/heads/main"]


@pytest.mark.parametrize(
    ("path", "content", "etag", "linked"),
    [
        ("config.json", b"{}", git_sha1(b"{}"), None),
        ("a/b/w.safetensors", WEIGHTS, SHA256, SHA256),
        (ODD, b"odd", git_sha1(b"odd"), None),
        ("a/empty", b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", None),
    ],
)
@pytest.mark.parametrize("by", ["main", "commit", "refs%2Fheads%2Fmain"])
def test_a_file_has_its_commit_its_size_and_the_hash_that_names_its_blob(
    hub: StaticHub, connection: HTTPConnection, path: str, content: bytes, etag: str, linked: str | None, by: str
) -> None:
    there = f"/acme/m/resolve/{commit_of(hub) if by == 'commit' else by}/{path}"
    for method in ("HEAD", "GET"):
        answer, body = ask(connection, there, method=method)
        assert (answer.status, body) == (200, content if method == "GET" else b"")
        assert answer.headers["Content-Length"] == str(len(content))
        assert (answer.headers["ETag"], answer.headers["X-Repo-Commit"]) == (f'"{etag}"', commit_of(hub))
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["X-Linked-Etag"] == (linked and f'"{linked}"')
        assert answer.headers["X-Linked-Size"] == (linked and str(len(content)))


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-0", 0, 1), ("10-19", 10, 20), ("250-", 250, 256), ("-6", 250, 256), ("200-9999", 200, 256), ("-999", 0, 256)],
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_range_is_what_was_asked_for_as_far_as_the_file_goes(
    tmp_path: Path, asked: str, start: int, stop: int, on_disk: bool
) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    with StaticHub() as hub:
        hub.add("acme/m", tmp_path if on_disk else {"w.bin": WEIGHTS})
        with closing(HTTPConnection("127.0.0.1", hub.port, timeout=ANSWER_S)) as connection:
            answer, body = ask(connection, "/acme/m/resolve/main/w.bin", headers={"Range": f"bytes={asked}"})
    assert (answer.status, body) == (206, WEIGHTS[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/256"


def test_a_range_past_the_end_is_told_the_size(connection: HTTPConnection) -> None:
    answer, body = ask(connection, "/acme/m/resolve/main/a/b/w.safetensors", headers={"Range": "bytes=256-"})
    assert (answer.status, body, answer.headers["Content-Range"]) == (416, b"", "bytes */256")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/acme/other/resolve/main/config.json", "RepoNotFound"),
        ("/datasets/acme/m/resolve/main/config.json", "RepoNotFound"),
        ("/api/models/acme/other", "RepoNotFound"),
        ("/acme/m/resolve/other/config.json", "RevisionNotFound"),
        ("/api/models/acme/m/revision/other", "RevisionNotFound"),
        ("/acme/m/resolve/main/other.json", "EntryNotFound"),
        ("/acme/m/resolve/main/a", "EntryNotFound"),
        ("/acme/m/resolve/main/a/b/..%2F..%2Fconfig.json", "EntryNotFound"),
        ("/api/models/acme/m/tree/main/a%2Fother", "EntryNotFound"),
        ("/api/agent-harnesses", None),
    ],
)
def test_errors_are_told_apart_by_their_code(
    hub: StaticHub, connection: HTTPConnection, path: str, code: str | None
) -> None:
    for method in ("HEAD", "GET"):
        answer, body = ask(connection, path, method=method)
        assert (answer.status, answer.headers["X-Error-Code"]) == (404, code)
        assert (body == b"") == (method == "HEAD")
        knows_commit = code == "EntryNotFound" and "/resolve/" in path
        assert answer.headers["X-Repo-Commit"] == (commit_of(hub) if knows_commit else None)


def test_a_tree_comes_in_pages_whose_links_lead_through_all_of_it(hub: StaticHub, connection: HTTPConnection) -> None:
    entries: list[Any] = []
    pages, there = 0, f"{hub.url}/api/models/acme/m/tree/main?recursive=true&expand=false"
    while there:
        answer, body = ask(connection, there.removeprefix(hub.url))
        entries += json.loads(body)
        pages += 1
        assert pages <= 3, there
        there = (answer.headers["Link"] or "").removesuffix('>; rel="next"').removeprefix("<")
    assert pages == 3
    assert [(entry["type"], entry["path"]) for entry in entries] == [
        ("directory", "a"),
        ("directory", "a/b"),
        ("file", "a/b/w.safetensors"),
        ("file", "a/c++ #1 é.txt"),
        ("file", "a/empty"),
        ("file", "config.json"),
    ]
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize 256\n".encode()
    lfs = {"oid": SHA256, "size": 256, "pointerSize": len(pointer)}
    assert entries[2] | {"type": "", "path": ""} == {
        "type": "", "path": "", "size": 256, "oid": git_sha1(pointer), "lfs": lfs
    }  # fmt: skip
    assert entries[5] == {"type": "file", "path": "config.json", "size": 2, "oid": git_sha1(b"{}")}


def test_a_tree_shows_one_level_of_the_folder_that_is_named(connection: HTTPConnection) -> None:
    top = value(connection, "/api/models/acme/m/tree/main?recursive=false")
    assert [entry["path"] for entry in top] == ["a", "config.json"]
    below = value(connection, "/api/models/acme/m/tree/main/a%2Fb")
    assert [entry["path"] for entry in below] == ["a/b/w.safetensors"]


def test_named_paths_are_told_and_absent_ones_left_out(connection: HTTPConnection) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    path, asked = "/api/models/acme/m/paths-info/main", "paths=a&paths=config.json&paths=other&expand=true"
    answer, body = ask(connection, path, method="POST", body=asked, headers=form)
    assert answer.status == 200
    assert [entry["path"] for entry in json.loads(body)] == ["a", "config.json"]


def test_a_repository_keeps_its_commits_and_a_ref_leads_to_the_last() -> None:
    with (
        StaticHub() as hub,
        StaticHub() as other,
        closing(HTTPConnection("127.0.0.1", hub.port, timeout=ANSWER_S)) as connection,
    ):
        first = hub.add("acme/m", FILES)
        assert other.add("acme/m", dict(reversed(FILES.items()))) == first
        second = hub.add("acme/m", {"config.json": b"{ }"})
        third = hub.add("acme/m", {"config.json": b"{  }"}, ref="refs/tags/v1")
        assert len({first, second, third}) == 3
        assert value(connection, "/api/models/acme/m/refs") == {
            "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": second}],
            "tags": [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": third}],
            "converts": [],
            "pullRequests": [],
        }
        assert value(connection, "/api/models/acme/m")["sha"] == second
        assert value(connection, "/api/models/acme/m/revision/v1")["sha"] == third
        old = value(connection, f"/api/models/acme/m/revision/{first}?blobs=true")
    assert {each["rfilename"]: each.get("lfs", {}).get("sha256") for each in old["siblings"]} == {
        path: SHA256 if path.endswith(".safetensors") else None for path in FILES
    }


def test_as_a_process_it_says_where_it_serves_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "config.json").write_bytes(b"{}")
    assert set(paths_below(folder)) == {"a/config.json"}
    command = [sys.executable, "-m", "tests.support.static_hub", str(folder), "--name", "acme/mine", "--dataset"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = Process("hub", command, log=tmp_path / "log", environment=environment)
    try:
        ready = process.wait_for("ready", timeout_s=READY_S)
        assert urlsplit(ready["url"]).hostname == "127.0.0.1"
        with urllib.request.urlopen(
            f"{ready['url']}/datasets/acme/mine/resolve/main/a/config.json", timeout=ANSWER_S
        ) as answer:
            assert (answer.read(), answer.headers["X-Repo-Commit"]) == (b"{}", ready["commit"])
    finally:
        process.stop()
