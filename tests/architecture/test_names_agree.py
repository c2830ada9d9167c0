"""What is named in one place is there in the other."""

from __future__ import annotations

import re

from p2phub.cli.command_list import NAMES
from tests.support.house import ROOT


def test_every_command_is_named_where_a_line_looks_for_it() -> None:
    files = {path.stem for path in (ROOT / "p2phub" / "cli").glob("*.py") if "\nCOMMAND = " in path.read_text()}
    assert files == set(NAMES)


def test_every_decision_that_code_names_is_written_down() -> None:
    written = {path.name[:4] for path in (ROOT / "docs" / "decisions").glob("0*.md")}
    for path in (*(ROOT / "p2phub").rglob("*.py"), ROOT / "pyproject.toml"):
        for named in re.findall(r"docs/decisions/(\d{4}(?:, \d{4})*)", path.read_text()):
            assert set(named.split(", ")) <= written, path
