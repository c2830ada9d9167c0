"""A daemon's bulk process killed (-9) in the middle of a transfer: the fetch ends all the same, and says what happened.

Real daemons and commands. A cap holds the transfer in its middle, and is lifted once the fetch has told of the kill.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chaos import status
from tests.support.covers import covers
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Event, Node, Process, Scene

MODEL_BYTES = 24 << 20
CAP = "1MB"  # The rest would take many times what it takes to kill a process.
END_S = 60.0
LOOKS_MAX = 20  # Each is a process that starts anew, as the child is.


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path / "scene", verbose=True) as scene:
        yield scene


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_safetensors_folder(tmp_path / "model", MODEL_BYTES, files=3, seed=4)


def bulk_process(scene: Scene, title: str, *, other_than: int = 0) -> int:
    """Return the id of the process that carries the bulk bytes of the daemon `title`, once it is at work."""
    for _ in range(LOOKS_MAX):
        found = [each["pid"] for each in status(scene, title)["processes"] if each["role"] == "bulk"]
        if found and found != [other_than]:
            [pid] = found
            return int(pid)
    raise AssertionError(f"{title} has no bulk process")


def kill(node: Node, child: int) -> None:
    assert Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1] == str(node.pid)
    os.kill(child, signal.SIGKILL)


def lift_cap(scene: Scene, title: str, *, of: str) -> None:
    assert scene.start(title, "limit", f"--{of}", "none").finish(timeout_s=END_S) == 0


def kinds_after(process: Process, first: Event) -> list[str]:
    at = next(number for number, event in enumerate(process.events) if event is first)
    return [event["event"] for event in process.events[at:]]


@covers("F01", "F11")
def test_a_fetch_goes_on_when_the_bulk_process_that_serves_it_is_killed(
    scene: Scene, model: Path, tmp_path: Path
) -> None:
    published = scene.publish("publisher", model, name="model")
    node = scene.node("publisher", "--up", CAP)
    child = bulk_process(scene, "publisher")
    fetch = scene.start_fetch(
        "fetcher", published["reference"], tmp_path / "out", arguments=["--provider", node.address]
    )
    fetch.wait_for("progress", timeout_s=END_S)
    kill(node, child)
    dropped = fetch.wait_for("peer_dropped", timeout_s=END_S)
    lift_cap(scene, "publisher", of="up")
    done = fetch.wait_for("done", timeout_s=END_S)
    assert fetch.finish(timeout_s=END_S) == 0

    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert dropped["peer_id"] == node.peer_id
    assert "source" in kinds_after(fetch, dropped)  # It came back.
    assert [source["peer_id"] for source in done["sources"]] == [node.peer_id]
    assert bulk_process(scene, "publisher", other_than=child) != child
    assert f"the bulk process {child} ended" in node.log.read_text()
    assert "Traceback" not in node.log.read_text()


@covers("F01", "F11")
def test_a_fetch_of_a_daemon_goes_on_when_its_own_bulk_process_is_killed(
    scene: Scene, model: Path, tmp_path: Path
) -> None:
    published = scene.publish("publisher", model, name="model")
    provider = scene.node("publisher")
    node = scene.node("fetcher", "--down", CAP)
    child = bulk_process(scene, "fetcher")
    fetch = scene.start_fetch(
        "fetcher", published["reference"], tmp_path / "out", arguments=["--provider", provider.address]
    )
    fetch.wait_for("progress", timeout_s=END_S)
    [job] = status(scene, "fetcher")["jobs"]
    kill(node, child)
    dropped = fetch.wait_for("peer_dropped", timeout_s=END_S)
    assert [each["job"] for each in status(scene, "fetcher")["jobs"]] == [job["job"]]
    lift_cap(scene, "fetcher", of="down")
    done = fetch.wait_for("done", timeout_s=END_S)
    assert fetch.finish(timeout_s=END_S) == 0

    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert "bulk process" in dropped["reason"]
    assert "source" in kinds_after(fetch, dropped)
    assert [source["peer_id"] for source in done["sources"]] == [provider.peer_id]
    assert done["bytes_received"] < 2 * MODEL_BYTES
    assert bulk_process(scene, "fetcher", other_than=child) != child
    assert f"the bulk process {child} ended" in node.log.read_text()
    assert "Traceback" not in node.log.read_text()
