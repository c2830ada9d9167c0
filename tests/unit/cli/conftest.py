"""A command line whose hub only plays."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub import api
from p2phub.cli.main import main
from tests.support.command_line import Cli, FakeHub, Said


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeHub:
    fake = FakeHub()
    monkeypatch.setattr(api, "open_hub", fake.open)
    monkeypatch.setattr(api, "run_node", fake.run_node)
    monkeypatch.setenv("P2PHUB_HOME", str(tmp_path / "home"))  # Whose settings `node` reads; not the user's own.
    return fake


@pytest.fixture
def cli(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*words: str) -> Said:
        code = main(words)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call
