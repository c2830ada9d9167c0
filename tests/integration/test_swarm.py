"""A crowd of real processes that are told the provider alone: they find each other and share what they have."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from p2phub.identity import parse_peer_address
from tests.support.gate import gate
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Process, Scene

FETCH_S = 120.0
FETCHERS = 4
MB = 10**6


def wait_for_sources(process: Process, count: int) -> None:
    """Return when `process` has named that many sources."""
    seen: set[str] = {event["peer_id"] for event in process.events if event["event"] == "source"}
    while len(seen) < count:
        seen.add(process.wait_for("source", timeout_s=FETCH_S)["peer_id"])


def test_four_that_are_told_the_provider_alone_get_most_of_it_from_each_other(tmp_path: Path) -> None:
    """The provider's bulk connections are held back until all have found each other; then it may send what it likes."""
    model = make_safetensors_folder(tmp_path / "model", 48 * MB, files=3)
    with Scene(tmp_path / "scene") as scene, contextlib.ExitStack() as stack:
        provider = scene.node("provider")
        published = scene.publish("provider", model, name="model")
        held_back = stack.enter_context(gate(parse_peer_address(provider.address), bytes_max=3 * MB, of_each=True))
        fetches = [
            scene.start_fetch(
                f"fetcher{number}",
                published["reference"],
                tmp_path / f"copy{number}",
                arguments=["--provider", held_back.address, "--seed"],
            )
            for number in range(FETCHERS)
        ]
        for fetch in fetches:
            wait_for_sources(fetch, FETCHERS)
        held_back.open()
        done = [fetch.wait_for("done", timeout_s=FETCH_S) for fetch in fetches]

        for number in range(FETCHERS):
            assert tree_digest(tmp_path / f"copy{number}") == tree_digest(model)
        by_provider, by_others = 0, 0
        for each in done:
            sources = {source["peer_id"]: source["bytes"] for source in each["sources"]}
            assert len(sources) > 1
            by_provider += sources.pop(provider.peer_id, 0)
            by_others += sum(sources.values())
        assert by_provider + by_others >= FETCHERS * published["bytes"]
        assert by_provider < 3 * published["bytes"], scene.logs()
        assert [fetch.stop() for fetch in fetches] == [0] * FETCHERS


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_seeding_fetch_serves_after_its_provider_is_gone_until_it_is_stopped(tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 2 * MB)
    with Scene(tmp_path / "scene") as scene:
        provider = scene.node("provider")
        published = scene.publish("provider", model, name="model")
        peer_id = scene.start("seeder", "init").wait_for("init", timeout_s=60)["peer_id"]
        port = free_port()
        seeder = scene.start_fetch(
            "seeder",
            published["reference"],
            tmp_path / "first",
            arguments=["--provider", provider.address, "--seed", "--listen", f"127.0.0.1:{port}"],
        )
        seeder.wait_for("done", timeout_s=FETCH_S)
        provider.stop()

        second = scene.start_fetch(
            "second",
            published["ticket"],
            tmp_path / "second",
            arguments=["--provider", f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer_id}"],
        )
        done = second.wait_for("done", timeout_s=FETCH_S)
        assert [source["peer_id"] for source in done["sources"]] == [peer_id]
        assert tree_digest(tmp_path / "second") == tree_digest(model)
        assert seeder.stop() == 0


def test_a_fetch_that_does_not_exchange_neither_hears_of_others_nor_is_heard_of(tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 24 * MB)
    with Scene(tmp_path / "scene") as scene, contextlib.ExitStack() as stack:
        provider = scene.node("provider")
        published = scene.publish("provider", model, name="model")
        held_back = stack.enter_context(gate(parse_peer_address(provider.address), bytes_max=3 * MB, of_each=True))

        def start(title: str, *options: str) -> Process:
            return scene.start_fetch(
                title, published["reference"], tmp_path / title, arguments=["--provider", held_back.address, *options]
            )

        alone = start("alone", "--no-exchange")
        others = [start("one"), start("two")]
        for each in others:
            wait_for_sources(each, 2)
        held_back.open()
        for each in (alone, *others):
            each.wait_for("done", timeout_s=FETCH_S)
        named = {each.title: {e["peer_id"] for e in each.events if e["event"] == "source"} for each in (alone, *others)}
        assert named["alone (fetch)"] == {provider.peer_id}
        assert all(len(peers) == 2 for peers in named.values() if peers != named["alone (fetch)"])
