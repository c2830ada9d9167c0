"""The real model as a repository of a hub: what the hub has beside weights, and names that are easily got wrong."""

from __future__ import annotations

from pathlib import Path

from tests.support.folders import paths_below
from tests.support.real_model import real_model
from tests.support.static_hub import StaticHub

NAME = "acme/all-MiniLM-L6-v2"

CACHE_FOLDER = "models--acme--all-MiniLM-L6-v2"
"""Where it stands in a client's cache."""

ODD_FILES = {
    "empty.txt": b"",
    "a name with spaces.txt": b"spaces\n",
    "c++ notes.md": b"a plus is no space\n",
    "issue #1.txt": b"a number sign starts no fragment\n",
    "100%25.txt": b"a percent sign starts no escape\n",
    "Übersicht – 概要.md": "not ASCII: é\n".encode(),
    "onnx/quantized/config.json": b'{"nested": true}\n',
    "onnx/quantized/copy of config.json": b'{"nested": true}\n',
}
"""Names that are easily got wrong, an empty file, folders, and two files of one content."""


def add_real_repository(hub: StaticHub) -> str:
    """Have `hub` serve it as NAME; return its commit. The weights are got the first time (real_model)."""
    sources: dict[str, bytes | Path] = {**paths_below(real_model()), **ODD_FILES}
    return hub.add(NAME, sources)
