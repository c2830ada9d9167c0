"""What this disk has already is not fetched, and who has a file under another manifest is a provider of it, too.

Real processes; how many bytes crossed the wire says what each fetch was told by its events.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.relay import CountingRelay
from p2phub import limits
from tests.support.models import tree_digest
from tests.support.processes import Event, Process, Scene

FETCH_S = 120.0
MIB = 1 << 20


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path / "scene", verbose=True) as made:
        yield made


def fetched(process: Process) -> Event:
    done = process.wait_for("done", timeout_s=FETCH_S)
    assert process.finish(timeout_s=30) == 0, process.tail()
    return done


class Model:
    """A sharded model, as trainers write them: 96 tensors of 400 kB, and the index that says where each is."""

    def __init__(self) -> None:
        chance = np.random.default_rng(11)
        self.tensors = {
            f"layers.{number:02}.weight": chance.standard_normal((1000, 100), dtype=np.float32) for number in range(96)
        }

    def write(self, folder: Path, *, shards: int, name: str = "model-{:05}.safetensors") -> Path:
        (folder / name).parent.mkdir(parents=True)
        names = sorted(self.tensors)
        step = -(-len(names) // shards)
        where: dict[str, str] = {}
        for shard in range(shards):
            part = names[shard * step : (shard + 1) * step]
            file = name.format(shard + 1)
            save_file({key: self.tensors[key] for key in part}, folder / file)
            where |= dict.fromkeys(part, file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
        (folder / "config.json").write_text("{}")
        return folder

    def tuned(self) -> Model:
        """Return the model with one tensor in a hundred changed: one of 96, in its middle."""
        other = Model.__new__(Model)
        other.tensors = {key: value.copy() for key, value in self.tensors.items()}
        other.tensors["layers.48.weight"] += 1
        return other


class Wire:
    """A publisher, and a reader that reaches it by way of a relay that counts."""

    def __init__(self, scene: Scene, tmp_path: Path) -> None:
        self._scene, self._at = scene, tmp_path
        node = scene.node("publisher")
        self._relay = CountingRelay(int(node.address.split("/tcp/")[1].split("/")[0]))
        self._address = self._relay.address(node.address)

    def __enter__(self) -> Wire:
        self._relay.__enter__()
        return self

    def __exit__(self, *what: object) -> None:
        self._relay.__exit__(None, None, None)

    def fetch(self, folder: Path, name: str) -> float:
        """Publish `folder`, fetch it, and return how much of its bytes crossed the wire: 1.0 is all of it."""
        published = self._scene.publish("publisher", folder, name=name)
        before = self._relay.bytes_to_dialler
        into = self._at / f"got-{name}"
        arguments = ["--provider", self._address, "--no-serve"]
        fetched(self._scene.start_fetch("reader", published["reference"], into, arguments=arguments))
        assert tree_digest(into) == tree_digest(folder)
        return (self._relay.bytes_to_dialler - before) / float(published["bytes"])


def test_fine_tuned_resharded_and_renamed_copies_cost_only_the_difference(scene: Scene, tmp_path: Path) -> None:
    model = Model()
    with Wire(scene, tmp_path) as wire:
        assert wire.fetch(model.write(tmp_path / "v1", shards=4), "v1") > 1.0
        assert wire.fetch(model.tuned().write(tmp_path / "tuned", shards=4), "tuned") <= 0.015
        assert wire.fetch(model.write(tmp_path / "resharded", shards=3), "resharded") <= 0.005
        assert wire.fetch(model.write(tmp_path / "single", shards=1, name="all.safetensors"), "single") <= 0.005
        renamed = model.write(tmp_path / "renamed", shards=4, name="weights/other-{}.safetensors")
        assert wire.fetch(renamed, "renamed") <= 0.005


def test_a_file_that_another_repository_has_comes_from_there_too(scene: Scene, tmp_path: Path) -> None:
    weights = random.Random(7).randbytes(limits.ALONE_BYTES_MIN + MIB)
    folders = [tmp_path / name for name in ("known", "new")]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "model.gguf").write_bytes(weights)
    (folders[1] / "renamed.gguf").write_bytes(weights)
    (folders[1] / "README.md").write_text("what only this one has\n")
    holder = scene.node("holder")
    slow = scene.node("slow", "--up", "4MB", bootstrap=[holder.address])
    known = scene.publish("holder", folders[0], name="known")
    scene.wait_announced("holder", known["manifest"])  # Here the slow one is whom it is announced to.
    new = scene.publish("slow", folders[1], name="new")
    scene.wait_announced("slow", new["manifest"])

    process = scene.start_fetch("reader", new["reference"], tmp_path / "got", bootstrap=[holder.address])
    done = fetched(process)

    assert tree_digest(tmp_path / "got") == tree_digest(folders[1])
    by_peer = {source["peer_id"]: source["bytes"] for source in done["sources"]}
    assert by_peer[holder.peer_id] > len(weights) // 2
    assert sum(by_peer.values()) <= len(weights) + 2 * MIB
    assert slow.peer_id in by_peer


@pytest.mark.parametrize("daemon", [True, False])
def test_a_fetch_that_may_link_takes_no_room_and_moves_nothing_and_verify_and_serving_go_on(
    scene: Scene, daemon: bool
) -> None:
    folder = Model().write(scene.folder / "m", shards=2)
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann = scene.node("ann")
    first, second = scene.folder / "first", scene.folder / "second"
    fetched(scene.start_fetch("bob", reference, first, arguments=["--provider", ann.address]))
    if daemon:
        scene.node("bob")
    done = fetched(scene.start_fetch("bob", reference, second, arguments=["--link"]))
    assert done["bytes_received"] == 0
    for path in tree_digest(first):
        one, other = (first / path).stat(), (second / path).stat()
        assert (one.st_ino, one.st_nlink) == (other.st_ino, 2)
    assert tree_digest(second) == tree_digest(folder)
    verified = scene.start("bob", "verify", reference)
    assert verified.finish(timeout_s=FETCH_S) == 0, verified.tail()
    again = fetched(scene.start_fetch("bob", reference, scene.folder / "third"))
    assert again["bytes_received"] == 0
    assert (scene.folder / "third/config.json").stat().st_nlink == 1


@pytest.mark.parametrize("fetcher", ["alone", "beside a daemon"])
def test_who_has_only_the_base_gives_what_a_fine_tune_left_alone(scene: Scene, tmp_path: Path, fetcher: str) -> None:
    """The base in four files, the fine-tune in three, with another tensor in each; no file is the same, nor large."""
    model = Model()
    base, tuned = model.write(tmp_path / "base", shards=4), Model.__new__(Model)
    changed = [f"layers.{number:02}.weight" for number in (5, 40, 70)]
    tuned.tensors = {name: tensor + (name in changed) for name, tensor in model.tensors.items()}
    new = tuned.write(tmp_path / "tuned", shards=3)
    holder = scene.node("holder")
    slow = scene.node("slow", "--up", "1MB", bootstrap=[holder.address])
    known = scene.publish("holder", base, name="base")
    scene.wait_announced("holder", known["manifest"])
    parent = ["--parent", known["manifest"]]
    published = scene.publish("slow", new, name="tuned", arguments=parent)
    scene.wait_announced("slow", published["manifest"])
    if fetcher == "beside a daemon":  # Whose bulk process gets plans and numbers by letter.
        scene.node("reader", bootstrap=[holder.address])

    done = fetched(scene.start_fetch("reader", published["reference"], tmp_path / "got", bootstrap=[holder.address]))

    assert tree_digest(tmp_path / "got") == tree_digest(new)
    by_peer = {source["peer_id"]: source["bytes"] for source in done["sources"]}
    only_new = sum(tuned.tensors[name].nbytes for name in changed)
    assert by_peer[slow.peer_id] >= only_new
    assert by_peer[holder.peer_id] > published["bytes"] // 2
    assert by_peer[holder.peer_id] <= published["bytes"] - only_new
    assert sum(by_peer.values()) <= published["bytes"] + 2 * MIB
