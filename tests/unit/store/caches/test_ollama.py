"""Reading Ollama's models: which layers are files that stand alone, where they are, and what they claim to be."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from p2phub import limits
from p2phub.store.caches import CachedModel, Claim, scan_cache
from p2phub.store.folders import fingerprint

KIND = "application/vnd.ollama.image."
LIBRARY = "registry.ollama.ai/library"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "models"
    (made / "blobs").mkdir(parents=True)
    return made


def blob(root: Path, data: bytes) -> Path:
    at = root / "blobs" / f"sha256-{hashlib.sha256(data).hexdigest()}"
    at.write_bytes(data)
    return at


def layer(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": KIND + kind, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


def manifest_of(*layers: dict[str, Any], **changed: Any) -> bytes:
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "sha256:" + "0" * 64, "size": 2}
    whole = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": config,
        "layers": list(layers),
    }
    return json.dumps({**whole, **changed}).encode()


def tag(root: Path, name: str, text: bytes, *, folder: str = "manifests") -> Path:
    at = root / folder / name
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(text)
    return at


def only_model(root: Path) -> CachedModel:
    scan = scan_cache("ollama", root)
    assert scan.problems == ()
    (model,) = scan.models
    return model


def test_the_weights_of_a_tag_are_files_that_stand_alone(root: Path) -> None:
    weights, projector, adapter = blob(root, b"weights"), blob(root, b"projector"), blob(root, b"adapter")
    for small in (b"template", b"licence"):
        blob(root, small)
    tag(
        root,
        f"{LIBRARY}/llava/7b",
        manifest_of(
            layer("model", b"weights"),
            layer("projector", b"projector"),
            layer("adapter", b"adapter"),
            layer("template", b"template"),
            layer("license", b"licence"),
            layer("license", b"licence"),
        ),
    )
    model = only_model(root)
    assert (model.cache, model.name, model.revision) == ("ollama", f"{LIBRARY}/llava:7b", None)
    assert model.folder == root
    assert not model.complete
    assert [(file.path, file.place) for file in model.files] == [
        ("llava-7b-adapter.gguf", adapter),
        ("llava-7b-projector.gguf", projector),
        ("llava-7b.gguf", weights),
    ]
    assert model.files[2].claim == Claim(sha256=hashlib.sha256(b"weights").digest())
    assert model.files[2].fingerprint == fingerprint(weights.lstat())
    assert model.left_out == ((f"{KIND}template", "not weights"), (f"{KIND}license", "not weights (2 of them)"))


def test_a_blob_of_several_tags_is_in_each(root: Path) -> None:
    blob(root, b"weights")
    for name in ("llama3/8b", "llama3/latest", "mine/latest"):
        tag(root, f"{LIBRARY}/{name}", manifest_of(layer("model", b"weights")))
    models = scan_cache("ollama", root).models
    assert [model.name.rpartition("/")[2] for model in models] == ["llama3:8b", "llama3:latest", "mine:latest"]
    assert len({model.files[0].place for model in models}) == 1


def test_several_weights_of_a_kind_are_numbered(root: Path) -> None:
    blob(root, b"one")
    blob(root, b"two")
    tag(root, f"{LIBRARY}/m/t", manifest_of(layer("adapter", b"one"), layer("adapter", b"two")))
    assert [file.path for file in only_model(root).files] == ["m-t-adapter-2.gguf", "m-t-adapter.gguf"]


def test_tensors_kept_one_by_one_are_left_out(root: Path) -> None:
    tag(root, f"{LIBRARY}/m/t", manifest_of(layer("tensor", b"a"), layer("tensor", b"b"), layer("json", b"{}")))
    model = only_model(root)
    assert model.files == ()
    assert dict(model.left_out) == {
        f"{KIND}tensor": "a tensor of a model that Ollama keeps tensor by tensor (2 of them)",
        f"{KIND}json": "not weights",
    }


def test_a_newer_manifest_is_a_link_to_a_blob_and_hides_the_older_of_the_same_model(root: Path) -> None:
    blob(root, b"weights")
    text = manifest_of(layer("model", b"weights"))
    newer = root / "manifests-v2" / "ollama.com" / "library" / "m" / "t"
    newer.parent.mkdir(parents=True)
    newer.symlink_to(os.path.relpath(blob(root, text), newer.parent))
    tag(root, f"{LIBRARY}/m/t", text)
    tag(root, f"{LIBRARY}/m/other", text)
    tag(root, "hf.co/library/n/t", text)
    tag(root, "example.com/library/n/t", text)
    assert [model.name for model in scan_cache("ollama", root).models] == [
        "example.com/library/n:t",
        "hf.co/library/n:t",
        "ollama.com/library/m:t",
        f"{LIBRARY}/m:other",
    ]


def test_an_older_manifest_of_other_layers_is_another_model(root: Path) -> None:
    for data in (b"new", b"old"):
        blob(root, data)
    tag(root, "ollama.com/library/m/t", manifest_of(layer("model", b"new")), folder="manifests-v2")
    tag(root, f"{LIBRARY}/m/t", manifest_of(layer("model", b"old")))
    assert len(scan_cache("ollama", root).models) == 2


def test_a_layer_that_is_not_there_is_missing(root: Path) -> None:
    tag(root, f"{LIBRARY}/m/t", manifest_of(layer("model", b"weights")))
    model = only_model(root)
    assert (model.files, model.missing) == ((), ("m-t.gguf",))


def test_a_blob_of_another_size_than_its_manifest_says_is_a_problem_and_missing(root: Path) -> None:
    at = blob(root, b"weights")
    at.write_bytes(b"weigh")
    tag(root, f"{LIBRARY}/m/t", manifest_of(layer("model", b"weights")))
    scan = scan_cache("ollama", root)
    assert scan.models[0].missing == ("m-t.gguf",)
    assert scan.problems == ((str(at), f"5 bytes; the manifest of {LIBRARY}/m:t says 7"),)


def test_a_blob_that_leads_out_of_the_cache_is_a_problem_and_missing(root: Path) -> None:
    at = blob(root, b"weights")
    at.rename(root.parent / "private")
    at.symlink_to(root.parent / "private")
    tag(root, f"{LIBRARY}/m/t", manifest_of(layer("model", b"weights")))
    scan = scan_cache("ollama", root)
    assert scan.models[0].missing == ("m-t.gguf",)
    assert scan.problems == ((str(at), "a link that leads elsewhere"),)


GOOD = layer("model", b"weights")

NO_MANIFESTS = {
    "nothing": b"",
    "null": b"null",
    "no version": b'{"layers": []}',
    "a newer version": manifest_of(GOOD, schemaVersion=3),
    "no layers": manifest_of(layers=None),
    "a digest that climbs": manifest_of({**GOOD, "digest": "sha256:../../../etc/passwd"}),
    "another hash": manifest_of({**GOOD, "digest": "sha512:" + "0" * 128}),
    "a line end": manifest_of({**GOOD, "digest": "sha256:" + "0" * 64 + "\n"}),
    "a negative size": manifest_of({**GOOD, "size": -1}),
    "a size that is text": manifest_of({**GOOD, "size": "7"}),
    "arrays without end": b'{"schemaVersion": 2, "layers": ' + b"[" * 100_000,
    "bytes that are not UTF-8": b'{"schemaVersion": 2, "layers": [{"mediaType": "\xff"}]}',
}


@pytest.mark.parametrize("text", NO_MANIFESTS.values(), ids=NO_MANIFESTS)
def test_what_is_not_a_manifest_is_a_problem_and_the_other_tags_are_found(root: Path, text: bytes) -> None:
    blob(root, b"weights")
    tag(root, f"{LIBRARY}/m/good", manifest_of(GOOD))
    bad = tag(root, f"{LIBRARY}/m/bad", text)
    scan = scan_cache("ollama", root)
    assert [model.name for model in scan.models] == [f"{LIBRARY}/m:good"]
    assert [where for where, _ in scan.problems] == [str(bad)]


def test_a_manifest_that_is_too_long_is_not_read_to_its_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob(root, b"weights")
    at = tag(root, f"{LIBRARY}/m/t", manifest_of(GOOD))
    monkeypatch.setattr(limits, "CACHE_MANIFEST_BYTES_MAX", at.stat().st_size)
    assert only_model(root).files
    monkeypatch.setattr(limits, "CACHE_MANIFEST_BYTES_MAX", at.stat().st_size - 1)
    assert "a manifest of more than" in scan_cache("ollama", root).problems[0][1]


def test_manifests_that_are_links_lead_nowhere_outside_and_are_never_waited_for(root: Path) -> None:
    outside = root.parent / "outside"
    outside.write_bytes(manifest_of(GOOD))
    folder = root / "manifests" / LIBRARY / "m"
    folder.mkdir(parents=True)
    (folder / "a-outside").symlink_to(outside)
    (folder / "b-circle").symlink_to("b-circle")
    (folder / "c-nothing").symlink_to("nothing")
    os.mkfifo(folder / "d-pipe")
    (folder / "e-pipe").symlink_to("d-pipe")
    scan = scan_cache("ollama", root)
    assert scan.models == ()
    assert [(Path(where).name, why) for where, why in scan.problems] == [
        ("a-outside", "a link that leads elsewhere"),
        ("b-circle", "a link that goes in circles"),
        ("d-pipe", "a folder or special file, or a link to one"),
        ("e-pipe", "a folder or special file, or a link to one"),
    ]


def test_what_does_not_lie_four_deep_is_no_manifest(root: Path) -> None:
    blob(root, b"weights")
    tag(root, f"{LIBRARY}/m/t", manifest_of(GOOD))
    tag(root, f"{LIBRARY}/.DS_Store", b"mac")
    tag(root, f"{LIBRARY}/m/.DS_Store", b"mac")
    tag(root, f"{LIBRARY}/m/deep/er", manifest_of(GOOD))
    (root / "manifests" / "linked").symlink_to(root / "manifests" / "registry.ollama.ai")
    assert only_model(root).name == f"{LIBRARY}/m:t"


def test_names_that_are_no_text_are_a_problem_or_left_out(root: Path) -> None:
    blob(root, b"weights")
    tag(root, f"{LIBRARY}/a\x1b[2J/t", manifest_of(GOOD))
    tag(root, f"{LIBRARY}/b\udcff/t", manifest_of(GOOD))
    tag(root, "localhost:5000/me/m/a:b", manifest_of(GOOD))
    scan = scan_cache("ollama", root)
    assert [why for _, why in scan.problems] == ["its name is no text"] * 2
    (model,) = scan.models
    assert model.name == "localhost:5000/me/m:a:b"
    assert (model.files, model.left_out[0][0]) == ((), "m-a:b.gguf")


def test_a_folder_that_may_not_be_read_is_a_problem_and_the_rest_is_found(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob(root, b"weights")
    tag(root, f"{LIBRARY}/closed/t", manifest_of(GOOD))
    tag(root, f"{LIBRARY}/gone/t", manifest_of(GOOD))
    tag(root, f"{LIBRARY}/open/t", manifest_of(GOOD))
    real_open = os.open

    def refuse(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "closed":
            raise PermissionError(13, "Permission denied")
        if path == "gone":
            raise FileNotFoundError(2, "No such file or directory")
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    scan = scan_cache("ollama", root)
    assert [model.name for model in scan.models] == [f"{LIBRARY}/open:t"]
    assert scan.problems == ((str(root / "manifests" / LIBRARY / "closed"), "cannot read it: permission denied"),)


def test_a_tag_that_is_removed_while_it_is_read_is_not_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob(root, b"weights")
    at = tag(root, f"{LIBRARY}/m/t", manifest_of(GOOD))
    real_lstat = os.lstat

    def remove(path: str | Path) -> os.stat_result:
        if os.fspath(path) == str(at):
            at.unlink(missing_ok=True)
        return real_lstat(path)

    monkeypatch.setattr(os, "lstat", remove)
    scan = scan_cache("ollama", root)
    assert (scan.models, scan.problems) == ((), ())


def test_once_stopped_it_returns_with_what_it_has(root: Path) -> None:
    blob(root, b"weights")
    for name in "abc":
        tag(root, f"{LIBRARY}/m/{name}", manifest_of(GOOD))
    scan = scan_cache("ollama", root, stopped=iter([False] * 5 + [True]).__next__)
    assert [model.name for model in scan.models] == [f"{LIBRARY}/m:a", f"{LIBRARY}/m:b"]
