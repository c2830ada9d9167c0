"""A fetch has the home's index opened beside its first dial, and an index that cannot be opened is not its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from p2phub.engine.workers import Workers
from p2phub.errors import Damaged, DiskError, HubError
from p2phub.node.compose import Parts
from p2phub.node.verbs.fetching import _get_ready


@pytest.mark.parametrize("error", [DiskError("full"), Damaged("the log")])
async def test_what_is_wrong_with_the_index_ends_nothing_here(error: HubError) -> None:
    asked: list[str] = []

    def get_ready() -> None:
        asked.append("ready")
        raise error

    parts = SimpleNamespace(workers=Workers(), store=SimpleNamespace(get_ready=get_ready))
    await _get_ready(cast(Parts, parts))
    assert asked == ["ready"]
