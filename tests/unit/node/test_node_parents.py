"""What a release says that its model was made of: as the user named it, and never what is private."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2phub import limits
from p2phub.content import Codec, digest_of
from p2phub.errors import UsageError
from p2phub.manifest import Release, read_release
from tests.support.verbs import Scene

OTHER = digest_of(b"another manifest")


async def publish(scene: Scene, folder: Path, *, name: str, private: bool = False, **options: Any) -> Release:
    """Publish a folder that has something new each time."""
    folder.mkdir(exist_ok=True)
    (folder / f"{len(list(folder.iterdir()))}.bin").write_bytes(name.encode())
    texts = {"name": name, "tag": "main", "kind": "model", "description": "", "licence": ""}
    keywords: dict[str, Any] = {"private": private, "allow": (), "ignore": (), "include": (), **options}
    await scene.call("publish", folder=str(folder), **texts, **keywords)
    return next(read_release(item.signed) for item in scene.real_ledger.publications() if item.name == name)


async def test_parents_are_named_by_reference_each_with_what_the_model_is_to_it(scene: Scene, tmp_path: Path) -> None:
    base = await publish(scene, tmp_path / "base", name="base")
    reference = f"{base.publisher}/base"
    digest = OTHER.text(Codec.MSGPACK)
    tuned = await publish(scene, tmp_path / "tuned", name="tuned", parents=[reference, f"merge={digest}"])
    assert tuned.parents == ((base.manifest, "finetune"), (OTHER, "merge"))
    (told,) = (await scene.call("log", ref=f"{base.publisher}/tuned"))["items"]
    assert told["parents"][1] == {"manifest": digest, "relation": "merge"}


async def test_a_new_version_names_the_one_before_it(scene: Scene, tmp_path: Path) -> None:
    first = await publish(scene, tmp_path / "model", name="model")
    second = await publish(scene, tmp_path / "model", name="model")
    assert (first.previous, second.previous) == (None, first.manifest)


async def test_a_public_release_does_not_name_what_is_private(scene: Scene, tmp_path: Path) -> None:
    hidden = await publish(scene, tmp_path / "hidden", name="hidden", private=True)
    parents = [f"{hidden.publisher}/hidden"]
    with pytest.raises(UsageError, match="private"):
        await publish(scene, tmp_path / "tuned", name="tuned", parents=parents)
    closed = await publish(scene, tmp_path / "closed", name="closed", private=True, parents=parents)
    assert closed.parents == ((hidden.manifest, "finetune"),)
    assert (await publish(scene, tmp_path / "hidden", name="hidden")).previous is None


@pytest.mark.parametrize("relation", ["", "fine tune", "ä", "x" * 33, "a=b"])
async def test_a_relation_is_a_word(scene: Scene, tmp_path: Path, relation: str) -> None:
    with pytest.raises(UsageError, match="no relation"):
        await publish(scene, tmp_path / "m", name="m", parents=[f"{relation}={OTHER.text(Codec.MSGPACK)}"])


async def test_more_parents_than_a_release_can_name_are_refused(scene: Scene, tmp_path: Path) -> None:
    parents = [digest_of(bytes([number])).text(Codec.MSGPACK) for number in range(limits.PARENTS_MAX + 1)]
    with pytest.raises(UsageError, match="17 parents"):
        await publish(scene, tmp_path / "m", name="m", parents=parents)
    assert len((await publish(scene, tmp_path / "m", name="m", parents=parents[:-1])).parents) == limits.PARENTS_MAX
