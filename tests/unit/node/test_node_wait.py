"""For how long a fetch of a node waits: as its caller says, else as the settings do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from p2phub.api.hub import Hub
from p2phub.engine.waiting import Looks
from p2phub.errors import NotFound, UsageError
from p2phub.node.config import Config
from tests.support.verbs import PEER, Scene

OPTIONS: dict[str, Any] = {"providers": [], "force": False, "serve": True}


@contextmanager
def waits_noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float | None]]:
    """Note for how long names are looked up; nobody waits."""
    noted: list[float | None] = []

    class Noting(Looks):
        def __init__(self, wait_s: float | None, watch: Any) -> None:
            super().__init__(0.0, watch)
            noted.append(wait_s)

    monkeypatch.setattr("p2phub.node.verbs.fetching.Looks", Noting)
    yield noted


@pytest.mark.parametrize(
    ("setting", "asked", "holds"),
    [
        (None, None, None),
        (None, "10m", 600.0),
        (86_400.0, None, 86_400.0),
        (86_400.0, 30, 30.0),
        (86_400.0, "forever", math.inf),
        (math.inf, 0, 0.0),
    ],
)
async def test_a_wait_is_that_of_the_call_else_that_of_the_settings(
    scene: Scene,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: float | None,
    asked: float | str | None,
    holds: float | None,
) -> None:
    scene.parts.config = replace(scene.parts.config, wait=setting)
    asks = {} if asked is None else {"wait": asked}
    with waits_noted(monkeypatch) as noted, pytest.raises(NotFound):
        await scene.call("fetch", ref=f"{PEER}/unknown", into=str(tmp_path / "out"), **OPTIONS, **asks)
    assert noted == [holds]


class Noting:
    """Verbs that note what they are asked for, and do nothing."""

    def __init__(self) -> None:
        self.args: dict[str, Any] = {}

    async def call(self, verb: str, args: dict[str, Any], watch: Any) -> dict[str, Any]:
        self.args = args
        raise NotFound("nobody")


@pytest.mark.parametrize(
    ("given", "sent"), [("24h", 86_400.0), (30, 30.0), (math.inf, "forever"), ("forever", "forever"), (None, None)]
)
async def test_the_library_hands_a_wait_to_whoever_does_the_work(
    tmp_path: Path, given: str | float | None, sent: float | str | None
) -> None:
    verbs = Noting()
    with pytest.raises(NotFound):
        await Hub(verbs, Config(tmp_path)).fetch(f"{PEER}/m", wait=given)
    assert verbs.args.get("wait") == sent
    assert ("wait" in verbs.args) == (given is not None)  # A daemon of an older version does not know it.


async def test_the_library_refuses_what_is_no_time(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        await Hub(Noting(), Config(tmp_path)).fetch(f"{PEER}/m", wait="soon")
