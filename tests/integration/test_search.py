"""`p2phub search` with a running node and without one: the same answers, by whoever changed what is held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.support.processes import Scene

END_S = 60.0


def search(scene: Scene, home: str, *words: str) -> list[dict[str, Any]]:
    """Search until all is looked through that is known there: a node that has just begun says that it is not yet."""
    while True:
        found = scene.start(home, "search", *words)
        assert found.finish(timeout_s=END_S) == 0
        (event,) = found.events
        if event["complete"]:
            return list(event["items"])


def test_a_node_finds_what_it_published_and_what_it_looked_up_and_so_does_a_command_alone(
    scene: Scene, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.gguf").write_bytes(os.urandom(1000))
    ann = scene.node("ann")
    reference = scene.publish("ann", model, name="tiny-llama3")["reference"]
    assert [item["ref"] for item in search(scene, "ann", "llama", "gguf")] == [reference]

    fetch = scene.start("bob", "fetch", reference, "--into", tmp_path / "into", "--provider", ann.address)
    assert fetch.finish(timeout_s=END_S) == 0
    (item,) = search(scene, "bob", "tiny")
    assert (item["ref"], item["name"], item["origin"]) == (reference, reference, "fetched")
    assert search(scene, "cyd", "tiny") == []
