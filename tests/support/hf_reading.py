"""How a Hugging Face client reads its cache offline: the rules of huggingface_hub 2.4, without the client.

`snapshot` is `snapshot_download(local_files_only=True)`, `scan` is `scan_cache_dir`: what those refuse, these refuse.
Source: `_snapshot_download.py`, `_tree_cache.py`, `utils/_cache_manager.py` of huggingface_hub 2.4.0.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

REPO_FOLDER = re.compile(r"(models|datasets|spaces|kernels)--.+")


class NotCached(Exception):
    """The client says that nothing, or not everything, is there."""


class Corrupted(Exception):
    """The client warns that the cache is broken."""


def snapshot(repo_folder: Path, revision: str = "main") -> dict[str, bytes]:
    """Return the files of a revision as a program gets them. Raises NotCached."""
    ref = repo_folder / "refs" / revision
    commit = ref.read_text() if ref.exists() else revision
    folder = repo_folder / "snapshots" / commit
    if not re.fullmatch("[0-9a-f]{40}", commit) or not folder.exists():
        raise NotCached(revision)
    listing = tree(repo_folder, commit)
    if listing is not None and (missing := [path for path in listing if not (folder / path).is_file()]):
        raise NotCached(f"incomplete: {missing}")
    return {
        Path(at, name).relative_to(folder).as_posix(): Path(at, name).read_bytes()
        for at, _, names in os.walk(folder)
        for name in names
    }


def tree(repo_folder: Path, commit: str) -> dict[str, dict[str, Any]] | None:
    """Return the listing of a commit; None if the client would not read it."""
    try:
        data = json.loads((repo_folder / "trees" / f"{commit}.json").read_text())
        if data["format_version"] != 1:
            return None
        return {
            path: {"size": entry["size"], "blob_id": entry["blob_id"], **entry} for path, entry in data["files"].items()
        }
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def scan(cache: Path) -> dict[str, dict[str, set[str]]]:
    """Return for each repository folder the refs of each commit. Raises Corrupted."""
    found: dict[str, dict[str, set[str]]] = {}
    for repo in cache.iterdir():
        if repo.name in (".locks", "CACHEDIR.TAG", "blobs"):
            continue
        if not repo.is_dir() or not REPO_FOLDER.fullmatch(repo.name):
            raise Corrupted(f"no repository: {repo}")
        if not (repo / "snapshots").is_dir():
            raise Corrupted(f"no snapshots: {repo}")
        refs: dict[str, set[str]] = {}
        for ref in (repo / "refs").glob("**/*"):
            if not ref.is_dir():
                refs.setdefault(ref.read_text(), set()).add(ref.relative_to(repo / "refs").as_posix())
        commits: dict[str, set[str]] = {}
        for revision in (repo / "snapshots").iterdir():
            if revision.is_file():
                raise Corrupted(f"a file: {revision}")
            for path in revision.glob("**/*"):
                if not path.is_dir() and not path.exists():
                    raise Corrupted(f"leads nowhere: {path}")
            commits[revision.name] = refs.pop(revision.name, set())
        if refs:
            raise Corrupted(f"refs to no commit: {refs}")
        found[repo.name] = commits
    return found
