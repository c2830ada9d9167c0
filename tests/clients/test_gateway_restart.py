"""The daemon is killed in the middle of an unchanged client's download, and started again: the client finishes.

What a client does with a connection that ends, and one that is refused: it waits a second and asks for the rest, five
times in a row at most (huggingface_hub 2.4, `http_get`). So the port has to stand again within some seconds; from then
on a client waits, since the port is the first thing that a node opens.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from p2phub.identity import parse_peer_address
from p2phub.manifest import Ticket, encode_ticket, parse_ticket
from tests.support.folders import paths_below
from tests.support.gate import Gate, gate
from tests.support.hf_client import ClientFailed, HfClient
from tests.support.processes import Node, Scene

pytestmark = pytest.mark.clients

NAME = "acme/big"
BIG = b"".join(
    hashlib.sha256(bytes([number & 255, number >> 8])).digest() * 2048 for number in range(32 * 16)
)  # 32 MiB
FILES = {
    "model-1.safetensors": BIG,
    "model-2.safetensors": BIG[::-1],
    "config.json": b'{"model_type": "bert"}',
    "sub/notes.md": b"# Notes",
    "empty.txt": b"",
}
HELD_BYTES = 12 << 20
END_S = 120.0


class Download(threading.Thread):
    """`hf download` with these words, while the test does other things. `error`: how it failed."""

    def __init__(self, user: HfClient, *words: str) -> None:
        super().__init__(daemon=True)
        self._user, self._words = user, words
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._user.hf("download", *self._words)
        except ClientFailed as error:
            self.error = error

    def end(self) -> None:
        self.join(END_S)
        assert not self.is_alive()


@pytest.fixture
def provider(scene: Scene, tmp_path: Path) -> Iterator[tuple[Gate, str]]:
    """Ann has the model, and a gate before her holds what is behind its first bytes; with a ticket that leads there."""
    folder = tmp_path / "model"
    for path, content in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    manifest = parse_ticket(scene.publish("ann", folder, name="big")["ticket"]).manifest
    ann = scene.node("ann")
    with gate(parse_peer_address(ann.address), bytes_max=HELD_BYTES) as before_ann:
        yield before_ann, encode_ticket(Ticket(manifest, None, (parse_peer_address(before_ann.address),)), private=True)


@contextmanager
def downloading(scene: Scene, provider: tuple[Gate, str], user: HfClient, *words: str) -> Iterator[Download]:
    """Yield a download whose source sends nothing more; at the end of the block it sends again."""
    download = Download(user, *words)
    download.start()
    assert provider[0].shut.wait(END_S), scene.logs()
    yield download
    provider[0].open()


@pytest.fixture
def bob(scene: Scene, provider: tuple[Gate, str]) -> Node:
    assert scene.start("bob", "name", "add", NAME, provider[1]).finish(timeout_s=END_S) == 0
    return scene.node("bob", "--gateway", "127.0.0.1:0")


@pytest.fixture
def user(bob: Node, interpreter: str, tmp_path: Path) -> HfClient:
    return HfClient(tmp_path / "hf", bob.ready["gateway"], interpreter=interpreter)


def again(scene: Scene, bob: Node) -> Node:
    """Start Bob's node at the port that it had."""
    return scene.node("bob", "--gateway", urlsplit(bob.ready["gateway"]).netloc)


def downloaded(folder: Path) -> dict[str, bytes]:
    return {path: file.read_bytes() for path, file in paths_below(folder).items() if not path.startswith(".cache/")}


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        pytest.param((), tuple(FILES), id="the whole repository"),
        pytest.param(("model-1.safetensors",), ("model-1.safetensors",), id="one file"),
    ],
)
def test_a_client_finishes_though_the_daemon_was_killed_and_started_again(
    scene: Scene,
    provider: tuple[Gate, str],
    bob: Node,
    user: HfClient,
    tmp_path: Path,
    words: tuple[str, ...],
    paths: tuple[str, ...],
) -> None:
    with downloading(scene, provider, user, NAME, *words, "--local-dir", str(tmp_path / "here")) as download:
        bob.kill()
        again(scene, bob)
    download.end()
    assert download.error is None, f"{download.error}\n{scene.logs()}"
    assert downloaded(tmp_path / "here") == {path: FILES[path] for path in paths}


def test_a_client_that_gave_up_is_served_once_the_daemon_is_back(
    scene: Scene, provider: tuple[Gate, str], bob: Node, user: HfClient, tmp_path: Path
) -> None:
    words = (NAME, "model-1.safetensors", "--local-dir", str(tmp_path / "here"))
    with downloading(scene, provider, user, *words) as download:
        bob.kill()
        download.end()
    assert isinstance(download.error, ClientFailed)
    again(scene, bob)
    user.hf("download", *words)
    assert downloaded(tmp_path / "here") == {"model-1.safetensors": BIG}
