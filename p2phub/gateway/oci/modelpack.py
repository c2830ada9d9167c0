"""A version as a ModelPack artifact: an OCI manifest in which each file is a layer, as it is. Pure.

Paths stand twice: as ModelPack has them, and as `oras` does, which writes files by them. What a layer is for is told by
its name alone, so that the same files give the same bytes everywhere: nothing of a release, a date or a machine.
Source: modelpack/model-spec (`docs/spec.md`, `docs/config.md`), CNCF names of 2026; OCI image specification 1.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from p2phub import api
from p2phub.gateway.oci.routes import MODELPACK_MEDIA_TYPE
from p2phub.gateway.routes import Kind
from p2phub.gateway.shelf import File

ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_MEDIA_TYPE = "application/vnd.cncf.model.config.v1+json"
_LAYER = "application/vnd.cncf.model.{}.v1.raw"
_TITLE = "org.opencontainers.image.title"
_FILEPATH = "org.cncf.model.filepath"
_FORMATS = {
    "safetensors": "safetensors",
    "gguf": "gguf",
    "onnx": "onnx",
    "onnx_data": "onnx",
    "bin": "pytorch",
    "pt": "pytorch",
    "pth": "pytorch",
    "ckpt": "pytorch",
    "h5": "keras",
    "keras": "keras",
    "tflite": "tflite",
    "msgpack": "flax",
}
_WEIGHTS = {*_FORMATS, "ggml", "engine", "joblib", "llamafile", "mlmodel", "nemo", "npy", "npz", "ot", "pb", "pdparams"}
_WEIGHTS |= {"pickle", "pkl", "pte"}
_DATA = {"arrow", "csv", "feather", "jsonl", "ndjson", "parquet", "tar", "tsv", "zip"}
_CODE = {"c", "cpp", "cu", "go", "h", "hpp", "ipynb", "java", "js", "py", "rs", "sh", "ts"}
_DOCUMENTS = {"bib", "cff", "gif", "htm", "html", "jpeg", "jpg", "md", "pdf", "png", "rst", "svg", "webp"}
_DOCUMENTS_CALLED = ("changelog", "copying", "license", "licence", "notice", "readme", "use_policy")


class _Layer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int
    media_type: str
    artifact_type: str
    config: _Layer
    layers: list[_Layer]


class _ModelFs(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    diff_ids: list[str]


class _Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    format: str | None = None
    quantization: str | None = None


class _Config(msgspec.Struct, frozen=True):
    descriptor: dict[str, str]
    config: _Facts
    modelfs: _ModelFs


def modelpack(kind: Kind, files: Sequence[File]) -> tuple[bytes, bytes]:
    """Return the bytes of the config, and of the manifest, of these files of one repository."""
    layers = [
        _Layer(
            _LAYER.format(layer_kind(kind, file.path)),
            f"sha256:{file.sha256}",
            file.size,
            {_TITLE: file.path, _FILEPATH: file.path},
        )
        for file in files
    ]
    facts = _Facts(_only({_FORMATS.get(_ending(file.path)) for file in files if _ending(file.path) in _WEIGHTS}))
    if facts.format == "gguf":
        facts = _Facts("gguf", _only({api.quantisation_of(file.path) for file in api.gguf_weights(files)}))
    config = msgspec.json.encode(_Config({}, facts, _ModelFs("layers", [layer.digest for layer in layers])))
    config_layer = _Layer(CONFIG_MEDIA_TYPE, f"sha256:{sha256(config).hexdigest()}", len(config))
    return config, msgspec.json.encode(_Manifest(2, MODELPACK_MEDIA_TYPE, ARTIFACT_TYPE, config_layer, layers))


def layer_kind(kind: Kind, path: str) -> str:
    """Return what a file is for: "weight", "weight.config", "doc", "code" or "dataset"."""
    ending = _ending(path)
    if ending in _DOCUMENTS or path.rpartition("/")[2].lower().startswith(_DOCUMENTS_CALLED):
        return "doc"
    if ending in _CODE:
        return "code"
    if kind is Kind.DATASET or ending in _DATA:
        return "dataset"
    return "weight" if ending in _WEIGHTS else "weight.config"


def _ending(path: str) -> str:
    return path.rpartition("/")[2].lower().rpartition(".")[2]


def _only(found: set[str | None]) -> str | None:
    """Return what all of them are; None where they differ."""
    return found.pop() if len(found) == 1 else None
