"""The guide for scripts says what there is: events with their fields, commands, codes, options."""

from __future__ import annotations

import re

import pytest

from p2phub import errors, observe
from p2phub.cli.command_list import all_commands
from p2phub.cli.parser import only_options_parser
from tests.support.command_line import RESULTS
from tests.support.house import ROOT

GUIDE = (ROOT / "docs/guides/json.md").read_text(encoding="utf-8")
ROWS = [line for line in GUIDE.splitlines() if line.startswith("| `")]
EVENTS = [
    each
    for each in vars(observe).values()
    if isinstance(each, type) and issubclass(each, observe.Event) and each is not observe.Event
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_each_event_stands_in_the_guide_with_its_fields(event: type[observe.Event]) -> None:
    fields = set(event.__struct_fields__)
    rows = [set(re.findall(r"`(\w+)`", row)) for row in ROWS if row.startswith(f"| `{event.NAME}` |")]
    assert any(fields <= row for row in rows)


VERBS = [
    "init",
    "info",
    "plan",
    "adopt",
    "diff",
    "ls",
    "log",
    "peers",
    "status",
    "limit",
    "doctor",
    "verify",
    "pin",
    "unpin",
    "gc",
    "du",
]


@pytest.mark.parametrize("verb", VERBS)
def test_each_object_stands_in_the_guide_with_its_fields(verb: str) -> None:
    [row] = [row for row in ROWS if re.match(rf"\| `{verb}( [A-Z]+)*`", row)]
    returned = RESULTS[verb]
    fields = set(returned[0]) if isinstance(returned, list) else set(returned)
    assert fields <= set(re.findall(r"[`\"](\w+)[`\"]", row))


def test_each_command_option_and_exit_code_stands_in_the_guide() -> None:
    for command in all_commands():
        assert f"`{command.name}" in GUIDE
    for action in only_options_parser()._actions:
        assert any(f"`{option}" in GUIDE for option in action.option_strings)
    codes = {
        each.code for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.HubError)
    }
    for code in codes | {0, 130}:
        assert f"\n| {code} | " in GUIDE
