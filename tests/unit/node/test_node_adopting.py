"""Adopting a folder announces no secret, and makes nothing else of what is published from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.errors import UsageError
from p2phub.store import Origin
from tests.support.verbs import Scene, publish


@pytest.mark.parametrize("link", [False, True])
async def test_a_folder_with_a_secret_is_not_announced(scene: Scene, tmp_path: Path, *, link: bool) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"w" * 1000)
    (folder / "deep" / ".env").write_text("TOKEN=1")
    if link:  # Named harmlessly, too.
        (folder / "settings").symlink_to("deep/.env")
    for announce in (["all"], [str(folder)]):
        with pytest.raises(UsageError, match="looks like a secret"):
            await scene.call("adopt", places=[("any", str(folder))], announce=announce)
    assert scene.real_store.holdings() == ()
    await scene.call("adopt", places=[("any", str(folder))])
    (held,) = scene.real_store.holdings()
    assert held.manifest in scene.real_ledger.withheld()


async def test_a_published_folder_that_is_adopted_stays_published(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    await publish(scene, folder)
    await scene.call("adopt", places=[("any", str(folder))])
    (held,) = scene.real_store.holdings()
    assert (held.origin, held.complete) == (Origin.PUBLISHED, True)
    (folder / "more.bin").write_bytes(b"more")
    await scene.call("adopt", places=[("any", str(folder))])
    origins = {each.manifest: each.origin for each in scene.real_store.holdings()}
    assert origins[held.manifest] is Origin.PUBLISHED
    assert set(origins.values()) == {Origin.ADOPTED, Origin.PUBLISHED}
