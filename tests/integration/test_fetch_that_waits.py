"""`p2phub fetch --wait`: nobody who has it is there when it begins, and it is done once somebody is."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.covers import covers
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Process, Scene

END_S = 120


def published(scene: Scene, source: Path) -> tuple[dict[str, str], str]:
    """Return what was published, and where its node was, which is gone."""
    node = scene.node("publisher")
    told = scene.publish("publisher", source, name="model")
    node.stop()
    return told, node.address


def fetch(scene: Scene, what: str, address: str, into: Path, *, wait: str) -> Process:
    return scene.start_fetch("fetcher", what, into, arguments=["--provider", address, "--wait", wait])


@covers("F12")
@pytest.mark.parametrize(("what", "daemon"), [("reference", False), ("manifest", True)])
def test_a_fetch_that_waits_is_done_when_a_provider_comes(what: str, daemon: bool, tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 1_000_000)
    with Scene(tmp_path / "scene") as scene:
        told, address = published(scene, source)
        if daemon:
            scene.node("fetcher")
        fetcher = fetch(scene, told[what], address, tmp_path / "out", wait="1h")
        waiting = fetcher.wait_for("waiting", timeout_s=END_S)
        assert "gives up in" in waiting["next"]
        back = scene.start("publisher", "node", "--listen", f"127.0.0.1:{address.split('/')[4]}", "--no-lan")
        back.wait_for("ready", timeout_s=END_S)
        fetcher.wait_for("done", timeout_s=END_S)
        assert fetcher.finish(timeout_s=END_S) == 0
    assert tree_digest(tmp_path / "out") == tree_digest(source)


@covers("F12")
def test_a_fetch_that_waits_in_vain_says_for_how_long_it_did(tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 1_000_000)
    with Scene(tmp_path / "scene") as scene:
        told, address = published(scene, source)
        fetcher = fetch(scene, told["manifest"], address, tmp_path / "out", wait="1s")
        failed = fetcher.wait_for("failed", timeout_s=END_S)
        assert fetcher.finish(timeout_s=END_S) == 7
    assert "; waited " in failed["message"]
    assert "--wait" in failed["hint"]


@covers("F12", "F30")
def test_a_signal_ends_a_wait(tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 1_000_000)
    with Scene(tmp_path / "scene") as scene:
        told, address = published(scene, source)
        fetcher = fetch(scene, told["reference"], address, tmp_path / "out", wait="forever")
        assert "never gives up" in fetcher.wait_for("waiting", timeout_s=END_S)["next"]
        fetcher.popen.send_signal(signal.SIGINT)
        assert fetcher.finish(timeout_s=END_S) == 130
