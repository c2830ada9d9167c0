"""What was published for some does not reach others through those who may have it; --no-serve lasts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.covers import covers
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Event, Scene


def outcome(scene: Scene, title: str, reference: str, into: Path, *arguments: str) -> Event:
    """Fetch on the node `title`; return its `done` or `failed` event."""
    process = scene.start_fetch(title, reference, into, arguments=arguments)
    last = list(process.until("done", "failed", timeout_s=120))[-1]
    process.finish(timeout_s=30)
    return last


@covers("T58")
@pytest.mark.parametrize("by", ["ticket", "reference"])
def test_who_may_have_a_private_model_does_not_pass_it_on(tmp_path: Path, by: str) -> None:
    model = make_safetensors_folder(tmp_path / "model", 300_000)
    with Scene(tmp_path / "scene") as scene:
        publisher = scene.node("publisher")
        friend = scene.node("friend", bootstrap=[publisher.address])
        published = scene.publish("publisher", model, name="secret", arguments=["--private", "--allow", friend.peer_id])
        wanted = published[by]
        fetched = outcome(scene, "friend", wanted, tmp_path / "friend-copy", "--provider", publisher.address)
        assert fetched["event"] == "done"
        assert tree_digest(tmp_path / "friend-copy") == tree_digest(model)

        for provider in (publisher, friend):
            for name in (published["manifest"], published["reference"]):
                refused = outcome(
                    scene, "stranger", name, tmp_path / "stolen", "--provider", provider.address,
                    "--bootstrap", friend.address,
                )  # fmt: skip
                assert refused["event"] == "failed"
                assert refused["code"] in (3, 7)
        assert not (tmp_path / "stolen").exists()
        status = scene.start("friend", "ls")
        (listed,) = status.wait_for("ls", timeout_s=30)["items"]
        assert listed["announced_to"] is None


def test_no_serve_holds_after_a_restart(tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 300_000)
    with Scene(tmp_path / "scene") as scene:
        publisher = scene.node("publisher")
        published = scene.publish("publisher", model, name="open")
        kept = outcome(
            scene, "keeper", published["reference"], tmp_path / "kept", "--provider", publisher.address, "--no-serve"
        )
        given = outcome(scene, "giver", published["reference"], tmp_path / "given", "--provider", publisher.address)
        assert (kept["event"], given["event"]) == ("done", "done")
        publisher.stop()

        keeper, giver = scene.node("keeper"), scene.node("giver")
        refused = outcome(scene, "other", published["manifest"], tmp_path / "no", "--provider", keeper.address)
        assert (refused["event"], refused["code"]) == ("failed", 7)
        served = outcome(scene, "other", published["manifest"], tmp_path / "yes", "--provider", giver.address)
        assert served["event"] == "done"
