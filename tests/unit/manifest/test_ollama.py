"""What Ollama calls a model depends on its files and its header alone."""

from __future__ import annotations

import hashlib
import json

import pytest

from p2phub.formats import GgufFacts
from p2phub.manifest import OLLAMA_MEDIA_TYPE, OllamaPart, ollama_image

MODEL = OllamaPart("model", "ab" * 32, 1 << 40)
TEMPLATE = OllamaPart("template", "cd" * 32, 13)


def test_the_manifest_names_the_config_and_the_layers_by_what_they_hold() -> None:
    image = ollama_image(GgufFacts("qwen2", "Q4_K_M", 22_565_376), [MODEL, TEMPLATE])
    config = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "digest": f"sha256:{hashlib.sha256(image.config).hexdigest()}",
        "size": len(image.config),
    }
    assert json.loads(image.manifest) == {
        "schemaVersion": 2,
        "mediaType": OLLAMA_MEDIA_TYPE,
        "config": config,
        "layers": [
            {
                "mediaType": f"application/vnd.ollama.image.{part.kind}",
                "digest": f"sha256:{part.sha256}",
                "size": part.size,
            }
            for part in (MODEL, TEMPLATE)
        ],
    }
    assert json.loads(image.config) == {
        "model_format": "gguf",
        "model_family": "qwen2",
        "model_families": ["qwen2"],
        "model_type": "22.57M",
        "file_type": "Q4_K_M",
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{MODEL.sha256}", f"sha256:{TEMPLATE.sha256}"]},
    }


def test_these_bytes_never_change_since_clients_name_them_by_digest() -> None:
    image = ollama_image(GgufFacts("llama", None, 7), [MODEL])
    assert (
        hashlib.sha256(image.manifest).hexdigest() == "a127a3ed18838af1b4794f864127222c932d4fe46f1d40e314385116aeb447b6"
    )


@pytest.mark.parametrize("facts", [None, GgufFacts(None, None, 1)])
def test_what_a_header_does_not_say_is_unknown(facts: GgufFacts | None) -> None:
    config = json.loads(ollama_image(facts, [MODEL]).config)
    assert (config["model_family"], config["file_type"]) == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (7, "7"),
        (999, "999"),
        (1_500, "2K"),
        (310_000, "310K"),
        (22_565_376, "22.57M"),
        (22_000_000, "22M"),
        (1_100_048_384, "1.1B"),
        (7_000_000_000, "7B"),
        (70_553_706_496, "70.6B"),
    ],
)
def test_parameters_are_counted_as_ollama_says_them(parameters: int, said: str) -> None:
    assert json.loads(ollama_image(GgufFacts("llama", "F16", parameters), [MODEL]).config)["model_type"] == said
