"""Stands where a hub's verbs are carried out, for tests of what the hub makes of its arguments."""

from __future__ import annotations

from typing import Any

from p2phub.observe import Watch


class Recorded:
    """Carries out nothing, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, Any]] = {}

    async def call(self, verb: str, args: dict[str, Any], watch: Watch) -> dict[str, Any]:
        self.asked[verb] = args
        return {}
