"""A node without a network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.verbs import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "home")
    yield made
    made.real_store.close()
    made.real_ledger.close()


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have the sockets of this test's nodes in a folder with a short path: that of a socket may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="p2p") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)
