"""Each command asks the hub for what its words say, prints one JSON object or lines for people, and exits with 0."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from p2phub import api
from p2phub.cli.command_list import all_commands
from p2phub.cli.status import WHERE
from p2phub.discovery.nearness import Nearness
from p2phub.errors import Damaged, DiskError, HubError, Malformed, NotTrusted, UsageError
from tests.support.command_line import ADDRESS, MIRROR, PEER, PUBLISHED, RELEASE, RESULTS, FakeHub, Said
from tests.support.covers import covers

Cli = Callable[..., Said]
Json = dict[str, Any]

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


def test_publish_hands_on_all_its_options(cli: Cli, hub: FakeHub) -> None:
    words = "publish m --name n --tag t --kind dataset --description d --licence MIT --private"
    patterns = ["--ignore", "*.a", "--ignore", "*.b", "--include", "*.c", "--allow", PEER]
    parents = ["--parent", "base", "--parent", "merge=12D3/other"]
    assert cli(*words.split(), *patterns, *parents).code == 0
    assert hub.calls == [
        (
            "publish",
            ("m",),
            {
                "name": "n",
                "tag": "t",
                "kind": "dataset",
                "description": "d",
                "licence": "MIT",
                "private": True,
                "allow": [PEER],
                "ignore": ["*.a", "*.b"],
                "include": ["*.c"],
                "mirror_files": None,
                "parents": ["base", "merge=12D3/other"],
            },
        )
    ]


def test_publish_prints_progress_then_what_was_published(cli: Cli, hub: FakeHub) -> None:
    hub.events = [api.PublishProgress(1, 5_000_000, 3)]
    said = cli("publish", "m", "--name", "m", "--json")
    assert said.objects == [hub.events[0].as_json(), PUBLISHED.as_json()]


@pytest.mark.parametrize(
    ("announced", "private", "daemon", "proven", "expected"),
    [
        (True, [], True, True, "It is announced"),
        (False, [], False, False, "`p2phub node` announces and serves it"),
        (False, [], True, False, f"p2phub fetch ref --provider {ADDRESS}"),
        (False, [], True, True, "The node that runs here goes on trying"),
        (False, ["--private"], False, False, "start `p2phub node` to serve it"),
        (False, ["--private"], True, True, "the node that runs here serves it"),
    ],
)
def test_publish_says_what_comes_next(
    announced: bool, private: list[str], daemon: bool, proven: bool, expected: str, cli: Cli, hub: FakeHub
) -> None:
    hub.results["publish"] = api.Published("ref", "bag", "p2phub:t", 1, 2, 2, announced, 0.1)
    hub.results["status"] = {**RESULTS["status"], "daemon": daemon}
    hub.results["peers"] = [{**RESULTS["peers"][0], "proven": proven}]
    said = cli("publish", "m", "--name", "m", *private)
    assert "ref" in said.out
    assert "p2phub:t" in said.out
    assert expected in said.err


def test_publish_names_an_address_that_other_machines_can_dial(cli: Cli, hub: FakeHub) -> None:
    far = ADDRESS.replace("127.0.0.1", "192.0.2.7")
    hub.results["publish"] = api.Published("ref", "bag", "p2phub:t", 1, 2, 2, False, 0.1)
    hub.results["peers"] = []
    hub.results["status"] = {**RESULTS["status"], "addresses": [ADDRESS, far]}
    assert f"--provider {far}\n" in cli("publish", "m", "--name", "m").err
    hub.results["status"] = {**RESULTS["status"], "addresses": []}
    assert "has no address" in cli("publish", "m", "--name", "m").err


@pytest.mark.parametrize(
    ("private", "other", "expected"),
    [
        (["--private"], {"reference": "me/other", "private": False}, "WARNING: everybody may have it all the same"),
        ([], {"reference": "me/other", "private": True}, "WARNING: what was private is public now"),
        (["--private"], {"reference": "me/other", "private": True}, None),
        ([], {"reference": "me/other", "private": False}, None),
    ],
)
def test_publish_warns_where_the_same_content_is_for_others_by_another_name(
    private: list[str], other: dict[str, object], expected: str | None, cli: Cli, hub: FakeHub
) -> None:
    hub.results["publish"] = msgspec.structs.replace(PUBLISHED, other_names=[other])
    said = cli("publish", "m", "--name", "m", *private).err
    assert ("WARNING" in said) == ("me/other" in said) == (expected is not None)
    assert (expected or "") in said


def test_a_private_publication_tells_of_allow_unless_it_was_given(cli: Cli, hub: FakeHub) -> None:
    hub.results["publish"] = msgspec.structs.replace(PUBLISHED, announced=False)
    assert "--allow PEER restricts it" in cli("publish", "m", "--name", "m", "--private").err
    allowed = cli("publish", "m", "--name", "m", "--private", "--allow", PEER).err
    assert "The nodes that --allow names" in allowed
    assert "restricts" not in allowed


@pytest.mark.parametrize(
    ("private", "daemon", "addresses", "expected"),
    [
        ([], True, [ADDRESS], "leads there without a lookup"),
        ([], False, [], "has no address in it, so that whoever uses it looks for who has it"),
        (["--private"], True, [], f"  p2phub fetch TICKET --provider {ADDRESS}"),
        (["--private"], False, [], "  p2phub fetch TICKET --provider ADDRESS"),
    ],
)
def test_of_a_ticket_without_an_address_it_is_said_what_that_means(
    private: list[str], daemon: bool, addresses: list[str], expected: str, cli: Cli, hub: FakeHub
) -> None:
    hub.results["publish"] = msgspec.structs.replace(PUBLISHED, announced=False, ticket_addresses=addresses)
    hub.results["status"] = {**RESULTS["status"], "daemon": daemon, "addresses": [ADDRESS]}
    said = cli("publish", "m", "--name", "m", *private).out
    assert expected in said
    assert addresses or "without a lookup" not in said


def test_publish_prints_the_ticket_last_for_it_fills_half_a_screen(cli: Cli) -> None:
    said = cli("publish", "m", "--name", "m").out
    assert said.splitlines()[-1] == PUBLISHED.ticket
    assert said.index(PUBLISHED.reference) < said.index(PUBLISHED.manifest) < said.index(PUBLISHED.ticket)


def test_a_dry_run_lists_what_would_be_published_and_left_out_and_publishes_nothing(cli: Cli, hub: FakeHub) -> None:
    said = cli("publish", "m", "--dry-run", "--ignore", "*.a")
    assert hub.calls == [("survey", ("m",), {"ignore": ["*.a"], "include": []})]
    assert "a.bin" in said.out
    assert ".git: junk" in said.out
    assert cli("publish", "m", "--dry-run", "--json").last == {"event": "publish", "dry_run": True, **RESULTS["survey"]}


def test_a_dry_run_marks_what_publish_would_refuse_and_exits_with_0(cli: Cli, hub: FakeHub) -> None:
    hub.results["survey"] = {
        **RESULTS["survey"],
        "refused": [{"path": "a.bin", "why": "looks like a secret"}, {"path": "out", "why": "leaves the folder"}],
        "refused_because": "a.bin looks like a secret",
    }
    said = cli("publish", "m", "--dry-run")
    assert said.code == 0
    assert "a.bin   REFUSED: looks like a secret" in said.out
    assert "out   REFUSED: leaves the folder" in said.out
    assert "publish would refuse: a.bin looks like a secret" in said.out


def test_fetch_hands_on_all_its_options(cli: Cli, hub: FakeHub) -> None:
    words = ["--into", "d", "--provider", ADDRESS, "--mirror", MIRROR, "--force", "--no-serve"]
    words += ["--no-exchange", "--background", "--first", "*.json", "--first", "b", "--in-order", "--wait", "24h"]
    words += ["--include", "*.json", "--exclude", "b", "--tensor", "layers.0.*", "--tensor", "x"]
    words += ["--columns", "a, b", "--row-groups", "0-3,8"]
    words += ["--allow-unsafe", "--link"]
    assert cli("fetch", "x/m", *words).code == 0
    assert cli("fetch", "x/m").code == 0
    (_, _, given), (_, _, defaults) = hub.calls
    assert given == {
        "into": "d",
        "providers": [ADDRESS],
        "mirrors": [MIRROR],
        "force": True,
        "serve": False,
        "exchange": False,
        "background": True,
        "first": ["*.json", "b"],
        "in_order": True,
        "wait": "24h",
        "include": ["*.json"],
        "exclude": ["b"],
        "tensors": ["layers.0.*", "x"],
        "columns": ["a", "b"],
        "row_groups": ["0-3", "8"],
        "allow_unsafe": True,
        "link": True,
    }
    assert defaults == {
        "into": None,
        "providers": [],
        "mirrors": [],
        "force": False,
        "serve": True,
        "exchange": True,
        "background": False,
        "first": [],
        "in_order": False,
        "wait": None,
        "include": [],
        "exclude": [],
        "tensors": [],
        "columns": [],
        "row_groups": [],
        "allow_unsafe": None,  # As the settings say.
        "link": False,
    }


def test_a_wait_that_is_no_time_is_refused_before_anything_is_done(cli: Cli, hub: FakeHub) -> None:
    said = cli("fetch", "x/m", "--wait", "soon")
    assert (said.code, hub.calls) == (2, [])
    assert "--wait: not a time to wait: 'soon'" in said.err
    assert "24h" in said.err


def test_seeding_is_left_to_the_daemon_where_one_runs(cli: Cli, hub: FakeHub) -> None:
    assert hub.transient is False
    assert cli("fetch", "x/m", "--seed").code == 0


def test_to_seed_and_not_to_serve_is_a_contradiction(cli: Cli, hub: FakeHub) -> None:
    assert cli("fetch", "x/m", "--seed", "--no-serve").code == 2
    assert hub.calls == []


def test_publish_writes_what_a_mirror_needs_and_says_so(cli: Cli, hub: FakeHub) -> None:
    said = cli("publish", "m", "--name", "n", "--mirror-files", "www")
    assert (said.code, hub.calls[0][2]["mirror_files"]) == (0, "www")
    assert "--mirror https://" in said.err


FETCHED = [
    api.Started("x/m", "bag", bytes_total=5_000_000, bytes_held=1_000_000),
    api.Source(PEER, "/ip4/127.0.0.1/tcp/1", "direct"),
    api.Progress(2_000_000, 1e6),
    api.PeerDropped(PEER, "sent a wrong byte", file="w.bin", chunk=3),
    api.Waiting("no byte for 10 s", "asking others"),
]


def test_fetch_prints_each_event_as_json_and_then_that_it_is_done(cli: Cli, hub: FakeHub) -> None:
    hub.events = list(FETCHED)
    said = cli("fetch", "x/m", "--json")
    assert said.objects == [event.as_json() for event in [*FETCHED, hub.results["fetch"]]]
    assert said.err == ""


def test_fetch_tells_people_of_sources_damage_and_waiting(cli: Cli, hub: FakeHub) -> None:
    hub.events = list(FETCHED)
    said = cli("fetch", "x/m")
    assert "1.00 MB of 5.00 MB are here already" in said.err
    assert f"From {PEER} (direct)" in said.err
    assert f"Dropped {PEER}: sent a wrong byte (file w.bin, chunk 3)" in said.err
    assert "no byte for 10 s" in said.err
    assert "/models/m" in said.out
    assert f"5.00 MB from {PEER}" in said.out


def test_fetch_tells_people_of_files_that_are_ready_but_not_of_thousands(cli: Cli, hub: FakeHub) -> None:
    ready = [api.FilesReady([f"{letter}{number}" for number in range(5)]) for letter in "abcdefghijklmno"]
    hub.events = [api.Unmatched("*.jsn"), *ready]
    said = cli("fetch", "x/m")
    assert "Nothing matches *.jsn" in said.err
    assert "Ready: a0, a1, a2 and 2 more" in said.err
    assert said.err.count("Ready: ") == 10


def test_fetch_tells_people_what_an_earlier_version_left(cli: Cli, hub: FakeHub) -> None:
    hub.events = [api.FilesLeft(["a", "b", "c", "d"])]
    assert "not of this one: a, b, c and 1 more; left there" in cli("fetch", "x/m").err


def test_node_prints_ready_and_stopped(cli: Cli, hub: FakeHub) -> None:
    hub.events = [api.Ready(PEER, PEER, [ADDRESS]), api.Stopped()]
    said = cli("node", "--json", "--listen", "127.0.0.1:0")
    assert said.code == 0
    assert said.objects == [event.as_json() for event in hub.events]
    assert hub.opened[0]["listen"] == ("127.0.0.1:0",)
    assert ADDRESS in cli("node").out
    assert hub.opened[-1]["gateway"] is None


@pytest.mark.parametrize("words", [["--gateway"], ["--gateway", "[::1]:7701"]])
def test_node_says_how_hugging_face_tools_find_its_gateway(cli: Cli, hub: FakeHub, words: list[str]) -> None:
    hub.events = [api.Ready(PEER, PEER, [ADDRESS], "http://127.0.0.1:7700")]
    said = cli("node", *words)
    assert "export HF_ENDPOINT=http://127.0.0.1:7700" in said.out
    assert "hf upload" not in said.err
    assert "`hf upload ORG/NAME FOLDER` publishes, with HF_TOKEN" in cli("node", *words, "--gateway-uploads").err
    assert hub.opened[-1]["gateway"] is not None


@pytest.mark.parametrize("said", ["true", "127.0.0.1:7702"])
def test_settings_may_open_a_gateway_and_an_option_closes_it(
    cli: Cli, hub: FakeHub, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P2PHUB_GATEWAY", said)
    monkeypatch.setenv("P2PHUB_GATEWAY_USERS", "nobody")
    monkeypatch.setenv("P2PHUB_METRICS", "1")
    assert cli("node").code == 0
    assert hub.opened[-1]["gateway"]._readers == {pwd.getpwnam("nobody").pw_uid}
    assert str(hub.opened[-1]["gateway"]._address) == f"/ip4/127.0.0.1/tcp/{7700 if said == 'true' else 7702}"
    assert str(hub.opened[-1]["metrics"]._address) == "/ip4/127.0.0.1/tcp/7701"
    assert cli("node", "--gateway-uploads").code == 0, "it is about the gateway of the settings"
    assert cli("node", "--gateway", "none", "--metrics", "none").code == 0
    assert (hub.opened[-1]["gateway"], hub.opened[-1]["metrics"]) == (None, None)
    monkeypatch.setenv("P2PHUB_GATEWAY_USERS", "nobody-is-called-so")
    assert cli("node").code == 2
    assert cli("node", "--gateway", "none").code == 0, "nobody is asked for where there is no gateway"


def test_settings_are_told_of_as_options_are(cli: Cli, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PHUB_GATEWAY", "1")
    monkeypatch.setenv("P2PHUB_GATEWAY_UPLOADS", "1")
    monkeypatch.setenv("P2PHUB_UPSTREAM", "https://hub.example.org")
    hub.events = [api.Ready(PEER, PEER, [ADDRESS], "http://127.0.0.1:7700")]
    said = cli("node")
    assert "What nothing here is called comes from https://hub.example.org" in said.out
    assert "`hf upload ORG/NAME FOLDER` publishes, with HF_TOKEN" in said.err


@pytest.mark.parametrize("address", ["7700", "localhost:7700", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:7700"])
def test_a_gateway_at_what_is_no_address_is_a_usage_error(cli: Cli, address: str) -> None:
    said = cli("node", "--gateway", address)
    assert said.code == 2
    assert "--gateway" in said.err
    assert "127.0.0.1:7700" in said.err


def test_users_who_may_read_through_a_gateway_are_those_of_this_machine(cli: Cli, hub: FakeHub) -> None:
    assert cli("node", "--gateway", "--gateway-user", "root", "--gateway-user", "nobody").code == 0
    assert {0, pwd.getpwnam("nobody").pw_uid} == hub.opened[-1]["gateway"]._readers
    for words in (["--gateway", "--gateway-user", "nobody-is-called-so"], ["--gateway-user", "root"]):
        said = cli("node", *words)
        assert said.code == 2
        assert "--gateway-user" in said.err


def test_uploads_without_a_gateway_are_a_usage_error(cli: Cli, hub: FakeHub) -> None:
    said = cli("node", "--gateway-uploads")
    assert (said.code, hub.opened) == (2, [])
    assert "--gateway" in said.err
    assert cli("node", "--gateway", "--gateway-uploads").code == 0
    assert hub.opened[-1]["gateway_uploads"] is True


def test_info_names_twenty_files_unless_all_are_asked_for(cli: Cli) -> None:
    assert cli("info", "m").out.count(".bin") == 20
    assert cli("info", "m", "--files").out.count(".bin") == 25


def test_info_tells_what_a_model_was_made_of(cli: Cli) -> None:
    assert "Made of    bagbase (finetune)" in cli("info", "m").out


def test_info_tells_of_a_release_whose_times_make_no_sense(cli: Cli, hub: FakeHub) -> None:
    hub.results["info"] = {**RESULTS["info"], "release": {**RESULTS["log"][0], "expires": 2**60}, "files": None}
    assert f"holds until second {2**60}" in cli("info", "m").out


def test_info_and_log_say_who_signed_two_releases_with_one_sequence(cli: Cli, hub: FakeHub) -> None:
    one, other = ({**RELEASE, "manifest": f"bag{n}", "contradicted_by": f"bag{1 - n}"} for n in (0, 1))
    told = {"publisher": PEER, "sequence": 7, "manifests": ["bag0", "bag1"]}
    hub.results["info"] = {**RESULTS["info"], "release": one, "contradiction": told}
    hub.results["log"] = [{**RELEASE, "sequence": 8}, one, other]
    for said in (cli("info", "m").out, cli("log", "m").out):
        assert (
            f"{PEER} signed two different releases with one sequence, 7:\n             bag0\n             bag1" in said
        )


def test_rm_names_every_folder_that_it_forgot(cli: Cli, hub: FakeHub) -> None:
    hub.results["remove"] = {"manifest": "bag", "folder": "/a", "folders": ["/a", "/b"]}
    said = cli("rm", "m").out
    assert "in 2 folders" in said
    assert "  /a\n  /b\n" in said
    assert "ublish" not in said


def test_rm_of_what_was_published_says_that_it_is_not_any_more(cli: Cli, hub: FakeHub) -> None:
    hub.results["remove"] = {"manifest": "bag", "folder": "/a", "folders": ["/a"], "unpublished": [f"{PEER}/m"]}
    assert f"Not published any more, as after `p2phub unpublish`: {PEER}/m\n" in cli("rm", "m").out


def test_a_pattern_that_no_tensor_matches_is_told_that_it_means_a_whole_name(cli: Cli, hub: FakeHub) -> None:
    hub.events = [api.Unmatched("layers.0.*"), api.Unmatched("*.jsn"), api.Unmatched("*x")]
    words = ["--tensor", "layers.0.*", "--tensor", "*x", "--include", "*.jsn"]
    said = cli("fetch", "x/m", *words).err
    assert "Nothing matches layers.0.*; a pattern means the whole of a name: perhaps --tensor '*layers.0.*'\n" in said
    assert "Nothing matches *.jsn\n" in said
    assert "Nothing matches *x\n" in said
    hub.events, hub.error = [], UsageError("no tensor is selected", hint="there are: model.layers.0.w")
    said = cli("fetch", "x/m", *words).err
    assert "there are: model.layers.0.w; a pattern means the whole of a name: perhaps --tensor '*layers.0.*'" in said
    assert "perhaps" not in cli("fetch", "x/m", "--tensor", "*x").err
    hub.error = UsageError("not row groups: 'x'", hint="0, or 0-3")
    assert "perhaps" not in cli("fetch", "x/m", *words).err


@pytest.mark.parametrize(
    ("program", "path", "expected"),
    [
        ("ollama", "/o/manifests/p2phub/ann/tiny/latest", "ollama run p2phub/ann/tiny:latest"),
        ("hf-cache", "/hub/models--acme--tiny/snapshots/0a", 'from_pretrained("acme/tiny")'),
        ("hf-cache", "/hub/datasets--acme--rows/snapshots/0a", 'load_dataset("acme/rows")'),
    ],
)
def test_what_was_given_to_a_program_is_told_with_how_that_uses_it(
    program: str, path: str, expected: str, cli: Cli, hub: FakeHub
) -> None:
    hub.results["give"] = api.Done(path, bytes_received=0, bytes_reused=1, seconds=0.1, first_byte_s=None)
    assert f"  {expected}\n" in cli("fetch", "x/m", "--to", program).out
    hub.results["give"] = api.Done(
        "/h/models--a--b/snapshots/0", bytes_received=0, bytes_reused=1, seconds=0.1, first_byte_s=None
    )
    assert '("a/b", revision="dev")' in cli("fetch", "x/m", "--to", "hf-cache", "--branch", "dev").out


def test_verify_with_damage_names_files_and_chunks_and_exits_with_5(cli: Cli, hub: FakeHub) -> None:
    damage = [{"path": "w.bin", "chunks": [1, 5, 6, 7], "reason": "wrong bytes"}]
    hub.results["verify"] = {**RESULTS["verify"], "damaged": damage}
    people, script = cli("verify", "m"), cli("verify", "m", "--json")
    assert people.code == script.code == 5
    assert "w.bin: wrong bytes, chunks 1, 5-7" in people.out
    assert "`p2phub verify m --repair`" in people.err
    assert "w.bin" not in people.err, "it is told once"
    verified, failed = script.objects
    assert verified["damaged"] == damage
    assert (failed["event"], failed["code"]) == ("failed", 5)
    assert "w.bin" in failed["message"]


def test_verify_of_what_is_not_ours_to_mend_says_what_its_owner_can_do(cli: Cli, hub: FakeHub) -> None:
    damage = [{"path": "w.bin", "chunks": [], "reason": "wrong bytes"}]
    for origin, hint in (("published", "publish it again"), ("adopted", "the program that put it there")):
        hub.results["verify"] = {**RESULTS["verify"], "damaged": damage, "origin": origin}
        assert hint in cli("verify", "m").err


def test_verify_tells_what_could_not_be_read_from_what_is_wrong(cli: Cli, hub: FakeHub) -> None:
    unread = {"path": "w.bin", "chunks": [], "reason": "Permission denied", "unreadable": True}
    hub.results["verify"] = {**RESULTS["verify"], "damaged": [unread], "files": 3}
    said = cli("verify", "m").err
    assert "of 3 files in /models/m 1 could not be read" in said
    assert "not as signed" not in said
    assert "let this user read" in said
    assert "--repair" not in said
    wrong = {"path": "x.bin", "chunks": [], "reason": "wrong bytes", "unreadable": False}
    hub.results["verify"] = {**RESULTS["verify"], "damaged": [unread, wrong], "files": 3}
    assert "1 not as signed and 1 could not be read" in cli("verify", "m").err


def test_verify_of_a_folder_that_is_gone_does_not_send_to_a_repair_that_refuses(cli: Cli, hub: FakeHub) -> None:
    gone = {"path": "w.bin", "chunks": [], "reason": "is gone", "unreadable": False}
    hub.results["verify"] = {**RESULTS["verify"], "damaged": [gone], "away": True}
    said = cli("verify", "m").err
    assert "nothing of it is" in said
    assert "--repair" not in said
    assert "--into DIR" in said
    assert "`p2phub rm m`" in said


def test_verify_that_mended_all_says_so_and_ends_well(cli: Cli, hub: FakeHub) -> None:
    damage = [{"path": "w.bin", "chunks": [1], "reason": "wrong bytes"}]
    mended = {"repaired": ["w.bin"], "bytes_received": 1_048_576, "sources": []}
    hub.results["verify"] = {**RESULTS["verify"], "damaged": damage, **mended}
    said = cli("verify", "m", "--repair", "--provider", ADDRESS, "--allow-unsafe")
    assert said.code == 0
    assert "Repaired: 1 file, 1.05 MB fetched" in said.out
    assert hub.calls[-1][2]["repair"] is True
    assert hub.calls[-1][2]["providers"] == [ADDRESS]
    assert hub.calls[-1][2]["allow_unsafe"] is True


def adopted(
    name: str, cache: str = "hf", revision: str | None = None, *, announced: bool = False, before: bool = False
) -> api.Adopted:
    return api.Adopted(
        cache, name, revision, "/cache", "bagmanifest", [], 1, 5, True, announced, [], announced_before=before
    )


def test_adopt_says_how_to_announce_what_is_kept_here_and_means_no_other_cache(cli: Cli, hub: FakeHub) -> None:
    hub.events = [adopted("org/name"), adopted("org/name", "lmstudio"), adopted("x/told", announced=True)]
    said = cli("adopt", "hf", "my dir")
    assert "p2phub adopt hf 'my dir' --announce hf:org/name     or --announce all" in said.err
    hub.events = hub.events[2:]
    assert "--announce" not in cli("adopt").err


def test_adopt_says_once_that_what_is_new_of_a_name_is_not_announced(cli: Cli, hub: FakeHub) -> None:
    hub.events = [adopted("org/name", revision="a" * 40, before=True), adopted("org/name", revision="b" * 40)]
    said = cli("adopt")
    assert said.err.count("Only what you announced before of these is announced") == 1
    assert said.err.count("p2phub adopt --announce org/name") == 1


def test_adopt_says_which_commits_a_name_announced(cli: Cli, hub: FakeHub) -> None:
    hub.events = [adopted("org/name", revision=digit * 40, announced=True) for digit in "abc"]
    said = cli("adopt", "--announce", "org/name").err
    assert "org/name was found at 3 commits, and all are announced: aaaaaaaaaaaa, bbbbbbbbbbbb, cccccccccccc." in said
    assert "hf:org/name@aaaaaaaaaaaa" in said
    assert "commits" not in cli("adopt", "--announce", f"org/name@{'a' * 40}").err


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


@pytest.mark.parametrize("kind", [DiskError, NotTrusted, Damaged], ids=lambda kind: str(kind.__name__))
def test_doctor_lists_its_checks_of_a_home_that_cannot_be_opened(
    kind: type[HubError], cli: Cli, hub: FakeHub, tmp_path: Path
) -> None:
    hub.error = kind("cannot read keys", hint="let this user read it")
    said = cli("doctor", "--home", str(tmp_path / "home"))
    assert said.code == 0
    assert "NO  opening: cannot read keys" in said.out
    assert "try: let this user read it" in said.out
    told = cli("doctor", "--json", "--home", str(tmp_path / "home")).last
    assert (told["event"], told["ok"]) == ("doctor", False)
    assert [item["check"] for item in told["items"]] == ["home", "disk", "opening"]


def test_doctor_says_what_to_try_and_scripts_see_whether_all_is_well(cli: Cli, hub: FakeHub) -> None:
    said = cli("doctor")
    assert said.code == 0
    assert "open port 4717" in said.out
    assert cli("doctor", "--json").last["ok"] is False
    hub.results["doctor"] = hub.results["doctor"][:1]
    assert cli("doctor", "--json").last["ok"] is True


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
        ({"there": False}, "published before, not there"),
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


def test_a_search_hands_on_what_narrows_it(cli: Cli, hub: FakeHub) -> None:
    assert cli(*["search", "tiny", "llama", "--kind", "dataset", "--held", "--limit", "5"]).code == 0
    assert hub.calls == [("search", ("tiny llama",), {"kind": "dataset", "held": True, "limit": 5})]
    for wrong in ("0", "-1", "many"):
        assert cli("search", "x", f"--limit={wrong}").code == 2


def test_two_tags_of_one_name_are_told_apart_in_a_search(cli: Cli, hub: FakeHub) -> None:
    (item,) = RESULTS["search"]["items"]
    hub.results["search"] = {**RESULTS["search"], "items": [item, {**item, "tag": "v2"}]}
    said = cli("search", "m").out
    assert "lab/m " in said
    assert "lab/m@v2 " in said
    assert "@main" not in said


def test_publish_quotes_the_folder_in_the_command_that_it_advises(cli: Cli) -> None:
    assert "p2phub publish 'models/no space' --name NAME" in cli("publish", "models/no space").err


def test_a_search_says_what_is_here_and_that_there_is_more(cli: Cli, hub: FakeHub) -> None:
    hub.results["search"] = {**RESULTS["search"], "cursor": 30}
    said = cli("search", "m")
    assert "lab/m" in said.out
    assert "fetched, pinned" in said.out
    assert "small; MIT; gguf" in said.out
    assert "There is more" in said.err
    hub.results["search"] = {**RESULTS["search"], "items": [RESULTS["search"]["items"][0] | {"origin": "own"}]}
    assert "own store, pinned" in cli("search", "m").out, "as `ls` calls it"


def test_a_search_that_finds_nothing_says_so_and_whether_it_looked_at_all(cli: Cli, hub: FakeHub) -> None:
    hub.results["search"] = {"items": [], "cursor": None, "total": None, "complete": False}
    said = cli("search", "zz")
    assert (said.code, said.out) == (0, "")
    assert "'zz'" in said.err
    assert "search again" in said.err


def test_names_are_added_and_forgotten(cli: Cli, hub: FakeHub) -> None:
    assert cli("name", "add", "alice", PEER).code == 0
    assert cli("name", "rm", "alice", "--json").last == {"event": "name", "action": "rm", "alias": "alice"}
    assert [(verb, words) for verb, words, _ in hub.calls] == [
        ("name_add", ("alice", PEER)),
        ("name_remove", ("alice",)),
    ]


@covers("T47")
def test_an_exported_key_is_for_its_owner_alone_and_never_written_over_a_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    assert cli("key", "export", str(file)).code == 0
    assert file.read_bytes() == RESULTS["key_export"]
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    file.write_bytes(b"mine")
    said = cli("key", "export", str(file), "--json")
    assert (said.code, said.last["code"]) == (6, 6)
    assert file.read_bytes() == b"mine"


def test_an_exported_key_goes_to_stdout_where_no_file_is_named(cli: Cli) -> None:
    assert cli("key", "export").out.encode() == RESULTS["key_export"]
    assert cli("key", "export", "-", "--json").last["pem"].encode() == RESULTS["key_export"]


def test_a_key_is_imported_from_a_file_of_sane_length(cli: Cli, hub: FakeHub, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(b"pem")
    assert cli("key", "import", str(file)).code == 0
    assert hub.calls == [("key_import", (b"pem",), {})]
    file.write_bytes(b"x" * 5000)
    assert cli("key", "import", str(file)).code == 2
    assert cli("key", "import", str(tmp_path / "none")).code == 6
    assert cli("key", "import").code == 2
    assert len(hub.calls) == 1


@covers("T59")
def test_text_from_strangers_cannot_repaint_the_terminal(cli: Cli, hub: FakeHub) -> None:
    evil = "\x1b[2Jevil\r\u202e"
    parents = [{"manifest": "bagbase", "relation": evil}]
    release = {**RESULTS["log"][0], "description": evil, "licence": evil, "parents": parents}
    files = [{"path": evil, "size": 1, "sha256": "00", "chunks": 1}]
    hub.results["info"] = {**RESULTS["info"], "reference": evil, "release": release, "files": files}
    hub.results["log"] = [release]
    hub.results["doctor"] = [{"check": "x", "ok": False, "detail": evil, "hint": evil}]
    hub.events = [
        api.Started("m", "bag", 1, 0),
        api.PeerDropped(PEER, evil, file=evil, chunk=1),
        api.Waiting(evil, evil),
    ]
    said = [cli("fetch", "m")]
    hub.events = []
    said += [cli("info", "m"), cli("log", "m"), cli("doctor")]
    for each in said:
        assert "evil" in each.out + each.err
        assert not set(each.out + each.err) & {"\x1b", "\r", "\u202e"}


def test_limit_changes_what_is_given_of_the_node_or_of_a_job(cli: Cli, hub: FakeHub) -> None:
    assert cli("limit", "--up", "5MB", "--down", "none").out == "Node: up 5.00 MB/s, down no cap\n"
    assert cli("--down", "1MB", "limit", "--job", "3").code == 0
    assert cli("limit").code == 0
    assert [options for _, _, options in hub.calls] == [
        {"up": "5MB", "down": "none", "job": None},
        {"up": None, "down": "1MB", "job": 3},
        {"up": None, "down": None, "job": None},
    ]
    assert all((opened["up"], opened["down"]) == (None, None) for opened in hub.opened), "no caps of this command's own"


def test_publish_says_what_may_run_code(cli: Cli, hub: FakeHub) -> None:
    remarks = [{"path": f"{number}.pkl", "what": "loading it may run code: a pickle"} for number in range(12)]
    hub.results["publish"] = msgspec.structs.replace(RESULTS["publish"], remarks=remarks)
    said = cli("publish", "m", "--name", "m")
    assert "9.pkl: loading it may run code" in said.err
    assert "2 other files" in said.err


def test_diff_lists_what_changed_for_certain_and_with_all_what_may_have(cli: Cli) -> None:
    said = cli("diff", "x/m", "x/m@new").out
    assert "new.bin (was old.bin)" in said
    assert "F32 [3]" in said
    assert "2.01 kB of 5.00 MB" in said
    assert "bias" not in said
    assert "bias" in cli("diff", "x/m", "x/m@new", "--all").out


def test_info_lists_tensors_on_request_and_shows_no_control_characters(cli: Cli) -> None:
    assert "F32" not in cli("info", "x/m").out
    said = cli("info", "x/m", "--tensors").out
    assert "[3, 4]" in said
    assert "\x1b" not in said


def test_status_shows_what_all_processes_of_the_node_use_together(cli: Cli) -> None:
    assert "70.0 MB of memory, 1,230 descriptors in 2 processes" in cli("status").out


def test_status_shows_the_caps_of_node_and_jobs(cli: Cli) -> None:
    said = cli("status").out
    assert "Caps       up no cap, down 20.0 MB/s" in said
    assert "Job 1      fetching m in the background\n" in said
    assert "up no cap, down 1.00 MB/s" in said


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({}, "looking for providers; how much it is, is not known yet"),
        ({"bytes_total": 5_000_000, "bytes_held": 1_000_000}, "1.00 MB of 5.00 MB (20 %) verified"),
        ({"bytes_total": 0, "bytes_held": 0}, "0 B of 0 B (0 %) verified"),
        (
            {"bytes_total": 0, "bytes_held": 0, "bytes_verified": 23_000_000},
            "23.0 MB, as much as was read of it, verified",
        ),
        (
            {"bytes_total": 5_000_000, "bytes_held": 1_000_000, "bytes_verified": 4_000_000, "bytes_per_s": 2e6},
            "4.00 MB of 5.00 MB (80 %) verified, 2.00 MB/s",
        ),
    ],
)
def test_status_shows_how_far_a_fetch_is_and_where_to(told: Json, shown: str, cli: Cli, hub: FakeHub) -> None:
    job = {"job": 1, "reference": "p2phub:" + "x" * 900, "into": "/models/m", "up": None, "down": None}
    hub.results["status"] = {**RESULTS["status"], "jobs": [{**job, "background": False, **told}]}
    lines = cli("status").out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("Job 1 "))
    assert len(lines[at]) < 120
    assert [line.strip() for line in lines[at + 1 : at + 3]] == [shown, "into /models/m"]


@pytest.mark.parametrize("left_s", [77_400.0, None])
def test_an_explanation_says_for_whom_a_fetch_waits_when_it_looks_again_and_until_when(
    cli: Cli, hub: FakeHub, left_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2phub.cli.status.time.time", lambda: 1_800_000_000.0)
    next_ = "looks again in 16 min, " + ("never gives up" if left_s is None else "gives up in 21 h 30 min")
    waiting = {"reason": "nobody is here", "next": next_, "waited_s": 750.0, "again_s": 960.0, "left_s": left_s}
    hub.results["explain"] = {**RESULTS["explain"], "waiting": waiting}
    lines = cli("status", "--explain", "1").out.splitlines()
    until = "" if left_s is None else " (2027-01-16 05:30 UTC)"
    assert lines[2:4] == ["Waits      for 12:30 by now: nobody is here", f"           {next_}{until}"]


def test_an_explanation_shows_of_each_source_rate_window_and_round_trip_within_80_columns(
    cli: Cli, hub: FakeHub
) -> None:
    (source,) = RESULTS["explain"]["sources"]
    large = {"bytes_received": 99_900_000_000, "bytes_per_s": 999_000_000.0, "bytes_leased": 268_000_000}
    hub.results["explain"] = {
        **RESULTS["explain"],
        "sources": [
            {**source, **large, "via": "exchange"},
            {**source, "trip_s": None},
            {**source, "links": 0, "window_bytes": 0, "trip_s": None, "state": "not dialled"},
        ],
    }
    lines = cli("status", "--explain", "1").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2:] == [
        f"Source     {PEER}",
        "           exchange, on the local network: sending",
        "           999 MB/s, 99.9 GB so far, 268 MB to come",
        "           window 250 kB, round trip 12 ms",
        f"Source     {PEER}",
        "           direct, on the local network: sending",
        "           3 B/s, 12 B so far, 2.00 MB to come",
        "           window 250 kB",
        f"Source     {PEER}",
        "           direct, on the local network: not dialled",
        "           12 B so far, 2.00 MB to come",
    ]


def test_status_says_of_whose_fetches_it_speaks(cli: Cli, hub: FakeHub) -> None:
    hub.results["status"] = {**RESULTS["status"], "jobs": []}
    assert "Jobs       none: nothing is fetched now" in cli("status").out
    hub.results["status"]["daemon"] = False
    shown = cli("status").out
    assert "a fetch without a daemon is not known to other commands" in shown
    assert "while `p2phub node` runs, each fetch is a job of it" in shown


@pytest.mark.parametrize("words", [["5MB"], ["5", "MB"], ["--job", "1", "5MB"]])
def test_limit_asks_which_way_a_bare_rate_is_meant(words: list[str], cli: Cli, hub: FakeHub) -> None:
    said = cli("limit", *words)
    assert said.code == 2
    assert "on sending or on receiving?" in said.err
    assert "--up 5" in said.err
    assert hub.calls == []


@pytest.mark.parametrize("near", list(Nearness))
def test_explain_says_in_words_where_a_source_is(near: Nearness, cli: Cli, hub: FakeHub) -> None:
    source = {**RESULTS["explain"]["sources"][0], "nearness": str(near)}
    hub.results["explain"] = {**RESULTS["explain"], "sources": [source]}
    assert f"direct, {WHERE[str(near)]}: sending\n" in cli("status", "--explain", "1").out
    assert len(WHERE[str(near)].split()) > 1


def test_a_drop_names_its_peer_once(cli: Cli, hub: FakeHub) -> None:
    hub.events = [api.PeerDropped(PEER, f"cannot reach {PEER}: refused"), api.PeerDropped(PEER, "it is busy")]
    said = cli("fetch", "x/m").err.splitlines()
    assert f"Dropped: cannot reach {PEER}: refused" in said
    assert f"Dropped {PEER}: it is busy" in said


def test_a_wait_that_only_lasts_is_told_once_until_bytes_come_again(cli: Cli, hub: FakeHub) -> None:
    quiet = [api.Waiting(f"no byte for {n}0 s from x", "asking other providers") for n in (1, 2, 3)]
    hub.events = [*quiet, api.Progress(5, 1.0), quiet[0], api.Progress(5, 1.0), quiet[1]]
    assert cli("fetch", "x/m").err.count("Waiting: no byte") == 2
    hub.events = [api.Waiting("nobody has it", f"looks again in {n} min, gives up in {9 - n} h") for n in (1, 2, 3)]
    assert cli("fetch", "x/m").err.count("Waiting: ") == 3


def test_who_cannot_be_reached_again_and_again_is_told_once(cli: Cli, hub: FakeHub) -> None:
    hub.events = [api.PeerDropped("https://a.example", why) for why in ("refused", "refused", "silent", "refused")]
    said = cli("fetch", "x/m")
    assert said.err.count("Dropped https://a.example") == 3


def test_a_mirror_that_lacks_a_file_is_told_at_once(cli: Cli, hub: FakeHub) -> None:
    hub.events = [api.SourceLacks("https://a.example", "w.bin", "it is not there")]
    assert "https://a.example cannot give w.bin: it is not there" in cli("fetch", "x/m").err


@pytest.mark.parametrize(
    ("events", "said"),
    [([], "not served: it is private, or was fetched by its digest"), ([api.Listening([])], "not served: nobody")],
)
def test_what_cannot_be_seeded_is_said_and_not_waited_for(
    events: list[api.Event], said: str, cli: Cli, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "transient", True)
    hub.events = events
    assert said in cli("fetch", "x/m", "--seed").err


def test_what_the_node_does_for_a_fetch_stands_in_its_own_log(cli: Cli, hub: FakeHub) -> None:
    assert "p2phub node -v" in cli("fetch", "x/m", "-v").err
    hub.transient = True
    assert "p2phub node -v" not in cli("fetch", "x/m", "-v").err


def test_peers_says_whom_it_met(cli: Cli, hub: FakeHub) -> None:
    assert f"{PEER}  answered, with its key  /ip4/127.0.0.1/tcp/4717" in cli("peers").out
    hub.results["peers"] = [{**RESULTS["peers"][0], "proven": False}]
    assert "told of, not met yet" in cli("peers").out


def test_doctor_ends_with_how_much_there_is_to_do(cli: Cli, hub: FakeHub) -> None:
    assert "1 of 2 checks found something to do." in cli("doctor").err
    hub.results["doctor"] = hub.results["doctor"][:1]
    assert "All is well." in cli("doctor").err


@pytest.mark.parametrize("lan", [True, False])
def test_who_knows_nobody_is_not_sent_to_a_network_that_is_switched_off(lan: bool, cli: Cli, hub: FakeHub) -> None:
    hub.results["peers"] = []
    hub.results["status"] = {**RESULTS["status"], "lan": lan}
    said = cli("peers").err
    assert "--bootstrap" in said
    assert ("are looked for whenever" in said) is lan
    assert ("start it without --no-lan" in said) is not lan


def test_where_nothing_is_missing_no_fetching_is_told_and_else_only_what_is(cli: Cli, hub: FakeHub) -> None:
    hub.events = [api.Started("x/m", "bag", bytes_total=42_000_000, bytes_held=42_000_000)]
    said = cli("fetch", "x/m").err
    assert "All 42.0 MB are here already" in said
    assert "Fetching" not in said
    hub.events = [api.Started("x/m", "bag", bytes_total=42_000_000, bytes_held=12_000_000)]
    assert "Fetching: 30.0 MB\n" in cli("fetch", "x/m").err


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


@pytest.mark.parametrize("words", [["import", "/nowhere/key.pem"], ["export", "/nowhere/key.pem"]], ids=" ".join)
def test_a_key_file_that_cannot_be_used_is_told_with_what_to_do(words: list[str], cli: Cli) -> None:
    failed = cli("--json", "key", *words).last
    assert failed["code"] == 6
    assert "p2phub key export FILE" in failed["hint"]


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


def test_a_file_that_is_no_key_is_named_with_what_to_do(cli: Cli, hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no key")
    hub.error = Malformed("key-file", "not a PEM file with one PRIVATE KEY")
    failed = cli("--json", "key", "import", str(tmp_path / "notes.txt")).last
    assert failed["code"] == 5
    assert str(tmp_path / "notes.txt") in failed["message"]
    assert "p2phub key export FILE" in failed["hint"]


def test_share_tells_what_it_left_out_and_who_cannot_read_it(cli: Cli, hub: FakeHub) -> None:
    said = cli("share", "/mnt/lab")
    assert [(verb, args) for verb, args, _ in hub.calls] == [("share", ("/mnt/lab",))]
    assert "2 folders listed, 5.00 MB" in said.out
    assert "and 2 more" in said.err
    assert "umask" in said.err
    assert "p2phub attach /mnt/lab" in said.err
    assert cli("--json", "share", "/mnt/lab").last["items"] == [RESULTS["share"]]


def test_share_stops_only_a_place_that_is_named(cli: Cli, hub: FakeHub) -> None:
    assert cli("share", "--stop").code == 2
    assert cli("--json", "share", "--stop", "/mnt/lab").last == {
        "event": "share",
        "action": "stop",
        "place": "/mnt/lab",
    }
    assert [(verb, args) for verb, args, _ in hub.calls] == [("unshare", ("/mnt/lab",))]


def test_attach_tells_who_shares_it_and_what_is_not_offered(cli: Cli, hub: FakeHub) -> None:
    said = cli("attach", "/mnt/lab")
    assert hub.calls == [("attach", ("/mnt/lab",), {})]
    assert f"2 folders, shared by the node {PEER}" in said.out
    assert "and 2 more" in said.err
    assert "(by the settings): nothing is taken from it: it did not answer" in cli("attach").out


@pytest.mark.parametrize(("verb", "command"), [("shares", "share"), ("attached", "attach")])
def test_without_any_place_it_is_said_how_to_have_one(verb: str, command: str, cli: Cli, hub: FakeHub) -> None:
    hub.results[verb] = []
    assert f"p2phub {command} PLACE" in cli(command).err


@pytest.mark.parametrize(("complete", "expected"), [(False, "shared, not verified"), (True, "shared  ")])
def test_ls_says_of_an_attached_place_whether_it_was_verified_here(
    complete: bool, expected: str, cli: Cli, hub: FakeHub
) -> None:
    hub.results["ls"] = [{**RESULTS["ls"][0], "origin": "shared", "complete": complete, "published": False}]
    assert expected in cli("ls").out


LONG = "bagaqihradbin26rnxyitceueaovdn2zdxic5zfvvddhb4ddxj5ujio3htula"
TICKET = "p2phub:" + "sowxamtqnb2weidu" * 50


def test_what_was_served_and_what_goes_begin_with_a_name_where_one_is_known(cli: Cli, hub: FakeHub) -> None:
    hub.results["status"] = {**RESULTS["status"], "served": {LONG: 99}, "names": {LONG: "lab/m"}}
    assert "Served     lab/m (baga…io3htula): 99 B" in cli("status").out
    hub.results["status"] = {**RESULTS["status"], "served": {LONG: 99}, "names": {}}
    assert f"Served     {LONG}: 99 B" in cli("status").out
    item = {**RESULTS["gc"]["items"][0], "manifest": LONG, "references": []}
    left = {**RESULTS["gc"]["unfinished"][0], "manifest": LONG, "name": "lab/n"}
    hub.results["gc"] = {**RESULTS["gc"], "items": [{**item, "name": "lab/m"}], "unfinished": [left]}
    said = cli("gc").out
    assert "\nlab/m (baga…io3htula)  " in said
    assert "  lab/n (baga…io3htula): 9 B of an unfinished fetch, in /models/n" in said
    hub.results["gc"] = {**RESULTS["gc"], "items": [{**item, "name": None}]}
    assert f"\n{LONG}  " in cli("gc").out


def test_info_of_a_ticket_says_what_it_leads_to_and_never_the_whole_ticket(cli: Cli, hub: FakeHub) -> None:
    hub.results["info"] = {**RESULTS["info"], "reference": TICKET}
    lines = cli("info", TICKET).out.splitlines()
    assert lines[0] == f"Reference  {RESULTS['log'][0]['publisher']}/{RESULTS['log'][0]['name']} (by a ticket)"
    hub.results["info"]["release"] = {**RESULTS["log"][0], "tag": "v2"}
    assert f"/{RESULTS['log'][0]['name']}@v2 (by a ticket)" in cli("info", TICKET).out
    hub.results["info"]["release"] = None
    assert cli("info", TICKET).out.splitlines()[0] == f"Reference  {TICKET[:76]}…"
    assert cli("--json", "info", TICKET).last["reference"] == TICKET


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


def test_a_search_does_not_say_of_what_is_published_that_it_was_so_before(cli: Cli, hub: FakeHub) -> None:
    (item,) = RESULTS["search"]["items"]
    hub.results["search"] = {**RESULTS["search"], "items": [{**item, "origin": "published", "pinned": False}]}
    said = cli("search", "m").out
    assert "  published  " in said
    assert "before" not in said


def test_where_nothing_is_found_to_adopt_it_is_said_where_that_was_looked_for(cli: Cli, hub: FakeHub) -> None:
    hub.results["adopt"] = {**RESULTS["adopt"], "models": 0, "bytes": 0, "gone": [], "problems": []}
    hub.events = [api.PublishProgress(0, 0, 0)]
    said = cli("adopt")
    assert "Nothing to adopt was found." in said.out
    assert "`p2phub adopt DIR` looks at a folder" in said.err
    assert "Hashing" not in said.err
    assert "usual places" not in cli("adopt", "hf").err
