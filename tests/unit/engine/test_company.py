"""What providers tell beside the bytes is not lost, whenever it comes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from p2phub.content import RangeSet
from p2phub.engine.company import take_holding
from p2phub.engine.heartbeat import HoldsNow
from p2phub.engine.preparing import join
from tests.support.swarm import peer, runs

ANN = peer(1)


class Joining:
    """A session that keeps what it was told."""

    def __init__(self) -> None:
        self.joins: list[RangeSet] = []

    def joined(self, number: int, who: object, held: RangeSet, *, now: float) -> list[Any]:
        self.joins.append(held)
        return []


def job_with(*held: RangeSet, session: Joining | None = None) -> Any:
    """A job whose links are all to one provider."""
    provider = SimpleNamespace(links=set(range(len(held))))
    links = {
        number: SimpleNamespace(
            provider=provider, held=each, link=SimpleNamespace(peer=ANN, use=lambda plan, numbers: None), kin=None
        )
        for number, each in enumerate(held)
    }
    arrival = SimpleNamespace(plan=None)
    return SimpleNamespace(
        providers={ANN: provider}, links=links, session=session, arrival=arrival, act=lambda actions: None
    )


def test_news_that_comes_before_there_is_a_session_counts_when_there_is_one() -> None:
    job = job_with(runs((0, 3)))
    take_holding(job, HoldsNow(ANN, runs((0, 10))), now=0.0)
    job.session = Joining()
    join(job, 0, job.links[0], 0.0)
    assert job.session.joins == [runs((0, 10))]


def test_a_second_link_does_not_put_older_news_in_place_of_newer() -> None:
    job = job_with(runs((0, 10)), runs((0, 3)), session=Joining())
    join(job, 1, job.links[1], 0.0)
    assert job.session.joins == [runs((0, 10))]
