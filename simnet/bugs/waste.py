"""Bugs to plant that do work again, keep what nobody needs, or burden others."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.engine import dialling
from p2phub.net import Closed
from p2phub.net.lease import Window
from p2phub.net.link import BulkLink
from p2phub.store.journal import Remembered
from p2phub.store.memory import MemoryStore
from p2phub.transfer.endgame import Endgame
from p2phub.transfer.standing import Standings
from simnet import carrier
from simnet.bugs.planting import plant


@plant
def _ignore_the_window() -> AbstractContextManager[Any]:
    return mock.patch.object(Window, "bytes_max", property(lambda self: 64 * limits.MIB))


@plant
def _pick_twice() -> AbstractContextManager[Any]:
    grant = BulkLink.grant
    granted: dict[int, RangeSet] = {}

    def generous(self: BulkLink, chunks: RangeSet) -> None:
        grant(self, chunks | granted.get(id(self), RangeSet()))
        granted[id(self)] = chunks

    return mock.patch.object(BulkLink, "grant", generous)


@plant
def _take_back_in_vain() -> AbstractContextManager[Any]:
    help_idle = Endgame.help

    def tireless(self: Endgame, idle: Any, owing: Any, *, now: float, **options: Any) -> Any:
        for link in owing.links:
            link.kept_until = now
        return help_idle(self, idle, owing, now=now, **options)

    return mock.patch.object(Endgame, "help", tireless)


@plant
def _leave_connections_open() -> AbstractContextManager[Any]:
    return mock.patch.object(carrier.SimChannel, "close", lambda self: self._stream.end())


@plant
def _never_sync() -> AbstractContextManager[Any]:
    return mock.patch("p2phub.limits.SYNC_S", 1e9)


@plant
def _hammer_who_is_gone() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch("p2phub.engine.providers.RETRY_S", (0.0,)))
    stack.enter_context(mock.patch("p2phub.transfer.standing.GONE_REST_S", 0.0))
    return stack


@plant
def _leave_links_open_when_cancelled() -> AbstractContextManager[Any]:
    async def forgetful(dialled: dialling.Dialled, link: Any, tell: Any) -> None:
        await tell.send(dialled)
        report = None
        while not isinstance(report, Closed):
            report = await link.next_report()
            await tell.send(dialling.Reported(dialled.number, report))

    return mock.patch.object(dialling, "relay", forgetful)


@plant
def _begin_anew_each_time() -> AbstractContextManager[Any]:
    arrive = MemoryStore.arrive

    def forgetful(self: MemoryStore, *args: Any, **options: Any) -> Any:
        self.unfinished.clear()
        return arrive(self, *args, **options)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(MemoryStore, "arrive", forgetful))
    stack.enter_context(mock.patch("p2phub.store.arriving.read_journal", return_value=Remembered()))
    return stack


@plant
def _try_all_keys_of_a_liar() -> AbstractContextManager[Any]:
    return mock.patch.object(Standings, "kept_back", return_value=False)
