"""What was published privately stays private for as long as it is held, whatever becomes of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2phub.content import Digest
from p2phub.engine.public import for_everybody
from p2phub.engine.serve import StoreShelf
from p2phub.errors import DiskFull
from p2phub.identity import PeerId
from p2phub.store import Publication
from tests.support.covers import covers
from tests.support.verbs import Scene

ANN, STRANGER = PeerId(b"\4" * 32), PeerId(b"\5" * 32)


async def publish(scene: Scene, folder: Path, *, name: str, private: bool = True) -> dict[str, Any]:
    texts = {"name": name, "tag": "main", "kind": "model", "description": "", "licence": ""}
    allow = (str(ANN),) if private else ()
    keywords = {"private": private, "allow": allow, "ignore": (), "include": ()}
    return await scene.call("publish", folder=str(folder), **texts, **keywords)


def open_to_strangers(scene: Scene) -> set[Digest]:
    shelf = StoreShelf(scene.real_store, scene.real_ledger)
    held = {each.manifest for each in scene.real_store.holdings() if each.complete}
    return {manifest for manifest in held if shelf.may_have(manifest, STRANGER)}


@covers("F01", "F04", "T58")
async def test_what_was_to_be_private_is_not_public_where_publishing_ended_once_it_was_held(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(publication: Publication) -> None:
        raise DiskFull("cannot write state.log: no space left")

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"w" * 1000)
    with monkeypatch.context() as full:
        full.setattr(scene.real_ledger, "publish", no_room)
        with pytest.raises(DiskFull):
            await publish(scene, folder, name="model")
    [held] = scene.real_store.holdings()
    assert open_to_strangers(scene) == set()
    assert not for_everybody(scene.real_ledger)(held.manifest)
    await publish(scene, folder, name="model")
    shelf = StoreShelf(scene.real_store, scene.real_ledger)
    assert [shelf.may_have(held.manifest, peer) for peer in (ANN, STRANGER)] == [True, False]


async def test_an_earlier_version_is_not_public_once_a_newer_one_is_published(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"w" * 1000)
    await publish(scene, folder, name="model")
    (folder / "README.md").write_text("more\n")
    await publish(scene, folder, name="model")
    assert sum(each.complete for each in scene.real_store.holdings()) == 2
    assert open_to_strangers(scene) == set()


async def test_a_copy_elsewhere_is_not_public_once_the_published_folder_is_forgotten(
    scene: Scene, tmp_path: Path
) -> None:
    for name in ("model", "copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_bytes(b"w" * 1000)
    await publish(scene, tmp_path / "model", name="model")
    await scene.call("adopt", places=[("any", str(tmp_path / "copy"))])
    await scene.call("remove", ref=str(tmp_path / "model"))
    assert [each.folder for each in scene.real_store.holdings()] == [tmp_path / "copy"]
    assert open_to_strangers(scene) == set()


async def test_other_names_of_the_same_content_are_told_with_whether_they_are_private(
    scene: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"w" * 1000)
    first = await publish(scene, folder, name="secret")
    assert first["other_names"] == []
    assert first["ticket_addresses"] == []
    second = await publish(scene, folder, name="open", private=False)
    assert second["other_names"] == [{"reference": first["reference"], "private": True}]
    assert len(open_to_strangers(scene)) == 1
    again = await publish(scene, folder, name="secret")
    assert again["other_names"] == [{"reference": second["reference"], "private": False}]
