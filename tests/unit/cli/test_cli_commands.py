"""Each command asks the hub for what its words say, prints one JSON object or lines for people, and exits with 0.

Then what those say that list, or remove, what is held: ls, du, gc, pin, rm.
"""

from __future__ import annotations

from typing import Any

import pytest

from p2phub import api
from p2phub.cli.command_list import all_commands
from tests.support.command_line import (
    ADDRESS,
    DIGEST,
    PEER,
    RESULTS,
    TICKET,
    Cli,
    FakeHub,
)
from tests.support.covers import covers

ALL: dict[str, tuple[list[str], str, tuple[Any, ...]]] = {
    "init": (["init"], "init", ()),
    "publish": (["publish", "m", "--name", "m"], "publish", ("m",)),
    "fetch": (["fetch", "x/m"], "fetch", ("x/m",)),
    "info": (["info", "x/m"], "info", ("x/m",)),
    "adopt": (["adopt", "hf"], "adopt", ("hf",)),
    "plan": (["plan", "x/m"], "plan", ("x/m",)),
    "diff": (["diff", "x/m", "x/m@new"], "diff", ("x/m", "x/m@new")),
    "ls": (["ls"], "ls", ()),
    "search": (["search", "llama", "gguf"], "search", ("llama gguf",)),
    "log": (["log", "x/m"], "log", ("x/m",)),
    "verify": (["verify", "x/m"], "verify", ("x/m",)),
    "unpublish": (["unpublish", "m"], "unpublish", ("m",)),
    "rm": (["rm", "m"], "remove", ("m",)),
    "pin": (["pin", "x/m"], "pin", ("x/m",)),
    "unpin": (["unpin", "x/m"], "unpin", ("x/m",)),
    "gc": (["gc", "--dry-run"], "gc", ()),
    "du": (["du"], "du", ()),
    "share": (["share"], "shares", ()),
    "attach": (["attach"], "attached", ()),
    "detach": (["detach", "/mnt/lab"], "detach", ("/mnt/lab",)),
    "peers": (["peers"], "peers", ()),
    "status": (["status"], "status", ()),
    "status --explain": (["status", "--explain", "1"], "explain", (1,)),
    "limit": (["limit", "--up", "5MB"], "limit", ()),
    "name": (["name", "list"], "names", ()),
    "key": (["key", "export"], "key_export", ()),
    "doctor": (["doctor"], "doctor", ()),
}
"""By command: words, the verb that they call, and its first arguments."""
LAST_EVENT = {"publish": "published", "fetch": "done", "status --explain": "explanation"}


def test_every_command_stands_in_the_table_below() -> None:
    assert {command.name for command in all_commands()} == {name.split()[0] for name in ALL} | {"node", "completion"}


ALSO = {"ls": [("unfinished", ()), ("attached", ())]}
"""What a command asks beside its verb."""


@pytest.mark.parametrize("name", ALL)
def test_a_command_calls_its_verb_and_ends_with_one_json_object(name: str, cli: Cli, hub: FakeHub) -> None:
    words, verb, arguments = ALL[name]
    said = cli("--json", *words)
    assert (said.code, said.err) == (0, "")
    assert [(called, first) for called, first, _ in hub.calls] == [(verb, arguments), *ALSO.get(name, ())]
    assert [each["event"] for each in said.objects] == [LAST_EVENT.get(name, name)]


@pytest.mark.parametrize("name", ALL)
def test_a_command_says_something_to_people_that_is_not_json(name: str, cli: Cli) -> None:
    said = cli(*ALL[name][0])
    assert said.code == 0
    assert said.out
    assert '{"event"' not in said.out


@pytest.mark.parametrize(
    "name", ["init", "info", "plan", "adopt", "ls", "search", "log", "verify", "peers", "status", "limit", "doctor"]
)
def test_json_carries_all_that_the_hub_returned(name: str, cli: Cli) -> None:
    returned = RESULTS[ALL[name][1]]
    expected = {"items": returned} if isinstance(returned, list) else returned
    assert cli("--json", *ALL[name][0]).last.items() >= expected.items()


def test_rm_names_every_folder_that_it_forgot(cli: Cli, hub: FakeHub) -> None:
    hub.results["remove"] = {"manifest": "bag", "folder": "/a", "folders": ["/a", "/b"]}
    said = cli("rm", "m").out
    assert "in 2 folders" in said
    assert "  /a\n  /b\n" in said
    assert "ublish" not in said


def test_rm_of_what_was_published_says_that_it_is_not_any_more(cli: Cli, hub: FakeHub) -> None:
    hub.results["remove"] = {"manifest": "bag", "folder": "/a", "folders": ["/a"], "unpublished": [f"{PEER}/m"]}
    assert f"Not published any more, as after `p2phub unpublish`: {PEER}/m\n" in cli("rm", "m").out


def test_pin_says_whether_it_allows_what_may_run_code(cli: Cli, hub: FakeHub) -> None:
    assert cli("pin", "m").code == cli("pin", "m", "--allow-unsafe").code == 0
    assert [given["allow_unsafe"] for _, _, given in hub.calls] == [None, True]


def test_gc_says_what_goes_and_what_all_of_it_was(cli: Cli, hub: FakeHub) -> None:
    said = cli("gc").out
    assert "Removed 1 manifest, 2 leftovers, 3 blobs, 1 row of the index: 5.00 MB" in said
    assert "/h/files/.going.00" in said
    hub.results["gc"] = {**RESULTS["gc"], "dry_run": True}
    assert "Would remove" in cli("gc", "--dry-run").out
    nothing = {"items": [], "leftovers": [], "unfinished": [], "blobs": 0, "rows": 0, "bytes": 0, "blob_bytes": 0}
    hub.results["gc"] = {**RESULTS["gc"], **nothing}
    assert "Nothing to remove" in cli("gc").out


def test_du_gc_and_unpin_name_the_one_command_that_removes_what_a_pin_left_that_did_not_end(
    cli: Cli, hub: FakeHub
) -> None:
    hub.results["du"] = {**RESULTS["du"], "leftover_bytes": 0, "unfinished_bytes": 315_000_000}
    hub.results["gc"] = {**RESULTS["gc"], "unfinished": [], "unfinished_bytes": 315_000_000}
    hub.results["unpin"] = {"manifest": "bagmanifest", "unfinished": True}
    du, gc, unpin = cli("du").out, cli("gc").err, cli("unpin", "m").out
    assert "`p2phub gc` removes" not in du + gc + unpin
    for said in (du, gc, unpin):
        assert "`p2phub gc --unfinished` removes" in said
    assert "315 MB" in du
    assert "315 MB" in gc


def test_du_says_what_is_shared_and_how_much_of_the_quota_is_used(cli: Cli) -> None:
    said = cli("du").out
    assert "own, pinned" in said
    assert "Own store: 5.00 MB of 200 GB" in said
    assert "4.50 MB with each chunk counted once" in said


def test_du_calls_an_earlier_version_by_the_name_that_led_to_it(cli: Cli, hub: FakeHub) -> None:
    (item,) = RESULTS["du"]["items"]
    earlier = {**item, "references": [], "earlier": ["me/m@v1"], "manifest": "bag" + "f" * 40 + "tail"}
    hub.results["du"] = {**RESULTS["du"], "items": [item, earlier]}
    assert "earlier me/m@v1 (bagf…fffftail)" in cli("du").out


def test_du_has_a_row_for_what_came_from_a_hub_and_counts_it_for_the_quota(cli: Cli, hub: FakeHub) -> None:
    (item,) = RESULTS["du"]["items"]
    adopted = {
        **item,
        "references": [],
        "name": "acme/mini",
        "origin": "adopted",
        "manifest": "bag" + "f" * 40 + "tail",
    }
    upstream = {"folder": "/h/upstream", "bytes": 20_000_000, "bytes_held": 5_000_000, "snapshots": 2}
    both = {"own": 5_000_000, "adopted": 5_000_000}
    more = {"items": [item, adopted], "upstream": upstream, "by_origin": both, "bytes": 10_000_000}
    hub.results["du"] = {**RESULTS["du"], **more}
    said = cli("du").out
    assert "acme/mini (bagf…fffftail)" in said
    assert f"{PEER}/m (bagmanifest)" in said
    (row,) = (line for line in said.splitlines() if line.startswith("all that came from the upstream hub"))
    assert "20.0 MB" in row
    assert "5.00 MB of it adopted" in row
    assert "All: 25.0 MB (5.00 MB adopted, 5.00 MB own, 15.0 MB of a hub and not adopted)" in said
    assert "Own store 5.00 MB and upstream hub 20.0 MB: 25.0 MB of 200 GB" in said


def test_gc_names_a_snapshot_of_a_hub_that_nothing_holds(cli: Cli, hub: FakeHub) -> None:
    snapshot = {
        "manifest": None,
        "references": [],
        "origin": "upstream",
        "name": "acme/mini",
        "revision": "c0ffee" + "0" * 34,
        "folder": "/h/upstream/public/models--acme--mini/snapshots/c0ffee",
        "bytes": 1_000_000,
        "used": 1_700_000_000,
        "others": None,
    }
    hub.results["gc"] = {**RESULTS["gc"], "items": [*RESULTS["gc"]["items"], snapshot]}
    said = cli("gc").out
    assert "acme/mini at c0ffee0" in said
    assert "1 manifest, 1 snapshot of an upstream hub," in said


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "announced to 4"),
        ({"announced_to": 0}, "not announced yet"),
        ({"announced_to": None}, "published"),
        ({"private": True}, "private"),
        ({"published": False}, "published before"),
        ({"published": False, "origin": "fetched"}, "fetched"),
        ({"published": False, "origin": "fetched", "earlier": ["alice/minilm@v2"]}, "fetched, earlier minilm@v2"),
        (
            {"complete": False, "replaced": True, "earlier": ["alice/minilm"]},
            "replaced there, earlier minilm",
        ),
        ({"replaced": True, "earlier": ["alice/minilm"], "announced_to": None}, "published, earlier minilm"),
        ({"published": False, "origin": "adopted", "there": False}, "adopted, not there"),
        ({"there": False}, "published, not there"),
        ({"published": False, "there": False}, "published before, not there"),
        ({"there": None}, "announced to 4"),
        (
            {"complete": False, "files_damaged": 1, "replaced": True, "earlier": ["alice/minilm"], "pinned": True},
            "replaced there, earlier minilm, pinned",
        ),
        ({"published": False, "origin": "own"}, "own store"),
        ({"published": False, "origin": "adopted"}, "adopted"),
        ({"origin": "adopted"}, "adopted, announced to 4"),
        ({"origin": "own", "private": True}, "own store, private"),
        ({"origin": "fetched", "announced_to": None}, "fetched, published"),
        ({"complete": False}, "in part"),
        ({"complete": False, "files_here": 0, "bytes_selected": 12_000}, "a selection of 5.00 MB"),
        ({"complete": False, "files_damaged": 1, "bytes_selected": 12_000}, "damaged: p2phub verify"),
        ({"complete": False, "files_here": 1, "files_damaged": 1}, "damaged: p2phub verify"),
    ],
)
def test_ls_says_what_is_done_with_each(change: dict[str, Any], state: str, cli: Cli, hub: FakeHub) -> None:
    hub.results["ls"] = [{**RESULTS["ls"][0], **change}]
    assert f"  {state}  " in cli("ls").out


def test_ls_tells_of_earlier_versions_in_one_line_and_lists_them_if_it_is_asked_to(cli: Cli, hub: FakeHub) -> None:
    (newest,) = RESULTS["ls"]
    was = {**newest, "references": [], "published": False, "replaced": True, "earlier": [f"{PEER}/m"]}
    part = {**was, "complete": False, "files_here": 1}
    gone = [{**part, "manifest": f"bagpart{night}"} for night in range(3)]
    kept = [{**part, "manifest": "bagpinned", "pinned": True}, {**part, "manifest": "bagtag", "references": ["x/m@v1"]}]
    hub.results["ls"] = [newest, {**was, "manifest": "bagwhole"}, *gone, *kept]
    said = cli("ls").out
    for shown, is_shown in (("bagpinned", True), ("x/m@v1", True), ("bagwhole", False), ("bagpart1", False)):
        assert (shown in said) == is_shown
    assert "4 earlier versions of these folders, 1 of them whole: `p2phub ls --earlier`" in said
    hub.results["ls"] = [newest, *gone[:1]]
    assert "1 earlier version of these folders, not whole any more: `p2phub ls --earlier` shows it" in cli("ls").out
    hub.results["ls"] = [newest, {**was, "manifest": "bagwhole"}, *gone, *kept]
    listed = cli("ls", "--earlier").out
    assert "bagwhole" in listed
    assert "bagpart2" in listed
    assert "1 of 3" in listed
    assert "`p2phub ls" not in listed
    assert cli("ls", "--json").last["items"] == hub.results["ls"]


def test_ls_says_how_large_a_selection_is(cli: Cli, hub: FakeHub) -> None:
    hub.results["ls"] = [{**RESULTS["ls"][0], "complete": False, "files_here": 0, "bytes_selected": 12_000}]
    assert "0 of 3  12.0 kB  a selection of 5.00 MB" in cli("ls").out


def test_ls_says_of_what_is_not_there_that_none_of_its_files_is(cli: Cli, hub: FakeHub) -> None:
    hub.results["ls"] = [{**RESULTS["ls"][0], "there": False, "origin": "adopted"}]
    assert "0 of 3" in cli("ls").out


@covers("F03")
def test_ls_says_of_one_that_cannot_be_described_why_and_lists_all_others(cli: Cli, hub: FakeHub) -> None:
    """As where the disk fails at one file of metadata: a script must not take what is missing for not held."""
    [sound] = RESULTS["ls"]
    untold = {"files": 0, "files_here": 0, "bytes": 0, "complete": False, "problem": "cannot read metadata"}
    bad = {**sound, **untold, "references": ["alice/bad"], "folder": "/models/bad"}
    hub.results["ls"] = [bad, sound]
    said = cli("ls")
    assert said.code == 6
    assert "alice/bad" in said.out
    assert "not known: cannot read metadata" in said.out
    assert "/models/m" in said.out
    assert "/models/bad: cannot read metadata" in said.err
    said = cli("ls", "--json")
    assert said.code == 6
    assert [each["event"] for each in said.objects] == ["ls", "failed"]
    assert [each["problem"] for each in said.objects[0]["items"]] == ["cannot read metadata", None]
    hub.results["ls"] = [{**bad, "origin": "shared"}]  # Whoever shares it is to mend that.
    assert cli("ls").code == 0


@pytest.mark.parametrize("verb", ["ls", "peers", "log"])
def test_an_empty_list_is_said_on_stderr_so_that_stdout_stays_empty(verb: str, cli: Cli, hub: FakeHub) -> None:
    hub.results[verb] = []
    said = cli(*ALL[verb][0])
    assert (said.code, said.out) == (0, "")
    assert said.err


def test_what_ends_serving_says_what_is_ended_and_what_stays(
    cli: Cli, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped() -> None:
        """As if Ctrl-C came at once."""

    monkeypatch.setattr(hub, "transient", True)
    monkeypatch.setattr("p2phub.cli.fetch._until_stopped", stopped)
    hub.events = [api.Listening([ADDRESS])]
    said = cli("fetch", "x/m", "--seed")
    assert said.code == 0
    assert said.err.endswith("Stopped: it is not served to others any more. What was fetched stays in /models/m\n")
    hub.events = [api.Stopped()]
    said = cli("node")
    assert "What is held here stays." in said.out
    assert "p2phub node" in said.err


LEFT = {
    "reference": f"{PEER}/m",
    "manifest": "bagmanifest",
    "folder": "/models/my m",
    "bytes": None,
    "percent": None,
    "job": None,
}


def test_a_fetch_that_did_not_end_is_listed_with_how_it_goes_on(cli: Cli, hub: FakeHub) -> None:
    hub.results["ls"] = []
    hub.results["unfinished"] = [LEFT]
    said = cli("ls")
    assert "Nothing is held" not in said.err
    assert "a part is in /models/my m" in said.out
    assert f"p2phub fetch {PEER}/m --into '/models/my m'" in said.out
    assert cli("ls", "--json").last["unfinished"] == [LEFT]
    hub.results["unfinished"] = [{**LEFT, "bytes": 5_000_000, "percent": 29, "job": 3}]
    said = cli("ls")
    assert "29 % of 5.00 MB, in /models/my m" in said.out
    assert "under way: p2phub status --explain 3" in said.out
    hub.results["unfinished"] = [{**LEFT, "reference": "p2phub:" + "a" * 2000}]
    said = cli("ls")
    assert "p2phub fetch TICKET --into" in said.out
    assert max(map(len, said.out.splitlines())) < 120


@pytest.mark.parametrize(
    ("item", "command"),
    [
        ({"options": [["tensor", "*layers.0.*"], ["include", "a b"], ["link", ""]]},
         f"fetch {PEER}/m --into '/models/my m' --tensor '*layers.0.*' --include 'a b' --link"),
        ({"own": True, "options": [["to", "hf-cache"], ["as", "a/b"]]}, f"fetch {PEER}/m --to hf-cache --as a/b"),
        ({"own": True, "options": []}, f"pin {PEER}/m"),
    ],
)  # fmt: skip
def test_a_fetch_that_did_not_end_goes_on_with_the_part_and_the_place_that_were_meant(
    item: dict[str, Any], command: str, cli: Cli, hub: FakeHub
) -> None:
    hub.results["ls"] = []
    hub.results["unfinished"] = [{**LEFT, **item}]
    said = cli("ls")
    assert f"to go on: p2phub {command}\n" in said.out
    assert "--provider, --mirror or --bootstrap" in said.err


def test_ls_counts_the_files_that_are_here_of_what_is_held_in_part(cli: Cli, hub: FakeHub) -> None:
    [item] = RESULTS["ls"]
    hub.results["ls"] = [{**item, "complete": False, "files": 6, "files_here": 3}]
    assert "3 of 6" in cli("ls").out


def test_what_came_into_the_own_store_goes_on_with_pin_and_is_called_as_people_call_it(cli: Cli, hub: FakeHub) -> None:
    by_digest = {**LEFT, "reference": "bagmanifest", "references": [f"{PEER}/m"], "own": True}
    hub.results["unfinished"] = [by_digest]
    said = cli("ls")
    assert f"  {PEER}/m\n" in said.out
    assert "to go on: p2phub pin bagmanifest\n" in said.out
    job = {**by_digest, "job": 1, "into": "/x", "up": None, "down": None, "background": False}
    hub.results["status"] = {**RESULTS["status"], "jobs": [job]}
    assert f"fetching {PEER}/m\n" in cli("status").out


def test_what_was_refused_for_what_may_run_code_goes_on_where_that_is_allowed(cli: Cli, hub: FakeHub) -> None:
    hub.results["unfinished"] = [{**LEFT, "unsafe": True}]
    assert f"p2phub fetch {PEER}/m --into '/models/my m' --allow-unsafe, if you trust" in cli("ls").out


@pytest.mark.parametrize(("complete", "expected"), [(False, "shared, not verified"), (True, "shared  ")])
def test_ls_says_of_an_attached_place_whether_it_was_verified_here(
    complete: bool, expected: str, cli: Cli, hub: FakeHub
) -> None:
    hub.results["ls"] = [{**RESULTS["ls"][0], "origin": "shared", "complete": complete, "published": False}]
    assert expected in cli("ls").out


def test_what_was_served_and_what_goes_begin_with_a_name_where_one_is_known(cli: Cli, hub: FakeHub) -> None:
    hub.results["status"] = {**RESULTS["status"], "served": {DIGEST: 99}, "names": {DIGEST: "lab/m"}}
    assert "Served     lab/m (baga…io3htula): 99 B" in cli("status").out
    hub.results["status"] = {**RESULTS["status"], "served": {DIGEST: 99}, "names": {}}
    assert f"Served     {DIGEST}: 99 B" in cli("status").out
    item = {**RESULTS["gc"]["items"][0], "manifest": DIGEST, "references": []}
    left = {**RESULTS["gc"]["unfinished"][0], "manifest": DIGEST, "name": "lab/n"}
    hub.results["gc"] = {**RESULTS["gc"], "items": [{**item, "name": "lab/m"}], "unfinished": [left]}
    said = cli("gc").out
    assert "\nlab/m (baga…io3htula)  " in said
    assert "  lab/n (baga…io3htula): 9 B of an unfinished fetch, in /models/n" in said
    hub.results["gc"] = {**RESULTS["gc"], "items": [{**item, "name": None}]}
    assert f"\n{DIGEST}  " in cli("gc").out


def test_a_fetch_by_ticket_is_called_by_the_name_that_it_leads_to(cli: Cli, hub: FakeHub) -> None:
    hub.results["unfinished"] = [{**LEFT, "reference": TICKET, "references": [f"{PEER}/m"]}]
    assert f"\n  {PEER}/m\n" in cli("ls").out


def test_ls_says_below_the_rows_what_attached_place_is_not_there(cli: Cli, hub: FakeHub) -> None:
    said = cli("ls")
    assert "/mnt/lab: nothing is taken from it: it did not answer within 10 s" in said.err
    told = {"place": "/mnt/lab", "problem": "it did not answer within 10 s"}
    assert cli("ls", "--json").last["away"] == [told]
    hub.results["attached"] = [{**RESULTS["attached"][0], "problem": None}]
    assert "/mnt/lab" not in cli("ls").err


def test_unpublish_tells_what_became_of_earlier_versions(cli: Cli, hub: FakeHub) -> None:
    said = cli("unpublish", "m")
    assert "With it 2 earlier versions went" in said.out
    assert "1 earlier version of it is pinned" in said.err
    assert "`p2phub rm bagpinned`" in said.err
    hub.results["unpublish"] = {**RESULTS["unpublish"], "earlier": [], "earlier_pinned": []}
    said = cli("unpublish", "m")
    assert "earlier version" not in said.out + said.err
