"""What files are called that are made of selected parts of others, and by that told apart from all that a manifest has.

    model.safetensors, or its shards  ->  model.selected.safetensors       also .gguf, .parquet
Pure.
"""

from __future__ import annotations

from collections.abc import Collection

from p2phub.formats.gguf import FORMAT as GGUF
from p2phub.formats.parquet import FORMAT as PARQUET
from p2phub.formats.safetensors import FORMAT as SAFETENSORS

_MARK = ".selected"
_SUFFIXES = tuple(f".{each}" for each in (SAFETENSORS, GGUF, PARQUET))
_ENDINGS = tuple(_MARK + suffix for suffix in _SUFFIXES)


def selected_path(stem: str, kind: str, paths: Collection[str]) -> str:
    """Return the path of what is made of parts of files of one `kind` that are called `stem`: none of `paths`, which
    the manifest has, and none that they are below."""
    suffix = f".{kind}"
    path = stem + _MARK + suffix
    taken = {each for each in paths if each.startswith(stem + _MARK)}
    while any(each == path or each.startswith(path + "/") for each in taken):
        path = path.removesuffix(suffix) + _MARK + suffix
    return path


def may_give_parts(path: str) -> bool:
    """Whether a file may have parts that something is made of beside it, by its name."""
    return path.endswith(_SUFFIXES)


def is_selected_name(name: str) -> bool:
    """Whether something that a manifest does not have was made of parts of it, by its name."""
    return name.endswith(_ENDINGS)
