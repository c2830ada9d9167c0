"""Which format a file is taken for: by what it holds, whatever it is called."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet as pq
from safetensors.numpy import save

from p2phub.formats import OPAQUE
from tests.support.reading import layout


def _parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2]}), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "named"), [(save({"a": np.zeros(3)}), "safetensors"), (_parquet(), "parquet")], ids=["tensors", "table"]
)
def test_a_renamed_file_is_what_it_holds(data: bytes, named: str) -> None:
    for name in ("weights.bin", "a.gguf", "b.parquet", "c.safetensors"):
        assert layout(data, name).format == named
        assert layout(data, name).problem is None


@given(st.sampled_from([b"GGUF", b"PAR1", b""]), st.binary(max_size=80))
def test_a_file_that_is_not_what_it_is_called_is_opaque_and_its_publisher_is_told(magic: bytes, rest: bytes) -> None:
    for name in ("a.gguf", "A.PARQUET"):
        found = layout(magic + rest, name)
        assert found.format != OPAQUE or found.problem is not None
    assert layout(magic + rest, "notes.txt").problem is None
