"""Read the index of a model that is cut into shards (`model.safetensors.index.json`): which file has which tensor.

    {"metadata": {…}, "weight_map": {tensor: file beside the index}}

It is what loaders go by, and its author's word alone: whoever reads it here knows from the files' own headers where
each tensor is. Source: `save_torch_state_dict` in huggingface_hub, `modeling_utils.py` in transformers.
"""

from __future__ import annotations

import re

import msgspec

from p2phub import limits

_NAME = re.compile(r"(?P<stem>(?:.*/)?[^/]+)\.safetensors\.index(?P<variant>\.[^./]+)?\.json", re.DOTALL)


def model_of_index(path: str) -> str | None:
    """Return what a file of the whole model would be called, without suffix, whose index is at `path`; None if that is
    no path of an index. Variants have names of their own (`model.safetensors.index.fp16.json` is of `model.fp16`)."""
    name = _NAME.fullmatch(path)
    return None if name is None else name["stem"] + (name["variant"] or "")


class _Index(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def read_weight_map(data: bytes) -> dict[str, str]:
    """Return the file of each tensor. Raises ValueError, in a few words, for what is none: it is no
    format of ours, and what depends on it goes on without."""
    # Each entry has one; names with more are rare. Looked at before anything is made of them.
    if len(data) > limits.WEIGHT_MAP_BYTES_MAX or data.count(b":") > limits.TENSORS_PER_FILE_MAX:
        raise ValueError(f"it is too long: {len(data)} bytes")
    try:
        return msgspec.json.decode(data, type=_Index).weight_map
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"no JSON of that form: {str(exc)[:80]}") from exc
