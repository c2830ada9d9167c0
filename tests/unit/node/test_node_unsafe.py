"""Whether a fetch, pin or repair may put in place what can run code: as its caller says, else the settings (0092)."""

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
from p2phub.store import Origin
from tests.support.content import content_of
from tests.support.covers import covers
from tests.support.stores import DiskScene, hashed, put_all
from tests.support.verbs import PEER, Scene

MANIFEST = digest_of(b"?").text(Codec.MSGPACK)


@pytest.fixture
def wishes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[Wish]:
    """What is to be fetched from now on; nothing is."""
    for unused in ("open_mirrors", "exchange", "thanks", "near"):
        setattr(scene.parts, unused, None)
    found: list[Wish] = []

    async def fetch(wish: Wish, **means: Any) -> None:
        found.append(wish)
        raise NotFound("nobody")

    monkeypatch.setattr("p2phub.engine.fetch.fetch", fetch)
    return found


@covers("T31")
@pytest.mark.parametrize("verb", ["fetch", "pin"])
@pytest.mark.parametrize(
    ("setting", "asked", "holds"),
    [(False, None, False), (False, True, True), (True, None, True), (True, False, False)],
)
async def test_what_is_allowed_is_said_by_the_call_else_by_the_settings(
    scene: Scene, wishes: list[Wish], tmp_path: Path, verb: str, setting: bool, asked: bool | None, holds: bool
) -> None:
    scene.parts.config = replace(scene.parts.config, allow_unsafe=setting)
    asks = {} if asked is None else {"allow_unsafe": asked}
    options: dict[str, Any] = {"into": str(tmp_path / "out"), "force": False} if verb == "fetch" else {}
    with pytest.raises(NotFound):
        await scene.call(verb, ref=MANIFEST, providers=[], serve=True, **options, **asks)
    assert [wish.allow_unsafe for wish in wishes] == [holds]


@covers("T31")
@pytest.mark.parametrize(
    ("missing", "asked", "holds"), [(False, None, True), (True, None, False), (True, True, True), (True, False, False)]
)
async def test_a_repair_allows_what_stood_there_and_of_what_is_missing_what_a_fetch_would(
    scene: Scene, wishes: list[Wish], tmp_path: Path, missing: bool, asked: bool | None, holds: bool
) -> None:
    held, content = DiskScene(tmp_path), content_of({"a.pkl": b"a", "left-out.pkl": b"b"})
    held.store, held.folder = scene.real_store, tmp_path / "model"
    put_all(held, content)
    scene.real_store.put_blobs(list(content.blobs.values()))
    scene.real_store.hold(content.manifest, content.root, held.folder, hashed(held, content), origin=Origin.FETCHED)
    (held.folder / "a.pkl").write_bytes(b"?")
    if missing:
        (held.folder / "left-out.pkl").unlink()
    asks = {} if asked is None else {"allow_unsafe": asked}
    with pytest.raises(NotFound, match="nobody"):
        await scene.call("verify", ref=str(held.folder), repair=True, **asks)
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
@pytest.mark.parametrize("verb", ["fetch", "pin", "verify"])
async def test_a_daemon_of_an_older_version_is_told_only_what_is_asked_for(
    tmp_path: Path, verb: str, given: bool | None
) -> None:
    asked: dict[str, Any] = {}

    class Noting:
        async def call(self, verb: str, args: dict[str, Any], watch: Any) -> dict[str, Any]:
            asked.update(args)
            raise NotFound("nobody")

    hub: Any = Hub(Noting(), Config(tmp_path))
    options = {"repair": True} if verb == "verify" else {}
    with pytest.raises(NotFound):
        await getattr(hub, verb)(f"{PEER}/m", allow_unsafe=given, **options)
    assert asked.get("allow_unsafe") is given
    assert ("allow_unsafe" in asked) == (given is not None)
