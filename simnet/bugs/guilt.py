"""Bugs to plant that blame the wrong one, or forget who lied."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

from p2phub.content import RangeSet
from p2phub.engine import reports
from p2phub.engine.providers import Provider
from p2phub.errors import ChunkMismatch, HubError, PeerError, PeerGone, ProtocolViolation
from p2phub.identity import SourceId
from p2phub.store.memory_files import OpenMemoryFile
from p2phub.transfer import Session
from p2phub.transfer.standing import Standings
from simnet.bugs.planting import plant


@plant
def _forget_the_ban() -> AbstractContextManager[Any]:
    stack = ExitStack()
    failed, closed = Provider.failed, Session.closed

    def forgiving(self: Provider, error: HubError, now: float) -> None:
        failed(self, error, now)
        self.banned = False

    def as_if_gone(self: Session, link: int, error: HubError | None, returned: RangeSet, *, now: float) -> Any:
        lied = isinstance(error, ChunkMismatch | ProtocolViolation)
        return closed(self, link, PeerGone("gone") if lied else error, returned, now=now)

    stack.enter_context(mock.patch.object(Provider, "failed", forgiving))
    stack.enter_context(mock.patch.object(Session, "closed", as_if_gone))
    return stack


@plant
def _ban_whoever_fails() -> AbstractContextManager[Any]:
    failed = Provider.failed

    def harsh(self: Provider, error: HubError, now: float) -> None:
        failed(self, error, now)
        self.banned = True

    return mock.patch.object(Provider, "failed", harsh)


@plant
def _blame_whoever_goes() -> AbstractContextManager[Any]:
    lied_about = reports._lied_about

    def blaming(job: Any, report: Any) -> tuple[str, int] | None:
        return ("model.safetensors", 0) if report.error is not None else lied_about(job, report)

    return mock.patch.object(reports, "_lied_about", blaming)


@plant
def _serve_a_changed_file() -> AbstractContextManager[Any]:
    return mock.patch.object(OpenMemoryFile, "unchanged", return_value=True)


@plant
def _ban_the_neighbours() -> AbstractContextManager[Any]:
    lied = Standings.lied

    def unjust(self: Standings, peer: SourceId, evidence: PeerError, *, now: float) -> None:
        lied(self, peer, evidence, now=now)
        parties = self._known(peer, now=now).parties
        for other in [known for known in self._of.values() if known.parties & parties]:
            other.evidence = other.evidence or evidence

    return mock.patch.object(Standings, "lied", unjust)
