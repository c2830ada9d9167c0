"""What most tests of several processes begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A folder and the processes that play in it, which end with the test."""
    with Scene(tmp_path / "scene") as scene:
        yield scene
