"""What the files of a manifest are, told by their names: enough to look for "gguf", and no claim about their bytes."""

from __future__ import annotations

from collections.abc import Iterable

from p2phub import limits

_FORMATS = {
    "safetensors": "safetensors",
    "gguf": "gguf",
    "ggml": "ggml",
    "parquet": "parquet",
    "onnx": "onnx",
    "bin": "pytorch",
    "pt": "pytorch",
    "pth": "pytorch",
    "ckpt": "pytorch",
    "h5": "keras",
    "keras": "keras",
    "tflite": "tflite",
    "msgpack": "flax",
    "mlmodel": "coreml",
    "npz": "numpy",
    "npy": "numpy",
    "csv": "csv",
    "tsv": "csv",
    "jsonl": "jsonl",
    "arrow": "arrow",
    "tar": "tar",
    "zip": "zip",
    "pdf": "pdf",
    "wav": "audio",
    "mp3": "audio",
    "flac": "audio",
    "mp4": "video",
    "png": "images",
    "jpg": "images",
    "jpeg": "images",
}


def formats_of(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the formats that files of these paths are said to have, each once, in order of the alphabet."""
    endings = {name.rpartition(".")[2].lower() for path in paths if "." in (name := path.rpartition("/")[2])}
    return tuple(sorted({_FORMATS[each] for each in endings if each in _FORMATS}))[: limits.SEARCH_LABELS_MAX]
