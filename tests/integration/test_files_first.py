"""A user who names what they want first has it, whole and at its place, while the rest is still on its way (0065)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Candidate
from p2phub.engine.fetch import Running
from p2phub.errors import NotFound, UsageError
from p2phub.identity import parse_peer_address
from p2phub.observe import Event, FilesReady, Unmatched
from tests.support.gate import Gate, gate
from tests.support.hosts import TestHost, open_host
from tests.support.models import tree_digest
from tests.support.processes import Scene

END_S = 60.0
BIG, SMALL, EMPTY = "a.bin", "z/config.json", "z/empty.txt"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A large file in front, and small ones at the end."""
    folder = tmp_path / "model"
    (folder / "z").mkdir(parents=True)
    (folder / BIG).write_bytes(bytes(range(251)) * (24 * limits.MIB // 251))
    (folder / SMALL).write_bytes(b'{"layers": 12}')
    (folder / "z/more.json").write_bytes(b"{}")
    (folder / EMPTY).touch()
    return folder


@asynccontextmanager
async def behind_a_gate(tmp_path: Path, model: Path) -> AsyncIterator[tuple[TestHost, Digest, Candidate, Gate]]:
    """Bob, who fetches; what Ann has; and the way to her, which lets a part through before it is opened."""
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        with gate(ann.candidates[0].provider, bytes_max=5 << 20) as held, trio.fail_after(END_S):
            yield bob, published.manifest, Candidate(parse_peer_address(held.address), "direct"), held


def ready_of(events: list[Event]) -> list[str]:
    return [path for event in events if isinstance(event, FilesReady) for path in event.paths]


async def test_a_file_that_is_wanted_first_stands_at_its_place_while_the_rest_is_held_up(
    tmp_path: Path, model: Path
) -> None:
    out, here = tmp_path / "out", trio.Event()
    events: list[Event] = []

    def watch(event: Event) -> None:
        events.append(event)
        if isinstance(event, FilesReady):
            here.set()

    async with (
        behind_a_gate(tmp_path, model) as (bob, manifest, through, held),
        trio.open_nursery() as nursery,
    ):

        async def fetch() -> None:
            first = ["config.json", "confg.json", "z/empty*"]
            await bob.fetch(manifest, out, also=[through], watch=watch, first=first)

        nursery.start_soon(fetch)
        await here.wait()
        assert ready_of(events) == [SMALL]
        assert (out / SMALL).read_bytes() == (model / SMALL).read_bytes()
        assert not (out / BIG).exists()
        assert [event for event in events if isinstance(event, Unmatched)] == [Unmatched("confg.json")]
        held.open()
    assert ready_of(events) == [SMALL, EMPTY]
    assert tree_digest(out) == tree_digest(model)


async def test_in_order_each_file_is_told_of_once_those_of_an_earlier_attempt_too(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "out"
    events: list[Event] = []
    async with behind_a_gate(tmp_path, model) as (bob, manifest, through, held):
        (out / "z").mkdir(parents=True)
        (out / SMALL).write_bytes((model / SMALL).read_bytes())
        held.open()
        await bob.fetch(manifest, out, also=[through], watch=events.append, in_order=True)
    assert ready_of(events)[0] == SMALL
    assert sorted(ready_of(events)) == [BIG, SMALL, EMPTY, "z/more.json"]


async def test_without_an_order_nobody_is_told_of_files(tmp_path: Path, model: Path) -> None:
    async with behind_a_gate(tmp_path, model) as (bob, manifest, through, held):
        held.open()
        await bob.fetch(manifest, tmp_path / "out", also=[through])
    assert not ready_of(bob.events)


@pytest.mark.parametrize("early", [True, False])
async def test_what_somebody_reads_meanwhile_comes_before_the_rest(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    """Before the manifest is known, or, later, when all that was asked for is held up."""
    monkeypatch.setattr(limits, "SYNC_S", 0.05)
    out = tmp_path / "out"
    fetches: list[Running] = []

    def started(running: Running) -> None:
        fetches.append(running)
        if early:
            running.want_soon(SMALL, 0, 5)

    async with (
        behind_a_gate(tmp_path, model) as (bob, manifest, through, held),
        trio.open_nursery() as nursery,
    ):

        async def fetch() -> None:
            await bob.fetch(manifest, out, also=[through], started=started, in_order=not early)

        nursery.start_soon(fetch)
        await trio.to_thread.run_sync(held.shut.wait)
        if early:
            while not (out / SMALL).exists():
                await trio.sleep(0.01)
        [running] = fetches
        with pytest.raises(NotFound):
            running.want_soon("nothing.json", 0, 5)
        with pytest.raises(UsageError):
            running.want_soon(SMALL, 5, 5)
        running.want_soon(BIG, 20 * limits.MIB, 2**63)
        held.open()
    with pytest.raises(NotFound):
        running.want_soon("nothing.json", 0, 5)
    running.want_soon(SMALL, 0, 5)  # It is done: there is nothing to do.
    assert tree_digest(out) == tree_digest(model)


async def test_what_is_no_pattern_is_said_before_anything_is_fetched(tmp_path: Path, model: Path) -> None:
    async with behind_a_gate(tmp_path, model) as (bob, manifest, through, _):
        for first in (["!"], [""], ["*"] * (limits.FIRST_PATTERNS_MAX + 1)):
            with pytest.raises(UsageError):
                await bob.fetch(manifest, tmp_path / "out", also=[through], first=first)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("daemon", [True, False])
def test_the_command_line_tells_of_files_as_they_come_whoever_fetches(scene: Scene, model: Path, daemon: bool) -> None:
    reference = scene.publish("ann", model, name="m")["reference"]
    ann = scene.node("ann", "--up", "256KiB")
    if daemon:
        scene.node("bob")
    fetch = scene.start(
        "bob", "fetch", reference, "--provider", ann.address, "--into", scene.folder / "m", "--no-lan",
        "--first", "config.json", "--first", "nothing", "--in-order",
    )  # fmt: skip
    ready = fetch.wait_for("files_ready", timeout_s=END_S)  # A minute and a half from its end, at this rate.
    assert ready["paths"] == [SMALL]
    assert (scene.folder / "m" / SMALL).read_bytes() == (model / SMALL).read_bytes()
    assert {"event": "unmatched", "pattern": "nothing"} in fetch.events
    fetch.stop()
