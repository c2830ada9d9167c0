"""Which files a tag means, of a repository with one GGUF file for each quantisation: as hub users know it. Pure.

    Q4_K_M                            the file with that in its name, whatever the case
    model-q4_k_m.gguf                 exactly this one
    latest, main, any other version   the default: Q4_K_M, else Q8_0, else the first by name

Files that see (`mmproj…`) come with whichever is chosen, and are never chosen themselves: `manifest.gguf_files`.
Source: huggingface.co/docs/hub/ollama; llama.cpp (`common/download.cpp`), whose order of defaults it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2phub import api
from p2phub.gateway.shelf import File

_DEFAULTS = ("Q4_K_M", "Q8_0")


def by_quantisation(files: Sequence[File]) -> dict[str, list[File]]:
    """Return the files of each quantisation that a tag can choose, by its name, ascending."""
    found: dict[str, list[File]] = {}
    for file in api.gguf_weights(files):
        if (name := api.quantisation_of(file.path)) is not None:
            found.setdefault(name, []).append(file)
    return dict(sorted(found.items()))


def chosen(files: Sequence[File], tag: str) -> list[File]:
    """Return the GGUF files that a tag means: all parts of one, or of several that have that quantisation."""
    wanted = tag.lower()
    return [
        file
        for file in api.gguf_weights(files)
        if wanted in (file.path.lower().rpartition("/")[2], (api.quantisation_of(file.path) or "").lower())
    ]


def default_of(files: Sequence[File]) -> File | None:
    """Return the GGUF file that is meant where no tag says which; None where there is none."""
    weights = api.gguf_weights(files)
    for wanted in _DEFAULTS:
        for file in weights:
            if api.quantisation_of(file.path) == wanted:
                return file
    return weights[0] if weights else None


def without_others(files: Sequence[File], kept: Sequence[File]) -> list[File]:
    """Return the files of a version but for the GGUF files that were not chosen."""
    dropped = {file.path for file in api.gguf_weights(files)} - {file.path for file in kept}
    return [file for file in files if file.path not in dropped]
