"""When a watcher is told that a provider gives nothing more, and that it does again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from p2phub.engine.job import Job
from p2phub.engine.providers import Provider
from p2phub.errors import ChunkMismatch, PeerError, PeerGone
from p2phub.observe import Event, PeerDropped
from tests.support.hosts import key_of


def told_of(*leaving: bool, error: PeerError, told: bool = True) -> tuple[list[Event], Provider]:
    """What is told when a link fails of a provider whose others are like this."""
    events: list[Event] = []
    provider = Provider(key_of("ann").peer_id, "direct", links=set(range(len(leaving))), told=told)
    provider.failed(error, 0.0)
    links = {number: SimpleNamespace(leaving=leaves) for number, leaves in enumerate(leaving)}
    Job.tell_dropped(cast(Job, SimpleNamespace(links=links, watch=events.append)), provider, error)
    return events, provider


def test_one_that_has_another_link_is_not_dropped() -> None:
    events, provider = told_of(False, error=PeerGone("gone"))
    assert not events
    assert provider.told


def test_one_that_has_none_is_dropped_and_told_of_again_when_it_is_back() -> None:
    for others in ((), (True,)):
        events, provider = told_of(*others, error=PeerGone("gone"))
        assert [type(event) for event in events] == [PeerDropped]
        assert not provider.told


def test_a_liar_is_named_whatever_links_it_has() -> None:
    events, _ = told_of(False, error=ChunkMismatch("wrong byte", file="f", chunk=1, peer=""))
    assert [type(event) for event in events] == [PeerDropped]
