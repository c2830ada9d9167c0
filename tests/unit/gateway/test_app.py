"""What each request is answered, as unchanged clients rely on it. Source: huggingface_hub 2.4, seen in runs."""

from __future__ import annotations

import hashlib
import re

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.errors import Damaged, DiskFull, HubError, NoProvider, NotFound, NotTrusted, PeerGone, Unsafe, UsageError
from p2phub.gateway.app import App
from p2phub.gateway.routes import Kind
from p2phub.http.exchange import Headers, Request
from p2phub.http.front import Front
from tests.support.covers import covers
from tests.support.memory_exchange import DOOR, HOST, TOKEN, MemoryExchange, ask
from tests.support.memory_shelf import MemoryShelf

BIG = bytes(range(256)) * 1000
FILES = {
    "config.json": b'{"a": 1}',
    "empty": b"",
    "a/b/big.safetensors": BIG,
    "a/with space+plus#hash ü.txt": b"odd",
}
SHA256 = hashlib.sha256(BIG).hexdigest()


@pytest.fixture
def shelf() -> MemoryShelf:
    shelf = MemoryShelf()
    shelf.add("acme/m", FILES)
    return shelf


@covers("T46")
@pytest.mark.parametrize("name", ["page.html", "script.js", "picture.svg"])
async def test_no_browser_shows_or_runs_a_file_of_somebody_elses_where_our_page_is(name: str) -> None:
    shelf = MemoryShelf()
    shelf.add("acme/m", {name: b"<script src='x.js'></script>"})
    got = await ask(shelf, f"/acme/m/resolve/main/{name}")
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"].split("; ")


async def commit_of(shelf: MemoryShelf) -> str:
    return str((await ask(shelf, "/api/models/acme/m")).json["sha"])


async def test_the_head_of_a_file_has_all_that_clients_take_from_it(shelf: MemoryShelf) -> None:
    commit = await commit_of(shelf)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    small = await ask(shelf, "/acme/m/resolve/main/config.json", "HEAD")
    assert (small.status, small.length, small.content) == (200, 8, b"")
    assert small.headers["etag"] == f'"{hashlib.sha1(b"blob 8" + bytes(1) + FILES["config.json"]).hexdigest()}"'
    assert small.headers["x-repo-commit"] == commit
    assert small.headers["accept-ranges"] == "bytes"
    large = await ask(shelf, "/acme/m/resolve/main/a/b/big.safetensors", "HEAD")
    assert (large.headers["etag"], large.headers["x-linked-etag"]) == (f'"{SHA256}"', f'"{SHA256}"')
    assert (large.length, large.headers["x-linked-size"]) == (len(BIG), str(len(BIG)))
    for answer in (small, large):  # Whatever is advertised has to be served, and a redirect is another origin's.
        assert not {name for name in answer.headers if "xet" in name or name in ("link", "location")}


async def test_of_a_file_that_clients_would_not_fetch_without_xet_no_head_says_the_size(
    shelf: MemoryShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits.GATEWAY_SIZE_TOLD_MAX == 50 * 10**9  # MAX_HTTP_DOWNLOAD_SIZE of huggingface_hub.
    target = "/acme/m/resolve/main/a/b/big.safetensors"
    monkeypatch.setattr(limits, "GATEWAY_SIZE_TOLD_MAX", len(BIG) - 1)
    head = await ask(shelf, target, "HEAD")
    assert (head.status, head.headers["x-linked-etag"]) == (200, f'"{SHA256}"')
    assert not {"content-length", "x-linked-size"} & set(head.headers)
    whole = await ask(shelf, target)
    assert (whole.length, whole.content) == (len(BIG), BIG)
    monkeypatch.setattr(limits, "GATEWAY_SIZE_TOLD_MAX", len(BIG))
    assert (await ask(shelf, target, "HEAD")).length == len(BIG)


@pytest.mark.parametrize("standing", [True, False])
@pytest.mark.parametrize(
    ("header", "status", "start", "stop"),
    [
        (None, 200, 0, len(BIG)),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=1000-", 206, 1000, len(BIG)),
        ("bytes=-70000", 206, len(BIG) - 70000, len(BIG)),
        ("bytes=5-200000000", 206, 5, len(BIG)),
        ("bytes=1-2,7-8", 200, 0, len(BIG)),
        ("lines=1-2", 200, 0, len(BIG)),
    ],
)
async def test_a_file_is_sent_whole_or_the_range_of_it(
    shelf: MemoryShelf, standing: bool, header: str | None, status: int, start: int, stop: int
) -> None:
    shelf.standing = standing
    headers = {} if header is None else {"range": header}
    answer = await ask(shelf, "/acme/m/resolve/main/a/b/big.safetensors", headers=headers)
    assert (answer.status, answer.content) == (status, BIG[start:stop])
    assert answer.length == stop - start
    assert answer.headers.get("content-range") == (f"bytes {start}-{stop - 1}/{len(BIG)}" if status == 206 else None)
    assert answer.cut is None
    assert shelf.reads == 0


async def test_a_range_behind_the_end_is_refused_with_the_size(shelf: MemoryShelf) -> None:
    answer = await ask(shelf, "/acme/m/resolve/main/config.json", headers={"range": "bytes=8-"})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */8")


async def test_a_range_of_another_version_is_the_whole_of_this_one(shelf: MemoryShelf) -> None:
    path, part = "/acme/m/resolve/main/a/b/big.safetensors", {"range": "bytes=5-9"}
    assert (await ask(shelf, path, headers={**part, "if-range": f'"{SHA256}"'})).content == BIG[5:10]
    assert (await ask(shelf, path, headers={**part, "if-range": '"other"'})).content == BIG


async def test_odd_names_and_empty_files_are_files_like_others(shelf: MemoryShelf) -> None:
    odd = await ask(shelf, "/acme/m/resolve/main/a/with%20space%2Bplus%23hash%20%C3%BC.txt")
    assert (odd.status, odd.content) == (200, b"odd")
    for method in ("GET", "HEAD"):
        empty = await ask(shelf, "/acme/m/resolve/main/empty", method)
        assert (empty.status, empty.length, empty.content) == (200, 0, b"")


@pytest.mark.parametrize(
    "path", ["nope", "A/b/big.safetensors", "a/b", "..%2f..%2fetc%2fpasswd", "%2e%2e/x", "a//b/big.safetensors", ""]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_absent_file_is_said_to_be_absent_from_this_commit(shelf: MemoryShelf, method: str, path: str) -> None:
    answer = await ask(shelf, f"/acme/m/resolve/main/{path}", method)
    assert (answer.status, answer.headers["x-error-code"]) == (404, "EntryNotFound")
    assert answer.headers["x-repo-commit"] == await commit_of(shelf)  # Clients note it, and never ask again.


async def test_repositories_and_revisions_that_are_not_there_are_told_apart(shelf: MemoryShelf) -> None:
    for target in ("/other/m/resolve/main/x", "/api/models/other/m", "/api/models/other/m/refs"):
        answer = await ask(shelf, target)
        assert (answer.status, answer.headers["x-error-code"]) == (404, "RepoNotFound")
        assert answer.headers["x-hf-warning"] == "p2phub; other/m stands for nothing here; name it"
    for revision in ("nope", "0" * 40, "refs%2Fpr%2F1", "No-Tag"):
        for target in (
            f"/acme/m/resolve/{revision}/config.json",
            f"/api/models/acme/m/revision/{revision}",
            f"/api/models/acme/m/tree/{revision}",
            f"/api/models/acme/m/commits/{revision}",
        ):
            answer = await ask(shelf, target)
            assert (answer.status, answer.headers["x-error-code"]) == (404, "RevisionNotFound")
    assert (await ask(shelf, "/other/m/resolve/refs%2Fpr%2F1/x")).headers["x-error-code"] == "RepoNotFound"
    assert (await ask(shelf, "/datasets/acme/m/resolve/main/x")).headers["x-error-code"] == "RepoNotFound"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoProvider("nobody"), 503),
        (NotFound("nobody knows it"), 503),
        (PeerGone("gone"), 503),
        (NotTrusted("expired"), 403),
        (Unsafe("a pickle"), 403),
        (Damaged("wrong"), 502),
        (DiskFull("full"), 507),
        (UsageError("no"), 400),
        (HubError("the node stopped"), 503),
    ],
)
async def test_what_cannot_be_had_now_is_never_told_as_what_is_not_there(
    shelf: MemoryShelf, error: HubError, status: int
) -> None:
    shelf.unreachable = error
    for target in ("/acme/m/resolve/main/config.json", "/api/models/acme/m/revision/main"):
        answer = await ask(shelf, target)
        assert answer.status == status
        assert "x-error-code" not in answer.headers
        assert error.message in answer.json["error"]


async def test_text_of_strangers_in_an_error_forges_no_header(shelf: MemoryShelf) -> None:
    shelf.unreachable = NotTrusted("a\r\nSet-Cookie: b=c\x1b[2J é")
    answer = await ask(shelf, "/acme/m/resolve/main/config.json")
    assert "set-cookie" not in answer.headers
    assert "\\r\\nSet-Cookie" in answer.headers["x-error-message"]


# --- files that are fetched, or change, while they are sent -----------------------------------------------------------


async def test_nobody_to_give_the_first_byte_is_a_503(shelf: MemoryShelf) -> None:
    shelf.standing, shelf.fails_after, shelf.failure = False, 0, NoProvider("nobody has it")
    answer = await ask(shelf, "/acme/m/resolve/main/a/b/big.safetensors")
    assert (answer.status, answer.cut) == (503, None)
    assert answer.headers["retry-after"]


async def test_a_source_that_is_lost_on_the_way_ends_the_answer_short_of_its_head(shelf: MemoryShelf) -> None:
    shelf.standing, shelf.fails_after, shelf.failure = False, 1 << 17, NoProvider("all are gone")
    answer = await ask(shelf, "/acme/m/resolve/main/a/b/big.safetensors")
    assert (answer.status, answer.length) == (200, len(BIG))
    assert answer.content == BIG[: 1 << 17]
    assert answer.cut is not None
    assert shelf.reads == 0


async def test_the_head_does_not_wait_for_slow_sources_for_ever(
    shelf: MemoryShelf, autojump_clock: trio.testing.MockClock
) -> None:
    shelf.standing, shelf.stalls_after = False, 0
    exchange = MemoryExchange(Request("GET", "/acme/m/resolve/main/a/b/big.safetensors", {"host": HOST}, "127.0.0.1"))
    with trio.move_on_after(9):  # Clients give up on it after 10 s.
        await Front(DOOR, {"": App(shelf)}).handle(exchange)
    assert (exchange.status, exchange.content) == (200, b"")
    assert shelf.reads == 0


async def test_the_head_does_not_wait_once_more_for_what_took_long_to_open(
    shelf: MemoryShelf, autojump_clock: trio.testing.MockClock
) -> None:
    shelf.standing, shelf.stalls_after, shelf.opens_after_s = False, 0, 6.0
    exchange = MemoryExchange(Request("GET", "/acme/m/resolve/main/a/b/big.safetensors", {"host": HOST}, "127.0.0.1"))
    with trio.move_on_after(9):
        await Front(DOOR, {"": App(shelf)}).handle(exchange)
    assert (exchange.status, exchange.content) == (200, b"")


async def test_a_client_that_went_away_ends_the_read(
    shelf: MemoryShelf, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.memory_exchange.MemoryExchange.is_gone", lambda self: True)
    shelf.standing, shelf.stalls_after = False, 1 << 17
    answer = await ask(shelf, "/acme/m/resolve/main/a/b/big.safetensors")
    assert str(answer.cut) == "the client is gone"
    assert shelf.reads == 0


@pytest.mark.parametrize(("path", "content"), [("a/b/big.safetensors", BIG), ("config.json", FILES["config.json"])])
async def test_a_file_that_changes_while_it_is_sent_never_ends_whole(
    shelf: MemoryShelf, path: str, content: bytes
) -> None:
    shelf.changes_after = 1
    answer = await ask(shelf, f"/acme/m/resolve/main/{path}")
    assert answer.cut is not None
    assert answer.length == len(content)
    assert len(answer.content) < len(content)


async def test_a_file_that_changed_before_it_is_sent_is_a_503(shelf: MemoryShelf) -> None:
    shelf.changes_after = 0
    assert (await ask(shelf, "/acme/m/resolve/main/config.json")).status == 503


# --- what is told as JSON ---------------------------------------------------------------------------------------------


async def test_the_info_of_a_repository_has_what_clients_count_on(shelf: MemoryShelf) -> None:
    info = (await ask(shelf, "/api/models/acme/m")).json
    assert (info["id"], info["modelId"], info["author"], info["private"]) == ("acme/m", "acme/m", "acme", False)
    assert [each["rfilename"] for each in info["siblings"]] == sorted(FILES)
    assert info["lastModified"] == info["createdAt"] == "2023-11-14T22:13:20.000Z"
    shelf.add("acme/secret", {"a": b""}, private=True)
    assert (await ask(shelf, "/api/models/acme/secret")).json["private"] is True
    of_commit = await ask(shelf, f"/api/models/acme/m/revision/{info['sha']}")
    assert of_commit.json == info
    blobs = (await ask(shelf, "/api/models/acme/m/revision/main?blobs=true")).json["siblings"]
    assert blobs[0]["lfs"] == {"sha256": SHA256, "size": len(BIG), "pointerSize": 131}
    assert blobs[2]["size"] == 8
    assert "lfs" not in blobs[2]


async def test_of_repositories_with_very_many_files_few_are_told_of_at_once(
    shelf: MemoryShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an answer stays in memory until its client has taken it."""
    monkeypatch.setattr("p2phub.gateway.app._LONG_FILES", 3)
    monkeypatch.setattr(limits, "GATEWAY_LONG_ANSWERS_MAX", 2)
    app, given = Front(DOOR, {"": App(shelf)}), trio.Event()
    shelf.add("acme/small", {"config.json": b"{}"})

    class SlowClient(MemoryExchange):
        async def begin(self, status: int, headers: Headers, *, length: int) -> None:
            await super().begin(status, headers, length=length)
            await given.wait()

    def ask_for(name: str) -> SlowClient:
        return SlowClient(Request("GET", f"/api/models/{name}", {"host": HOST}, "127.0.0.1"))

    long, short = [ask_for("acme/m") for _ in range(6)], [ask_for("acme/small") for _ in range(6)]
    async with trio.open_nursery() as nursery:
        for exchange in (*long, *short):
            nursery.start_soon(app.handle, exchange)
        with trio.fail_after(30):
            while sum(each.status == 200 for each in (*long, *short)) < 8:
                await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert [sum(each.status == 200 for each in some) for some in (long, short)] == [2, 6]
        given.set()
    assert all(each.json["id"] == "acme/m" for each in long)


async def test_a_tree_has_files_and_folders_with_what_names_them(shelf: MemoryShelf) -> None:
    top = (await ask(shelf, "/api/models/acme/m/tree/main")).json
    assert [(each["type"], each["path"]) for each in top] == [
        ("directory", "a"),
        ("file", "config.json"),
        ("file", "empty"),
    ]
    (big,) = (await ask(shelf, "/api/models/acme/m/tree/main/a%2Fb?expand=true")).json
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize 256000\n" % SHA256.encode()
    assert big["lfs"] == {"oid": SHA256, "size": len(BIG), "pointerSize": len(pointer)}
    assert big["oid"] == hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()
    assert big["lastCommit"] == {"id": await commit_of(shelf), "title": "a title", "date": "2023-11-14T22:13:20.000Z"}
    absent = await ask(shelf, "/api/models/acme/m/tree/main/additional_chat_templates")
    assert (absent.status, absent.headers["x-error-code"]) == (404, "EntryNotFound")


async def test_pages_of_a_tree_lead_on_at_the_same_commit(shelf: MemoryShelf) -> None:
    target, found, asked = "/api/models/acme/m/tree/main?recursive=true&limit=2", [], []
    shelf_commit = await commit_of(shelf)
    while target:
        asked.append(target)
        page = await ask(shelf, target)
        found += [each["path"] for each in page.json]
        link = re.fullmatch(rf'<http://{HOST}(.*)>; rel="next"', page.headers.get("link", ""))
        target = link[1] if link else ""
        if len(asked) == 1:
            shelf.add("acme/m", {"other": b"x"})  # `main` moves on meanwhile.
    assert len(asked) > 2
    assert all(shelf_commit in each for each in asked[1:])
    assert sorted(found) == sorted([*FILES, "a", "a/b"])


async def test_paths_are_told_of_as_far_as_they_are_there(shelf: MemoryShelf) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    body = b"paths=config.json&paths=a&paths=nope&paths=..&expand=false"
    answer = await ask(shelf, "/api/models/acme/m/paths-info/main", "POST", headers=form, body=body)
    assert [(each["type"], each["path"]) for each in answer.json] == [("file", "config.json"), ("directory", "a")]
    too_long = await ask(shelf, "/api/models/acme/m/paths-info/main", "POST", headers=form, body=b"x" * (1 << 21))
    assert too_long.status == 413


async def test_refs_and_commits_tell_how_a_repository_changed(shelf: MemoryShelf) -> None:
    first = await commit_of(shelf)
    second = shelf.add("acme/m", {"x": b"2"}).commit
    tagged = shelf.add("acme/m", {"x": b"v1"}, tag="v1").commit
    refs = (await ask(shelf, "/api/models/acme/m/refs")).json
    assert refs["branches"] == [{"name": "main", "ref": "refs/heads/main", "targetCommit": second}]
    assert refs["tags"] == [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": tagged}]
    commits = await ask(shelf, "/api/models/acme/m/commits/main")
    assert [each["id"] for each in commits.json] == [second, first]
    page = await ask(shelf, "/api/models/acme/m/commits/main?limit=1")
    assert [each["id"] for each in page.json] == [second]
    assert page.headers["link"].endswith('?limit=1&cursor=1>; rel="next"')
    assert [each["id"] for each in (await ask(shelf, f"/api/models/acme/m/commits/{first}")).json] == [first]


async def test_a_search_finds_by_name_author_and_tag(shelf: MemoryShelf) -> None:
    shelf.add("other/Mini-LM", {"x": b"1"}, licence="MIT")
    shelf.add("alone", {"x": b"1"})
    shelf.add("acme/d", {"x": b"1"}, kind=Kind.DATASET)

    async def found(query: str, kind: str = "models") -> list[str]:
        return [each["id"] for each in (await ask(shelf, f"/api/{kind}?{query}")).json]

    assert await found("") == ["acme/m", "other/Mini-LM", "alone"]
    assert await found("search=mini+lm") == ["other/Mini-LM"]
    assert await found("author=ACME") == ["acme/m"]
    assert await found("filter=license:mit") == ["other/Mini-LM"]
    assert await found("filter=text-generation") == []
    assert await found("", "datasets") == ["acme/d"]
    page = await ask(shelf, "/api/models?limit=2&search=m")
    assert [each["id"] for each in page.json] == ["acme/m", "other/Mini-LM"]
    assert "siblings" not in page.json[0]


async def test_whoever_asks_who_they_are_is_told_without_a_look_at_their_token(shelf: MemoryShelf) -> None:
    answer = await ask(shelf, "/api/whoami-v2", headers={"authorization": "Bearer hf_secret"})
    assert (answer.json["name"], answer.json["type"]) == ("local", "user")
    assert b"hf_secret" not in answer.content


# --- who may ask ------------------------------------------------------------------------------------------------------


@covers("T43", "T45")
@pytest.mark.parametrize(
    "said", [{"host": "evil.example:7700"}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}]
)
@pytest.mark.parametrize("target", ["/api/models", "/acme/m/resolve/main/config.json", "/no/such", "/api/whoami-v2"])
async def test_a_page_of_another_site_is_told_nothing_not_even_what_is_absent(
    shelf: MemoryShelf, said: dict[str, str], target: str
) -> None:
    answer = await ask(shelf, target, headers=said)
    assert answer.status == 403
    assert "config" not in answer.content.decode()


@covers("T45")
async def test_no_answer_lets_a_page_read_it(shelf: MemoryShelf) -> None:
    for method, target in [("GET", "/api/models"), ("HEAD", "/acme/m/resolve/main/empty"), ("OPTIONS", "/api/models")]:
        answer = await ask(shelf, target, method)
        assert not [name for name in answer.headers if name.startswith("access-control")]


@covers("T44")
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_what_would_change_something_takes_the_token_before_it_is_looked_at(
    shelf: MemoryShelf, method: str
) -> None:
    token = {"authorization": f"Bearer {TOKEN}"}
    assert (await ask(shelf, "/api/repos/create", method)).status == 401
    assert (await ask(shelf, "/api/repos/create", method, headers=token)).status == 501
    assert (await ask(shelf, "/api/models", method, headers=token)).status == 405
    assert (await ask(shelf, "/api/models", method, headers={**token, "origin": "http://evil.example"})).status == 403


@covers("T44")
async def test_a_post_changes_nothing_where_uploads_are_off_and_says_so(shelf: MemoryShelf) -> None:
    before = await commit_of(shelf)
    for target in ("/api/repos/create", "/api/models/acme/m/commit/main", "/acme/m.git/info/lfs/objects/batch"):
        found = await ask(shelf, target, "POST", headers={"authorization": f"Bearer {TOKEN}"}, body=b"{}")
        assert found.status == 403
        assert "--gateway-uploads" in found.json["error"]
    assert (await ask(shelf, "/api/repos/move", "POST", body=b"{}")).status == 501
    assert (await ask(shelf, "/api/models/acme/m", "POST")).status == 405
    assert await commit_of(shelf) == before
