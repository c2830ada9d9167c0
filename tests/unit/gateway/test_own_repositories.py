"""Who changes a repository of ours, and when."""

from __future__ import annotations

from typing import cast

import pytest
import trio
import trio.testing

from p2phub import api
from p2phub.gateway.own_repositories import Head, OwnRepositories
from p2phub.gateway.routes import Kind, RepoId


async def test_two_names_of_one_release_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would begin with what the other is about to replace."""
    own = OwnRepositories(cast("api.Hub", None))
    order: list[str] = []

    async def existing(repo: RepoId) -> Head:
        order.append(f"{repo.name} looks")
        return Head("KEY/mini", "mini", True, ())

    async def take(name: str) -> None:
        async with own.turn(RepoId(Kind.MODEL, name)):
            order.append(f"{name} has it")
            await trio.testing.wait_all_tasks_blocked()
            order.append(f"{name} is done")

    monkeypatch.setattr(own, "existing", existing)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, "acme/mini")
        nursery.start_soon(take, "mini")
    assert [each.partition(" ")[2] for each in order[2:]] == ["looks", "has it", "is done"] * 2
