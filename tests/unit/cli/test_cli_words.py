"""What may stand where the cursor is, told from the real parser."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from p2phub.cli.command_list import all_commands
from p2phub.cli.completion import SCRIPTS
from p2phub.cli.parser import command_parser
from p2phub.cli.words import FILES, FOLDERS, candidates
from tests.support.command_line import FakeHub, Said
from tests.unit.cli.test_cli_logs import Cli

HELD = ["12D3KooW/minilm", "12D3KooW/minilm@v2", "alice/llama"]


def words(line: str, asked: list[Sequence[str]] | None = None) -> list[str]:
    """Return the candidates for the last word of a line; one that ends in a space begins a new word."""

    def references(before: Sequence[str]) -> list[str]:
        if asked is not None:
            asked.append(before)
        return HELD

    typed = line.split(" ")
    return [each.word for each in candidates(command_parser(all_commands()), typed, references)]


def test_an_empty_line_may_be_any_command() -> None:
    assert words("") == [*(command.name for command in all_commands()), "help"]
    assert words("un") == ["unpublish", "unpin"]
    assert words("help unp") == ["unpublish", "unpin"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--ho", ["--home"]),
        ("--home ", [FOLDERS]),
        ("--home /x no", ["node"]),
        ("--json -v pub", ["publish"]),
        ("node --ga", ["--gateway", "--gateway-user", "--gateway-uploads"]),
        ("node --gateway --me", ["--metrics"]),
        ("fetch --to ", ["hf-cache", "ollama"]),
        ("fetch --to=hf", ["--to=hf-cache"]),
        ("publish ", [FOLDERS]),
        ("publish ./m --kind d", ["dataset"]),
        ("publish ./m --name ", []),
        ("publish ./m ", []),
        ("key ", ["export", "import"]),
        ("key import ", [FILES]),
        ("adopt ", ["hf", "ollama", "llamacpp", "lmstudio", FOLDERS]),
        ("adopt hf ol", ["ollama", FOLDERS]),
        ("info ", HELD),
        ("info alice", ["alice/llama"]),
        ("info --provider /ip4/1.2.3.4 al", ["alice/llama"]),
        ("info -- al", ["alice/llama"]),
        ("info -- --", []),
        ("info alice/llama ", []),
        ("verify al", ["alice/llama", FOLDERS]),
        ("diff alice/llama 12D3KooW/minilm@", ["12D3KooW/minilm@v2"]),
        ("publish ./m --parent al", ["alice/llama"]),
        ("fetch --home /x ali", ["alice/llama"]),
        ("ls ", []),
        ("no-such-command --", []),
    ],
)
def test_each_place_has_its_words(line: str, expected: list[str]) -> None:
    assert words(line) == expected


def test_what_is_held_is_looked_up_only_where_it_may_stand() -> None:
    asked: list[Sequence[str]] = []
    for line in ("", "in", "info --", "info --provider ", "publish ", "fetch --to "):
        words(line, asked)
    assert asked == []
    words("--home /x info a", asked)
    assert asked == [["--home", "/x", "info"]]


def test_every_command_completes_its_options() -> None:
    for command in all_commands():
        assert {"--help", "--home", "--json"} <= set(words(f"{command.name} --"))


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_is_printed_as_it_is_to_be_read(cli: Cli, hub: FakeHub, shell: str) -> None:
    said: Said = cli("completion", shell)
    assert (said.code, said.out) == (0, SCRIPTS[shell])
    assert cli("completion", shell, "--json").last["script"] == SCRIPTS[shell]


def test_a_shell_is_answered_with_a_word_a_line_and_nothing_else(cli: Cli, hub: FakeHub) -> None:
    said = cli("__complete", "fetch", "--in-")
    assert said.out == "--in-order\tfetch the rest from front to back, to read it while it comes\n"
    assert said.err == ""
