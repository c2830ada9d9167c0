"""The options of every command: before or after its name, given or from the environment."""

from __future__ import annotations

import pytest

from p2phub.cli.main import main
from p2phub.cli.options import Common, take_common
from p2phub.cli.parser import only_options_parser
from p2phub.errors import UsageError
from tests.support.command_line import ADDRESS, RESULTS, Cli, FakeHub


def take(*words: str, **environment: str) -> tuple[Common, list[str]]:
    return take_common(words, only_options_parser(), environment)


@pytest.mark.parametrize("options", [["--home", "H"], ["--home=H"], ["--no-lan"], ["--json"], ["-v"], ["--up", "5MB"]])
def test_an_option_means_the_same_before_and_after_the_commands_name(options: list[str]) -> None:
    before, after = take(*options, "fetch", "ref"), take("fetch", "ref", *options)
    assert before == after == take("fetch", *options, "ref")
    assert before[1] == ["fetch", "ref"]
    assert before[0] != Common()


def test_what_may_be_repeated_adds_up_over_both_places() -> None:
    common, rest = take("--bootstrap", "A", "node", "--bootstrap", "B", "--listen", "C", "-v", "-v")
    assert common == Common(bootstrap=("A", "B"), listen=("C",), verbose=2)
    assert rest == ["node"]


def test_the_words_of_the_command_keep_their_order_and_what_follows_two_dashes_is_no_option() -> None:
    common, rest = take("fetch", "--into", "d", "--home", "H", "x/y", "--provider", "P", "--", "--json")
    assert rest == ["fetch", "--into", "d", "x/y", "--provider", "P", "--", "--json"]
    assert common == Common(home="H")


def test_abbreviations_are_no_options() -> None:
    assert take("--boot", "A") == (Common(), ["--boot", "A"])


def test_what_is_not_given_stays_open_for_the_library_to_look_up(cli: Cli, hub: FakeHub) -> None:
    cli("ls")
    assert hub.opened == [{"home": None, "lan": None, "bootstrap": (), "listen": (), "up": None, "down": None}]


def test_what_is_given_reaches_the_hub(cli: Cli, hub: FakeHub) -> None:
    cli("--no-lan", "ls", "--home", "H", "--bootstrap", ADDRESS, "--up", "5MB", "--down", "6MB")
    assert hub.opened == [
        {"home": "H", "lan": False, "bootstrap": (ADDRESS,), "listen": (), "up": "5MB", "down": "6MB"}
    ]


@pytest.mark.parametrize("value", ["1", "true", "on"])
def test_json_can_be_asked_for_by_the_environment(value: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PHUB_JSON", value)
    assert cli("ls").last["event"] == "ls"


def test_a_switch_of_the_environment_is_on_or_off() -> None:
    assert take(P2PHUB_VERBOSE="1")[0].verbose == 1
    assert take(P2PHUB_VERBOSE="0", P2PHUB_JSON="")[0] == Common()
    with pytest.raises(UsageError, match="P2PHUB_JSON"):
        take(P2PHUB_JSON="perhaps")


@pytest.mark.parametrize("option", ["--up", "--down"])
@pytest.mark.parametrize("command", [["ls"], ["node"]])
@pytest.mark.parametrize(("rate", "complaint"), [("5XB", "not a rate"), ("5kB", "too low")])
def test_a_cap_that_cannot_be_kept_is_refused(
    option: str, command: list[str], rate: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, option, rate]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert option in said


def test_a_cap_of_the_environment_is_judged_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("P2PHUB_DOWN", "5kB")
    assert main(["ls"]) == 2
    assert "P2PHUB_DOWN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "caps"),
    [
        (["fetch", "x/m", "--down", "5MB"], (None, 5_000_000)),
        (["fetch", "x/m", "--up", "1MB", "--down", "none"], (1_000_000, None)),
        (["fetch", "x/m"], (None, None)),
    ],
)
def test_under_a_daemon_the_caps_of_a_fetch_are_those_of_its_job(
    words: list[str], caps: tuple[int | None, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    class Remote:
        async def call(self, verb: str, args: dict[str, object], watch: object) -> dict[str, object]:
            asked.append(args)
            return RESULTS["fetch"].as_json()  # type: ignore[no-any-return]

    monkeypatch.setenv("P2PHUB_UP", "7MB")  # The node's own affair.
    monkeypatch.setattr("p2phub.api.hub.daemon_running", lambda home: True)
    monkeypatch.setattr("p2phub.api.hub.remote_verbs", lambda home: Remote())
    assert main(words) == 0
    assert [(args["up"], args["down"]) for args in asked] == [caps]


@pytest.mark.parametrize(("options", "told"), [(["--bootstrap", ADDRESS], True), (["--no-lan"], False)])
def test_options_that_a_running_node_cannot_take_up_are_not_passed_over_in_silence(
    options: list[str], told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Remote:
        async def call(self, verb: str, args: object, watch: object) -> dict[str, list[object]]:
            return {"items": []}

    monkeypatch.setattr("p2phub.api.hub.daemon_running", lambda home: True)
    monkeypatch.setattr("p2phub.api.hub.remote_verbs", lambda home: Remote())
    assert main(["ls", *options]) == 0
    assert ("a node runs for" in capsys.readouterr().err) is told
