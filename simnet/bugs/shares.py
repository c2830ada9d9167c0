"""Bugs to plant that have the wrong one do the work, or have a reader wait for what others do not."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from p2phub.engine.sparing import Sparing
from p2phub.transfer import Session, Slots
from p2phub.transfer.endgame import Endgame
from simnet.bugs.planting import plant


@plant
def _never_ask_again() -> AbstractContextManager[Any]:
    return mock.patch.object(Endgame, "_ask_again", return_value=[])


@plant
def _let_readers_wait() -> AbstractContextManager[Any]:
    return mock.patch.object(Endgame, "hasten", side_effect=lambda *args, **options: [])


@plant
def _forget_what_is_read() -> AbstractContextManager[Any]:
    return mock.patch.object(Session, "want_soon", return_value=[])


@plant
def _serve_all_alike() -> AbstractContextManager[Any]:
    return mock.patch.object(Slots, "weight", return_value=1.0)


@plant
def _keep_every_line() -> AbstractContextManager[Any]:
    return mock.patch.object(Sparing, "_not_worth", return_value=[])


@plant
def _pay_for_nothing() -> AbstractContextManager[Any]:
    return mock.patch.object(Sparing, "_others_do", return_value=False)


@plant
def _let_them_rest() -> AbstractContextManager[Any]:
    return mock.patch.object(Sparing, "_wake")
