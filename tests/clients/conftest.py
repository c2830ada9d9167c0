"""What holds for tests of real clients: the clients are there."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

CLIENTS = ("huggingface_hub", "tokenizers", "transformers", "safetensors")


@pytest.fixture(scope="session", autouse=True)
def _clients_are_installed() -> None:
    missing = [name for name in CLIENTS if find_spec(name) is None]
    assert not missing, f"{', '.join(missing)} not installed: `make test-hf` sets them up"
