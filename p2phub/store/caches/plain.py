"""Read folders of plain files: one that a user names, and LM Studio's, where nothing says what the bytes are.

A folder is walked as one that is to be published (store/scanning), links and all; but what is left out is what no
adopted repository has, and nothing else, so that a clone of a repository, or a folder that `hf download` filled, is the
manifest of that repository (proto/manifest.md §8). LM Studio keeps PUBLISHER/MODEL/FILE.gguf, or the files of an MLX
model there; each of its weight files stands alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from p2phub import limits
from p2phub.errors import DiskError, HubError, Malformed
from p2phub.manifest import check_path, check_paths, ignored
from p2phub.observe import legible
from p2phub.store.caches.found import JUNK, CachedFile, CachedModel, Report, in_order, reason
from p2phub.store.caches.links import entries_of, open_folder
from p2phub.store.scanning import scan_folder

WEIGHTS = (".gguf", ".safetensors")


def scan_plain(root: Path, report: Report) -> None:
    """Report the folder `root` as one model. Raises OSError, DiskError, Stopped."""
    files, left_out, all_read = _files_of(root, report, lambda path: None)
    whole = bool(files) and all_read
    try:
        check_paths(file.path for file in files)
    except Malformed as exc:
        report.problem(root, f"its files cannot stand in one manifest: {exc.what}")
        whole = False
    report.models.append(_model("folder", legible(os.fspath(root)), root, files, left_out, complete=whole))


def scan_lmstudio(root: Path, report: Report) -> None:
    """Report each PUBLISHER/MODEL below `root`. Raises OSError if `root` cannot be read, Stopped."""
    for publisher in _folders_in(root, report):
        try:
            models = _folders_in(root / publisher, report)
        except OSError as exc:
            report.problem(root / publisher, exc)
            continue
        for model in models:
            report.go_on()
            folder = root / publisher / model
            try:
                check_path(f"{publisher}/{model}")
                files, left_out, _ = _files_of(folder, report, _not_weights)
            except (OSError, HubError) as exc:
                report.problem(folder, exc)
            else:
                if files:
                    name = f"{publisher}/{model}"
                    report.models.append(_model("lmstudio", name, folder, files, left_out, complete=False))


def _not_weights(path: str) -> str | None:
    return None if path.lower().endswith(WEIGHTS) else "not a weight file: none stands alone but those"


def _folders_in(folder: Path, report: Report) -> list[str]:
    found: list[str] = []
    with open_folder(folder, flags=os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) as fd:
        for entry in entries_of(fd):
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name)
            elif entry.is_symlink():
                report.problem(folder / entry.name, "a link, which is not followed: name the folder that it leads to")
    return found


def _files_of(
    folder: Path, report: Report, unwanted: Callable[[str], str | None]
) -> tuple[list[CachedFile], list[tuple[str, str]], bool]:
    """Return the files of `folder`, what is left out and why, and whether all of it could be looked at: what may not be
    read might be a part of the model. Raises OSError, DiskError, Stopped."""
    count = 0
    unreadable: list[tuple[str, str]] = []

    def leave_out(path: str, is_folder: bool) -> str | None:
        nonlocal count
        report.go_on()
        count += 1
        if count > limits.FILES_MAX:
            raise DiskError(f"more than {limits.FILES_MAX} files")
        if ignored(path, is_folder):
            return JUNK
        return None if is_folder else unwanted(path)

    scan = scan_folder(folder, leave_out, lambda path, error: unreadable.append((path, reason(error))))
    left_out = [*scan.left_out, *unreadable]
    left_out += [(path, "a link that leaves the folder, leads nowhere or in circles") for path in scan.outside]
    real = os.path.realpath(folder)
    files: list[CachedFile] = []
    for found in scan.files:
        try:
            check_path(found.path)
        except Malformed as exc:
            left_out.append((found.path, exc.what))
            continue
        place = Path(real, found.path if found.target is None else found.target)
        files.append(CachedFile(found.path, place, found.fingerprint, None))
    return files, left_out, not unreadable


def _model(
    cache: str, name: str, folder: Path, files: list[CachedFile], left_out: list[tuple[str, str]], *, complete: bool
) -> CachedModel:
    return CachedModel(
        cache=cache,
        name=name,
        revision=None,
        folder=folder,
        files=in_order(files),
        missing=(),
        complete=complete,
        left_out=tuple(left_out),
    )
