"""Names of the user's own, and keys: given out for their owner alone, and taken in with care."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from p2phub.errors import Malformed
from tests.support.command_line import (
    PEER,
    RESULTS,
    Cli,
    FakeHub,
)
from tests.support.covers import covers


def test_names_are_added_and_forgotten(cli: Cli, hub: FakeHub) -> None:
    assert cli("name", "add", "alice", PEER).code == 0
    assert cli("name", "rm", "alice", "--json").last == {"event": "name", "action": "rm", "alias": "alice"}
    assert [(verb, words) for verb, words, _ in hub.calls] == [
        ("name_add", ("alice", PEER)),
        ("name_remove", ("alice",)),
    ]


@covers("T47")
def test_an_exported_key_is_for_its_owner_alone_and_never_written_over_a_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    assert cli("key", "export", str(file)).code == 0
    assert file.read_bytes() == RESULTS["key_export"]
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    file.write_bytes(b"mine")
    said = cli("key", "export", str(file), "--json")
    assert (said.code, said.last["code"]) == (6, 6)
    assert file.read_bytes() == b"mine"


def test_an_exported_key_goes_to_stdout_where_no_file_is_named(cli: Cli) -> None:
    assert cli("key", "export").out.encode() == RESULTS["key_export"]
    assert cli("key", "export", "-", "--json").last["pem"].encode() == RESULTS["key_export"]


def test_a_key_is_imported_from_a_file_of_sane_length(cli: Cli, hub: FakeHub, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(b"pem")
    assert cli("key", "import", str(file)).code == 0
    assert hub.calls == [("key_import", (b"pem",), {})]
    file.write_bytes(b"x" * 5000)
    assert cli("key", "import", str(file)).code == 2
    assert cli("key", "import", str(tmp_path / "none")).code == 6
    assert cli("key", "import").code == 2
    assert len(hub.calls) == 1


@pytest.mark.parametrize("words", [["import", "/nowhere/key.pem"], ["export", "/nowhere/key.pem"]], ids=" ".join)
def test_a_key_file_that_cannot_be_used_is_told_with_what_to_do(words: list[str], cli: Cli) -> None:
    failed = cli("--json", "key", *words).last
    assert failed["code"] == 6
    assert "p2phub key export FILE" in failed["hint"]


def test_a_file_that_is_no_key_is_named_with_what_to_do(cli: Cli, hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no key")
    hub.error = Malformed("key-file", "not a PEM file with one PRIVATE KEY")
    failed = cli("--json", "key", "import", str(tmp_path / "notes.txt")).last
    assert failed["code"] == 5
    assert str(tmp_path / "notes.txt") in failed["message"]
    assert "p2phub key export FILE" in failed["hint"]
