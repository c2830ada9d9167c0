"""The unchanged client, through a gateway whose upstream hub has what nothing there is called; and then without it."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from tests.support.folders import bytes_below
from tests.support.hf_client import HfClient, older_clients
from tests.support.processes import Scene
from tests.support.static_hub import StaticHub

pytestmark = pytest.mark.clients

NAME = "acme/mini"
BIG = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(1 << 20))  # 32 MiB
FILES = {
    "model.safetensors": BIG,
    "config.json": b'{"model_type": "bert"}',
    "sub/notes.md": b"# Notes",
    "empty.txt": b"",
}


def snapshot(user: HfClient, commit: str) -> Path:
    return user.cache / f"models--{NAME.replace('/', '--')}" / "snapshots" / commit


@pytest.mark.parametrize("interpreter", [sys.executable, older_clients()], ids=["newest", "older"])
def test_a_download_comes_from_the_hub_once_and_then_without_it(
    scene: Scene, tmp_path: Path, interpreter: str | None
) -> None:
    if interpreter is None:
        pytest.skip("there is no environment with older clients: `make test-hf` makes one")
    with StaticHub() as hub:
        commit = hub.add(NAME, FILES)
        node = scene.node("ann", "--gateway", "127.0.0.1:0", "--upstream", hub.url)
        user = HfClient(tmp_path / "user", node.ready["gateway"], interpreter=interpreter)
        user.hf("download", NAME)
        assert bytes_below(snapshot(user, commit)) == FILES
        part = "print(json.dumps(huggingface_hub.HfFileSystem().read_block("
        part += f"'{NAME}@{commit}/model.safetensors', 20_000_000, 64).hex()))"
        assert user.python(part) == BIG[20_000_000:20_000_064].hex()
        asked = [path for method, path in hub.asked if path.endswith("model.safetensors")]
        assert len(asked) == 1
        node.stop()
    node = scene.node("ann", "--gateway", "127.0.0.1:0", "--upstream", hub.url)
    other = HfClient(tmp_path / "other", node.ready["gateway"], interpreter=interpreter)
    other.hf("download", NAME)
    assert bytes_below(snapshot(other, commit)) == FILES
