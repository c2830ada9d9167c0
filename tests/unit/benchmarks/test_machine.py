"""The head of a report says which instructions the processor has that ciphers and digests gain from."""

from __future__ import annotations

import pytest

from benchmarks.machine import cpu

INTEL = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu aes avx2 avx512f vaes sha_ni\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd aes sha1 sha2\n"


@pytest.mark.parametrize(
    ("cpuinfo", "words"),
    [
        (INTEL, ["Some CPU @ 2 GHz", "vaes yes", "avx512f yes", "sha2 no"]),
        (ARM, ["model not named", "aes yes", "vaes no", "sha2 yes"]),
        ("", ["model not named", "aes no"]),
    ],
)
def test_the_processor_is_named_with_its_flags(cpuinfo: str, words: list[str]) -> None:
    assert all(word in cpu(cpuinfo) for word in words)
