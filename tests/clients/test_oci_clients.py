"""Unchanged clients of OCI registries pull a model through a node's gateway: oras, ModelPack's, skopeo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.folders import bytes_below
from tests.support.gguf_bytes import gguf_bytes
from tests.support.processes import Scene

pytestmark = pytest.mark.clients

END_S = 120.0
FILES = {
    "README.md": b"# mini",
    "config.json": b"{}",
    "copy.json": b"{}",
    "data/a b+c#d \u00fc.txt": b"odd",
    "empty.txt": b"",
    "m-Q4_K_M.gguf": gguf_bytes(60_000),
    "m-Q8_0.gguf": gguf_bytes(80),
    "template": b"{{ .Prompt }}",
}
ORAS_PULL = """
import sys
from oras.client import OrasClient
host, name, into, *password = sys.argv[1:]
client = OrasClient(insecure=True, auth_backend="basic" if password else "token")
if password:
    client.login(hostname=host, username="me", password=password[0], tls_verify=False, config_path=into + ".json")
client.pull(target=f"{host}/{name}", outdir=into)
"""


@pytest.fixture(scope="module", autouse=True)
def _clients_are_installed() -> None:
    missing = [name for name in ("oras", "modelpack_client") if find_spec(name) is None]
    assert not missing, f"{', '.join(missing)} not installed: `make test-hf` sets them up"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Ann's node has the model; her gateway takes a token. Bob's home holds nothing, and calls it Acme/Mini."""
    folder = tmp_path_factory.mktemp("model")
    for path, content in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    with Scene(tmp_path_factory.mktemp("scene") / "scene") as scene:
        reference = scene.publish("ann", folder, name="mini")["reference"]
        assert scene.start("bob", "name", "add", "Acme/Mini", reference).finish(timeout_s=END_S) == 0
        yield scene


@pytest.fixture(scope="module")
def ann(scene: Scene) -> tuple[str, str, str]:
    """Return where to dial her, the host of her gateway, and its token."""
    node = scene.node("ann", "--gateway", "0.0.0.0:0")
    token = scene.gateway_token("ann")
    return node.address, node.ready["gateway"].replace("http://0.0.0.0", "127.0.0.1"), token


@pytest.fixture(scope="module")
def host(scene: Scene, ann: tuple[str, str, str]) -> str:
    """The host of Bob's gateway."""
    node = scene.node("bob", "--gateway", "127.0.0.1:0", "--bootstrap", ann[0])
    return str(node.ready["gateway"]).removeprefix("http://")


def run(home: Path, *command: str | Path) -> str:
    """Run a client whose home is empty. Returns what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=END_S, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_oras_pulls_a_model_as_its_files(host: str, tmp_path: Path) -> None:
    run(tmp_path, sys.executable, "-c", ORAS_PULL, host, "acme/mini:latest", tmp_path / "pulled")
    assert bytes_below(tmp_path / "pulled") == FILES


def test_oras_pulls_one_quantisation(host: str, tmp_path: Path) -> None:
    run(tmp_path, sys.executable, "-c", ORAS_PULL, host, "acme/mini:Q8_0", tmp_path / "pulled")
    assert bytes_below(tmp_path / "pulled") == {path: FILES[path] for path in FILES if path != "m-Q4_K_M.gguf"}


def test_oras_that_was_logged_in_with_the_token_pulls_beyond_loopback(
    ann: tuple[str, str, str], tmp_path: Path
) -> None:
    _, at, token = ann
    run(tmp_path, sys.executable, "-c", ORAS_PULL, at, "mini:latest", tmp_path / "pulled", token)
    assert bytes_below(tmp_path / "pulled") == FILES


def test_modelpacks_own_client_takes_it_for_a_valid_artifact(host: str, tmp_path: Path) -> None:
    pull = ("--insecure", "pull", f"{host}/acme/mini:latest", tmp_path / "pulled")
    run(tmp_path, sys.executable, "-m", "modelpack_client", *pull)
    assert bytes_below(tmp_path / "pulled") == FILES


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is no Python package: apt-get install skopeo")
def test_skopeo_lists_and_copies_it(host: str, tmp_path: Path) -> None:
    assert "Q4_K_M" in run(tmp_path, "skopeo", "list-tags", "--tls-verify=false", f"docker://{host}/acme/mini")
    copy = ("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", f"docker://{host}/acme/mini:latest")
    run(tmp_path, *copy, f"oci:{tmp_path / 'layout'}:mini")
    blobs = list((tmp_path / "layout" / "blobs" / "sha256").iterdir())
    assert {place.read_bytes() for place in blobs} >= set(FILES.values())
