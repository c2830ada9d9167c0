"""What `info`, `log`, `diff`, `search` and `verify` tell of a model."""

from __future__ import annotations

from p2phub import api
from tests.support.command_line import (
    ADDRESS,
    PEER,
    RELEASE,
    RESULTS,
    TICKET,
    Cli,
    FakeHub,
)
from tests.support.covers import covers


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


def test_info_of_a_ticket_says_what_it_leads_to_and_never_the_whole_ticket(cli: Cli, hub: FakeHub) -> None:
    hub.results["info"] = {**RESULTS["info"], "reference": TICKET}
    lines = cli("info", TICKET).out.splitlines()
    assert lines[0] == f"Reference  {RESULTS['log'][0]['publisher']}/{RESULTS['log'][0]['name']} (by a ticket)"
    hub.results["info"]["release"] = {**RESULTS["log"][0], "tag": "v2"}
    assert f"/{RESULTS['log'][0]['name']}@v2 (by a ticket)" in cli("info", TICKET).out
    hub.results["info"]["release"] = None
    assert cli("info", TICKET).out.splitlines()[0] == f"Reference  {TICKET[:76]}…"
    assert cli("--json", "info", TICKET).last["reference"] == TICKET


def test_a_search_does_not_say_of_what_is_published_that_it_was_so_before(cli: Cli, hub: FakeHub) -> None:
    (item,) = RESULTS["search"]["items"]
    hub.results["search"] = {**RESULTS["search"], "items": [{**item, "origin": "published", "pinned": False}]}
    said = cli("search", "m").out
    assert "  published  " in said
    assert "before" not in said
