"""What `node` says as it begins and ends, and `status`, `limit`, `peers` and `doctor` while it runs."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from p2phub import api
from p2phub.cli.status import WHERE
from p2phub.discovery.nearness import Nearness
from p2phub.errors import Damaged, DiskError, HubError, NotTrusted
from tests.support.command_line import (
    ADDRESS,
    PEER,
    RESULTS,
    Cli,
    FakeHub,
    Json,
)


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


def test_status_shows_what_all_processes_of_the_node_use_together(cli: Cli) -> None:
    assert "70.0 MB of memory, 1,230 descriptors in 2 processes" in cli("status").out


def test_status_shows_what_counts_for_the_quota(cli: Cli, hub: FakeHub) -> None:
    assert "Quota      8.00 MB of 200 GB: 5.00 MB own store, 3.00 MB upstream hub\n" in cli("status").out
    hub.results["status"] = {**RESULTS["status"], "quota": None, "counted": None}
    assert "Quota" not in cli("status").out


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


def test_peers_says_whom_it_met(cli: Cli, hub: FakeHub) -> None:
    assert f"{PEER}  answered, with its key  /ip4/127.0.0.1/tcp/4717" in cli("peers").out
    hub.results["peers"] = [{**RESULTS["peers"][0], "proven": False}]
    assert "told of, not met yet" in cli("peers").out


def test_doctor_ends_with_how_much_there_is_to_do(cli: Cli, hub: FakeHub) -> None:
    assert "1 of 2 checks found something to do." in cli("doctor").err
    hub.results["doctor"] = hub.results["doctor"][:1]
    assert "All is well." in cli("doctor").err
