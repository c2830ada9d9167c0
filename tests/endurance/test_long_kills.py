"""Twenty kills at random moments of a fetch of one gibibyte, and the disk that two gibibytes take."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.chaos import fetch_through_kills, fetched_twice
from tests.support.covers import covers
from tests.support.models import disk_of, make_safetensors_folder, tree_digest
from tests.support.processes import Scene

pytestmark = pytest.mark.endurance


@covers("F01")
def test_twenty_kills_of_a_gibibyte_cost_at_most_64_mib_each(tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 1 << 30, files=4)
    with Scene(tmp_path / "scene") as scene:
        provider = scene.node("publisher")
        published = scene.publish("publisher", source, name="model")
        cuts, _ = fetch_through_kills(
            scene, provider, published["reference"], tmp_path / "out", kills=20, longest_s=0.12, seed=20
        )
    twice = fetched_twice(cuts)
    print(f"held at each start: {[cut.held >> 20 for cut in cuts]} MiB; fetched twice: {[n >> 10 for n in twice]} KiB")
    assert tree_digest(tmp_path / "out") == tree_digest(source)
    assert max(twice) <= 64 << 20
    shutil.rmtree(tmp_path)


def test_publishing_takes_under_a_hundredth_of_the_disk_and_fetching_one_copy(tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 2 << 30, files=4)
    size = disk_of(source)
    with Scene(tmp_path / "scene") as scene:
        provider = scene.node("publisher")
        published = scene.publish("publisher", source, name="model")
        homes = disk_of(tmp_path / "scene")
        fetcher = scene.start_fetch(
            "fetcher", published["reference"], tmp_path / "out", arguments=["--provider", provider.address]
        )
        fetcher.wait_for("done", timeout_s=300)
        assert fetcher.finish(timeout_s=30) == 0
        extra = disk_of(tmp_path / "scene") - homes
    print(f"content {size >> 20} MiB; homes after publishing {homes >> 10} KiB, after fetching {extra >> 10} KiB more")
    assert homes < size / 100
    assert disk_of(tmp_path / "out") + extra < size * 1.01
    shutil.rmtree(tmp_path)
