"""Whether a fetch of a node may put in place what can run code: as its caller says, else as the settings do (0092)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from p2phub.api.hub import Hub
from p2phub.content import Codec, digest_of
from p2phub.engine.fetch import Wish
from p2phub.errors import NotFound, UsageError
from p2phub.node.config import Config, load_config
from tests.support.covers import covers
from tests.support.verbs import PEER, Scene

MANIFEST = digest_of(b"?").text(Codec.MSGPACK)


@covers("T31")
@pytest.mark.parametrize(
    ("setting", "asked", "holds"),
    [(False, None, False), (False, True, True), (True, None, True), (True, False, False)],
)
async def test_what_is_allowed_is_said_by_the_call_else_by_the_settings(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: bool, asked: bool | None, holds: bool
) -> None:
    scene.parts.config = replace(scene.parts.config, allow_unsafe=setting)
    for unused in ("open_mirrors", "exchange", "thanks", "near"):
        setattr(scene.parts, unused, None)
    wishes: list[Wish] = []

    async def fetch(wish: Wish, **means: Any) -> None:
        wishes.append(wish)
        raise NotFound("nobody")

    monkeypatch.setattr("p2phub.engine.fetch.fetch", fetch)
    asks = {} if asked is None else {"allow_unsafe": asked}
    options: dict[str, Any] = {"providers": [], "force": False, "serve": True}
    with pytest.raises(NotFound):
        await scene.call("fetch", ref=MANIFEST, into=str(tmp_path / "out"), **options, **asks)
    assert [wish.allow_unsafe for wish in wishes] == [holds]


@covers("T31")
@pytest.mark.parametrize(("said", "means"), [({}, False), ({"P2PHUB_ALLOW_UNSAFE": "1"}, True)])
def test_settings_allow_nothing_unless_they_say_so(tmp_path: Path, said: dict[str, str], means: bool) -> None:
    assert load_config(home=tmp_path, environment=said).allow_unsafe is means
    (tmp_path / "config.toml").write_text("allow_unsafe = true")
    assert load_config(home=tmp_path, environment={"P2PHUB_ALLOW_UNSAFE": "0"}).allow_unsafe is False
    with pytest.raises(UsageError, match="P2PHUB_ALLOW_UNSAFE"):
        load_config(home=tmp_path, environment={"P2PHUB_ALLOW_UNSAFE": "perhaps"})


@pytest.mark.parametrize("given", [None, True, False])
async def test_a_daemon_of_an_older_version_is_told_only_what_is_asked_for(tmp_path: Path, given: bool | None) -> None:
    asked: dict[str, Any] = {}

    class Noting:
        async def call(self, verb: str, args: dict[str, Any], watch: Any) -> dict[str, Any]:
            asked.update(args)
            raise NotFound("nobody")

    with pytest.raises(NotFound):
        await Hub(Noting(), Config(tmp_path)).fetch(f"{PEER}/m", allow_unsafe=given)
    assert asked.get("allow_unsafe") is given
    assert ("allow_unsafe" in asked) == (given is not None)
