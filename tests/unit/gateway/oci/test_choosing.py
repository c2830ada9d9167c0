"""Which GGUF file a tag means, as users of the hub know it."""

from __future__ import annotations

import pytest

from p2phub.gateway.oci.choosing import (
    beside,
    by_quantisation,
    chosen,
    default_of,
    is_part,
    is_quantisation,
    quantisation_of,
    without_others,
)
from p2phub.gateway.shelf import File


def files(*paths: str) -> list[File]:
    return [File(path, 10, f"{number:064x}") for number, path in enumerate(sorted(paths))]


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


@pytest.mark.parametrize("tag", ["Q4_K_M", "q4_k_m", "IQ3_M", "F16", "bf16", "UD-Q2_K_XL", "m-q4.GGUF"])
def test_a_tag_can_be_written_as_a_quantisation(tag: str) -> None:
    assert is_quantisation(tag)


@pytest.mark.parametrize("tag", ["main", "v1", "q", "q4-chat", "latest", "Q4_K_M_", "f17"])
def test_other_tags_are_versions(tag: str) -> None:
    assert not is_quantisation(tag)


def test_a_tag_chooses_by_quantisation_or_by_the_whole_name_whatever_the_case() -> None:
    several = files("m-Q4_K_M.gguf", "m-Q8_0.gguf", "sub/m-Q5_0.gguf", "mmproj-m-Q8_0.gguf", "README.md")
    assert [file.path for file in chosen(several, "q4_k_m")] == ["m-Q4_K_M.gguf"]
    assert [file.path for file in chosen(several, "Q8_0")] == ["m-Q8_0.gguf"]
    assert [file.path for file in chosen(several, "M-q5_0.GGUF")] == ["sub/m-Q5_0.gguf"]
    assert chosen(several, "Q6_K") == []
    assert list(by_quantisation(several)) == ["Q4_K_M", "Q5_0", "Q8_0"]
    assert all(found == chosen(several, name) for name, found in by_quantisation(several).items())
    kept = without_others(several, chosen(several, "Q8_0"))
    assert [file.path for file in kept] == ["README.md", "m-Q8_0.gguf", "mmproj-m-Q8_0.gguf"]


@pytest.mark.parametrize(
    ("paths", "default"),
    [
        (("m-F16.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf"), "m-Q4_K_M.gguf"),
        (("m-F16.gguf", "m-Q2_K.gguf", "m-Q8_0.gguf"), "m-Q8_0.gguf"),
        (("m-Q2_K.gguf", "m-F16.gguf"), "m-F16.gguf"),
        (("a.GGUF",), "a.GGUF"),
        (("mmproj.gguf", "a.safetensors"), None),
    ],
)
def test_the_default_is_the_quantisation_that_llama_cpp_takes(paths: tuple[str, ...], default: str | None) -> None:
    found = default_of(files(*paths))
    assert (found and found.path) == default


def test_parts_of_one_model_are_known_by_their_numbers() -> None:
    assert is_part(files("m-00001-of-00003.gguf")[0])
    assert not is_part(files("m-1-of-3.gguf")[0])


def test_what_comes_with_a_model_is_what_the_hub_has_for_ollama() -> None:
    found = beside(
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
    assert beside([File("template", 0, "a"), File("system", (1 << 20) + 1, "b")]) == []
