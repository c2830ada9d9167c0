"""Which files a tag means, of a repository with one GGUF file for each quantisation: as hub users know it. Pure.

    Q4_K_M                            the file with that in its name, whatever the case
    model-q4_k_m.gguf                 exactly this one
    latest, main, any other version   the default: Q4_K_M, else Q8_0, else the first by name

Files that see (`mmproj…`) come with whichever is chosen, and are never chosen themselves.
Source: huggingface.co/docs/hub/ollama; llama.cpp (`common/download.cpp`), whose order of defaults it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from p2phub import api, limits
from p2phub.gateway.shelf import File

_DEFAULTS = ("Q4_K_M", "Q8_0")
_QUANTISATION = (
    r"(?:UD-)?(?:I?Q[1-8](?:_(?:[0-9]+|K|[SML]|X{1,2}[SL]|NL))*|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|B?F16|F32|FP16|FP32)"
)
_IN_NAME = re.compile(rf"(?:^|[-._])({_QUANTISATION})(?=[-._]|$)", re.IGNORECASE)
_ALONE = re.compile(_QUANTISATION, re.IGNORECASE)
_OF_SEVERAL = re.compile(r"-[0-9]{5}-of-[0-9]{5}\.gguf", re.IGNORECASE)
_TEXTS: dict[str, api.OllamaKind] = {"template": "template", "system": "system", "params": "params"}
_LICENCES = ("license", "license.md", "license.txt")
_TEXT_BYTES_MAX = limits.MIB  # Read into memory by Ollama each time that it runs the model.


def is_quantisation(tag: str) -> bool:
    """Return whether a tag is written as quantisations are, or as the file that has one."""
    return _ALONE.fullmatch(tag) is not None or tag.lower().endswith(".gguf")


def weights_of(files: Sequence[File]) -> list[File]:
    """Return the GGUF files that may be chosen, in the order of their paths."""
    return [file for file in files if file.path.lower().endswith(".gguf") and not _is_projector(file.path)]


def quantisation_of(path: str) -> str | None:
    """Return what a file's name, else its folder's, says of its quantisation, in upper case."""
    for part in reversed(path.split("/")):
        found = _IN_NAME.findall(part.lower().removesuffix(".gguf"))
        if found:
            return str(found[-1]).upper()
    return None


def by_quantisation(files: Sequence[File]) -> dict[str, list[File]]:
    """Return the files of each quantisation that a tag can choose, by its name, ascending."""
    found: dict[str, list[File]] = {}
    for file in weights_of(files):
        if (name := quantisation_of(file.path)) is not None:
            found.setdefault(name, []).append(file)
    return dict(sorted(found.items()))


def chosen(files: Sequence[File], tag: str) -> list[File]:
    """Return the GGUF files that a tag means: all parts of one, or of several that have that quantisation."""
    wanted = tag.lower()
    return [
        file
        for file in weights_of(files)
        if wanted in (file.path.lower().rpartition("/")[2], (quantisation_of(file.path) or "").lower())
    ]


def default_of(files: Sequence[File]) -> File | None:
    """Return the GGUF file that is meant where no tag says which; None where there is none."""
    weights = weights_of(files)
    for wanted in _DEFAULTS:
        for file in weights:
            if quantisation_of(file.path) == wanted:
                return file
    return weights[0] if weights else None


def without_others(files: Sequence[File], kept: Sequence[File]) -> list[File]:
    """Return the files of a version but for the GGUF files that were not chosen."""
    dropped = {file.path for file in weights_of(files)} - {file.path for file in kept}
    return [file for file in files if file.path not in dropped]


def is_part(file: File) -> bool:
    """Return whether it is one of several files that are one model, which Ollama does not take."""
    return _OF_SEVERAL.search(file.path) is not None


def beside(files: Sequence[File]) -> list[tuple[api.OllamaKind, File]]:
    """Return what Ollama is given with a model: what makes it see, and the texts at the top of the repository that are
    called as the hub has it for Ollama, in the order that an export has them in."""
    found: list[tuple[api.OllamaKind, File]] = []
    projectors = [file for file in files if file.path.lower().endswith(".gguf") and _is_projector(file.path)]
    preferred = [file for file in projectors if quantisation_of(file.path) in ("F16", "FP16")]
    if projectors:
        found.append(("projector", (preferred or projectors)[0]))
    texts: dict[api.OllamaKind, File] = {}
    for file in files:
        kind: api.OllamaKind | None = _TEXTS.get(file.path)
        if file.path.lower() in _LICENCES:
            kind = "license"
        if kind is not None and 0 < file.size <= _TEXT_BYTES_MAX:
            texts.setdefault(kind, file)
    return found + sorted(texts.items())


def _is_projector(path: str) -> bool:
    return "mmproj" in path.lower().rpartition("/")[2]
