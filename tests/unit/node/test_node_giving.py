"""Giving a model to another program makes nothing public that was not, and takes no name for its content unread."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from p2phub.content import Codec, digest_of
from p2phub.engine.serve import StoreShelf
from p2phub.errors import Damaged, UsageError
from p2phub.gateway.oci.registry import Registry
from p2phub.gateway.oci.routes import Form
from p2phub.identity import PeerId
from p2phub.manifest import Manifest, alone_digest, encode_manifest
from p2phub.node.verbs import giving
from p2phub.store import Keep
from p2phub.store.materialise import write_snapshot
from tests.support.content import content_of
from tests.support.gguf_bytes import gguf_bytes
from tests.support.memory_shelf import MemoryShelf
from tests.support.verbs import PUBLISHER, Scene, own, text

STRANGER = PeerId(b"\5" * 32)
ONE = content_of({"model.bin": b"m" * 4_000}, 1000)
DEEP = content_of({"model.bin": b"m" * 4_000, "deep/er/config.json": b"{}", "empty": b""}, 1000)
GGUF = b"GGUF" + bytes(20) + b"weights" * 500


async def publish(scene: Scene, folder: Path, *, private: bool) -> str:
    folder.mkdir()
    (folder / "model.gguf").write_bytes(GGUF)
    texts = {"name": "model", "tag": "main", "kind": "model", "description": "", "licence": ""}
    published = await scene.call(
        "publish", folder=str(folder), **texts, private=private, allow=(), ignore=(), include=()
    )
    return str(published["reference"])


@pytest.mark.parametrize("private", [False, True])
async def test_the_file_of_a_private_model_does_not_become_public_by_being_given(
    scene: Scene, tmp_path: Path, *, private: bool
) -> None:
    ref = await publish(scene, tmp_path / "model", private=private)
    (held,) = scene.real_store.holdings()
    await scene.call("give", ref=ref, to="ollama", place=str(tmp_path / "ollama"), name="ann/model")
    alone = {each.manifest for each in scene.real_store.holdings()} - {held.manifest}
    (digest,) = alone
    assert StoreShelf(scene.real_store, scene.real_ledger).may_have(digest, STRANGER) is not private
    assert (digest in scene.real_ledger.withheld()) is private


async def test_a_file_that_is_not_what_its_publisher_says_gets_no_name_of_another(scene: Scene, tmp_path: Path) -> None:
    content = content_of({"model.gguf": GGUF}, 1000)
    famous = hashlib.sha256(b"what everybody knows").digest()
    lying = Manifest((replace(content.manifest.files[0], sha256=famous),))
    blobs = encode_manifest(lying)
    root = digest_of(blobs[0])
    store = scene.real_store
    store.put_blobs([*content.blobs.values(), *blobs])
    arrival = store.arrive(lying, root, content.table, store.own_folder(root), force=False)
    for chunk in content.whole:
        arrival.write(chunk, content.chunk(chunk))
    arrival.verified(content.whole)
    arrival.finish()
    ref = root.text(Codec.MSGPACK)
    for program in ("ollama", "hf-cache"):
        place = tmp_path / program
        with pytest.raises(Damaged, match="SHA-256"):
            await scene.call("give", ref=ref, to=program, place=str(place), name="ann/model")
        assert not [path for path in place.rglob("*") if famous.hex() in path.name and path.suffix != ".lock"]
    assert {each.manifest for each in store.holdings()} == {root}
    assert alone_digest(lying.files[0]) not in {each.manifest for each in store.holdings()}


async def test_the_file_of_what_is_withheld_is_withheld_too_when_it_is_given(scene: Scene, tmp_path: Path) -> None:
    await publish(scene, tmp_path / "model", private=False)
    (held,) = scene.real_store.holdings()
    scene.real_ledger.withdraw(PUBLISHER.peer_id, "model", "main")
    scene.real_ledger.withhold(held.manifest, withheld=True)
    ref = held.manifest.text(Codec.MSGPACK)
    await scene.call("give", ref=ref, to="ollama", place=str(tmp_path / "ollama"), name="ann/model")
    (digest,) = {each.manifest for each in scene.real_store.holdings()} - {held.manifest}
    assert not StoreShelf(scene.real_store, scene.real_ledger).may_have(digest, STRANGER)


SEEING = {
    "LICENSE": b"MIT",
    "README.md": b"# a model",
    "m-Q4_K_M.gguf": gguf_bytes(),
    "mmproj-m-f16.gguf": b"GGUF eyes",
    "params": b'{"stop": ["<|end|>"]}',
    "system": b"You see.",
    "template": b"{{ .Prompt }}",
}


async def test_ollama_is_given_the_image_that_it_would_pull(scene: Scene, tmp_path: Path) -> None:
    content = content_of(SEEING)
    own(scene.real_store, content)
    store = tmp_path / "ollama"
    given = await scene.call("give", ref=text(content.root), to="ollama", place=str(store), name="ann/model")
    shelf = MemoryShelf()
    pulled = await Registry(shelf).document(shelf.add("ann/model", SEEING).repo, "latest", Form.OLLAMA)
    assert Path(given["path"]).read_bytes() == pulled.content
    layers = [layer["digest"].replace(":", "-") for layer in json.loads(pulled.content)["layers"]]
    wanted = ["m-Q4_K_M.gguf", "mmproj-m-f16.gguf", "LICENSE", "params", "system", "template"]
    assert [(store / "blobs" / name).read_bytes() for name in layers] == [SEEING[path] for path in wanted]


async def test_each_gguf_file_that_ollama_is_given_is_held_there(scene: Scene, tmp_path: Path) -> None:
    content = content_of(SEEING)
    own(scene.real_store, content)
    await scene.call("give", ref=text(content.root), to="ollama", place=str(tmp_path / "ollama"), name="ann/model")
    files = [each for each in content.manifest.files if each.path.endswith(".gguf")]
    alone = {alone_digest(file) for file in files}
    assert len(alone) == 2
    assert {each.manifest for each in scene.real_store.holdings()} == {content.root, *alone}


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (["a.gguf", "b.gguf"], "one GGUF file, and here are 2: a.gguf, b.gguf"),
        (["mmproj.gguf", "template"], "no GGUF file"),
        (["m-00001-of-00002.gguf"], "one of several files"),
    ],
)
async def test_what_is_no_model_of_ollamas_is_refused(scene: Scene, tmp_path: Path, paths: list[str], why: str) -> None:
    content = content_of(dict.fromkeys(paths, GGUF))
    own(scene.real_store, content)
    with pytest.raises(UsageError, match=why) as caught:
        await scene.call("give", ref=text(content.root), to="ollama", place=str(tmp_path / "ollama"), name="ann/m")
    assert "--into" in str(caught.value.hint)
    assert not (tmp_path / "ollama").exists()


async def test_what_is_being_given_is_collected_by_nobody(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(scene.real_store, ONE)
    before = scene.real_store.collectable(Keep())
    seen: list[object] = []

    def meanwhile(*args: Any, **keywords: Any) -> Path:
        told = trio.from_thread.run(partial(scene.call, "gc", dry_run=True))
        # As a collection of another process, or one that began before: neither knows of this job.
        seen.extend([told["items"], scene.real_store.collect(before.spare[0], Keep())])
        return write_snapshot(*args, **keywords)

    monkeypatch.setattr(giving, "write_snapshot", meanwhile)
    given = await scene.call("give", ref=text(ONE.root), to="hf-cache", place=str(tmp_path / "hf"), name="org/name")
    assert seen == [[], None]
    assert {path: Path(given["path"], path).read_bytes() for path in ONE.files} == ONE.files
    assert [item["manifest"] for item in (await scene.call("gc"))["items"]] == [text(ONE.root)]


async def test_what_was_given_by_links_is_served_after_our_copy_was_collected(scene: Scene, tmp_path: Path) -> None:
    own(scene.real_store, DEEP)
    await scene.call("give", ref=text(DEEP.root), to="hf-cache", place=str(tmp_path / "hf"), name="org/name")
    assert len((await scene.call("gc"))["items"]) == 1
    plan = scene.real_store.read_plan(DEEP.root)
    assert plan is not None
    for number, entry in enumerate(DEEP.manifest.files):
        file = plan.open(number)
        assert os.pread(file.descriptor, entry.size, 0) == DEEP.files[entry.path]
        assert file.unchanged()
        file.close()


async def test_no_link_is_made_to_files_of_the_user_that_are_held_as_well(scene: Scene, tmp_path: Path) -> None:
    own(scene.real_store, ONE)
    own(scene.real_store, ONE, folder=tmp_path / "mine")  # Newer, so this is what is served.
    await scene.call("give", ref=text(ONE.root), to="hf-cache", place=str(tmp_path / "hf"), name="org/name")
    assert (tmp_path / "mine" / "model.bin").stat().st_nlink == 1
    assert (scene.real_store.own_folder(ONE.root) / "model.bin").stat().st_nlink == 2
