"""What is said of a name that nobody tells about: whether they do not know it, or were not there to be asked."""

from __future__ import annotations

import pytest

from p2phub.discovery import Asked
from p2phub.engine.resolve import Resolver
from p2phub.engine.workers import Workers
from p2phub.errors import NoProvider, NotFound
from p2phub.net import Finder
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.hosts import FixedFinder, key_of

REFERENCE = f"{key_of('ann').peer_id}/model"


class Asking(FixedFinder):
    """A finder that asked these."""

    def __init__(self, *asked: Asked) -> None:
        super().__init__()
        self._asked = asked

    def asked(self) -> tuple[Asked, ...]:
        return self._asked


def resolver(*asked: Asked) -> Resolver:
    async def open_finder() -> Finder:
        return Asking(*asked)

    return Resolver(ledger=MemoryLedger(), workers=Workers(), dialler=None, open_finder=open_finder)  # type: ignore[arg-type]


async def test_where_nobody_could_be_reached_the_name_is_not_to_blame() -> None:
    with pytest.raises(NoProvider, match="could be reached") as caught:
        await resolver(Asked("dht", (), ("/ip4/192.0.2.7/tcp/1",)), Asked("lan")).resolve(REFERENCE, ())
    assert "bootstrap node" in str(caught.value.hint)


async def test_where_nobody_is_known_who_could_be_asked_the_name_is_not_to_blame_either() -> None:
    with pytest.raises(NoProvider, match="no peer is known") as caught:
        await resolver().resolve(REFERENCE, ())
    assert "--bootstrap" in str(caught.value.hint)


@pytest.mark.parametrize("asked", [(Asked("lan"),), (Asked("dht", ("one",), ("another",)),)])
async def test_where_somebody_answered_or_the_network_is_looked_at_nobody_knows_it(asked: tuple[Asked, ...]) -> None:
    with pytest.raises(NotFound, match="nobody knows"):
        await resolver(*asked).resolve(REFERENCE, ())


async def test_a_digest_that_was_not_copied_whole_is_no_name() -> None:
    with pytest.raises(NotFound) as caught:
        await resolver().resolve("bagaqihraaihxuchxrvbrjbbeszzdogdu666mnqgvleid33ukgmw", ())
    assert "copy it again" in str(caught.value.hint)
