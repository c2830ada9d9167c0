"""What is called what here is told by this machine alone, off the event loop, and by what the user chose."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.errors import NotTrusted, UsageError
from p2phub.identity import SecretKey
from p2phub.manifest import Release, read_release, sign_release
from p2phub.node.verbs.calling import CANDIDATES_MAX
from p2phub.store import Accepted
from tests.support.verbs import PEER, PUBLISHER, Scene, publish

OTHER = SecretKey(b"o" * 32).peer_id
SETTLED = {"reference": None, "settled": True, "versions": []}


def accept(scene: Scene, name: str, manifest_of: Release, *, sequence: int, tag: str = "main") -> None:
    """Have this home have accepted a release of PUBLISHER's, as of a publisher elsewhere."""
    release = Release(
        PUBLISHER.peer_id, name, manifest_of.manifest, sequence, 1, created=sequence, expires=sequence + 100, tag=tag
    )
    accepted = Accepted(sign_release(PUBLISHER, release), sequence)
    scene.real_ledger.accept(PUBLISHER.peer_id, name, tag, accepted)


async def published_release(scene: Scene, folder: Path) -> Release:
    await publish(scene, folder)
    (signed,) = scene.real_ledger.history(PUBLISHER.peer_id, "model", "main")
    return read_release(signed)


async def test_names_are_told_off_the_event_loop(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    told = await scene.call("repository", name="model")
    assert (told["reference"], told["settled"]) == ("model", False)
    (version,) = told["versions"]
    assert (version["manifest"], version["published"], version["tag"]) == (published["manifest"], True, "main")
    assert (version["kind"], version["revision"]) == ("model", None)
    assert (await scene.call("repositories"))["items"] == [{"name": "model", "version": version}]
    assert scene.touched


@pytest.mark.parametrize(
    "name", ["acme/other", "other", "-bad-", "a/b/c", "", "p2phub:broken", "x" * 200, "acme/..", f"{PEER}"]
)
async def test_what_is_called_so_by_nobody_here_is_nothing(scene: Scene, tmp_path: Path, name: str) -> None:
    await publish(scene, tmp_path / "model")
    told = await scene.call("repository", name=name)
    assert told == {**SETTLED, "candidates": []}


async def test_candidates_are_those_called_alike_and_no_more_than_a_few(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    told = await scene.call("repository", name="acme/Model")
    assert told == {**SETTLED, "candidates": [published["reference"]]}
    assert len(told["candidates"]) <= CANDIDATES_MAX


async def test_what_was_accepted_of_a_publisher_is_known_by_its_key_with_its_history(
    scene: Scene, tmp_path: Path
) -> None:
    release = await published_release(scene, tmp_path / "model")
    accept(scene, "theirs", release, sequence=5)
    accept(scene, "theirs", release, sequence=6)
    accept(scene, "theirs", release, sequence=7, tag="v1")
    told = await scene.call("repository", name=f"{PEER}/theirs")
    assert [(each["tag"], each["created"], each["published"]) for each in told["versions"]] == [
        ("main", 6, False),
        ("main", 5, False),
        ("v1", 7, False),
    ]
    assert (await scene.call("repository", name="theirs"))["reference"] is None
    assert {item["name"] for item in (await scene.call("repositories"))["items"]} == {"model", f"{PEER}/theirs"}


async def test_what_was_accepted_and_is_not_held_is_not_listed(scene: Scene, tmp_path: Path) -> None:
    release = await published_release(scene, tmp_path / "model")
    accept(scene, "theirs", release, sequence=5)
    scene.real_store.release(release.manifest)
    assert f"{PEER}/theirs" not in {item["name"] for item in (await scene.call("repositories"))["items"]}


async def test_a_mapping_to_what_is_not_known_here_yet_is_a_name_all_the_same(scene: Scene) -> None:
    await scene.call("name_add", alias="acme/m", target=f"{PEER}/unheard-of")
    assert await scene.call("repository", name="acme/m") == {
        "reference": "acme/m",
        "settled": False,
        "versions": [],
        "candidates": [],
    }
    assert (await scene.call("repositories"))["items"] == []


async def test_what_is_published_as_a_name_is_ours_or_free(scene: Scene, tmp_path: Path) -> None:
    own = str(scene.parts.publisher.peer_id)
    assert await scene.call("publishable", name="acme/Model") == {
        "reference": f"{own}/model",
        "name": "model",
        "mapped": False,
    }
    await publish(scene, tmp_path / "model")
    assert (await scene.call("publishable", name="model"))["mapped"]
    assert (await scene.call("publishable", name=f"{own}/model"))["name"] == "model"
    assert (await scene.call("publishable", name="acme/model"))["name"] == "acme-model"
    await scene.call("name_add", alias="acme/model", target=f"{own}/model")
    found = await scene.call("publishable", name="acme/model")
    assert (found["name"], found["mapped"]) == ("model", True)


async def test_what_is_somebody_elses_or_fixed_is_not_published_to(scene: Scene, tmp_path: Path) -> None:
    told = await publish(scene, tmp_path / "model")
    await scene.call("name_add", alias="acme/theirs", target=f"{OTHER}/model")
    await scene.call("name_add", alias="acme/fixed", target=told["manifest"])
    for name in ("acme/theirs", f"{OTHER}/model"):
        with pytest.raises(NotTrusted):
            await scene.call("publishable", name=name)
    for name in ("acme/fixed", "a" * 90):
        with pytest.raises(UsageError):
            await scene.call("publishable", name=name)


async def test_a_name_of_a_name_is_refused_with_the_command_that_names_what_is_meant(scene: Scene) -> None:
    await scene.call("name_add", alias="bob", target=str(OTHER))
    with pytest.raises(UsageError, match="no publisher key") as refused:
        await scene.call("name_add", alias="acme/x", target="bob/uni")
    assert str(refused.value.hint).endswith(f"p2phub name add acme/x {OTHER}/uni")
    with pytest.raises(UsageError, match="no publisher key") as refused:
        await scene.call("name_add", alias="acme/x", target="nobody/uni")
    assert refused.value.hint == "names of names are not followed"
