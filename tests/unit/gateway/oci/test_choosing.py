"""Which GGUF file a tag means, as users of the hub know it."""

from __future__ import annotations

import pytest

from p2phub.gateway.oci.choosing import by_quantisation, chosen, default_of, without_others
from p2phub.gateway.shelf import File


def files(*paths: str) -> list[File]:
    return [File(path, 10, f"{number:064x}") for number, path in enumerate(sorted(paths))]


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
