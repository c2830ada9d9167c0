"""Earlier versions that are still held are told as what they are, and not as something without a name, or damaged."""

from __future__ import annotations

from pathlib import Path

from tests.support.verbs import Scene, publish


async def listed(scene: Scene, manifest: str) -> tuple[list[str], list[str], bool]:
    """Return the names, the earlier names of a manifest, and whether it was replaced in the folder that holds it."""
    (item,) = (await scene.call("ls", manifest=manifest))["items"]
    assert item in (await scene.call("ls"))["items"]
    return item["references"], item["earlier"], item["replaced"]


async def test_an_earlier_version_is_told_as_that_and_whether_its_folder_has_another_by_now(
    scene: Scene, tmp_path: Path
) -> None:
    folder, beside = tmp_path / "model", tmp_path / "beside"
    first = await publish(scene, folder, name="model")
    assert await listed(scene, first["manifest"]) == ([first["reference"]], [], False)
    beside.mkdir()
    (beside / "more.bin").write_bytes(b"from another folder")
    second = await publish(scene, beside, name="model")
    assert await listed(scene, first["manifest"]) == ([], [first["reference"]], False)
    (folder / "more.bin").write_bytes(b"in place")
    third = await publish(scene, folder, name="model")
    assert await listed(scene, first["manifest"]) == ([], [first["reference"]], True)
    assert await listed(scene, second["manifest"]) == ([], [first["reference"]], False)
    assert await listed(scene, third["manifest"]) == ([first["reference"]], [], False)


async def test_another_name_in_the_same_folder_replaces_nothing(scene: Scene, tmp_path: Path) -> None:
    folder, beside = tmp_path / "model", tmp_path / "beside"
    first = await publish(scene, folder, name="model")
    beside.mkdir()
    (beside / "more.bin").write_bytes(b"from another folder")
    await publish(scene, beside, name="model")
    (folder / "more.bin").write_bytes(b"in place")
    await publish(scene, folder, name="another")
    assert await listed(scene, first["manifest"]) == ([], [first["reference"]], False)
