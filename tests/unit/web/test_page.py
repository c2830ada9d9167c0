"""Which requests of the page take what, and what its answers let a browser do."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.errors import NoProvider, UsageError
from p2phub.http.exchange import Request
from p2phub.http.front import Front
from p2phub.web.asked import CHANGES
from p2phub.web.files import Files
from p2phub.web.sites import open_page
from tests.support.covers import covers
from tests.support.memory_exchange import DOOR, HOST, TOKEN, MemoryExchange
from tests.support.scripted_hub import QUIET, Script, scripted_hub

DRAFT = "0" * 32
OTHER_USER = 12345


async def ask(
    target: str,
    method: str = "GET",
    *,
    home: Path,
    script: Script | None = None,
    body: bytes = b"",
    user: int | None = None,
    **headers: str,
) -> MemoryExchange:
    told = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    exchange = MemoryExchange(Request(method, target, told, "127.0.0.1", user), body)
    files = Files({"index.html": b"<!doctype html><title>p2phub</title>", "app.js": b"0"})
    async with open_page(scripted_hub(script or Script(QUIET), home), files) as page:
        await Front(DOOR, {"/": page, "-": page}).handle(exchange)
    return exchange


@covers("T44")
@pytest.mark.parametrize(
    ("method", "target"),
    [
        *(("POST", f"/-/api/{what}") for what in CHANGES),
        ("PUT", f"/-/api/drop/{DRAFT}/a"),
        ("POST", f"/-/api/drop/{DRAFT}/publish"),
        ("DELETE", f"/-/api/drop/{DRAFT}"),
    ],
)
async def test_nothing_changes_without_the_token_and_from_no_other_page(
    tmp_path: Path, method: str, target: str
) -> None:
    script = Script({})  # Whatever it is asked, it fails.
    for headers, status in [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"cookie": f"token={TOKEN}"}, 401),
        ({"authorization": f"Bearer {TOKEN}", "origin": "https://evil.example"}, 403),
        ({"authorization": f"Bearer {TOKEN}", "sec_fetch_site": "cross-site"}, 403),
        ({"authorization": f"Bearer {TOKEN}", "host": "evil.example:7700"}, 403),
    ]:
        told = await ask(target, method, home=tmp_path, script=script, body=b"{}", **headers)
        assert told.status == status, headers
    assert script.asked == []


@covers("T45")
async def test_what_is_here_is_told_to_its_user_and_the_page_itself_to_anybody(tmp_path: Path) -> None:
    for target in ("/-/api/overview", "/-/api/repositories", "/-/api/search?q=x", "/-/api/peers", "/-/card?ref=x"):
        assert (await ask(target, home=tmp_path, user=OTHER_USER, script=Script({}))).status == 401
    for target in ("/", "/-/static/app.js"):
        assert (await ask(target, home=tmp_path, user=OTHER_USER)).status == 200
    told = await ask("/-/api/overview", home=tmp_path, user=OTHER_USER, authorization=f"Bearer {TOKEN}")
    assert told.status == 200
    for target in ("/-/nothing", "/-/api/nothing", "/-"):
        assert (await ask(target, home=tmp_path, user=OTHER_USER)).status == 401  # Not even that it is none.
        assert (await ask(target, home=tmp_path)).status == 404


@covers("T45", "T46")
async def test_answers_are_data_that_no_browser_makes_a_page_of(tmp_path: Path) -> None:
    for target in ("/-/api/overview", "/-/api/search?q=<script>"):
        told = await ask(target, home=tmp_path)
        assert told.headers["content-type"] == "application/json"
        assert told.headers["x-content-type-options"] == "nosniff"
        assert told.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in told.headers["content-security-policy"]
        assert not any(name.startswith("access-control") for name in told.headers)


async def test_an_error_of_the_node_is_told_as_what_it_is(tmp_path: Path) -> None:
    for error, status in ((UsageError("no such kind"), 400), (NoProvider("nobody has it"), 503)):
        told = await ask("/-/api/search?q=x", home=tmp_path, script=Script({**QUIET, "search": error}))
        assert (told.status, told.json["error"]) == (status, error.message)


async def test_a_list_goes_on_where_its_page_ended(tmp_path: Path) -> None:
    entry = {
        "ref": "ann/mini", "name": "ann/mini", "publisher": "ann", "tag": "main", "manifest": "m", "commit": "c",
        "kind": "model", "title": "", "licence": "", "formats": [], "size": 5, "files": None, "created": 1,
        "sequence": 1, "held": True, "origin": "own", "pinned": False, "private": False, "seen": 1,
    }  # fmt: skip
    holding = {
        "manifest": "m", "folder": "/f", "files": 2, "files_here": 1, "files_damaged": 1, "bytes": 5, "complete": False,
        "published": False, "private": False, "origin": "own", "pinned": True,
    }  # fmt: skip
    found = {"items": [entry, {**entry, "manifest": "n"}], "cursor": 9, "total": 12, "complete": True}
    script = Script({"search": found, "holdings": {"items": [holding]}})
    told = (await ask("/-/api/repositories?q=a+b&cursor=7&limit=2", home=tmp_path, script=script)).json
    assert (told["cursor"], told["total"]) == (9, 12)
    here, gone = told["items"]
    assert (here["name"], here["files"], here["files_here"], here["complete"], here["pinned"]) == (
        "mini", 2, 1, False, True,
    )  # fmt: skip
    assert (gone["held"], gone["folder"], gone["origin"]) == (False, None, None)
    assert script.asked[0] == (
        "search", {"words": "a b", "kind": None, "held": True, "limit": 2, "cursor": 7},
    )  # fmt: skip
