"""A version as a ModelPack artifact is each file as it is, and depends on the files alone."""

from __future__ import annotations

import hashlib
import json

import pytest

from p2phub.gateway.oci.modelpack import layer_kind, modelpack
from p2phub.gateway.routes import Kind
from p2phub.gateway.shelf import File

FILES = [
    File("README.md", 10, "01" * 32),
    File("a/m\u00fc.safetensors", 1 << 40, "02" * 32, None),
    File("config.json", 0, "03" * 32, "ab"),
]


def test_each_file_is_a_layer_by_its_own_digest_with_its_path() -> None:
    config, manifest = modelpack(Kind.MODEL, FILES)
    told = json.loads(manifest)
    assert {name: told[name] for name in ("schemaVersion", "mediaType", "artifactType", "config")} == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.cncf.model.config.v1+json",
            "digest": "sha256:" + hashlib.sha256(config).hexdigest(),
            "size": len(config),
        },
    }
    kinds = ("doc", "weight", "weight.config")
    for layer, file, kind in zip(told["layers"], FILES, kinds, strict=True):
        assert layer == {
            "mediaType": f"application/vnd.cncf.model.{kind}.v1.raw",
            "digest": f"sha256:{file.sha256}",
            "size": file.size,
            "annotations": {"org.cncf.model.filepath": file.path, "org.opencontainers.image.title": file.path},
        }
    assert json.loads(config) == {
        "descriptor": {},
        "config": {"format": "safetensors"},
        "modelfs": {"type": "layers", "diffIds": [f"sha256:{file.sha256}" for file in FILES]},
    }


def test_these_bytes_never_change_since_clients_name_them_by_digest() -> None:
    config, manifest = modelpack(Kind.MODEL, FILES)
    assert (
        hashlib.sha256(config + manifest).hexdigest()
        == "75d0264a62c265865a8f2cb3e17dcdfd46250505c4febe51571896c845f9cdb7"
    )


@pytest.mark.parametrize(
    ("paths", "facts"),
    [
        (("m-Q4_0.gguf",), {"format": "gguf", "quantization": "Q4_0"}),
        (("m-Q4_0.gguf", "m-Q8_0.gguf"), {"format": "gguf"}),
        (("a.safetensors", "b.bin"), {}),
        (("a.pth", "b.bin"), {"format": "pytorch"}),
        (("README.md",), {}),
    ],
)
def test_the_config_says_what_all_weights_are(paths: tuple[str, ...], facts: dict[str, str]) -> None:
    config, _ = modelpack(Kind.MODEL, [File(path, 1, "01" * 32) for path in paths])
    assert json.loads(config)["config"] == facts


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        (Kind.MODEL, "pytorch_model.bin", "weight"),
        (Kind.MODEL, "model.safetensors.index.json", "weight.config"),
        (Kind.MODEL, "tokenizer.model", "weight.config"),
        (Kind.MODEL, "vocab.txt", "weight.config"),
        (Kind.MODEL, "LICENSE.txt", "doc"),
        (Kind.MODEL, "sub/LICENSE", "doc"),
        (Kind.MODEL, "modeling_x.py", "code"),
        (Kind.MODEL, "eval/test.parquet", "dataset"),
        (Kind.DATASET, "train.json", "dataset"),
        (Kind.DATASET, "README.md", "doc"),
        (Kind.DATASET, "load.py", "code"),
    ],
)
def test_a_layer_is_what_its_name_says(kind: Kind, path: str, said: str) -> None:
    assert layer_kind(kind, path) == said
