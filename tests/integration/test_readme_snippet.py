"""The README's Python snippet does what it says, run as it stands there: only its placeholders are filled in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.support.house import ROOT
from tests.support.models import tree_digest
from tests.support.processes import Node, Scene

REFERENCE = "12D3Koo…/minilm"
BOOTSTRAP = "/ip4/192.0.2.7/tcp/4717/p2p/12D3Koo…"
TENSOR = "embeddings.LayerNorm.weight"
LINES_MAX = 13


@dataclass
class Library:
    """A program that uses the library, beside a node that serves `source`, published as `reference`."""

    node: Node
    source: Path
    reference: str
    ticket: str

    def run(self, program: str, here: Path) -> subprocess.CompletedProcess[str]:
        """Run a Python program in the folder `here`, with a home of its own and no network but loopback."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("P2PHUB_")}
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=here,
            env=kept | {"PYTHONPATH": str(ROOT), "P2PHUB_HOME": str(here / "home"), "P2PHUB_NO_LAN": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("library")
    source = folder / "minilm"
    source.mkdir()
    values = np.arange(3_000_000, dtype=np.float32)
    save_file({TENSOR: values[:384] / 7, "embeddings.word_embeddings.weight": values}, source / "model.safetensors")
    (source / "config.json").write_text('{"model_type": "bert"}')
    with Scene(folder / "scene") as scene:
        node = scene.node("publisher")
        published = scene.publish("publisher", source, name="minilm")
        yield Library(node, source, published["reference"], published["ticket"])


def snippet() -> str:
    """Return the one Python block of the README."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.M)
    assert len(blocks) == 1
    return str(blocks[0])


def filled(text: str, replacements: dict[str, str]) -> str:
    for placeholder, value in replacements.items():
        assert text.count(placeholder) == 1, f"the README has another placeholder than {placeholder}"
        text = text.replace(placeholder, value)
    assert "…" not in text
    return text


def test_the_readme_shows_the_library_in_about_ten_lines() -> None:
    assert len([line for line in snippet().splitlines() if line.strip()]) <= LINES_MAX


def test_the_readme_snippet_fetches_a_model_whose_tensor_equals_the_source(library: Library, tmp_path: Path) -> None:
    ran = library.run(filled(snippet(), {REFERENCE: library.reference, BOOTSTRAP: library.node.address}), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert tree_digest(tmp_path / "minilm") == tree_digest(library.source)
    said, tensor = ran.stdout.splitlines()
    whole = sum(path.stat().st_size for path in library.source.iterdir())
    moved = re.fullmatch(r"(\d+) bytes from 1 peers in (\d+\.?\d*) s", said)
    assert moved is not None, said
    assert whole <= int(moved[1]) < whole * 1.02
    assert tensor == str(np.arange(4, dtype=np.float32) / 7)


def test_a_fetch_by_ticket_loads_no_libp2p_nor_what_finds_neighbours(library: Library, tmp_path: Path) -> None:
    program = f"""
import p2phub, sys
done = p2phub.fetch({library.ticket!r}, into="minilm")
print(done.bytes_received, *(name for name in ("libp2p", "zeroconf", "multiaddr", "asyncio") if name in sys.modules))
"""
    ran = library.run(program, tmp_path)
    assert ran.returncode == 0, ran.stderr
    moved, *loaded = ran.stdout.split()
    assert int(moved) > 12_000_000
    assert not loaded
    assert tree_digest(tmp_path / "minilm") == tree_digest(library.source)


def test_the_blocking_verbs_publish_list_and_verify(library: Library, tmp_path: Path) -> None:
    source = tmp_path / "model"
    shutil.copytree(library.source, source)
    program = f"""
import p2phub
source = {str(source)!r}
published = p2phub.publish(source, name="mine", watch=lambda event: None)
[held] = p2phub.ls()
assert held["references"] == [published.reference] and held["bytes"] == published.bytes
assert p2phub.info(published.reference)["manifest"] == published.manifest
assert p2phub.verify(published.reference)["damaged"] == []
with open(source + "/config.json", "a") as file:
    file.write(" ")
[damage] = p2phub.verify(published.reference)["damaged"]
assert damage["path"] == "config.json"
for ref, kind in (("nobody", p2phub.NotFound), ("no reference at all", p2phub.UsageError)):
    try:
        p2phub.info(ref)
    except kind as error:
        assert error.message and error.hint and error.code == kind.code
    else:
        raise SystemExit("no error for " + ref)
"""
    ran = library.run(program, tmp_path)
    assert ran.returncode == 0, ran.stderr
