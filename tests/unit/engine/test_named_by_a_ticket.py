"""What a ticket's release says is remembered as what a peer tells, so that what came by the ticket has a name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from p2phub.content import Digest
from p2phub.engine.resolve import Resolver
from p2phub.manifest import Release, Ticket, encode_ticket, sign_release
from p2phub.net import Finder
from p2phub.store import Accepted, Publication
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.covers import covers
from tests.support.hosts import key_of
from tests.support.no_threads import NoThreads

KEY = key_of("ann")
NAME = (KEY.peer_id, "model", "main")
ONE, TWO = Digest(b"1" * 32), Digest(b"2" * 32)


def signed(manifest: Digest, sequence: int, *, expires_in_s: int = 1_000) -> bytes:
    now = int(time.time())
    release = Release(
        publisher=KEY.peer_id,
        name="model",
        sequence=sequence,
        manifest=manifest,
        bytes_total=1,
        created=now - 2_000,
        expires=now + expires_in_s,
    )
    return sign_release(KEY, release)


async def fetched_by(ticket: Ticket, ledger: MemoryLedger) -> Digest:
    async def open_finder() -> Finder:
        raise AssertionError("nothing is looked up for a ticket")

    resolver = Resolver(ledger=ledger, workers=NoThreads(), dialler=None, open_finder=open_finder)  # type: ignore[arg-type]
    return (await resolver.resolve(encode_ticket(ticket), ())).manifest


async def test_the_name_of_what_came_by_a_ticket_is_known_from_then_on() -> None:
    ledger = MemoryLedger()
    release = signed(ONE, 5)
    assert await fetched_by(Ticket(ONE, release), ledger) == ONE
    assert ledger.accepted(*NAME) == Accepted(release, 5)


@covers("T11")
async def test_an_old_ticket_leads_to_what_it_is_for_and_rolls_nothing_back() -> None:
    ledger = MemoryLedger()
    newer = Accepted(signed(TWO, 6), 6)
    ledger.accept(*NAME, newer)
    assert await fetched_by(Ticket(ONE, signed(ONE, 5)), ledger) == ONE
    assert ledger.accepted(*NAME) == newer


@pytest.mark.parametrize(
    "release",
    [signed(ONE, 5, expires_in_s=-1_000), signed(TWO, 5), signed(ONE, 5)[:-1] + b"?", None],
    ids=["expired", "of another manifest", "forged", "none"],
)
async def test_a_release_that_does_not_hold_is_not_remembered_and_is_no_hindrance(release: bytes | None) -> None:
    ledger = MemoryLedger()
    assert await fetched_by(Ticket(ONE, release), ledger) == ONE
    assert ledger.accepted(*NAME) is None


async def test_what_a_name_that_is_published_here_means_is_learnt_from_no_ticket(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    ledger.publish(Publication(*NAME, TWO, tmp_path, signed(TWO, 6)))
    assert await fetched_by(Ticket(ONE, signed(ONE, 5)), ledger) == ONE
    assert ledger.accepted(*NAME) is None
