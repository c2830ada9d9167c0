"""What holds for tests of real clients: the clients are there; and what most of them are about."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.hf_client import older_clients
from tests.support.processes import Scene
from tests.support.real_repository import add_real_repository
from tests.support.static_hub import StaticHub

CLIENTS = ("datasets", "duckdb", "fsspec", "huggingface_hub", "pandas", "tokenizers", "transformers", "safetensors")


@pytest.fixture(scope="session", autouse=True)
def _clients_are_installed() -> None:
    missing = [name for name in CLIENTS if find_spec(name) is None]
    assert not missing, f"{', '.join(missing)} not installed: `make test-hf` sets them up"


@pytest.fixture
def hub() -> Iterator[StaticHub]:
    with StaticHub() as hub:
        add_real_repository(hub)
        yield hub


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path / "scene") as scene:
        yield scene


@pytest.fixture(scope="module", params=["newest", "older"])
def interpreter(request: pytest.FixtureRequest) -> str:
    """Of the clients: the newest ones, and an older huggingface_hub."""
    if request.param == "newest":
        return sys.executable
    older = older_clients()
    if older is None:
        pytest.skip("nobody made an environment with an older huggingface_hub: `make test-hf` does")
    return older
