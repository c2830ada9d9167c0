"""`python -m simnet`: one line for a run, and for one that failed the words of the judge and how to see it again."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from simnet.__main__ import main
from simnet.bugs import PLANTS
from simnet.scene import scenarios


def test_a_good_run_is_one_line_and_rows_of_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["one_provider", "--seed", "0", "--csv", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("ok   one_provider seed 0: 1 of 1 fetches done")
    with (tmp_path / "summary.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["ok"], row["scenario"], row["done"]) == ("1", "one_provider", "1")
    with (tmp_path / "fetches.csv").open(encoding="utf-8") as file:
        (fetch,) = csv.DictReader(file)
    assert (fetch["node"], fetch["outcome"]) == ("bob", "done")


def test_a_failed_run_says_what_was_broken_and_how_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["one_provider", "--seed", "1", "--bug", "report-before-the-write"]) == 1
    said = capsys.readouterr().out
    assert "FAIL one_provider seed 1" in said
    assert "counts chunk 0 as verified, but nothing is on its disk" in said
    assert "replay: python -m simnet one_provider --seed 1 --bug report-before-the-write\n" in said


def test_what_there_is_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in [*scenarios(), *PLANTS])
    assert main(["no_such_scenario"]) == 2
