"""kill -9 of a fetch, then the same command again: nothing verified is lost, and the copy is right."""

from __future__ import annotations

from pathlib import Path

from tests.support.chaos import fetch_through_kills, fetched_twice, start
from tests.support.covers import covers
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Scene

TWICE_MAX = 64 << 20


@covers("F01")
def test_a_killed_fetch_resumes_where_it_was(tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 200_000_000, files=3)
    with Scene(tmp_path / "scene") as scene:
        provider = scene.node("publisher")
        published = scene.publish("publisher", source, name="model")
        cuts, _ = fetch_through_kills(
            scene, provider, published["reference"], tmp_path / "out", kills=4, longest_s=0.3, seed=1
        )
    assert tree_digest(tmp_path / "out") == tree_digest(source)
    assert max(fetched_twice(cuts)) <= TWICE_MAX
    held = [cut.held for cut in cuts]
    assert held == sorted(held)


@covers("F11", "F12")
def test_a_fetch_goes_on_when_its_only_provider_was_killed_and_comes_back(tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 300_000_000, files=3)
    with Scene(tmp_path / "scene") as scene:
        provider = scene.node("publisher")
        port = provider.address.split("/")[4]
        published = scene.publish("publisher", source, name="model")
        fetcher = start(scene, provider, published["reference"], tmp_path / "out")
        fetcher.wait_for("started", timeout_s=60)
        provider.kill()
        again = scene.start("publisher", "node", "--listen", f"127.0.0.1:{port}", "--no-lan")
        again.wait_for("ready", timeout_s=60)
        fetcher.wait_for("done", timeout_s=120)
        assert fetcher.finish(timeout_s=30) == 0
    assert tree_digest(tmp_path / "out") == tree_digest(source)
