"""Small GGUF files, made by the library that defines the format."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, LlamaFileType


def gguf_bytes(rows: int = 40, *, architecture: str = "qwen2") -> bytes:
    """Return a model of `rows` times 32 parameters that says it is Q4_K_M."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        writer = GGUFWriter(path, architecture)
        writer.add_file_type(LlamaFileType.MOSTLY_Q4_K_M)
        writer.add_tensor("token_embd.weight", np.arange(rows * 32, dtype=np.float32).reshape(rows, 32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()
