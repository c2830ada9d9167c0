"""What GGUF files are by their names, and what Ollama is given with one: as users of the hub know it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from p2phub.manifest import gguf_weights, given_with_gguf, is_gguf_shard, is_quantisation, quantisation_of


class File(NamedTuple):
    path: str
    size: int


def files(*paths: str) -> list[File]:
    return [File(path, 10) for path in sorted(paths, key=str.lower)]


@pytest.mark.parametrize(
    ("path", "quantisation"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("llama-3.2-1b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("llama.Q8_0.gguf", "Q8_0"),
        ("model_IQ2_XXS.gguf", "IQ2_XXS"),
        ("m-UD-Q3_K_XL.gguf", "UD-Q3_K_XL"),
        ("m-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("m-BF16.gguf", "BF16"),
        ("m-f16.gguf", "F16"),
        ("m-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("m-TQ1_0.gguf", "TQ1_0"),
        ("Q5_K_S/m-Q5_K_S-00001-of-00002.gguf", "Q5_K_S"),
        ("Q6_K/m.gguf", "Q6_K"),
        ("m-Q4_K_M-v2.gguf", "Q4_K_M"),
        ("Q8_0-distil-Q4_0.gguf", "Q4_0"),
        ("Qwen2-7B.gguf", None),
        ("m.gguf", None),
    ],
)
def test_a_files_name_says_its_quantisation(path: str, quantisation: str | None) -> None:
    assert quantisation_of(path) == quantisation


@pytest.mark.parametrize("text", ["Q4_K_M", "q4_k_m", "IQ3_M", "F16", "bf16", "UD-Q2_K_XL", "m-q4.GGUF"])
def test_a_quantisation_is_known_by_how_it_is_written(text: str) -> None:
    assert is_quantisation(text)


@pytest.mark.parametrize("text", ["main", "v1", "q", "q4-chat", "latest", "Q4_K_M_", "f17"])
def test_other_words_are_none(text: str) -> None:
    assert not is_quantisation(text)


def test_what_makes_a_model_see_is_no_weights() -> None:
    found = gguf_weights(files("b.GGUF", "a.gguf", "mmproj-a.gguf", "deep/MMPROJ.gguf", "mmproj/c.gguf", "gguf"))
    assert [file.path for file in found] == ["a.gguf", "b.GGUF", "mmproj/c.gguf"]


def test_shards_of_one_model_are_known_by_their_numbers() -> None:
    assert is_gguf_shard("m-00001-of-00003.gguf")
    assert not is_gguf_shard("m-1-of-3.gguf")


def test_what_comes_with_a_model_is_what_the_hub_has_for_ollama() -> None:
    found = given_with_gguf(
        files(
            "m.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf", "template", "params", "system", "LICENSE", "sub/template"
        )
    )
    assert [(kind, file.path) for kind, file in found] == [
        ("projector", "mmproj-F16.gguf"),
        ("license", "LICENSE"),
        ("params", "params"),
        ("system", "system"),
        ("template", "template"),
    ]
    assert given_with_gguf([File("template", 0), File("system", (1 << 20) + 1)]) == []
