"""Bugs to plant that believe a release that is not the newest, or keep a contradiction to themselves."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from msgspec.structs import replace

from p2phub.engine.resolve import Resolver
from p2phub.manifest import Judgement, Known, Verdict, judge
from simnet.bugs.planting import plant


@plant
def _believe_whoever_answers_last() -> AbstractContextManager[Any]:
    def gullible(known: Known | None, candidate: Known, *, now: float) -> Judgement:
        return Judgement(Verdict.NEWER, candidate)

    return mock.patch("p2phub.engine.answers.judge", gullible)


@plant
def _forget_what_was_believed() -> AbstractContextManager[Any]:
    return mock.patch.object(Resolver, "_known", return_value=None)


@plant
def _hide_a_contradiction() -> AbstractContextManager[Any]:
    def discreet(known: Known | None, candidate: Known, *, now: float) -> Judgement:
        judgement = judge(known, candidate, now=now)
        return Judgement(judgement.verdict, replace(judgement.known, evidence=()))

    return mock.patch("p2phub.engine.answers.judge", discreet)
