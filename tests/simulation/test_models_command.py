"""`python -m simnet.models`: figures in words, as CSV and as a plot; what cannot be modelled is said at once."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from simnet.models.command import main

SMALL = {
    "crowd_arrays": ["crowd", "--nodes", "50"],
    "crowd_events": ["crowd", "--level", "events", "--nodes", "2", "--pieces", "8"],
    "dht_arrays": ["dht", "--nodes", "500", "--keys", "1000", "--searches", "500"],
    "dht_events": ["dht", "--level", "events", "--nodes", "60", "--keys", "2", "--searches", "5", "--hours", "1"],
}


@pytest.mark.parametrize("name", SMALL)
def test_a_model_prints_its_figures_and_writes_them(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL[name], "--seed", "3", "--csv", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    with (tmp_path / f"{name}.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["seed"] == "3"
    assert all(key in said and value in said for key, value in row.items())
    with (tmp_path / f"{name}_rows.csv").open(encoding="utf-8") as file:
        assert list(csv.DictReader(file))


def test_a_program_is_told_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL["crowd_arrays"], "--json", "--csv", str(tmp_path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["requesters"] == 50
    assert told["of the bound"] == told["bound"] / told["last done"]


def test_a_plot_is_drawn_when_asked_for(tmp_path: Path) -> None:
    assert main([*SMALL["crowd_arrays"], "--csv", str(tmp_path), "--plot"]) == 0
    assert (tmp_path / "crowd_arrays.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["crowd", "--pieces", "65"], "64 at most"),
        (["dht", "--nodes", "19"], "at least the 20"),
        (["dht", "--nodes", "0"], "at least 1"),
        (["crowd", "--level", "events", "--rate", "0"], "more than 0"),
        (["crowd", "--level", "events", "--rate", "nan"], "more than 0"),
    ],
)
def test_what_cannot_be_modelled_is_said_at_once(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
