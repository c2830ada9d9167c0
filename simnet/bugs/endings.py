"""Bugs to plant by which a fetch never ends, or ends too early: what can be had is to be had."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.discovery import ProviderRecords
from p2phub.engine.assembly import Assembly
from p2phub.engine.patience import Patience
from p2phub.identity import SourceId
from p2phub.net.lease import Lease
from p2phub.transfer import Session
from p2phub.transfer.endgame import Endgame
from p2phub.transfer.leases import Leases
from p2phub.transfer.picker import Picker
from p2phub.transfer.standing import Standings
from simnet.bugs.planting import plant


@plant
def _never_pick_the_last_chunk() -> AbstractContextManager[Any]:
    pick = Picker.pick

    def shy(self: Picker, tiers: tuple[RangeSet, ...], *args: Any, **options: Any) -> Any:
        last = RangeSet.of([(len(self._table) - 1, len(self._table))])
        return pick(self, tuple(tier - last for tier in tiers), *args, **options)

    return mock.patch.object(Picker, "pick", shy)


@plant
def _lose_what_is_revoked() -> AbstractContextManager[Any]:
    revoke = Lease.revoke

    def lossy(self: Lease) -> RangeSet:
        revoke(self)
        return RangeSet()

    return mock.patch.object(Lease, "revoke", lossy)


@plant
def _lose_what_a_dead_link_had() -> AbstractContextManager[Any]:
    def nothing(self: Leases, link: Any, chunks: RangeSet) -> None:
        link.lease_bytes = 0

    return mock.patch.object(Leases, "release", nothing)


@plant
def _stop_the_stall_clock() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch.object(Session, "_patience_ends", return_value=float("inf")))
    stack.enter_context(mock.patch.object(Endgame, "_ask_again", return_value=[]))
    stack.enter_context(mock.patch.object(limits, "SOCKET_CALL_S", 1e6))
    stack.enter_context(mock.patch("p2phub.engine.heartbeat.PATIENCE_S", 1e6))
    return stack


@plant
def _give_up_at_once() -> AbstractContextManager[Any]:
    def impatient(self: Patience, now: float) -> None:
        job = self._job
        if not job.complete and not self.searching and not self._can_progress(now, by_hearsay=True):
            raise job.providers.verdict(job.wish.reference, job.search.asked())

    return mock.patch.object(Patience, "give_up_or_wait", impatient)


@plant
def _ask_for_blobs_forever() -> AbstractContextManager[Any]:
    return mock.patch.object(Assembly, "add", return_value=set())


@plant
def _keep_who_is_of_no_use() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch("p2phub.engine.fetch.make_place"))
    stack.enter_context(mock.patch("p2phub.engine.patience.waiting", return_value=[]))
    return stack


@plant
def _wait_for_who_cannot_be_reached() -> AbstractContextManager[Any]:
    return mock.patch.object(limits, "DIAL_S", 1e6)


@plant
def _rest_for_ever() -> AbstractContextManager[Any]:
    def grudging(self: Standings, peer: SourceId, *, now: float) -> None:
        self._known(peer, now=now).rest_until = float("inf")

    return mock.patch.object(Standings, "lost", grudging)


@plant
def _name_no_providers() -> AbstractContextManager[Any]:
    return mock.patch.object(ProviderRecords, "get", return_value=())
