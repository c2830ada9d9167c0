"""What is written into Ollama's store is laid out as Ollama has it, manifest last, and harms nothing that is there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2phub.errors import ContentChanged, DiskFull, Occupied, UsageError
from p2phub.store import Fingerprint
from p2phub.store.clone import Stopped
from p2phub.store.disk import Disk
from p2phub.store.folders import fingerprint
from p2phub.store.materialise import export, ollama, placer
from tests.support.covers import covers
from tests.support.crashing import QuickDisk, RecordingDisk, images, short_lived
from tests.support.folders import write_files
from tests.support.gguf_bytes import gguf_bytes
from tests.support.materialising import source, tree_of
from tests.support.opening import all_closed_again

NAME = "p2phub.local/acme/m:latest"
MANIFEST = "manifests/p2phub.local/acme/m/latest"


@pytest.fixture(scope="module")
def gguf() -> bytes:
    return gguf_bytes()


class Scene:
    def __init__(self, at: Path, gguf: bytes) -> None:
        self.store = at / "models"
        self.folder = at / "files"
        self.gguf = gguf
        write_files(self.folder, {"m.gguf": gguf})

    def export(self, disk: Disk | None = None, *, name: str = NAME, data: bytes | None = None, **more: Any) -> Path:
        file = source(self.folder, "m.gguf", self.gguf if data is None else data)
        return export(disk or Disk(), self.store, name, file, **more)

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.store / MANIFEST).read_bytes())
        return found

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.blob(self.manifest()["config"]["digest"]))
        return found

    def blob(self, digest: str) -> bytes:
        return (self.store / "blobs" / digest.replace(":", "-")).read_bytes()


@pytest.fixture
def scene(tmp_path: Path, gguf: bytes) -> Scene:
    return Scene(tmp_path, gguf)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def run(store: Path, name: str = MANIFEST) -> dict[str, bytes]:
    """Return what Ollama would load, by media type, every digest checked; as `ollama run` and `ollama show` read it."""
    manifest = json.loads((store / name).read_bytes())
    assert manifest["schemaVersion"] == 2
    found = {}
    for layer in (manifest["config"], *manifest["layers"]):
        data = (store / "blobs" / layer["digest"].replace(":", "-")).read_bytes()
        assert (digest_of(data), len(data)) == (layer["digest"], layer["size"])
        found[layer["mediaType"]] = data
    return found


# --- as Ollama has it ------------------------------------------------------------------------------------------------


def test_the_whole_layout_is_ollamas(scene: Scene) -> None:
    assert scene.export() == scene.store / MANIFEST
    digest = digest_of(scene.gguf)
    config = json.dumps(
        {
            "model_format": "gguf",
            "model_family": "qwen2",
            "model_families": ["qwen2"],
            "model_type": "1K",
            "file_type": "Q4_K_M",
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        },
        separators=(",", ":"),
    ).encode()
    assert scene.manifest() == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": digest_of(config),
            "size": len(config),
        },
        "layers": [
            {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": len(scene.gguf)},
        ],
    }
    found = tree_of(scene.store)
    del found[MANIFEST]
    assert found == {
        f"blobs/{digest.replace(':', '-')}": scene.gguf,
        f"blobs/{digest_of(config).replace(':', '-')}": config,
    }
    assert sorted(os.listdir(scene.store)) == ["blobs", "manifests"]


def test_what_belongs_to_a_model_comes_with_it(scene: Scene) -> None:
    files = {"projector": b"GGUF eyes", "license": b"MIT", "template": b"{{ .Prompt }}"}
    write_files(scene.folder, files)
    scene.export(beside=[(kind, source(scene.folder, kind, data)) for kind, data in files.items()])
    found = run(scene.store)
    del found["application/vnd.docker.container.image.v1+json"]
    media = "application/vnd.ollama.image."
    assert found == {
        f"{media}model": scene.gguf,
        f"{media}projector": b"GGUF eyes",
        f"{media}license": b"MIT",
        f"{media}template": b"{{ .Prompt }}",
    }
    assert len(scene.config()["rootfs"]["diff_ids"]) == 4


def test_of_a_header_that_breaks_a_rule_nothing_is_said(scene: Scene) -> None:
    data = scene.gguf[:8] + b"\xff" * 8 + scene.gguf[16:]
    write_files(scene.folder, {"m.gguf": data})
    scene.export(data=data)
    config = scene.config()
    assert {config[key] for key in ("model_family", "model_type", "file_type")} == {"unknown"}
    assert run(scene.store)["application/vnd.ollama.image.model"] == data


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x80\4."])
def test_a_file_that_is_no_gguf_is_refused_before_anything_is_made(scene: Scene, data: bytes) -> None:
    write_files(scene.folder, {"m.gguf": data})
    with pytest.raises(UsageError, match="no GGUF"):
        scene.export(data=data)
    assert not scene.store.exists()


# --- what is here already --------------------------------------------------------------------------------------------


def test_exporting_it_again_changes_nothing(scene: Scene) -> None:
    scene.export()
    before = {path: fingerprint(path.stat()) for path in scene.store.rglob("*") if path.is_file()}
    scene.export()
    assert {path: fingerprint(path.stat()) for path in scene.store.rglob("*") if path.is_file()} == before


def test_another_model_of_the_name_is_not_replaced(scene: Scene) -> None:
    scene.export()
    before = (scene.store / MANIFEST).read_bytes()
    write_files(scene.folder, {"LICENSE": b"MIT"})
    with pytest.raises(Occupied, match="another model"):
        scene.export(beside=[("license", source(scene.folder, "LICENSE", b"MIT"))])
    assert (scene.store / MANIFEST).read_bytes() == before


def test_what_a_newer_ollama_would_read_first_is_in_the_way(scene: Scene) -> None:
    newer = scene.store / "manifests-v2" / MANIFEST.removeprefix("manifests/")
    newer.parent.mkdir(parents=True)
    newer.symlink_to("../../../../blobs/sha256-" + "a" * 64)
    with pytest.raises(Occupied, match="manifests-v2"):
        scene.export()
    assert not (scene.store / MANIFEST).exists()


@covers("T54")
def test_a_blob_with_other_bytes_is_neither_used_nor_replaced(scene: Scene) -> None:
    blob = scene.store / "blobs" / digest_of(scene.gguf).replace(":", "-")
    blob.parent.mkdir(parents=True)
    blob.write_bytes(scene.gguf[:-1] + b"x")
    with pytest.raises(Occupied, match=blob.name):
        scene.export()
    assert blob.read_bytes() == scene.gguf[:-1] + b"x"
    assert not (scene.store / MANIFEST).exists()


def test_a_link_in_the_place_of_a_blob_is_not_followed(scene: Scene) -> None:
    blob = scene.store / "blobs" / digest_of(scene.gguf).replace(":", "-")
    blob.parent.mkdir(parents=True)
    blob.symlink_to(scene.folder / "m.gguf")
    with pytest.raises(Occupied, match=blob.name):
        scene.export()


def test_what_other_models_have_there_stays(scene: Scene) -> None:
    write_files(
        scene.store, {"blobs/sha256-" + "a" * 64: b"theirs", "manifests/registry.ollama.ai/library/x/latest": b"{}"}
    )
    before = tree_of(scene.store)
    scene.export()
    assert tree_of(scene.store).items() > before.items()


# --- links, and what goes wrong --------------------------------------------------------------------------------------


def test_by_default_an_edit_in_the_store_never_changes_our_file(scene: Scene) -> None:
    scene.export()
    (scene.store / "blobs" / digest_of(scene.gguf).replace(":", "-")).write_bytes(b"edited")
    assert (scene.folder / "m.gguf").read_bytes() == scene.gguf


def test_the_file_is_linked_where_that_is_asked_for_and_whoever_knows_it_is_told(scene: Scene) -> None:
    told: list[Fingerprint] = []
    scene.export(link=True, linked=lambda file, now: told.append(now))
    assert told == [fingerprint((scene.folder / "m.gguf").stat())]
    assert (scene.folder / "m.gguf").stat().st_nlink == 2


@pytest.mark.parametrize(
    "name",
    [
        "m:latest",
        "acme/m:latest",
        "p2phub.local/acme/m",
        "p2phub.local/acme/m:",
        "p2phub.local/../m:latest",
        "p2phub.local/ac.me/m:latest",
        "p2phub.local/acme/.m:latest",
        "p2phub.local/acme/m:a/b",
        "p2phub.local/acme/x/m:latest",
        "p2phub.local/skill/m:latest",
        f"p2phub.local/acme/{'m' * 81}:latest",
        "p2phub.local/acme/é:latest",
        "p2phub.local/acme/m:latest\n",
    ],
)
@covers("T21")
def test_a_name_that_ollama_would_not_find_is_refused_before_anything_is_made(scene: Scene, name: str) -> None:
    with pytest.raises(UsageError):
        scene.export(name=name)
    assert not scene.store.exists()


@pytest.mark.parametrize("name", ["p2phub.local/acme/m:latest", "127.0.0.1:4718/a-b/m.x_y:Q4_K_M", "h/n/m:t"])
def test_a_name_that_ollama_takes_is_its_path(scene: Scene, name: str) -> None:
    host, namespace, model = name.split("/")
    assert scene.export(name=name) == scene.store.joinpath("manifests", host, namespace, *model.split(":"))


def test_a_file_that_is_not_as_it_was_hashed_makes_no_model(scene: Scene) -> None:
    file = source(scene.folder, "m.gguf", scene.gguf)
    os.utime(scene.folder / "m.gguf", ns=(1, 1))
    with pytest.raises(ContentChanged):
        export(Disk(), scene.store, NAME, file)
    assert not scene.store.exists()


@covers("F04")
def test_a_full_disk_leaves_no_model_and_nothing_of_ours(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Disk):
        def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with all_closed_again(), pytest.raises(DiskFull):
        scene.export(Full())
    assert tree_of(scene.store) == {}
    assert os.listdir(scene.store) == ["blobs"]


def test_whoever_does_not_wait_any_more_stops_it(scene: Scene) -> None:
    with pytest.raises(Stopped):
        scene.export(stopped=lambda: True)
    assert tree_of(scene.store) == {}


@covers("F07")
def test_a_second_process_waits_for_nobody(scene: Scene) -> None:
    class Second(Disk):
        def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
            with pytest.raises(Occupied, match="another p2phub"):
                scene.export()
            super().rename_new(source, target, source_fd=source_fd, target_fd=target_fd)

    scene.export(Second())
    assert run(scene.store)


def test_a_blob_that_ollama_removes_before_it_is_named_is_said(scene: Scene) -> None:
    class Pruning(Disk):
        def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
            if target == "latest":
                (scene.store / "blobs" / digest_of(scene.gguf).replace(":", "-")).unlink()
            super().rename_new(source, target, source_fd=source_fd, target_fd=target_fd)

    with pytest.raises(ContentChanged, match="Ollama removed"):
        scene.export(Pruning())
    scene.export()
    assert run(scene.store)


# --- power cuts ------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with short_lived(tmp_path) as scratch:
        (scratch / "root").mkdir()
        yield scratch / "root"


@pytest.mark.covers("F01", "F02")
@pytest.mark.parametrize("how", ["copied", "linked"])
def test_after_a_power_cut_the_model_is_there_whole_or_not_and_a_second_run_completes(
    root: Path, gguf: bytes, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    for room in (placer, ollama):  # What is synced with everything else would hide what is not synced.
        monkeypatch.setattr(room, "ONE_BY_ONE_MAX", 1_000)
    disk = RecordingDisk(root)
    root_fd = os.open(root, os.O_RDONLY)
    for name, data in (("m.gguf", gguf), ("LICENSE", b"MIT")):
        fd = disk.open(name, os.O_RDWR | os.O_CREAT, dir_fd=root_fd)
        disk.pwrite(fd, data, 0)
        disk.syncfs(fd)
        os.close(fd)
    os.close(root_fd)

    def write(disk: Disk, at: Path) -> None:
        licence = source(at, "LICENSE", b"MIT")
        file = source(at, "m.gguf", gguf)
        export(disk, at / "models", NAME, file, beside=[("license", licence)], link=how == "linked")

    begin_at = len(disk.log)
    write(disk, root)
    disk.say("done")

    def look(at: Path, said: list[object]) -> None:
        if said or (at / "models" / MANIFEST).exists():
            found = run(at / "models")
            assert found["application/vnd.ollama.image.model"] == gguf
            assert found["application/vnd.ollama.image.license"] == b"MIT"
        write(QuickDisk(), at)
        assert run(at / "models")["application/vnd.ollama.image.license"] == b"MIT"
        assert sorted(os.listdir(at / "models")) == ["blobs", "manifests"]

    assert images(disk, root.parent, look, begin_at=begin_at) > 80
    assert images(disk, root.parent, look, begin_at=begin_at, ways=("killed",)) > 20
