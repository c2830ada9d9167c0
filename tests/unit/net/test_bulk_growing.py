"""What is held of a manifest that still arrives: fresh for whoever asks, and not asked for each of them."""

from __future__ import annotations

import pytest

from p2phub.content import RangeSet
from p2phub.errors import PeerGone
from p2phub.net.bulk.growing import AGAIN_S, Growing
from tests.support.covers import covers


class Scene:
    """A clock that moves when somebody sleeps, and a holder that has a chunk more whenever it is asked."""

    def __init__(self) -> None:
        self.time = 100.0
        self.asked: list[float] = []
        self.growing = Growing(lambda: self.time, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def ask(self) -> RangeSet:
        self.asked.append(self.time)
        return RangeSet.whole(len(self.asked))


@covers("T37")
def test_wants_without_a_pause_are_looked_up_at_a_bounded_rate() -> None:
    scene = Scene()
    for number in range(10):
        scene.time += 0.001
        assert scene.growing.now(scene.ask) == RangeSet.whole(number + 1)  # Nobody gets what was held before it asked.
    pauses = [later - sooner for sooner, later in zip(scene.asked, scene.asked[1:], strict=False)]
    assert min(pauses) == pytest.approx(AGAIN_S)


def test_who_asks_now_and_then_never_waits() -> None:
    scene = Scene()
    for _ in range(3):
        scene.time += 0.25
        began = scene.time
        scene.growing.now(scene.ask)
        assert scene.time == began


def test_who_came_before_the_question_shares_its_answer() -> None:
    scene = Scene()

    def ask_while_another_waits() -> RangeSet:
        held = scene.ask()
        scene.time += 1.0  # The answer takes long; the other came when it had been asked already.
        return held

    scene.growing.now(ask_while_another_waits)
    scene.time = scene.asked[0]
    assert scene.growing.now(scene.ask) == RangeSet.whole(1)
    assert len(scene.asked) == 1


def test_a_question_that_fails_answers_nobody() -> None:
    scene = Scene()

    def fail() -> RangeSet:
        raise PeerGone("this node is ending")

    with pytest.raises(PeerGone):
        scene.growing.now(fail)
    assert scene.growing.now(scene.ask) == RangeSet.whole(1)
