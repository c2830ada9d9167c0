"""A publisher that signed two different releases with one sequence is shown, in `log` and in `info`."""

from __future__ import annotations

import time
from pathlib import Path

from p2phub.content import Codec, digest_of
from p2phub.manifest import Release, sign_release
from tests.support.covers import covers
from tests.support.verbs import PEER, PUBLISHER, Scene, publish

NOW = int(time.time())
MANIFESTS = [digest_of(content) for content in (b"one", b"other", b"newer")]
TEXTS = [manifest.text(Codec.MSGPACK) for manifest in MANIFESTS]
REF = f"{PEER}/model"


def signed(number: int, sequence: int) -> bytes:
    return sign_release(
        PUBLISHER,
        Release(
            publisher=PUBLISHER.peer_id,
            name="model",
            manifest=MANIFESTS[number],
            sequence=sequence,
            bytes_total=5,
            created=NOW,
            expires=NOW + 86_400,
        ),
    )


@covers("T11")
async def test_two_releases_with_one_sequence_are_shown_by_info_and_by_log(scene: Scene) -> None:
    scene.finder.releases = [signed(0, 7), signed(1, 7)]
    info = await scene.call("info", ref=REF, providers=())
    assert info["contradiction"]["publisher"] == PEER
    assert info["contradiction"]["sequence"] == 7
    assert sorted(info["contradiction"]["manifests"]) == sorted(TEXTS[:2])
    assert {info["release"]["manifest"], info["release"]["contradicted_by"]} == set(TEXTS[:2])
    items = (await scene.call("log", ref=REF))["items"]
    shown = {(item["manifest"], item["contradicted_by"]) for item in items}
    assert shown == {(TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[0])}


async def test_a_proven_lie_is_still_shown_after_a_newer_release(scene: Scene) -> None:
    scene.finder.releases = [signed(0, 7), signed(1, 7), signed(2, 8)]
    info = await scene.call("info", ref=REF, providers=())
    assert info["release"]["manifest"] == TEXTS[2]
    assert info["release"]["contradicted_by"] is None
    assert info["contradiction"]["sequence"] == 7
    items = (await scene.call("log", ref=REF))["items"]
    assert [item["sequence"] for item in items] == [8, 7, 7]


async def test_of_an_honest_publisher_no_contradiction_is_told(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    assert (await scene.call("info", ref=published["reference"], providers=()))["contradiction"] is None
    (item,) = (await scene.call("log", ref=published["reference"]))["items"]
    assert item["contradicted_by"] is None
