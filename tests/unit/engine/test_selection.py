"""What of a folder is junk is a rule that its user can see and change; a secret is published only if it is named."""

from __future__ import annotations

import pytest

from p2phub.engine.selection import IGNORE_FILE, Selection

JUNK = "junk (built-in rule)"
OWN = f"your rule ({IGNORE_FILE} or --ignore)"


@pytest.mark.parametrize("folder", [".git", ".hg", ".svn", ".cache", "__pycache__", ".ipynb_checkpoints"])
@pytest.mark.parametrize("above", ["", "sub/"])
def test_folders_that_programs_keep_beside_a_model_are_junk(folder: str, above: str) -> None:
    assert Selection().ignore(above + folder, True) == JUNK


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "a.partial", "a.incomplete", "a.tmp", "a~", IGNORE_FILE])
@pytest.mark.parametrize("above", ["", "sub/"])
def test_files_that_programs_leave_beside_a_model_are_junk(name: str, above: str) -> None:
    assert Selection().ignore(above + name, False) == JUNK


@pytest.mark.parametrize("path", ["git", "DS_Store", "partial.bin", ".gitattributes", "a.partial.bin", "cache/a"])
def test_what_is_called_alike_is_no_junk(path: str) -> None:
    assert Selection().ignore(path, False) is None


def test_the_folders_own_file_and_ignore_add_to_the_rule_and_are_named_as_the_reason() -> None:
    chosen = Selection(ignore_text="# drafts\n\n*.log\nraw/\n", ignore=["/optimizer.bin"])
    assert chosen.ignore("a/b.log", False) == OWN
    assert chosen.ignore("raw", True) == OWN
    assert chosen.ignore("raw", False) is None
    assert chosen.ignore("optimizer.bin", False) == OWN
    assert chosen.ignore("a/optimizer.bin", False) is None
    assert chosen.ignore("a.tmp", False) == JUNK


def test_the_last_pattern_that_matches_decides_so_that_the_folders_own_file_takes_junk_back() -> None:
    chosen = Selection(ignore_text="!*.tmp\n!.cache/\nold.tmp\n")
    assert chosen.ignore("weights.tmp", False) is None
    assert chosen.ignore(".cache", True) is None
    assert chosen.ignore("old.tmp", False) == OWN
    assert chosen.ignore(".DS_Store", False) == JUNK


def test_include_overrules_the_built_in_rule_and_the_users_own() -> None:
    chosen = Selection(ignore_text="*.log\n", include=["*.log", "kept.tmp"])
    assert chosen.ignore("a.log", False) is None
    assert chosen.ignore("kept.tmp", False) is None
    assert chosen.ignore("other.tmp", False) == JUNK


def test_a_file_in_the_folder_never_makes_a_secret_public() -> None:
    assert Selection(ignore_text="!.env\n!*.pem\n").secret(".env")


@pytest.mark.parametrize(
    "path",
    [".env", "a/.env.local", "SERVER.PEM", "keys/ID_RSA", ".git/config", "a/.git/logs/HEAD", ".ssh/config", ".Git/a"],
)
def test_what_looks_like_a_secret_is_one_wherever_it_stands_and_however_it_is_written(path: str) -> None:
    assert Selection().secret(path)
    assert not Selection(include=[path]).secret(path)


@pytest.mark.parametrize("path", ["config.json", "model.env.json", "git/config", "tokenizer.json", ".gitattributes"])
def test_what_models_have_is_no_secret(path: str) -> None:
    assert not Selection().secret(path)
