"""How many links a fetch makes: what the swarm is worth, within what the cap keeps alive."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from p2phub import limits
from p2phub.content import digest_of
from p2phub.engine.giving_place import most_links
from p2phub.engine.job import Job
from p2phub.net.interface import Cap, NoCap
from p2phub.net.throttle import Throttle

MANIFEST = digest_of(b"any")


def most(cap: Cap, wanted: int | None) -> int:
    session = None if wanted is None else SimpleNamespace(links_max=wanted)
    means, wish = SimpleNamespace(down=cap), SimpleNamespace(manifest=MANIFEST)
    return most_links(cast(Job, SimpleNamespace(session=session, means=means, wish=wish)))


@pytest.mark.parametrize("rate", [limits.CAP_MIN, 256 * limits.KIB, 400 * limits.KIB, 512 * limits.KIB, 1e7])
@pytest.mark.parametrize("wanted", [limits.BULK_THREADS_MAX, limits.CROWD_LINKS_MAX])
def test_each_link_under_a_cap_has_what_it_lives_on_in_a_crowd_too(rate: float, wanted: int) -> None:
    links = most(Throttle(rate), wanted)
    assert rate / links >= limits.SLOT_RATE_MIN
    assert links == wanted or rate / (links + 1) < limits.SLOT_RATE_MIN


@pytest.mark.parametrize("cap", [Throttle(), NoCap()], ids=["throttle", "none"])
def test_without_a_cap_the_swarm_says_how_many(cap: Cap) -> None:
    assert most(cap, None) == most(cap, limits.BULK_THREADS_MAX) == limits.BULK_THREADS_MAX
    assert most(cap, limits.CROWD_LINKS_MAX) == limits.CROWD_LINKS_MAX
