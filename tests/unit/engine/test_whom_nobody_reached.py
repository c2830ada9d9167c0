"""What is said of a name that nobody tells about: whether they do not know it, or were not there to be asked."""

from __future__ import annotations

import pytest

from p2phub.discovery import Asked
from p2phub.engine.resolve import Resolver
from p2phub.engine.workers import Workers
from p2phub.errors import NoProvider, NotFound, PeerError, PeerGone
from p2phub.identity import MirrorId, PeerId
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


class OneMirror:
    """Mirrors that all answer so."""

    def __init__(self, answer: bytes | PeerError | None) -> None:
        self._answer = answer

    async def release(self, mirror: MirrorId, publisher: PeerId, name: str, tag: str) -> bytes | None:
        if isinstance(self._answer, PeerError):
            raise self._answer
        return self._answer


def resolver(*asked: Asked, mirror: bytes | PeerError | None = None) -> Resolver:
    async def open_finder() -> Finder:
        return Asking(*asked)

    return Resolver(
        ledger=MemoryLedger(),
        workers=Workers(),
        dialler=None,  # type: ignore[arg-type]
        open_finder=open_finder,
        open_mirrors=lambda: OneMirror(mirror),  # type: ignore[arg-type, return-value]
    )


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


async def test_of_a_mirror_that_cannot_be_asked_it_is_told_why() -> None:
    gone = PeerGone("answers with status 503")
    with pytest.raises(NoProvider, match=r"https://models\.example: answers with status 503\)"):
        await resolver(mirror=gone).resolve(REFERENCE, (), ("https://models.example",))


async def test_where_a_mirror_has_no_release_the_name_is_not_the_only_suspect() -> None:
    """The folder in the URL, or a server that hides folders with a dot, has the same answer as a name that is wrong."""
    with pytest.raises(NotFound, match=r"https://models\.example: has no release") as caught:
        await resolver(mirror=None).resolve(REFERENCE, (), ("https://models.example",))
    assert ".p2phub/mirror/" in str(caught.value.hint)
    assert "hidden folders" in str(caught.value.hint)


async def test_a_digest_that_was_not_copied_whole_is_no_name() -> None:
    with pytest.raises(NotFound) as caught:
        await resolver().resolve("bagaqihraaihxuchxrvbrjbbeszzdogdu666mnqgvleid33ukgmw", ())
    assert "copy it again" in str(caught.value.hint)
