"""What simulations found, each as a scene of its own, as small as shows it."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from p2phub import limits
from p2phub.engine.assembly import Assembly
from p2phub.engine.giving_place import TRY_NEW_S
from p2phub.net import Offer
from p2phub.net.chunk_reader import ChunkReader
from p2phub.net.service import BulkService
from p2phub.wire import Ask
from simnet import characters
from simnet.det import pause
from simnet.report import complaint
from simnet.run import run_scene
from simnet.scene import MB, Happening, Member, Scene, named
from tests.support.covers import covers

DRIP_S = 9.0  # Sooner than STALL_S: it is never silent for so long that it would be let go of.


def test_whoever_was_not_asked_yet_takes_the_place_of_one_who_holds_nothing() -> None:
    """Found by `flash_crowd` with 50 nodes: as many as may be connected at once were others who had just begun."""
    idle = named("idle", limits.BULK_THREADS_MAX)
    scene = Scene(
        members=(
            Member("mute", "staller", holds=True),
            *(Member(name, fetches=True, knows=("mute",), may_end_with=("NoProvider",), patience_s=9) for name in idle),
            Member("ann", holds=True, up=4 * MB),
            Member("bob", fetches=True, starts_s=2.0, knows=(*idle, "ann"), up=4 * MB),
        ),
        files={"model.safetensors": 2 * limits.MIB},
        chunk_bytes=limits.MIB,  # Too long for the first flight, or they would hold something after all.
        within_s=120,
    )
    result = run_scene(scene)
    assert not result.failures, complaint(result)
    assert next(each for each in result.ended if each.node == "bob").outcome == "done"


def test_a_provider_that_goes_before_the_first_chunk_is_whole_is_waited_for() -> None:
    """Found by `provider_restart` with 16 nodes: they shared its uplink, so none had a whole chunk when it went."""
    scene = Scene(
        members=(Member("ann", holds=True, up=0.2 * MB), Member("bob", fetches=True, knows=("ann",))),
        happenings=(Happening(1.0, "kill", "ann"), Happening(4.0, "restart", "ann")),
        files={"model.safetensors": 2 * limits.MIB},
        chunk_bytes=limits.MIB,
        waste_max=1.0,
        within_s=40,
    )
    result = run_scene(scene)
    assert not result.failures, complaint(result)


class Drip(BulkService):
    """Pushes nothing, and gives one blob in DRIP_S of what it is asked for."""

    def _answer_open(self, offer: Offer, reader: ChunkReader) -> None:
        self._channel.send(self._machine.opening((), []))
        self._machine.answered()

    def _answer_ask(self, ask: Ask, offer: Offer) -> None:
        found = [offer.blob(digest) or b"" for digest in ask.blobs]
        self._channel.send(self._machine.blobs([len(blob) for blob in found]))
        for blob in found:
            pause(DRIP_S)
            self._channel.send(blob)


def lists_of(files: int, *providers: Member) -> Scene:
    """Return a scene where Bob fetches `files` files with a chunk list each."""
    knows = tuple(member.name for member in providers)
    return Scene(
        members=(*providers, Member("bob", fetches=True, knows=knows)),
        files={f"part{number}": 8 * limits.KIB + number for number in range(files)},
        chunk_bytes=4 * limits.KIB,
        waste_max=1.0,
    )


@covers("T35")
def test_who_drips_what_describes_the_manifest_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a review: each blob was as good as an answer, so forty files took forty times DRIP_S."""
    monkeypatch.setattr(characters, "Staller", Drip)
    monkeypatch.setattr(limits, "PREFIX_BYTES_MAX", 500)  # As if more described the manifest than is pushed.
    result = run_scene(lists_of(200, Member("drip", "staller", holds=True), Member("ann", holds=True)))
    assert not result.failures, complaint(result)
    assert result.last_s < DRIP_S


class Mute(BulkService):
    """Proves its key, and never opens."""

    def _answer_open(self, offer: Offer, reader: ChunkReader) -> None:
        pause(600.0)


@covers("T35")
@pytest.mark.parametrize("character", [Drip, Mute])
def test_eight_who_hold_up_what_describes_the_manifest_do_not_keep_out_a_ninth(
    monkeypatch: pytest.MonkeyPatch, character: type[BulkService]
) -> None:
    monkeypatch.setattr(characters, "Staller", character)
    monkeypatch.setattr(limits, "PREFIX_BYTES_MAX", 500)
    bad = (Member(f"bad{number}", "staller", holds=True) for number in range(limits.BULK_THREADS_MAX))
    result = run_scene(lists_of(200, *bad, Member("ann", holds=True)))
    assert not result.failures, complaint(result)
    assert result.last_s < 3 * TRY_NEW_S


def test_what_describes_the_manifest_may_come_once_more_when_the_transfer_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[object] = []
    add = Assembly.add
    monkeypatch.setattr(Assembly, "add", lambda self, blobs: came.extend(blobs) or add(self, blobs))
    monkeypatch.setattr(characters, "Staller", Drip)
    monkeypatch.setattr(limits, "PREFIX_BYTES_MAX", 500)
    result = run_scene(lists_of(200, Member("drip", "staller", holds=True), Member("ann", holds=True, up=0.05 * MB)))
    assert not result.failures, complaint(result)
    assert result.last_s > DRIP_S  # The slow one has given it by then, too.
    assert len(came) == len(set(came))  # Kept once.


def test_the_only_provider_may_be_as_slow_with_what_describes_the_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(characters, "Staller", Drip)
    result = run_scene(lists_of(10, Member("drip", "staller", holds=True)))
    assert not result.failures, complaint(result)
    assert result.last_s > 10 * DRIP_S


def test_one_provider_is_asked_for_many_lists_in_few_round_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[float] = Counter()  # Blobs, by the moment when the provider is asked for them.
    answer = BulkService._answer_ask

    def counting(self: BulkService, ask: Ask, offer: Offer) -> None:
        asked[time.monotonic()] += len(ask.blobs)
        answer(self, ask, offer)

    monkeypatch.setattr(BulkService, "_answer_ask", counting)
    monkeypatch.setattr(limits, "PREFIX_BYTES_MAX", 500)
    result = run_scene(lists_of(1_500, Member("ann", holds=True)))
    assert not result.failures, complaint(result)
    most = limits.BLOBS_ASKED_MAX
    assert list(asked.values()) == [1, most, 1_500 - most]  # The root page, which is pushed, names one more.
