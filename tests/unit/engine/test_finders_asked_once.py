"""How often a fetch asks the finders: peers of its swarm name one another, so that the DHT is asked once.

The finder here names one provider, whoever asks; all others are known by exchange alone. Everything else is the real
engine on the simulated network, in virtual time.
"""

from __future__ import annotations

from random import Random

import pytest
import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Candidate
from p2phub.identity import PeerAddress
from p2phub.net.reception import Reception
from p2phub.wire import Open
from simnet import node as simulated
from simnet.carrier import SimConnection
from simnet.finding import SimFinder
from simnet.report import complaint
from simnet.run import Result, run_scene
from simnet.scene import MB, Happening, Member, Scene
from tests.support.covers import covers

SIZE = 12 * limits.MIB
ANN = Member("ann", holds=True, up=2 * MB)
"""The one that finders name."""


class Counted(SimFinder):
    """Names the first of all, and notes when it was asked."""

    asked_at: list[list[float]]

    def __init__(self, others: list[PeerAddress], chance: Random, via: str = "dht") -> None:
        super().__init__(others[:1], chance, via)
        self.times: list[float] = []
        self.asked_at.append(self.times)

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        self.times.append(trio.current_time())
        await super().providers(manifest, found)


def run(
    monkeypatch: pytest.MonkeyPatch, *members: Member, happenings: tuple[Happening, ...] = ()
) -> tuple[Result, list[list[float]]]:
    """Run a scene; return what came of it, and for each fetch, in the order of their starts, when it asked."""
    asked: list[list[float]] = []
    monkeypatch.setattr(Counted, "asked_at", asked, raising=False)
    monkeypatch.setattr(simulated, "SimFinder", Counted)
    files = {"model.safetensors": SIZE}
    scene = Scene(members, happenings, files, chunk_bytes=limits.MIB // 2, waste_max=0.5)
    result = run_scene(scene)
    assert not result.failures, complaint(result)
    return result, asked


def crowd(count: int, knows: tuple[str, ...] | None = None) -> list[Member]:
    return [Member(f"b{number}", fetches=True, up=2 * MB, knows=knows) for number in range(count)]


@covers("F26")
def test_each_of_a_crowd_asks_once_and_hears_of_the_others_from_the_swarm(monkeypatch: pytest.MonkeyPatch) -> None:
    result, asked = run(monkeypatch, ANN, *crowd(4))
    assert [len(times) for times in asked] == [1, 1, 1, 1]
    assert all(len(ended.sources) > 1 for ended in result.ended)


@covers("F26")
def test_who_finds_the_provider_full_asks_once_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    has_place = Reception._has_place
    turned_away: set[str] = set()

    def few_at_ann(reception: Reception, first: Open, connection: SimConnection) -> bool:
        with monkeypatch.context() as here:
            if connection.stream.host.name == ANN.name:
                here.setattr(limits, "DATA_CONNECTIONS_MAX", 2)
            has = has_place(reception, first, connection)
            if not has:
                turned_away.add(connection.stream.other.name)
            return has

    monkeypatch.setattr(Reception, "_has_place", few_at_ann)
    _, asked = run(monkeypatch, ANN, *crowd(4))
    assert turned_away
    assert [len(times) for times in asked] == [1, 1, 1, 1]


def test_while_the_provider_that_the_user_named_is_enough_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    _, asked = run(monkeypatch, ANN, *crowd(2, knows=("ann",)))
    assert asked == [[], []]


CY = Member("cy", fetches=True, up=2 * MB)
LATER = Member("bob", fetches=True, up=2 * MB, starts_s=20.0)
"""By then cy has all; ann names her."""


@covers("F26")
def test_who_lost_the_provider_that_was_found_goes_on_with_whom_it_named_and_asks_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, asked = run(monkeypatch, ANN, CY, LATER, happenings=(Happening(22.0, "kill", "ann"),))
    assert asked == [[0.0], [LATER.starts_s]]
    assert result.served["cy"] > SIZE / 2


def test_who_lost_all_of_them_asks_again_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    happenings = (Happening(22.0, "kill", "ann"), Happening(23.0, "kill", "cy"), Happening(30.0, "restart", "ann"))
    _, asked = run(monkeypatch, ANN, CY, LATER, happenings=happenings)
    cys, bobs = asked
    assert cys == [0.0]
    assert bobs[0] == LATER.starts_s
    assert 23.0 < bobs[1] < 30.0
