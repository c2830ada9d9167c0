"""ruff, mypy and import-linter agree with the code, as configured in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house import ROOT

CHECKS = {
    "ruff finds nothing": [sys.executable, "-m", "ruff", "check", "."],
    "code is written as ruff has it": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "mypy finds nothing": [sys.executable, "-m", "mypy"],
    "import-linter finds nothing": [str(Path(sys.executable).parent / "lint-imports")],
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_tools_find_nothing(check: str) -> None:
    ran = subprocess.run(CHECKS[check], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"\n{ran.stdout}{ran.stderr}"
