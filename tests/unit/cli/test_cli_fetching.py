"""What `fetch` hands on and tells while it runs, and how one that did not end goes on."""

from __future__ import annotations

import pytest

from p2phub import api
from p2phub.errors import UsageError
from tests.support.command_line import (
    ADDRESS,
    MIRROR,
    PEER,
    RESULTS,
    Cli,
    FakeHub,
)


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
