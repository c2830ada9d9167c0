"""What nearness makes of the state of a fetch: how near a source is, what counts as brought, and who waits for whom."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace
from typing import cast

import pytest

from p2phub.content import digest_of
from p2phub.discovery import Nearness, Surroundings
from p2phub.engine.assembly import Assembly
from p2phub.engine.job import Job
from p2phub.engine.meter import Meter
from p2phub.engine.nearness import _dial_where_metered, _seen, in_order, nearness_of
from p2phub.engine.patience import Patience
from p2phub.engine.providers import Provider
from p2phub.engine.questions import Asked, Questions
from p2phub.engine.reports import take_report
from p2phub.engine.sparing import Sparing
from p2phub.errors import PeerGone
from p2phub.identity import Address
from p2phub.net import Blobs
from p2phub.transfer import LinkNow
from tests.support.covers import covers
from tests.support.hosts import key_of

ANN = key_of("ann").peer_id
LAN, FAR, DEAR = Address("10.0.0.1", 1), Address("8.8.8.8", 1), Address("100.64.0.1", 1)
MB = 1e6


class FakeJob:
    """A job with one link, to Ann, who `holds` something that is missing or not."""

    def __init__(self, *addresses: Address, at: Address = LAN, holds: bool = True) -> None:
        self.ann = Provider(ANN, "direct", list(addresses or (LAN,)), links={0})
        self.links = {0: SimpleNamespace(link=SimpleNamespace(address=at), held=object(), leaving=False, bare=False)}
        self.session = SimpleNamespace(holds_missing=lambda peer: holds, links_wanted=lambda peer: 1)
        self.means = SimpleNamespace(near=Surroundings({ip_network(DEAR.ip): Nearness.METERED}))
        self.sparing = Sparing(began=0.0)
        self.crowd = frozenset[object]()
        self.meter = Meter(now=0.0)

    @property
    def job(self) -> Job:
        return cast(Job, self)

    def brings(self, *, leased: int, late: bool = False, rate: float = 40 * MB) -> tuple[float, float]:
        link = LinkNow(0, ANN, rate, leased, 1.0, 0.0, is_late=late)
        seen = _seen(self.job, self.ann, (link,), (), 10.0)
        return seen.rate, seen.best


def test_who_is_connected_is_as_near_as_the_address_of_that_and_else_as_the_nearest_known() -> None:
    fake = FakeJob(LAN, FAR, at=FAR)
    assert nearness_of(fake.job, fake.ann) is Nearness.FAR
    fake.ann.links.clear()
    assert nearness_of(fake.job, fake.ann) is Nearness.LAN


@pytest.mark.parametrize(
    ("holds", "leased", "late", "brought"),
    [
        (True, 1000, False, 40 * MB),
        (True, 0, False, 40 * MB),  # Idle, since all is asked of others; it could go on.
        (False, 0, False, 0.0),  # What it did says nothing of the rest.
        (False, 1000, False, 40 * MB),
        (True, 1000, True, 0.0),  # Overdue: perhaps it never comes.
    ],
)
def test_what_is_overdue_or_was_brought_by_one_that_has_no_more_does_not_count(
    holds: bool, leased: int, late: bool, brought: float
) -> None:
    assert FakeJob(holds=holds).brings(leased=leased, late=late) == (brought, 40 * MB)


@covers("T35")
def test_one_that_was_asked_and_brought_nothing_whole_yet_has_owed_since_then_though_it_gives_signs_of_life() -> None:
    fake = FakeJob()
    seen = _seen(fake.job, fake.ann, (LinkNow(0, ANN, 0.0, 1000, 0.5, 0.0, unmoved_s=4.0),), (), 10.0)
    assert seen.owes_since == 6.0
    assert _seen(fake.job, fake.ann, (LinkNow(0, ANN, 0.0, 0, 0.5, 0.0, unmoved_s=4.0),), (), 10.0).owes_since is None


def test_one_that_parole_keeps_back_is_not_on_its_way() -> None:
    fake = FakeJob()
    fake.ann.links.clear()
    assert _seen(fake.job, fake.ann, (), (), 10.0).coming
    assert not _seen(fake.job, fake.ann, (), [ANN], 10.0).coming


async def test_what_describes_the_manifest_counts_as_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    async def advance(job: Job) -> None: ...

    monkeypatch.setattr("p2phub.engine.reports.advance", advance)
    fake = SimpleNamespace(**vars(FakeJob()))
    fake.session, fake.assembly, fake.questions = None, Assembly(digest_of(b""), lambda digest: None), Questions()
    fake.ann.told = True
    link = SimpleNamespace(peer=ANN, address=LAN)
    fake.links = {0: SimpleNamespace(link=link, held=object(), leaving=False, bare=False, asked=Asked())}
    fake.meter.received(ANN, 100, now=1.0)
    fake.links[0].provider = fake.ann
    await take_report(cast(Job, fake), 0, Blobs((bytes(15), bytes(5))), 2.0)
    assert _seen(cast(Job, fake), fake.ann, (), (), 10.0).brought == 120
    assert fake.meter.bytes_received == 100


def test_one_that_is_near_and_metered_is_dialled_where_it_is_metered_once_that_waits_no_longer() -> None:
    fake = FakeJob(LAN, DEAR)
    fake.ann.links.clear()
    fake.ann.retry_at = 15.0
    assert _seen(fake.job, fake.ann, (), (), 10.0).dear
    fake.sparing.metered_waits = True
    _dial_where_metered(fake.job, [fake.ann], 10.0)
    fake.sparing.metered_waits = False
    fake.ann.dialling = 1  # Where it is near: its turn is when that came to nothing.
    _dial_where_metered(fake.job, [fake.ann], 10.1)
    fake.ann.dialling = 0
    assert fake.ann.retry_at == 15.0
    _dial_where_metered(fake.job, [fake.ann], 10.2)
    assert fake.ann.retry_at == 10.2
    fake.ann.tried.update(fake.ann.addresses)
    fake.ann.failed(PeerGone("not there"), 10.3)
    _dial_where_metered(fake.job, [fake.ann], 10.4)
    assert fake.ann.retry_at > 10.4  # Once.


def test_of_addresses_as_near_the_one_that_answered_soonest_comes_first_and_none_that_is_metered_and_waits() -> None:
    other, third = Address("8.8.4.4", 1), Address("9.9.9.9", 1)
    fake = FakeJob(DEAR, third, FAR, other)
    fake.ann.answered_s.update({FAR: 0.3, other: 0.1})
    assert in_order(fake.job, fake.ann) == [other, FAR, third, DEAR]
    fake.sparing.metered_waits = True
    assert in_order(fake.job, fake.ann) == [other, FAR, third]


def test_a_fetch_does_not_give_up_while_somebody_is_held_back() -> None:
    fake = SimpleNamespace(
        sparing=Sparing(began=0.0),
        session=None,
        links={},
        providers=_Nobody(),
        wish=SimpleNamespace(manifest=b""),
        means=SimpleNamespace(down=SimpleNamespace(links_max=lambda manifest: 8)),
    )
    patience = Patience(cast(Job, fake))
    assert not patience._can_progress(1.0, by_hearsay=True)
    fake.sparing.held_back = frozenset([ANN])
    assert patience._can_progress(1.0, by_hearsay=True)


class _Nobody(list[Provider]):
    links, dialling = 0, 0
