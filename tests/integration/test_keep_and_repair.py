"""Pins, collection and repair as users see them: real processes, real bytes on the wire, counted by who sends them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.covers import covers
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Event, Node, Process, Scene

END_S = 120.0
MIB = 1 << 20
MODEL_BYTES = 12 * MIB


class Published:
    """A model that a node serves."""

    def __init__(self, scene: Scene, model: Path) -> None:
        self.scene, self.model = scene, model
        self.node: Node = scene.node("ann", "--bulk-processes", "0")
        self.event = scene.publish("ann", model, name="m")
        self.words = ["--provider", self.node.address]

    @property
    def reference(self) -> str:
        return str(self.event["reference"])

    def served(self) -> int:
        """Return how many bytes of payload it has sent by now."""
        status, _ = run(self.scene, "ann", "status")
        return int(status["served"].get(self.event["manifest"], 0))


@pytest.fixture
def published(scene: Scene, tmp_path: Path) -> Published:
    return Published(scene, make_safetensors_folder(tmp_path / "model", MODEL_BYTES, files=3, seed=7))


def run(scene: Scene, title: str, *words: str | Path) -> tuple[Event, int]:
    """Run a command; return the last object that it printed, and its exit code."""
    process: Process = scene.start(title, *words, "--no-lan")
    code = process.finish(timeout_s=END_S)
    return process.events[-1], code


def weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def spoil(path: Path, offset: int) -> None:
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        was = file.read(1)
        file.seek(offset)
        file.write(bytes([was[0] ^ 1]))


@covers("F33")
def test_of_a_damaged_file_only_the_damaged_range_crosses_the_network(
    scene: Scene, published: Published, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    run(scene, "bob", "fetch", published.reference, "--into", copy, *published.words)
    one, two, _ = weights(copy)
    spoil(one, one.stat().st_size // 2)
    reader = two.open("rb")
    with two.open("ab") as file:
        file.write(b"more than was published")
    (copy / "config.json").unlink()
    before = published.served()
    found, code = run(scene, "bob", "verify", copy)
    assert (code, found["event"]) == (5, "failed")
    found, code = run(scene, "bob", "verify", copy, "--repair", *published.words)
    assert (code, found["event"]) == (0, "verify")
    assert set(found["repaired"]) == {one.name, two.name, "config.json"}
    assert tree_digest(copy) == tree_digest(published.model)
    small = (published.model / "config.json").stat().st_size
    assert found["bytes_received"] <= MIB + small
    assert published.served() - before == found["bytes_received"]
    assert reader.read().endswith(b"more than was published")  # Never in place: who reads reads on in the old one.
    reader.close()
    assert not (copy / ".p2phub").exists()
    _, code = run(scene, "bob", "verify", copy)
    assert code == 0


def test_a_repair_that_nobody_can_help_with_says_so_and_changes_nothing(
    scene: Scene, published: Published, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    run(scene, "bob", "fetch", published.reference, "--into", copy, *published.words)
    assert published.node.stop() == 0
    one = weights(copy)[0]
    spoil(one, 5)
    damaged = one.read_bytes()
    failed, code = run(scene, "bob", "verify", copy, "--repair", *published.words)
    assert (code, failed["event"]) == (7, "failed")
    assert "--wait" not in (failed["hint"] or "")  # Which `verify` has not got.
    assert one.read_bytes() == damaged


def test_a_repair_that_was_ended_before_it_was_recorded_is_brought_to_its_end_though_nothing_is_damaged(
    scene: Scene, published: Published, tmp_path: Path
) -> None:
    """As kill -9 leaves it after the last file is replaced: found by tests/endurance/test_kills_everywhere.py."""
    copy = tmp_path / "copy"
    run(scene, "bob", "fetch", published.reference, "--into", copy, *published.words)
    assert published.node.stop() == 0
    one = weights(copy)[0]
    spoil(one, 5)
    assert run(scene, "bob", "verify", copy, "--repair", *published.words)[1] == 7
    assert (copy / ".p2phub").exists()
    right = tmp_path / "right"
    right.write_bytes((published.model / one.name).read_bytes())
    right.replace(one)
    found, code = run(scene, "bob", "verify", copy, "--repair")
    assert (code, found["damaged"], found["repaired"], found["bytes_received"]) == (0, [], [], 0)
    (item,) = run(scene, "bob", "ls")[0]["items"]
    assert item["complete"]  # In doubt is nothing any more.
    assert not (copy / ".p2phub").exists()
    assert tree_digest(copy) == tree_digest(published.model)


def test_what_was_published_is_read_and_never_repaired(scene: Scene, published: Published) -> None:
    one = weights(published.model)[0]
    spoil(one, 5)
    damaged = one.read_bytes()
    failed, code = run(scene, "ann", "verify", published.model, "--repair")
    assert (code, failed["event"]) == (6, "failed")
    assert "only read" in failed["message"]
    assert one.read_bytes() == damaged


def test_a_repair_of_a_selection_mends_what_was_selected_and_touches_nothing_else(
    scene: Scene, published: Published, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    one, two, _ = [path.name for path in weights(published.model)]
    run(scene, "bob", "fetch", published.reference, "--into", copy, "--include", one, *published.words)
    (copy / two).write_bytes(b"the user's own")
    sound, code = run(scene, "bob", "verify", copy)  # What was left out is not damaged.
    assert (code, sound["files"], sound["bytes"]) == (0, 1, (copy / one).stat().st_size)
    spoil(copy / one, 5)
    before = published.served()
    found, code = run(scene, "bob", "verify", copy, "--repair", *published.words)
    assert (code, found["repaired"]) == (0, [one])
    assert [damage["path"] for damage in found["damaged"]] == [one]
    assert 0 < found["bytes_received"] <= MIB
    assert published.served() - before == found["bytes_received"]
    assert (copy / one).read_bytes() == (published.model / one).read_bytes()
    assert (copy / two).read_bytes() == b"the user's own"
    assert sorted(path.name for path in copy.iterdir()) == [one, two]


def test_what_was_published_is_not_repaired_as_part_of_what_was_fetched_to_the_same_folder(
    scene: Scene, published: Published, tmp_path: Path
) -> None:
    """Neither under the manifest that was published, nor under another one that shares a file with it."""
    folder = tmp_path / "folder"
    one, two, _ = [path.name for path in weights(published.model)]
    folder.mkdir()
    (folder / one).write_bytes((published.model / one).read_bytes())
    scene.publish("bob", folder, name="mine")
    fetched, code = run(scene, "bob", "fetch", published.reference, "--into", folder, *published.words)
    assert code == 0
    manifest = fetched["manifest"] if "manifest" in fetched else published.event["manifest"]
    spoil(folder / one, 5)
    spoil(folder / two, 5)
    failed, code = run(scene, "bob", "verify", manifest, "--repair", *published.words)
    assert (code, failed["event"]) == (6, "failed")
    assert f"not repaired are {one}" in failed["message"]
    assert (folder / one).read_bytes() != (published.model / one).read_bytes()
    assert (folder / two).read_bytes() == (published.model / two).read_bytes()

    mine = scene.publish("bob", folder, name="mine")
    again, code = run(scene, "bob", "fetch", mine["reference"], "--into", folder)
    assert (code, again["bytes_received"]) == (0, 0)
    (item,) = [item for item in run(scene, "bob", "ls")[0]["items"] if item["manifest"] == mine["manifest"]]
    assert item["origin"] == "published"


@covers("F33")
def test_what_is_pinned_stays_and_what_is_not_goes(scene: Scene, published: Published, tmp_path: Path) -> None:
    pinned, code = run(scene, "bob", "pin", published.reference, *published.words)
    assert code == 0
    folder = Path(pinned["folder"])
    assert folder.parent == scene.home("bob") / "files"
    assert tree_digest(folder) == tree_digest(published.model)
    assert pinned["fetched"]["bytes_received"] == published.event["bytes"]
    again, code = run(scene, "bob", "pin", published.reference)
    assert (code, again["fetched"]) == (0, None)
    (item,) = run(scene, "bob", "ls")[0]["items"]
    assert (item["origin"], item["pinned"]) == ("own", True)
    (used,) = run(scene, "bob", "du")[0]["items"]
    assert (used["bytes"], used["bytes_once"], used["pinned"]) == (item["bytes"], item["bytes"], True)
    kept, _ = run(scene, "bob", "gc")
    assert (kept["items"], kept["leftovers"]) == ([], [])
    assert run(scene, "bob", "unpin", published.reference)[1] == 0
    would, _ = run(scene, "bob", "gc", "--dry-run")
    assert [each["manifest"] for each in would["items"]] == [published.event["manifest"]]
    assert tree_digest(folder) == tree_digest(published.model)
    for blob in (scene.home("bob") / "blobs").iterdir():
        os.utime(blob, times=(time.time() - 90_000,) * 2)
    gone, code = run(scene, "bob", "gc")
    assert (code, gone["bytes"]) == (0, published.event["bytes"])
    assert list((scene.home("bob") / "files").iterdir()) == []
    assert list((scene.home("bob") / "blobs").iterdir()) == []
    assert run(scene, "bob", "ls")[0]["items"] == []


def test_a_quota_lets_go_of_what_is_not_pinned_and_else_refuses(
    scene: Scene, published: Published, tmp_path: Path
) -> None:
    other = make_safetensors_folder(tmp_path / "other", 4 * MIB, files=1, seed=8)
    second = scene.publish("ann", other, name="other")
    scene.home("bob").mkdir()
    quota = published.event["bytes"] + MIB
    (scene.home("bob") / "config.toml").write_text(f'quota = "{quota}"\n')
    assert run(scene, "bob", "pin", published.reference, *published.words)[1] == 0
    failed, code = run(scene, "bob", "pin", second["reference"], *published.words)
    assert (code, failed["event"]) == (6, "failed")
    assert "quota" in failed["message"]
    assert len(run(scene, "bob", "ls")[0]["items"]) == 1
    not_pinned, code = run(scene, "bob", "unpin", second["manifest"])
    assert (code, "is not pinned" in not_pinned["message"]) == (3, True), "nothing would show that it is"
    run(scene, "bob", "unpin", published.reference)
    pinned, code = run(scene, "bob", "pin", second["reference"], *published.words)
    assert code == 0
    assert [item["folder"] for item in run(scene, "bob", "ls")[0]["items"]] == [pinned["folder"]]


@covers("F33")
def test_a_node_that_serves_goes_on_while_it_collects(scene: Scene, published: Published, tmp_path: Path) -> None:
    """What a daemon has open when its holding goes is read on; what is asked for after that is not there any more."""
    bob = scene.node("bob", bootstrap=[published.node.address])
    pinned, code = run(scene, "bob", "pin", published.reference, *published.words)
    assert code == 0
    run(scene, "bob", "unpin", published.reference)
    away = scene.start_fetch("cy", published.reference, tmp_path / "c", arguments=["--provider", bob.address])
    away.wait_for("started", timeout_s=END_S)
    gone, code = run(scene, "bob", "gc")
    assert code == 0
    assert [each["manifest"] for each in gone["items"]] == [published.event["manifest"]]
    assert not Path(pinned["folder"]).exists()
    if away.finish(timeout_s=END_S) != 0:  # It was asked for the rest of it when it was gone: ann has it all.
        _, code = run(scene, "cy", "fetch", published.reference, "--into", tmp_path / "c", *published.words)
        assert code == 0
    assert tree_digest(tmp_path / "c") == tree_digest(published.model)
    failed, code = run(scene, "dan", "fetch", pinned["manifest"], "--into", tmp_path / "d", "--provider", bob.address)
    assert code != 0, failed
