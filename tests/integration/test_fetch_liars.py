"""A provider lies: the fetch completes from an honest one, the liar is named, and no wrong byte reaches its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from p2phub import limits
from p2phub.discovery import Candidate
from p2phub.errors import Damaged, NoProvider
from p2phub.identity import PeerAddress
from p2phub.observe import Event, PeerDropped
from tests.support.covers import covers
from tests.support.hosts import TestHost, key_of, open_host
from tests.support.liars import Lie, open_liar
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import P2PHUB

LIAR = key_of("liar")
PROVABLE = {
    Lie.MANIFEST: ("manifest", 0),
    Lie.LATER_BLOB: ("chunk list", None),
    Lie.FIRST_CHUNK: ("config.json", 0),
    Lie.MIDDLE_CHUNK: (None, None),
    Lie.LAST_CHUNK: (None, None),
    Lie.SWAPPED: (None, None),
    Lie.SHORT: (None, None),
    Lie.LONG: (None, None),
    Lie.OTHER_CHUNKS: (None, None),
    Lie.GARBAGE: (None, None),
    Lie.HUGE_FRAME: (None, None),
}
UNREADABLE = (Lie.SHORT, Lie.LONG, Lie.OTHER_CHUNKS, Lie.GARBAGE, Lie.HUGE_FRAME)
"""Nothing came that could be compared: the answer was none."""
SLOW = (Lie.NOTHING, Lie.NO_FLIGHT)  # They are noticed by the time that passes without a byte.
PLAIN = [lie for lie in Lie if lie not in (Lie.NONE, *SLOW)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_safetensors_folder(tmp_path / "model", 24 << 20, files=3, seed=3)


def dropped(events: Sequence[Event]) -> list[PeerDropped]:
    return [event for event in events if isinstance(event, PeerDropped)]


async def fetch_beside_a_liar(tmp_path: Path, model: Path, lie: Lie) -> TestHost:
    """Fetch from a liar, who is met first, and an honest provider; return the fetcher. The copy is compared."""
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        async with open_liar(LIAR, ann.shelf, lie) as address:
            liar = Candidate(PeerAddress(LIAR.peer_id, address), "direct")
            await bob.fetch(published.manifest, tmp_path / "out", also=[liar, *ann.candidates], patience_s=30)
        assert tree_digest(tmp_path / "out") == tree_digest(model)
        return bob


@covers("T33")
@pytest.mark.parametrize("lie", PLAIN, ids=lambda lie: lie.name.lower())
async def test_a_fetch_completes_from_the_honest_provider_beside(tmp_path: Path, model: Path, lie: Lie) -> None:
    bob = await fetch_beside_a_liar(tmp_path, model, lie)
    for event in dropped(bob.events):
        assert event.peer_id == str(LIAR.peer_id)
    assert bob.tally.received["direct"] >= sum(path.stat().st_size for path in model.iterdir())


@covers("T33")
@pytest.mark.parametrize("lie", PROVABLE, ids=lambda lie: lie.name.lower())
async def test_alone_the_liar_is_named_with_the_chunk_and_the_file(tmp_path: Path, model: Path, lie: Lie) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        async with open_liar(LIAR, ann.shelf, lie) as address:
            liar = Candidate(PeerAddress(LIAR.peer_id, address), "direct")
            with pytest.raises(Damaged, match=str(LIAR.peer_id)) as caught:
                await bob.fetch(published.manifest, tmp_path / "out", also=[liar], patience_s=30)
        (event,) = {(event.peer_id, event.file, event.chunk) for event in dropped(bob.events)}
        file, chunk = PROVABLE[lie]
        assert event[0] == str(LIAR.peer_id)
        assert event[1] is not None
        assert event[2] is not None
        assert file is None or event[1] == file
        assert chunk is None or event[2] == chunk
        assert f"chunk {event[2]} of {event[1]}" in caught.value.message
        assert bob.tally.dropped["lied"] >= 1
        assert bob.tally.refused["wrong"] == (0 if lie in UNREADABLE else bob.tally.dropped["lied"])
        for path in (tmp_path / "out").glob("*"):  # What did arrive at its place is right.
            if path.name != ".p2phub":
                assert path.read_bytes() == (model / path.name).read_bytes()


@covers("T35")
@pytest.mark.parametrize("lie", SLOW, ids=lambda lie: lie.name.lower())
async def test_one_who_says_nothing_holds_nobody_up(
    tmp_path: Path, model: Path, lie: Lie, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STALL_S", 0.3)
    bob = await fetch_beside_a_liar(tmp_path, model, lie)
    assert {event.peer_id for event in dropped(bob.events)} <= {str(LIAR.peer_id)}


async def test_one_who_says_nothing_alone_ends_with_the_reason(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STALL_S", 0.1)
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        async with open_liar(LIAR, ann.shelf, Lie.NOTHING) as address:
            liar = Candidate(PeerAddress(LIAR.peer_id, address), "direct")
            with pytest.raises(NoProvider, match=str(LIAR.peer_id)):
                await bob.fetch(published.manifest, tmp_path / "out", also=[liar], patience_s=0.0)


@covers("T33")
async def test_the_command_line_ends_with_5_and_names_chunk_file_and_peer(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann:
        published = await ann.publish(model)
        async with open_liar(LIAR, ann.shelf, Lie.LAST_CHUNK) as address:
            words = ["--json", "--no-lan", "--home", str(tmp_path / "home"), "fetch", str(published.manifest)]
            words += ["--provider", str(PeerAddress(LIAR.peer_id, address)), "--into", str(tmp_path / "out")]
            done = await trio.run_process([*P2PHUB, *words], capture_stdout=True, capture_stderr=True, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, events[-1]["event"], events[-1]["code"]) == (5, "failed", 5)
    (lie,) = {(event["file"], event["chunk"]) for event in events if event["event"] == "peer_dropped"}
    assert f"chunk {lie[1]} of {lie[0]} from {LIAR.peer_id}" in events[-1]["message"]
    assert not (tmp_path / "out" / lie[0]).exists()
