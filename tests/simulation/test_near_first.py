"""Nearer sources first, each rule as a scene of its own; `near_first` has them together, with faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from p2phub import limits
from p2phub.content import ChunkRef
from p2phub.discovery import Candidate
from p2phub.engine.search import Search
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress
from p2phub.net.service import BulkService
from simnet import characters
from simnet.det import pause
from simnet.report import complaint
from simnet.run import Result, run_scene
from simnet.scene import MB, Happening, Member, Scene
from tests.support.covers import covers

SIZE = 12 * limits.MIB
NEAR = Member("near", holds=True, up=2 * MB, latency_s=0.001)
FAR = Member("far", holds=True, up=0.4 * MB, latency_s=0.08, network="93.184")
DEAR = Member("dear", holds=True, up=4 * MB, network="100.64")
LABELS = {"100.64.0.0/10": "metered"}


def run(*members: Member, happenings: tuple[Happening, ...] = (), size: int = SIZE, within_s: float = 60.0) -> Result:
    files = {"model.safetensors": size}
    scene = Scene(members=members, happenings=happenings, files=files, labels=LABELS, within_s=within_s, waste_max=0.3)
    result = run_scene(scene)
    assert not result.failures, complaint(result)
    return result


def bob(*knows: str, neighbours: tuple[str, ...] | None = None) -> Member:
    return Member("bob", fetches=True, knows=knows, neighbours=neighbours, latency_s=0.001)


def part(result: Result, name: str) -> float:
    """Return which part of the content came from `name`."""
    return result.served[name] / result.bytes_total


def test_a_neighbour_that_the_user_did_not_name_is_found_when_a_fetch_proves_long() -> None:
    alone = run(NEAR, FAR, bob("far"), size=6 * limits.MIB)
    assert part(alone, "near") == 0
    found = run(NEAR, FAR, bob("far", neighbours=("near",)), size=6 * limits.MIB)
    assert part(found, "near") > 0.6
    assert found.last_s < alone.last_s / 2


def test_the_local_network_is_not_asked_in_a_fetch_that_is_over_soon() -> None:
    result = run(NEAR, replace(FAR, up=4 * MB), bob("far", neighbours=("near",)), size=8 * limits.MIB)
    assert part(result, "near") == 0


def test_who_is_metered_and_named_by_the_user_alone_is_asked_at_once() -> None:
    assert run(DEAR, bob("dear")).last_s < SIZE / DEAR.up + 1.5


def test_a_neighbour_takes_over_from_one_that_is_metered() -> None:
    result = run(NEAR, replace(DEAR, up=1 * MB), bob("dear", neighbours=("near",)))
    assert part(result, "near") > 0.5


def test_one_that_is_near_and_metered_is_left_alone_where_it_is_metered_while_a_neighbour_does_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody answers at its other address, so it would be dialled over the metered line again and again."""
    scene = replace(NEAR, up=1 * MB), replace(DEAR, up=1 * MB), bob("near", "dear")
    monkeypatch.setattr("simnet.node.Search", _search_with_dead_addresses)
    assert part(run(*scene, size=24 * limits.MIB), "dear") == 0
    when_it_is_gone = run(*scene, happenings=(Happening(8.0, "kill", "near"),), size=24 * limits.MIB)
    assert part(when_it_is_gone, "dear") > 0.6
    assert when_it_is_gone.last_s < 24 * limits.MIB / MB + 8.0


def _search_with_dead_addresses(candidates: Sequence[Candidate], *args: Any, **more: Any) -> Search:
    dead = [
        Candidate(PeerAddress(each.provider.peer, Address("10.99.99.99", 4717)), each.via)
        for each in candidates
        if each.provider.address.ip.startswith(DEAR.network)
    ]
    return Search([*dead, *candidates], *args, **more)


@covers("T35")
@pytest.mark.parametrize("part_sent", [0.9, 2.0])
def test_those_who_never_end_a_chunk_keep_nobody_from_one_that_is_metered(
    part_sent: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They send 17 KiB/s, and close before a chunk is whole, or go on as slowly."""

    class Drips(BulkService):
        def _send_chunks(self, refs: Sequence[ChunkRef], end: int) -> None:
            payload = self._buffer[end - sum(ref.length for ref in refs) : end]
            left = (1 - part_sent) * len(payload)
            if refs:
                self._channel.send(self._machine.chunks(refs))
            while payload:
                if len(payload) < left:
                    raise PeerGone("enough")
                pause(0.5)
                self._channel.send(payload[: 9 * limits.KIB])
                payload = payload[9 * limits.KIB :]

    monkeypatch.setattr(characters, "Staller", Drips)
    drips = [Member(name, "staller", holds=True, network="93.184", latency_s=0.02) for name in ("d0", "d1", "d2")]
    result = run(*drips, DEAR, bob("d0", "d1", "d2", "dear"))
    assert result.last_s < limits.STALL_S + SIZE / DEAR.up + 4.0


def test_one_that_is_far_and_brings_much_goes_on() -> None:
    result = run(NEAR, replace(FAR, up=2 * MB), bob("near", "far"))
    assert part(result, "far") > 0.35


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_when_the_near_one_is_gone_the_far_one_stands_in_soon(fault: str) -> None:
    """After 4 s the far one has been let go of. The fetch takes no longer than what is left takes it, and 2.5 s."""
    left = SIZE - 4.0 * NEAR.up
    happenings = (Happening(4.0, fault, "near"), *((Happening(40.0, "thaw", "near"),) if fault == "freeze" else ()))
    result = run(NEAR, FAR, bob("near", "far"), happenings=happenings)
    assert result.last_s < 4.0 + left / FAR.up + 2.5


@covers("T35")
def test_near_ones_that_drip_keep_nobody_from_the_far_one_when_an_honest_one_is_gone() -> None:
    drips = Member("drips", "tarpit", holds=True, latency_s=0.001)
    left = SIZE - 4.0 * NEAR.up
    result = run(drips, NEAR, FAR, bob("drips", "near", "far"), happenings=(Happening(4.0, "kill", "near"),))
    assert result.last_s < 4.0 + left / FAR.up + 4.0


def test_one_that_comes_back_is_near_again() -> None:
    happenings = (Happening(3.5, "kill", "near"), Happening(6.0, "restart", "near"))
    result = run(NEAR, FAR, bob("near", "far"), happenings=happenings, size=24 * limits.MIB)
    assert part(result, "near") > 0.75


@covers("T35")
def test_one_that_is_far_and_took_all_places_keeps_nobody_out_once_it_brings_hardly_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It brings much at first, so it gets all links that there may be, and then a little over each for ever."""
    size, sent = 64 * limits.MIB, [0]

    class Fades(BulkService):
        def _send_chunks(self, refs: Sequence[ChunkRef], end: int) -> None:
            sent[0] += (length := sum(ref.length for ref in refs))
            if sent[0] < 90 * MB or not refs:
                super()._send_chunks(refs, end)
                return
            self._channel.send(self._machine.chunks(refs))
            for at in range(end - length, end, 9 * limits.KIB):
                pause(0.5)
                self._channel.send(self._buffer[at : min(end, at + 9 * limits.KIB)])

    monkeypatch.setattr(characters, "Staller", Fades)
    fades = Member("fades", "staller", holds=True, up=90 * MB, latency_s=0.05, network="93.184")
    scene = Scene(
        members=(fades, replace(NEAR, up=20 * MB), bob("fades", neighbours=("near",))),
        files={f"part{number}.safetensors": size for number in range(3)},
        chunk_bytes=limits.MIB,
        within_s=30.0,
    )
    result = run_scene(scene)
    assert not result.failures, complaint(result)
    assert part(result, "near") > 0.5
