"""Folders of files, written and read whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write each file at its path below `folder`, which is made, and return that."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def paths_below(folder: Path) -> dict[str, Path]:
    """Return where each file below a folder is, by the path that it has in a repository made of the folder."""
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def bytes_below(folder: Path) -> dict[str, bytes]:
    """Return what each of them holds."""
    return {path: file.read_bytes() for path, file in paths_below(folder).items()}
