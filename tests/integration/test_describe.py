"""What a manifest holds is told without fetching it: pages, chunk lists and layouts, from whoever has them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.engine.assembly import Assembly
from p2phub.engine.describe import describe
from p2phub.engine.fetch import Means
from p2phub.engine.layouts import keep_layouts, known_layouts
from p2phub.engine.search import Search
from p2phub.errors import NoProvider
from p2phub.formats import encode_layout
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, TestHost, open_host
from tests.support.models import make_safetensors_folder
from tests.support.reading import layout


async def describe_at(host: TestHost, manifest: Digest, *providers: TestHost, **parts: bool) -> Assembly:
    async def open_finder() -> FixedFinder:
        return FixedFinder()

    known = [candidate for provider in providers for candidate in provider.candidates]
    means = Means(host.plane, host.store, host.workers, host.key.peer_id)
    return await describe(manifest, search=Search(known, open_finder), means=means, **parts)


async def test_tensors_are_told_by_the_publisher_and_by_whoever_fetched_them(tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 3 << 20, files=2)
    theirs = {
        (path.name, name): (value.dtype.itemsize, value.shape)
        for path in model.glob("*.safetensors")
        for name, value in load_file(path).items()
    }
    async with (
        open_host(tmp_path / "a", "ann") as ann,
        open_host(tmp_path / "b", "bob") as bob,
        open_host(tmp_path / "c", "cyd") as cyd,
        open_host(tmp_path / "d", "dot") as dot,
    ):
        manifest = (await ann.publish(model)).manifest
        await bob.fetch(manifest, tmp_path / "copy", ann)
        for asker, provider in ((cyd, ann), (dot, bob)):
            assembly = await describe_at(asker, manifest, provider, layouts=True)
            layouts = known_layouts(assembly.manifest(), asker.store)
            told = {
                (path, span.name): ((span.stop - span.start) // max(1, int(np.prod(span.shape))), span.shape)
                for path, layout in layouts.items()
                for span in layout.spans
            }
            assert told == theirs
            assert not asker.events


async def test_many_pages_and_lists_are_asked_for_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PREFIX_BYTES_MAX", 64 * limits.KIB)  # So that they are asked for, not pushed.
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        save_file({f"t{number}": np.full(300_000, number, np.float32)}, folder / f"{number:03}.safetensors")
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        manifest = (await ann.publish(folder)).manifest
        asked: list[Digest] = []
        look = ann.store.blob

        def counted(digest: Digest) -> bytes | None:
            asked.append(digest)
            return look(digest)

        ann.shelf.forget(manifest)
        offer = ann.shelf.offer(manifest, bob.key.peer_id)
        monkeypatch.setattr(ann.store, "blob", counted)
        assembly = await describe_at(bob, manifest, ann, lists=True, layouts=True)
        assert len(assembly.table()) >= 100
        assert len(known_layouts(assembly.manifest(), bob.store)) == 100
        named = [*offer.order, *(entry.layout for entry in assembly.manifest().files)]
        # Once for the first flight, if it was in it, and once when it was asked for.
        assert all(asked.count(digest) <= 2 for digest in named if digest is not None)


async def test_of_a_file_that_is_not_as_its_layout_says_none_is_kept(tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 1 << 20)
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        manifest = (await ann.publish(model)).manifest
        await bob.fetch(manifest, tmp_path / "copy", ann)
        whole = (await describe_at(bob, manifest)).manifest()
        (tmp_path / "copy" / "model.safetensors").write_bytes((model / "config.json").read_bytes())
        keep_layouts(whole, manifest, tmp_path / "copy", bob.store)
        assert known_layouts(whole, bob.store) == {}
        other = (model / "model.safetensors").read_bytes().replace(b".weight", b".height", 1)
        (tmp_path / "copy" / "model.safetensors").write_bytes(other)
        keep_layouts(whole, manifest, tmp_path / "copy", bob.store)
        assert bob.store.blob(digest_of(encode_layout(layout(other, "model.safetensors")))) is None
        (tmp_path / "copy" / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
        keep_layouts(whole, manifest, tmp_path / "copy", bob.store)
        assert list(known_layouts(whole, bob.store)) == ["model.safetensors"]


@covers("T31")
async def test_who_publishes_is_told_what_may_run_code_and_what_is_not_what_it_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"no tensors")
    (folder / "weights.bin").write_bytes(pickle.dumps({"a": 1}))
    (folder / "notes.txt").write_text("text")
    async with open_host(tmp_path / "a", "ann") as ann:
        told = dict((await ann.publish(folder)).remarks)
    assert sorted(told) == ["model.safetensors", "weights.bin"]
    assert "safetensors" in told["model.safetensors"]
    assert "run code" in told["weights.bin"]


async def test_who_asks_nobody_that_has_it_is_told_whom_it_asked(tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 1 << 20)
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        manifest = (await ann.publish(model)).manifest
        with pytest.raises(NoProvider, match="asked"):
            await describe_at(ann, Digest(bytes(32)), bob, layouts=True)
        assert (await describe_at(bob, manifest, ann)).missing_layouts() != []
