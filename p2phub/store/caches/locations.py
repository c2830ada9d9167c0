"""Where other programs keep models, by their environment variables and defaults, and what kind of folder a user named.

Variables are looked at in the order in which the programs do. Of contents only LM Studio's settings are read, which can
name another folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from p2phub import limits
from p2phub.store.caches.huggingface import is_hub, is_repository, is_snapshot
from p2phub.store.caches.ollama import MANIFESTS
from p2phub.store.disk import read_regular

_TRUE = {"1", "ON", "YES", "TRUE"}  # As the tools have it.
_OLLAMA_BLOB = "sha256-"
_OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")  # What its installer for Linux makes the service's home.


class _Settings(msgspec.Struct, rename="camel"):
    downloads_folder: str | None = None


def default_places(cache: str, environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Return where `cache` is kept, absolute, there or not; the place in use first, older ones after it."""
    places = _PLACES[cache](_Environment(environ, home), home)
    return tuple(dict.fromkeys(Path(os.path.abspath(place)) for place in places))


def makes_symlinks(environ: Mapping[str, str]) -> bool:
    """Whether the Hugging Face tools are let make symbolic links in their cache, where the disk has any."""
    return environ.get("HF_HUB_DISABLE_SYMLINKS", "").upper() not in _TRUE


class _Environment:
    """Folders named by variables; one that is empty is not set. `~` is the home, as the programs have it."""

    def __init__(self, environ: Mapping[str, str], home: Path) -> None:
        self._environ = environ
        self._home = home

    def folder(self, name: str, *below: str) -> Path | None:
        value = self._environ.get(name)
        return _named(value, self._home).joinpath(*below) if value else None


def _named(text: str, home: Path) -> Path:
    if text == "~" or text.startswith("~/"):
        return home / text[2:]
    return Path(text)


def _huggingface(environ: _Environment, home: Path) -> list[Path]:
    # llama.cpp keeps the same layout, and looks at its own variable first.
    llamacpp = environ.folder("LLAMA_CACHE")
    tools = (
        environ.folder("HF_HUB_CACHE")
        or environ.folder("HUGGINGFACE_HUB_CACHE")
        or environ.folder("HF_HOME", "hub")
        or environ.folder("XDG_CACHE_HOME", "huggingface", "hub")
        or home / ".cache" / "huggingface" / "hub"
    )
    return [tools] if llamacpp is None else [tools, llamacpp]


def _llamacpp(environ: _Environment, home: Path) -> list[Path]:
    return [
        environ.folder("LLAMA_CACHE") or environ.folder("XDG_CACHE_HOME", "llama.cpp") or home / ".cache" / "llama.cpp"
    ]


def _ollama(environ: _Environment, home: Path) -> list[Path]:
    named = environ.folder("OLLAMA_MODELS")
    return [named] if named is not None else [home / ".ollama" / "models", _OLLAMA_SERVICE]


def _lmstudio(environ: _Environment, home: Path) -> list[Path]:
    newer, older = home / ".lmstudio", home / ".cache" / "lm-studio"
    moved = [folder for folder in map(_downloads_folder, (newer, older)) if folder]
    return [*(_named(folder, home) for folder in moved), newer / "models", older / "models"]


def _downloads_folder(program: Path) -> str | None:
    """Return the folder that LM Studio's settings name; None where there are none that can be read."""
    try:
        data = read_regular(program / "settings.json", limits.CACHE_SETTINGS_BYTES_MAX)
        named = msgspec.json.decode(data, type=_Settings).downloads_folder
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return named if named and "\0" not in named else None


_PLACES: dict[str, Callable[[_Environment, Path], list[Path]]] = {
    "hf": _huggingface,
    "llamacpp": _llamacpp,
    "lmstudio": _lmstudio,
    "ollama": _ollama,
}


def which(folder: Path) -> str:
    """Return what a folder that a user named is: "hf", "ollama", or "folder", one of plain files.

    A cache is known by its own folder, and by one that it stands in as its program has it (`~/.cache/huggingface`,
    `~/.ollama`). Of the Hugging Face cache, one repository or snapshot counts too. What cannot be read is "folder".
    """
    if hub_in(folder) is not None:
        return "hf"
    return "folder" if ollama_in(folder) is None else "ollama"


def hub_in(folder: Path) -> Path | None:
    """Return the Hugging Face cache (or repository, or snapshot) that `folder` means; None if it is none."""
    return _first(folder, "hub", lambda place: is_snapshot(place) or is_repository(place) or is_hub(place))


def ollama_in(folder: Path) -> Path | None:
    """Return the folder of Ollama's models that `folder` means; None if it is none."""
    return _first(folder, "models", _is_ollama)


def _is_ollama(folder: Path) -> bool:
    if not any(os.path.isdir(folder / name) for name in MANIFESTS):
        return False
    with os.scandir(folder / "blobs") as entries:
        return any(entry.name.startswith(_OLLAMA_BLOB) for entry in entries)


def _first(folder: Path, below: str, is_one: Callable[[Path], bool]) -> Path | None:
    for place in (folder, folder / below, Path(os.path.realpath(folder))):  # The last: a link to a snapshot.
        try:
            if is_one(place):
                return place
        except OSError:
            continue
    return None
