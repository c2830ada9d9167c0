"""A daemon that is stopped and started again goes on where it was."""

from __future__ import annotations

from pathlib import Path

from tests.support.models import make_safetensors_folder
from tests.support.processes import Scene


def test_a_daemon_that_is_started_again_finds_the_network_without_a_bootstrap(scene: Scene, tmp_path: Path) -> None:
    there = scene.node("there")
    node = scene.node("home", bootstrap=[there.address])
    first = scene.publish("home", make_safetensors_folder(tmp_path / "first", 100_000, seed=1), name="first")
    scene.wait_announced("home", first["manifest"])
    assert node.stop() == 0
    scene.node("home")
    second = scene.publish("home", make_safetensors_folder(tmp_path / "second", 100_000, seed=2), name="second")
    scene.wait_announced("home", second["manifest"], timeout_s=60)
