"""What Ollama calls a model: a manifest that names layers, and a config that says what kind of model it is. Pure.

The layers are files as they are: of a model, of its projector, of texts. Config and manifest are made of those and of
what the model's header says, and of nothing else, so that they have one digest on every machine: in Ollama's own store
(`store.materialise.ollama`), and for whoever pulls it from a gateway (`gateway.oci`).
Source: ollama/ollama (`types/model/config.go`, `manifest/`, `server/images.go`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from p2phub.formats import GgufFacts

Kind = Literal["model", "projector", "template", "system", "params", "license", "messages"]
"""What a layer is, as Ollama calls it: GGUF files, a template in Go's language, a system prompt, JSON of parameters."""

UNKNOWN = "unknown"
OLLAMA_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.ollama.image."


class Part(msgspec.Struct, frozen=True):
    """One layer: `sha256` in hex, `size` in bytes."""

    kind: Kind
    sha256: str
    size: int


class OllamaImage(msgspec.Struct, frozen=True):
    """The bytes of a model's config and manifest."""

    config: bytes
    manifest: bytes

    @property
    def config_sha256(self) -> str:
        return sha256(self.config).hexdigest()


class _Layer(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str
    digest: str
    size: int


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int
    media_type: str
    config: _Layer
    layers: list[_Layer]


class _RootFs(msgspec.Struct, frozen=True):
    type: str
    diff_ids: list[str]


class _Config(msgspec.Struct, frozen=True):
    model_format: str
    model_family: str
    model_families: list[str]
    model_type: str  # How many parameters, in words.
    file_type: str
    architecture: str  # Of the machine: an image says one, and Ollama always this.
    os: str
    rootfs: _RootFs


def ollama_image(facts: GgufFacts | None, parts: Sequence[Part]) -> OllamaImage:
    """Return the image of a GGUF model and what comes with it, in this order. `facts`: what its header says; None where
    that breaks a rule: Ollama may know better."""
    layers = [_Layer(_LAYER + part.kind, f"sha256:{part.sha256}", part.size) for part in parts]
    family = (facts and facts.architecture) or UNKNOWN
    config = msgspec.json.encode(
        _Config(
            model_format="gguf",
            model_family=family,
            model_families=[family],
            model_type=_count(facts.parameters) if facts is not None else UNKNOWN,
            file_type=(facts and facts.file_type) or UNKNOWN,
            architecture="amd64",
            os="linux",
            rootfs=_RootFs("layers", [layer.digest for layer in layers]),
        )
    )
    config_layer = _Layer(_CONFIG, f"sha256:{sha256(config).hexdigest()}", len(config))
    return OllamaImage(config, msgspec.json.encode(_Manifest(2, OLLAMA_MEDIA_TYPE, config_layer, layers)))


def _count(parameters: int) -> str:
    """Return a number as Ollama says it: 1.1B, 22.57M, 310K."""
    for unit, letter, digits in ((10**9, "B", 1), (10**6, "M", 2)):
        if parameters >= unit:
            return f"{parameters / unit:.{0 if parameters % unit == 0 else digits}f}{letter}"
    return f"{parameters / 1000:.0f}K" if parameters >= 1000 else str(parameters)
