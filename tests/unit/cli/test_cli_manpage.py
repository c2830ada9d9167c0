"""The page for man(1) says what the helps say."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from p2phub.cli.command_list import all_commands
from p2phub.cli.manual import MANUALS
from tests.support.command_line import Cli


def unescaped(roff: str) -> str:
    return roff.replace(r"\-", "-").replace(r"\(aq", "'")


def test_it_has_each_command_with_its_options_and_examples(cli: Cli) -> None:
    page = unescaped(cli("help", "--man").out)
    assert re.findall(r"^\.SS (.*)$", page, flags=re.MULTILINE) == [command.name for command in all_commands()]
    for manual in MANUALS.values():
        for example in manual.examples:
            assert f".B {example.line}\n{example.about}" in page
    for option in ("--row-groups N-M", "--gateway [IP:PORT]", "--kind model|dataset|app", "-v, --verbose"):
        assert f".B {option}\n" in page
    assert re.findall(r"^\.SH (.*)$", page, flags=re.MULTILINE) == [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "COMMANDS",
        "OPTIONS OF EVERY COMMAND",
        "EXIT STATUS",
        "FILES",
    ]


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="there is no mandoc here")
def test_a_program_that_reads_such_pages_finds_nothing_wrong(cli: Cli) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "error"], input=cli("help", "--man").out, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")
