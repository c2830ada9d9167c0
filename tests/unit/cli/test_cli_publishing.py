"""What `publish`, `adopt`, `share` and `attach` are asked to give to others, and what they say of it."""

from __future__ import annotations

import msgspec
import pytest

from p2phub import api
from tests.support.command_line import (
    ADDRESS,
    PEER,
    PUBLISHED,
    RESULTS,
    Cli,
    FakeHub,
)


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


def test_publish_writes_what_a_mirror_needs_and_says_so(cli: Cli, hub: FakeHub) -> None:
    said = cli("publish", "m", "--name", "n", "--mirror-files", "www")
    assert (said.code, hub.calls[0][2]["mirror_files"]) == (0, "www")
    assert "--mirror https://" in said.err


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


def test_publish_quotes_the_folder_in_the_command_that_it_advises(cli: Cli) -> None:
    assert "p2phub publish 'models/no space' --name NAME" in cli("publish", "models/no space").err


def test_publish_says_what_may_run_code(cli: Cli, hub: FakeHub) -> None:
    remarks = [{"path": f"{number}.pkl", "what": "loading it may run code: a pickle"} for number in range(12)]
    hub.results["publish"] = msgspec.structs.replace(RESULTS["publish"], remarks=remarks)
    said = cli("publish", "m", "--name", "m")
    assert "9.pkl: loading it may run code" in said.err
    assert "2 other files" in said.err


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


def test_where_nothing_is_found_to_adopt_it_is_said_where_that_was_looked_for(cli: Cli, hub: FakeHub) -> None:
    hub.results["adopt"] = {**RESULTS["adopt"], "models": 0, "bytes": 0, "gone": [], "problems": []}
    hub.events = [api.PublishProgress(0, 0, 0)]
    said = cli("adopt")
    assert "Nothing to adopt was found." in said.out
    assert "`p2phub adopt DIR` looks at a folder" in said.err
    assert "Hashing" not in said.err
    assert "usual places" not in cli("adopt", "hf").err
