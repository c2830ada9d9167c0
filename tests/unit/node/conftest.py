"""A node without a network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.verbs import Scene


@contextmanager
def scene_at(home: Path) -> Iterator[Scene]:
    made = Scene(home)
    yield made
    made.real_store.close()
    made.real_ledger.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with scene_at(tmp_path / "home") as made:
        yield made


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Scene]:
    """Another home on this machine."""
    with scene_at(tmp_path / "reader") as made:
        yield made


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have the sockets of this test's nodes in a folder with a short path: that of a socket may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="p2p") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)
