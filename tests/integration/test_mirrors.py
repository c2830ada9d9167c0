"""Web servers that hold the files are sources: alone, several, beside peers, and when they lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from p2phub import limits
from p2phub.discovery import Candidate
from p2phub.engine.fetch import Means, Wish, fetch
from p2phub.engine.search import Search
from p2phub.identity import PeerAddress, parse_mirror
from p2phub.net.mirror import MirrorPlane
from p2phub.observe import Source
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, key_of, open_host
from tests.support.liars import Lie, open_liar
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Event, Scene
from tests.support.web_server import Bend, WebServer, serve

FETCH_S = 60.0
BYTES = 24 << 20
NAME = "tiny"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = make_safetensors_folder(tmp_path / "model", BYTES, files=3, seed=3)
    (folder / "odd names").mkdir()
    (folder / "odd names" / "100% #1 & mörë.txt").write_text("percent-encoded on its way")
    (folder / "empty.txt").touch()
    return folder


@pytest.fixture
def published(scene: Scene, model: Path) -> Event:
    """The model, published on a machine where no node runs, with what a mirror needs beside its files."""
    return scene.publish("ann", model, name=NAME, arguments=["--mirror-files", str(model)])


def fetched(scene: Scene, reference: str, into: Path, *words: str) -> tuple[int, list[Event]]:
    fetch = scene.start_fetch("bob", reference, into, arguments=words)
    code = fetch.finish(timeout_s=FETCH_S)
    return code, fetch.events


def kinds(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["event"] == kind]


def lies(events: list[Event]) -> set[tuple[str, str, int]]:
    """Who was dropped, and for which chunk of which file: told once for each of its links."""
    return {(event["peer_id"], event["file"], event["chunk"]) for event in kinds(events, "peer_dropped")}


@covers("T33")
@pytest.mark.parametrize("by", ["ticket", "reference"])
def test_two_mirrors_and_no_peer_are_enough_and_the_liar_is_named(
    scene: Scene, model: Path, published: Event, tmp_path: Path, by: str
) -> None:
    with serve(model) as honest, serve(model, Bend.CHUNKS) as liar:
        honest.after = liar  # So that the lie is told before all is here.
        words = ("--mirror", liar.url, "--mirror", honest.url)
        code, events = fetched(scene, str(published[by]), tmp_path / "out", *words)
    assert code == 0, events
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    [(who, file, chunk)] = lies(events)
    assert who == liar.url
    assert (model / file).exists()
    assert chunk is not None
    assert {event["via"] for event in kinds(events, "source")} == {"mirror"}
    done = events[-1]
    assert sum(source["bytes"] for source in done["sources"]) == done["bytes_received"] >= BYTES
    assert {source["peer_id"] for source in done["sources"]} >= {honest.url}


@covers("T33")
def test_a_mirror_that_lies_about_the_manifest_is_named_and_another_asked(
    scene: Scene, model: Path, published: Event, tmp_path: Path
) -> None:
    with serve(model) as honest, serve(model, Bend.BLOBS) as liar:
        words = ("--mirror", liar.url, "--mirror", honest.url)
        code, events = fetched(scene, str(published["ticket"]), tmp_path / "out", *words)
    assert code == 0, events
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert {event["peer_id"] for event in kinds(events, "peer_dropped")} <= {liar.url}


@covers("T33")
def test_a_liar_alone_ends_with_5_and_names_file_chunk_and_url(
    scene: Scene, model: Path, published: Event, tmp_path: Path
) -> None:
    with serve(model, Bend.CHUNKS) as liar:
        code, events = fetched(scene, str(published["ticket"]), tmp_path / "out", "--mirror", liar.url)
    assert (code, events[-1]["event"], events[-1]["code"]) == (5, "failed", 5)
    [(who, file, chunk)] = lies(events)
    assert who == liar.url
    assert f"chunk {chunk} of {file} from {liar.url}" in events[-1]["message"]
    assert not (tmp_path / "out" / file).exists()


def test_a_mirror_that_is_not_there_is_told_as_no_provider(scene: Scene, published: Event, tmp_path: Path) -> None:
    with serve(tmp_path) as gone:
        pass
    code, events = fetched(scene, str(published["ticket"]), tmp_path / "out", "--mirror", gone.url)
    assert code == 7
    assert gone.url in events[-1]["message"]


def test_a_mirror_without_the_model_says_what_it_lacks(scene: Scene, published: Event, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with serve(tmp_path / "nothing") as server:
        code, events = fetched(scene, str(published["ticket"]), tmp_path / "out", "--mirror", server.url)
        assert len(server.asked) == 2  # As it was met, and when nobody else had it; and not again.
    assert code == 7
    assert f"{server.url}: does not have what describes the manifest" in events[-1]["message"]


def test_a_server_without_ranges_is_refused_clearly(
    scene: Scene, model: Path, published: Event, tmp_path: Path
) -> None:
    with serve(model, Bend.NO_RANGES) as server:
        code, events = fetched(scene, str(published["ticket"]), tmp_path / "out", "--mirror", server.url)
    assert code == 7
    assert "with the whole file" in events[-1]["message"]
    assert "answers byte ranges" in events[-1]["hint"]


@pytest.mark.parametrize("damage", ["short", "gone"])
def test_a_mirror_with_a_file_that_is_not_as_published_is_told_at_once_and_waited_for_no_more(
    scene: Scene, model: Path, published: Event, tmp_path: Path, damage: str
) -> None:
    """The rest of what it has was good: without anybody else it is no reason to wait for the patience of a minute."""
    file = max(model.glob("*.safetensors"))
    whole = file.read_bytes()
    file.write_bytes(file.read_bytes()[:1000]) if damage == "short" else file.unlink()
    with serve(model) as server:
        code, events = fetched(scene, str(published["ticket"]), tmp_path / "out", "--mirror", server.url)
        file.write_bytes(whole)
        mended, later = fetched(scene, str(published["ticket"]), tmp_path / "out", "--mirror", server.url)
    assert (code, mended) == (7, 0)
    assert kinds(later, "started")[0]["bytes_held"] > 0
    [lacks] = kinds(events, "source_lacks")
    assert (lacks["peer_id"], lacks["file"]) == (server.url, file.name)
    assert kinds(events, "waiting") == []
    assert f"{server.url}: cannot give {file.name}: it" in events[-1]["message"]
    assert "as they were published" in events[-1]["hint"]


def test_a_mirror_that_has_nothing_of_it_is_no_source(scene: Scene, model: Path, tmp_path: Path) -> None:
    ann = scene.node("ann")
    published = scene.publish("ann", model, name=NAME)
    (tmp_path / "nothing").mkdir()
    with serve(tmp_path / "nothing") as server:
        words = ("--provider", ann.address, "--mirror", server.url)
        code, events = fetched(scene, str(published["reference"]), tmp_path / "out", *words)
        assert server.asked
    assert code == 0, events
    assert [event["peer_id"] for event in kinds(events, "source")] == [ann.peer_id]


def test_a_configured_mirror_serves_every_model_by_its_name(
    scene: Scene, model: Path, published: Event, tmp_path: Path
) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / NAME).symlink_to(model)
    with serve(tmp_path / "www") as server:
        scene.home("bob").mkdir(parents=True)
        (scene.home("bob") / "config.toml").write_text(f"mirrors = [{json.dumps(server.url + '/{name}')}]\n")
        code, events = fetched(scene, str(published["reference"]), tmp_path / "out")
    assert code == 0, events
    assert tree_digest(tmp_path / "out") == tree_digest(model)


@covers("T57")
def test_a_configured_mirror_is_not_told_of_what_is_private(scene: Scene, model: Path, tmp_path: Path) -> None:
    ann = scene.node("ann")
    published = scene.publish("ann", model, name=NAME, arguments=["--private"])
    with serve(model) as server:
        scene.home("bob").mkdir(parents=True)
        (scene.home("bob") / "config.toml").write_text(f"mirrors = [{json.dumps(server.url)}]\n")
        ticket = str(published["ticket"])
        code, events = fetched(scene, ticket, tmp_path / "out", "--provider", ann.address)
        assert code == 0, events
        assert server.asked == []


def test_a_mirror_races_with_a_running_provider(scene: Scene, model: Path, tmp_path: Path) -> None:
    ann = scene.node("ann")
    published = scene.publish("ann", model, name=NAME, arguments=["--mirror-files", str(model)])
    with serve(model) as server:
        words = ("--provider", ann.address, "--mirror", server.url)
        code, events = fetched(scene, str(published["reference"]), tmp_path / "out", *words)
    assert code == 0, events
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert {source["peer_id"] for source in events[-1]["sources"]} <= {ann.peer_id, server.url}


@pytest.mark.parametrize("alone", [False, True])
def test_a_mirror_that_is_labelled_metered_is_for_when_nobody_else_has_it(
    scene: Scene, model: Path, tmp_path: Path, alone: bool
) -> None:
    ann = scene.node("ann")
    published = scene.publish("ann", model, name=NAME, arguments=["--mirror-files", str(model)])
    if alone:
        ann.stop()
    scene.home("bob").mkdir(parents=True)
    (scene.home("bob") / "config.toml").write_text('[labels]\n"localhost" = "metered"\n')
    with serve(model) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        words = ("--mirror", url, *(() if alone else ("--provider", ann.address)))
        code, events = fetched(scene, str(published["reference"]), tmp_path / "out", *words)
    assert code == 0, events
    assert [source["peer_id"] for source in events[-1]["sources"]] == [url if alone else str(ann.ready["peer_id"])]


async def fetch_beside(tmp_path: Path, model: Path, lie: Lie, server: WebServer) -> list[Source]:
    """Fetch from a peer that tells `lie` and from a web server; return the sources that took part."""
    peer = key_of("liar")
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        outcome = await ann.publish(model)
        async with open_liar(peer, ann.shelf, lie) as address:
            known = [Candidate(PeerAddress(peer.peer_id, address), "direct")]

            async def open_finder() -> FixedFinder:
                return FixedFinder()

            async with trio.open_nursery() as nursery:
                plane = MirrorPlane(nursery)
                await fetch(
                    Wish("test", outcome.manifest, tmp_path / "out", patience_s=30),
                    search=Search(known, open_finder, given=[parse_mirror(server.url)]),
                    means=Means(bob.plane, bob.store, bob.workers, bob.key.peer_id, lambda: plane),
                    watch=bob.events.append,
                )
                nursery.cancel_scope.cancel()
        return [event for event in bob.events if isinstance(event, Source)]


@covers("T35")
async def test_a_bare_web_server_helps_out_a_peer_that_says_nothing_more(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer describes the manifest and then sends nothing; the server has the files and nothing of p2phub."""
    monkeypatch.setattr(limits, "STALL_S", 0.3)
    with serve(model, Bend.BARE) as server:
        sources = await fetch_beside(tmp_path, model, Lie.NOTHING, server)
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert {source.via for source in sources} == {"direct", "mirror"}


def test_the_mirror_files_of_a_private_model_are_refused(scene: Scene, model: Path) -> None:
    refused = scene.start("ann", "publish", model, "--name", NAME, "--private", "--mirror-files", model)
    assert refused.finish(timeout_s=FETCH_S) == 2
    assert not (model / ".p2phub").exists()


def test_publishing_again_beside_its_own_mirror_files_changes_nothing(
    scene: Scene, model: Path, published: Event
) -> None:
    again = scene.publish("ann", model, name=NAME, arguments=["--mirror-files", str(model)])
    assert again["manifest"] == published["manifest"]
