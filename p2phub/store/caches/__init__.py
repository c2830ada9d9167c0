"""Readers of other programs' model caches, to adopt what they hold: they walk, read listings, and change nothing.

What a name or listing says of a file is a `Claim`; the file is hashed before anybody is served from it. Which files a
complete repository's manifest has: proto/manifest.md §8. What is found and how it is judged: docs/design/store.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from p2phub.errors import DiskError
from p2phub.store.caches.found import CachedFile, CachedModel, CacheScan, Claim, Report, Stopped
from p2phub.store.caches.huggingface import scan_huggingface
from p2phub.store.caches.llamacpp import scan_llamacpp
from p2phub.store.caches.locations import default_places, hub_in, makes_symlinks, ollama_in, which
from p2phub.store.caches.ollama import scan_ollama
from p2phub.store.caches.plain import scan_lmstudio, scan_plain

__all__ = [
    "CACHES",
    "CacheScan",
    "CachedFile",
    "CachedModel",
    "Claim",
    "default_places",
    "makes_symlinks",
    "scan_cache",
    "which",
]

CACHES: tuple[str, ...] = ("hf", "llamacpp", "lmstudio", "ollama")


def scan_cache(cache: str, root: Path, *, stopped: Callable[[], bool] = lambda: False) -> CacheScan:
    """Return the models of `cache` (one of CACHES, or "folder") at `root`, by name, and what could not be read.

    Raises nothing but bugs: one bad model never ends the scan, and a root that cannot be read is a problem. It looks at
    `stopped` for each entry of a folder; once that is true it returns at once, with what it has.
    """
    root = Path(os.path.abspath(root))
    report = Report(stopped)
    try:
        match cache:
            case "hf":
                scan_huggingface(hub_in(root) or root, report)
            case "llamacpp":
                scan_llamacpp(root, report)
            case "lmstudio":
                scan_lmstudio(root, report)
            case "ollama":
                scan_ollama(ollama_in(root) or root, report)
            case "folder":
                scan_plain(root, report)
            case _:
                raise ValueError(f"no cache is called {cache!r}")
    except Stopped:
        pass
    except (OSError, DiskError) as exc:
        report.problem(root, exc)
    models = sorted(report.models, key=lambda model: (model.name, model.revision or ""))
    return CacheScan(tuple(models), tuple(report.problems))
