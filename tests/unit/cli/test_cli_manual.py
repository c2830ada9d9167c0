"""What the help of each command says beside its options: like a page of a manual, and true."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest

from p2phub import errors
from p2phub.cli.command_list import all_commands
from p2phub.cli.manual import MANUALS, manual_of
from p2phub.cli.options import take_common
from p2phub.cli.parser import command_parser, only_options_parser
from tests.support.command_line import Said
from tests.support.house import ROOT

NAMES = [command.name for command in all_commands()]
EXAMPLES = [(name, example.line) for name, manual in MANUALS.items() for example in manual.examples]


def test_each_command_has_a_page_and_there_is_no_other() -> None:
    assert sorted(MANUALS) == sorted(NAMES)


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_each_example_is_a_command_line_of_that_command(name: str, line: str) -> None:
    program, *words = shlex.split(line)
    _, rest = take_common(words, only_options_parser(), {})
    assert program == "p2phub"
    assert command_parser(all_commands()).parse_args(rest).command.name == name


@pytest.mark.parametrize("name", NAMES)
def test_where_to_go_on_is_there(name: str) -> None:
    for where in MANUALS[name].see_also:
        program, _, rest = where.partition(" ")
        assert rest in (*NAMES, "help") if program == "p2phub" else (ROOT / where).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_help_has_all_its_parts_in_order(name: str, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = cli("help", name).out
    parts = ["usage:", "options:", "options of every command", "examples:", "exit codes:", "see also:"]
    at = [said.index(part) for part in parts]
    assert at == sorted(at)
    assert said.endswith("\n")
    assert not said.endswith("\n\n")
    assert max(map(len, said.splitlines())) <= 80


def test_codes_are_those_of_errors() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.HubError)]
    known = {each.code for each in kinds}
    for name in NAMES:
        codes = re.findall(r"^  (\d+) ", manual_of(name).partition("exit codes:")[2], flags=re.MULTILINE)
        assert {0, 1, 2, 130} <= set(map(int, codes)) <= known | {0, 1, 130}
    assert manual_of("no such command") == ""
