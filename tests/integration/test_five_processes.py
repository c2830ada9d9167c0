"""The main job between five real processes that find each other over the DHT alone.

A bootstrap, a publisher, two bystanders and a fetcher on loopback. The fetcher is told the bootstrap's address and the
reference, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.models import make_dataset_folder, make_safetensors_folder, tree_digest
from tests.support.processes import Event, Node, Process, Scene

FETCH_S = 120.0


class Network:
    """Four daemons that know each other over the DHT, in a scene to which tests add the fetcher."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.bootstrap = scene.node("bootstrap")
        known = [self.bootstrap.address]
        self.publisher = scene.node("publisher", bootstrap=known)
        self.bystanders: list[Node] = [scene.node(f"bystander{number}", bootstrap=known) for number in (1, 2)]

    def publish(self, folder: Path, *, name: str, arguments: Sequence[str] = ()) -> Event:
        """Publish on the publisher's node, and wait until the others know it."""
        published = self.scene.publish("publisher", folder, name=name, arguments=arguments)
        self.scene.wait_announced("publisher", published["manifest"])
        return published

    def fetch(self, reference: str, into: Path) -> tuple[Process, Event]:
        """Fetch on a fifth node that was told only the bootstrap's address. Return its process and the `done` event."""
        process = self.scene.start_fetch("fetcher", reference, into, bootstrap=[self.bootstrap.address])
        done = process.wait_for("done", timeout_s=FETCH_S)
        assert process.finish(timeout_s=30) == 0, process.tail()
        return process, done


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with Scene(tmp_path / "scene", verbose=True) as scene:
        yield Network(scene)


def named(process: Process, kind: str) -> list[Event]:
    return [event for event in process.events if event["event"] == kind]


def test_a_model_arrives_bit_for_bit_from_a_publisher_found_over_the_dht(network: Network, tmp_path: Path) -> None:
    source = make_safetensors_folder(tmp_path / "model", 24_000_001, files=3)
    before = tree_digest(source)
    published = network.publish(source, name="model")
    assert published["reference"].startswith(network.publisher.publisher_id + "/model")

    process, done = network.fetch(published["reference"], tmp_path / "fetched")

    assert tree_digest(tmp_path / "fetched") == before
    assert tree_digest(source) == before
    (started,) = named(process, "started")
    assert started["manifest"] == published["manifest"]
    assert started["bytes_total"] == published["bytes"]
    assert done["bytes_received"] >= published["bytes"]
    assert [source["peer_id"] for source in done["sources"]] == [network.publisher.peer_id]
    assert {event["via"] for event in named(process, "source")} == {"direct"}
    verified = [event["bytes_verified"] for event in named(process, "progress")]
    assert verified == sorted(verified)


def test_a_dataset_of_210_files_arrives_bit_for_bit_over_the_dht(network: Network, tmp_path: Path) -> None:
    source = make_dataset_folder(tmp_path / "dataset")
    before = tree_digest(source)
    published = network.publish(source, name="rows", arguments=["--kind", "dataset"])
    assert published["files"] == len(before) == 210

    _, done = network.fetch(published["reference"], tmp_path / "fetched")

    assert tree_digest(tmp_path / "fetched") == before
    assert [source["peer_id"] for source in done["sources"]] == [network.publisher.peer_id]


def test_every_node_stops_on_sigterm_with_exit_code_0_and_says_so(network: Network) -> None:
    nodes = [network.bootstrap, network.publisher, *network.bystanders]
    assert [node.stop() for node in nodes] == [0, 0, 0, 0]
    assert [node.events[-1]["event"] for node in nodes] == ["stopped"] * 4


def test_a_bare_digest_and_a_dead_provider_are_found_over_the_dht_too(network: Network, tmp_path: Path) -> None:
    """Here the DHT is opened in the middle of a fetch, by the search; not before it, for a name."""
    source = make_safetensors_folder(tmp_path / "model", 2_000_000)
    published = network.publish(source, name="small")

    network.fetch(published["manifest"], tmp_path / "by-digest")
    assert tree_digest(tmp_path / "by-digest") == tree_digest(source)

    dead = f"/ip4/127.0.0.1/tcp/9/p2p/{network.publisher.peer_id}"
    process = network.scene.start_fetch(
        "second-fetcher",
        published["manifest"],
        tmp_path / "past-a-dead-address",
        bootstrap=[network.bootstrap.address],
        arguments=["--provider", dead],
    )
    process.wait_for("done", timeout_s=FETCH_S)
    assert process.finish(timeout_s=30) == 0
    assert tree_digest(tmp_path / "past-a-dead-address") == tree_digest(source)
