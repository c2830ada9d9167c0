"""What GGUF files are to who runs them, by their names: weights of some quantisation, or what makes a model see. Pure.

And what is given with them, so that Ollama gets the same image whether it pulls it (`gateway.oci`) or has it written
into its store (`node.verbs.giving`). Source: huggingface.co/docs/hub/ollama; llama.cpp (`common/download.cpp`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

from p2phub import limits
from p2phub.manifest.ollama import Kind

_QUANTISATION = (
    r"(?:UD-)?(?:I?Q[1-8](?:_(?:[0-9]+|K|[SML]|X{1,2}[SL]|NL))*|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|B?F16|F32|FP16|FP32)"
)
_IN_NAME = re.compile(rf"(?:^|[-._])({_QUANTISATION})(?=[-._]|$)", re.IGNORECASE)
_ALONE = re.compile(_QUANTISATION, re.IGNORECASE)
_OF_SEVERAL = re.compile(r"-[0-9]{5}-of-[0-9]{5}\.gguf", re.IGNORECASE)
_TEXTS: dict[str, Kind] = {"template": "template", "system": "system", "params": "params"}
_LICENCES = ("license", "license.md", "license.txt")


class _Named(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...


_File = TypeVar("_File", bound=_Named)


def is_quantisation(text: str) -> bool:
    """Return whether it is written as quantisations are, or as the file that has one."""
    return _ALONE.fullmatch(text) is not None or text.lower().endswith(".gguf")


def quantisation_of(path: str) -> str | None:
    """Return what a file's name, else its folder's, says of its quantisation, in upper case."""
    for part in reversed(path.split("/")):
        found = _IN_NAME.findall(part.lower().removesuffix(".gguf"))
        if found:
            return str(found[-1]).upper()
    return None


def gguf_weights(files: Sequence[_File]) -> list[_File]:
    """Return the GGUF files that may be run, in the order that they are given in."""
    return [file for file in files if file.path.lower().endswith(".gguf") and not _is_projector(file.path)]


def is_gguf_shard(path: str) -> bool:
    """Return whether it is one of several files that are one model, which Ollama does not take."""
    return _OF_SEVERAL.search(path) is not None


def given_with_gguf(files: Sequence[_File]) -> list[tuple[Kind, _File]]:
    """Return what Ollama is given with a model: what makes it see, and the texts at the top of the repository that are
    called as the hub has it for Ollama, in the order that an image has them in."""
    found: list[tuple[Kind, _File]] = []
    projectors = [file for file in files if file.path.lower().endswith(".gguf") and _is_projector(file.path)]
    preferred = [file for file in projectors if quantisation_of(file.path) in ("F16", "FP16")]
    if projectors:
        found.append(("projector", (preferred or projectors)[0]))
    texts: dict[Kind, _File] = {}
    for file in files:
        kind: Kind | None = _TEXTS.get(file.path)
        if file.path.lower() in _LICENCES:
            kind = "license"
        if kind is not None and 0 < file.size <= limits.OLLAMA_TEXT_BYTES_MAX:
            texts.setdefault(kind, file)
    return found + sorted(texts.items())


def _is_projector(path: str) -> bool:
    return "mmproj" in path.lower().rpartition("/")[2]
