"""A hub whose node says what a test says it does, for apps that stand on the library."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import trio

from p2phub import api
from p2phub.api.hub import settings

Json = dict[str, Any]
Does = Callable[..., Awaitable[Json]]
"""Carries out a verb: its arguments by name, and `watch`."""


class Script:
    """`api.verbs.Verbs`. What a verb returns, raises (an exception), or does (a function of its arguments and `watch`)
    stands in `says`; `asked` is what was asked so far."""

    def __init__(self, says: Mapping[str, Json | Exception | Does]) -> None:
        self.says = dict(says)
        self.asked: list[tuple[str, Json]] = []

    async def call(self, verb: str, args: Json, watch: api.Watch) -> Json:
        await trio.lowlevel.checkpoint()
        self.asked.append((verb, args))
        said = self.says[verb]
        if isinstance(said, Exception):
            raise said
        if callable(said):
            return await said(watch=watch, **args)
        return said


def scripted_hub(script: Script, home: Path, nursery: trio.Nursery | None = None) -> api.Hub:
    config = settings(home=home, listen=(), bootstrap=(), lan=False, up=None, down=None)
    return api.Hub(script, config, nursery=nursery)


def pulse(**changes: Any) -> Json:
    """Return what a node says that does nothing, but for `changes`."""
    quiet: Json = {
        "jobs": [],
        "bytes_sent": 0,
        "up": None,
        "down": None,
        "by_schedule": False,
        "changes": 0,
        "free_bytes": 1000,
        "quota": None,
    }
    return {**quiet, **changes}


QUIET: Mapping[str, Json] = {
    "pulse": pulse(),
    "status": {"peer_id": "P", "publisher_id": "Q", "addresses": [], "lan": False, "seconds": 1.0},
    "peers": {"items": []},
    "search": {"items": [], "cursor": None, "total": 0, "complete": True},
    "holdings": {"items": []},
    "unfinished": {"items": []},
    "counters": {"store": None},
}
"""A node that holds nothing and does nothing."""


def job_of_node(number: int, reference: str, **changes: Any) -> Json:
    """Return a fetch as a pulse tells it."""
    told: Json = {
        "job": number,
        "reference": reference,
        "manifest": "m" * 8,
        "into": f"/into/{number}",
        "bytes_total": 100,
        "bytes_verified": 40,
        "bytes_per_s": 10.0,
        "explanation": {
            "bound": "network",
            "because": "the network is slower",
            "waiting": None,
            "sources": [
                {
                    "peer_id": "ann",
                    "via": "direct",
                    "nearness": "far",
                    "addresses": ["/ip4/192.0.2.1/tcp/1"],
                    "links": 1,
                    "bytes_received": 40,
                    "bytes_per_s": 10.0,
                    "state": "sending",
                }
            ],
        },
    }
    return {**told, **changes}
