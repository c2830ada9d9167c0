"""How a bug gets its name: that of the function that plants it.

A plant is a patch of production classes for as long as its context lasts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

Plant = Callable[[], AbstractContextManager[Any]]
PLANTS: dict[str, Plant] = {}
"""Those that break a promise."""
EXCESSES: dict[str, Plant] = {}
"""Those that break a bound, or say more than they may."""


def plant(build: Plant) -> Plant:
    """Have a bug among PLANTS."""
    return _named(build, PLANTS)


def excess(build: Plant) -> Plant:
    """Have one among EXCESSES."""
    return _named(build, EXCESSES)


def _named(build: Plant, among: dict[str, Plant]) -> Plant:
    among[build.__name__.removeprefix("_").replace("_", "-")] = build
    return build
