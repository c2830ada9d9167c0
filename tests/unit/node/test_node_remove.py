"""`rm` forgets what it was told, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.errors import HubError, NotFound
from p2phub.store.folders import OWN_FOLDER
from p2phub.store.journal import JOURNAL
from tests.support.verbs import Scene, publish


async def folders(scene: Scene) -> set[str]:
    return {item["folder"] for item in (await scene.call("ls"))["items"]}


async def test_of_two_folders_with_the_same_files_the_one_that_is_named_is_forgotten(
    scene: Scene, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    await publish(scene, one, name="one")
    await publish(scene, two, name="two")
    gone = await scene.call("remove", ref=str(one))
    assert (gone["folder"], gone["folders"]) == (str(one), [str(one)])
    assert await folders(scene) == {str(two)}
    assert [item.name for item in scene.real_ledger.publications()] == ["two"]
    assert one.is_dir()


async def test_a_reference_is_forgotten_in_every_folder_and_they_are_named(scene: Scene, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    published = await publish(scene, one, name="one")
    await publish(scene, two, name="two")
    gone = await scene.call("remove", ref=published["reference"])
    assert set(gone["folders"]) == {str(one), str(two)}
    assert [name.rpartition("/")[2] for name in gone["unpublished"]] == ["one", "two"]
    assert await folders(scene) == set()
    assert scene.real_ledger.publications() == ()


async def test_a_folder_is_forgotten_with_all_that_it_was_published_as(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    await publish(scene, folder, name="early")
    (folder / "more.bin").write_bytes(b"more")
    await publish(scene, folder, name="late")
    assert len((await scene.call("ls"))["items"]) == 2
    assert (await scene.call("remove", ref=f"{folder}/../model"))["folders"] == [str(folder)]
    assert await folders(scene) == set()
    assert scene.real_ledger.publications() == ()


async def test_a_folder_is_where_the_asker_is_and_never_where_the_node_runs(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here" / "model", tmp_path / "there" / "model"
    for folder in (here, there):
        folder.parent.mkdir()
        await publish(scene, folder, name=folder.parent.name)
    monkeypatch.chdir(here.parent)  # Where the node runs.
    with pytest.raises(HubError):
        await scene.call("remove", ref="model")
    assert await folders(scene) == {str(here), str(there)}
    assert (await scene.call("verify", ref="model", folder=str(there)))["folder"] == str(there)
    assert (await scene.call("remove", ref="model", folder=str(there)))["folders"] == [str(there)]
    assert await folders(scene) == {str(here)}


@pytest.mark.parametrize("verb", ["remove", "verify"])
async def test_a_folder_that_a_fetch_did_not_end_in_is_told_as_that(verb: str, scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / OWN_FOLDER / "bagaq").mkdir(parents=True)
    with pytest.raises(NotFound, match="is not held here"):
        await scene.call(verb, ref="./model", folder=str(folder))
    (folder / OWN_FOLDER / "bagaq" / JOURNAL).touch()
    with pytest.raises(NotFound, match="not finished") as caught:
        await scene.call(verb, ref="./model", folder=str(folder))
    assert str(folder / OWN_FOLDER) in str(caught.value.hint)
