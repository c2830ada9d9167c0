"""What is said of others in a swarm reaches whoever shares out the upload; of what is not here nothing is heard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from p2phub.content import Digest, digest_of
from p2phub.engine.desk import ControlDesk
from p2phub.engine.serve import StoreShelf
from p2phub.engine.thanks import Thanks
from p2phub.engine.workers import Workers
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.store.memory import MemoryStore
from p2phub.store.memory_ledger import MemoryLedger
from p2phub.wire import GetNews, News
from tests.support.covers import covers
from tests.support.swarm import peer

MANIFEST = digest_of(b"manifest")
ANN, BOB = peer(1), peer(2)
AT_ANN, AT_BOB = Address("192.0.2.1", 1), Address("192.0.2.2", 1)
Shown = list[tuple[Digest, dict[PeerId, int]]]


def thanks() -> tuple[Thanks, Shown]:
    shown: Shown = []

    def show(manifest: Digest, news: Mapping[PeerId, int]) -> None:
        shown.append((manifest, dict(news)))

    return Thanks(show), shown


def test_what_a_fetch_was_given_is_shown_when_it_is_news() -> None:
    here, shown = thanks()
    here.gave_us(MANIFEST, {ANN: 5, BOB: 0})
    here.gave_us(MANIFEST, {ANN: 5, BOB: 0})
    assert shown == [(MANIFEST, {ANN: 5})]


@covers("T38")
def test_what_one_says_of_another_is_shown_and_what_it_says_of_itself_is_not() -> None:
    here, shown = thanks()
    here.heard(PeerAddress(ANN, AT_ANN), GetNews(MANIFEST, 0), bytes_total=100)
    here.heard(PeerAddress(BOB, AT_BOB), GetNews(MANIFEST, 0, got=((ANN, 7), (BOB, 9))), bytes_total=100)
    here.heard(PeerAddress(peer(3), AT_ANN), GetNews(MANIFEST, 0, got=((ANN, 50),)), bytes_total=100)
    assert shown == [(MANIFEST, {ANN: 7})]


async def test_nothing_is_heard_of_a_manifest_that_is_not_here(tmp_path: Path) -> None:
    here, shown = thanks()
    store, ledger = MemoryStore(), MemoryLedger()
    desk = ControlDesk(StoreShelf(store, ledger), ledger, Workers(1), thanks=here)
    for teller, where in ((ANN, AT_ANN), (BOB, AT_BOB)):
        answer = await desk.answer(teller, where, GetNews(MANIFEST, 0, got=((ANN, 7),)))
        assert isinstance(answer, News)
        assert not answer.held
    assert not shown
