"""Read p2phub's own source, for the tests that keep the house as `docs/architecture.md` draws it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""

PACKAGE = "p2phub"

PURE_ROOMS = ("content", "formats", "identity", "manifest", "observe", "wire", "transfer", "discovery", "catalog")
"""Rooms of decisions: no tasks, sockets, files, clock or chance."""


def modules() -> dict[str, Path]:
    """Return every module of p2phub by its dotted name. A package stands for its `__init__`."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """Return the room of a module: `p2phub.net.direct` is in `net`. The root package itself is in no room: ""."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Return the parsed source of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of each thing that a file imports, wherever in the file that stands.

    `from a.b import c` gives `a.b.c`: whether `c` is a module or a name in one is for the caller to tell.
    """
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def module_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, module) of each module of p2phub that a file imports, names in it cut off."""
    known = modules()
    for line, name in imports_of(path):
        if name == PACKAGE or name.startswith(PACKAGE + "."):
            while name not in known:
                name = name.rpartition(".")[0]
            yield line, name


def place(path: Path, line: int) -> str:
    """Return `file:line` as people and editors read it."""
    return f"{path.relative_to(ROOT)}:{line}"
