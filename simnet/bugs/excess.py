"""Bugs to plant that have more in memory, keep more open or say more than they may.

The bounds are those of `bounds`, which knows nothing of what is patched here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any
from unittest import mock

import trio

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.engine.arriving import Arriving
from p2phub.engine.company import accompany
from p2phub.engine.job import Job
from p2phub.engine.providers import Provider
from p2phub.net.link import BulkLink
from p2phub.net.reception import Reception
from p2phub.transfer import Action, Backlog, Grant, Session
from p2phub.wire.requester import ChunksArrived
from simnet.bugs.planting import excess

FEW_PLACES = 3


@excess
def _read_on_before_it_is_written() -> AbstractContextManager[Any]:
    take = BulkLink._take

    def pile_up(self: BulkLink, event: Any) -> None:
        pile = vars(self).setdefault("pile", [])
        came = isinstance(event, ChunksArrived)
        pile.append(ChunksArrived(event.refs, memoryview(bytes(event.data))) if came else event)
        if not came or len(pile) > 16 or not self._machine.bytes_outstanding:
            while pile:
                take(self, pile.pop(0))

    return mock.patch.object(BulkLink, "_take", pile_up)


@excess
def _run_ahead_of_the_disk() -> AbstractContextManager[Any]:
    return mock.patch.object(Backlog, "room", return_value=math.inf)


def _greedy() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch("p2phub.engine.turns.most_links", return_value=64))
    stack.enter_context(mock.patch.object(Session, "links_wanted", return_value=6))
    return stack


@excess
def _have_links_without_end() -> AbstractContextManager[Any]:
    return _greedy()


def few_places() -> AbstractContextManager[Any]:
    """Let every node have a few places alone: more than there are come in no scenario."""
    stack = ExitStack()
    stack.enter_context(mock.patch.object(limits, "DATA_CONNECTIONS_MAX", FEW_PLACES))
    stack.enter_context(mock.patch.object(limits, "CONTROL_CONNECTIONS_MAX", FEW_PLACES))
    return stack


class _NeverFull(dict[Any, Any]):
    def __len__(self) -> int:
        return 0


def _for_whom_there_is_no_place(kept: str) -> AbstractContextManager[Any]:
    begin = Reception.__init__

    def without_end(self: Reception, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        setattr(self, kept, _NeverFull())

    stack = ExitStack()
    stack.enter_context(few_places())
    stack.enter_context(mock.patch.object(Reception, "__init__", without_end))
    return stack


@excess
def _serve_whoever_comes() -> AbstractContextManager[Any]:
    return _for_whom_there_is_no_place("_bulk")


@excess
def _answer_whoever_asks() -> AbstractContextManager[Any]:
    return _for_whom_there_is_no_place("_control")


@excess
def _serve_one_peer_without_end() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(_greedy())
    # As many as a requester may have links would never be too many.
    stack.enter_context(mock.patch.object(limits, "CONNECTIONS_PER_PEER_MAX", FEW_PLACES))
    stack.enter_context(mock.patch.object(Reception, "_counted", side_effect=lambda peer: nullcontext()))
    return stack


@excess
def _ask_for_news_twice() -> AbstractContextManager[Any]:
    def beside_itself(job: Any, provider: Provider, where: Any) -> None:
        accompany(job, provider, where)
        provider.accompanied = False

    return mock.patch("p2phub.engine.reports.accompany", beside_itself)


@excess
def _leave_tasks_behind() -> AbstractContextManager[Any]:
    count = Job.count

    def begin_another(self: Job, *args: Any) -> None:
        count(self, *args)
        self.nursery.start_soon(trio.sleep_forever)

    return mock.patch.object(Job, "count", begin_another)


@excess
def _announce_before_verified() -> AbstractContextManager[Any]:
    act, held = Job.act, Arriving.held
    granted: dict[int, RangeSet] = defaultdict(RangeSet)

    def as_good_as_here(self: Job, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Grant):
                granted[id(self.arrival)] |= action.chunks
        act(self, actions)

    def early(self: Arriving) -> RangeSet:
        return held(self) | granted[id(self._arrival)]

    stack = ExitStack()
    stack.enter_context(mock.patch.object(Job, "act", as_good_as_here))
    stack.enter_context(mock.patch.object(Arriving, "held", early))
    return stack
