"""What a GGUF file says it is: architecture, file type, how many parameters; and what it cannot say."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from hypothesis import given
from hypothesis import strategies as st

from p2phub.errors import Malformed
from p2phub.formats import GgufFacts, gguf_facts
from p2phub.formats.gguf import FILE_TYPES
from tests.support.covers import covers
from tests.support.reading import damaged


def facts(data: bytes) -> GgufFacts:
    return gguf_facts(len(data), lambda offset, length: data[offset : offset + length])


def packed(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def pairs_only(*pairs: tuple[bytes, int, bytes]) -> bytes:
    """Return a file without tensors, with these pairs: key, type, value as it stands there."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, len(pairs))
    return head + b"".join(packed(key) + struct.pack("<I", kind) + value for key, kind, value in pairs)


def test_what_the_package_writes_is_read(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "m.gguf", "qwen2")
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    writer.add_token_list(["<s>", "wörld"])
    writer.add_tensor("a", np.arange(6 * 32, dtype=np.float32).reshape(6, 32))
    writer.add_tensor("b", np.arange(2 * 34, dtype=np.uint8).reshape(2, 34), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert facts((tmp_path / "m.gguf").read_bytes()) == GgufFacts("qwen2", "Q8_0", 6 * 32 + 2 * 32)


def test_file_types_are_called_as_the_package_calls_them() -> None:
    theirs = {kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in LlamaFileType}
    del theirs[LlamaFileType.GUESSED]  # Says that nobody knows.
    assert theirs == FILE_TYPES


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        ((b"general.architecture", 4, struct.pack("<I", 7)), (b"general.file_type", 8, packed(b"Q4_K_M"))),
        ((b"general.architecture", 8, packed(b"")), (b"general.file_type", 4, struct.pack("<I", 5))),
        ((b"general.architecture", 8, packed(b"\x1b[2J")),),
        ((b"general.architecture", 8, packed(b"\xff\xfe")),),
        ((b"general.architecture", 8, packed(b"a" * 65)), (b"general.file_type", 4, struct.pack("<I", 1 << 31))),
    ],
    ids=["nothing", "other types", "empty and removed", "controls", "no text", "long and unknown"],
)
@covers("T59")
def test_what_a_file_does_not_say_or_no_word_is_left_open(pairs: tuple[tuple[bytes, int, bytes], ...]) -> None:
    assert facts(pairs_only(*pairs)) == GgufFacts(None, None, 0)


@covers("T30")
@given(st.data())
def test_a_damaged_header_is_malformed_or_says_something_short(data: st.DataObject) -> None:
    whole = pairs_only((b"general.architecture", 8, packed(b"llama")), (b"general.file_type", 4, struct.pack("<I", 15)))
    try:
        found = facts(damaged(data, whole))
    except Malformed:
        return
    assert found.architecture is None or len(found.architecture) <= 64


def test_a_length_that_no_file_has_is_malformed() -> None:
    with pytest.raises(Malformed, match="gguf-header"):
        facts(pairs_only((b"general.architecture", 8, struct.pack("<Q", 1 << 62) + b"llama")))
