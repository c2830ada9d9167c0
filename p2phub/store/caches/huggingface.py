"""Read the cache of the Hugging Face tools (and of llama.cpp, which uses the same), as huggingface_hub 2.x lays it out.

    hub/models--ORG--NAME/              datasets--, spaces--, kernels--; a name's first `--` stands for its `/`
      blobs/ETAG                        the bytes; ETAG is SHA-256 (64 digits) or git's SHA-1 (40): a claim, no more.
                                        Perhaps a link to hub/blobs/XX/XETHASH, whose name is neither
      snapshots/COMMIT/PATH             a link to ../../blobs/ETAG; a file itself where there are no links
      trees/COMMIT.json                 the whole listing; only with it, and all that it names, a snapshot is complete
      .no_exist/, refs/, .locks/, blobs/*.incomplete     of no concern here

Nothing is read but listings. Links may lead into their own repository and to the blobs that repositories share, and
nowhere else: a cache may have come in an archive, and name a file that its maker should not get. Folders that are links
are not entered.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from p2phub.errors import Damaged
from p2phub.manifest import ignored, is_commit
from p2phub.store.caches.found import Report
from p2phub.store.caches.links import Links, entries_of, open_folder
from p2phub.store.caches.listing import Listed, read_listing
from p2phub.store.caches.snapshot import Snapshot, TooMany
from p2phub.store.disk import FOLDER_FLAGS

_REPOSITORY = re.compile(r"(models|datasets|spaces|kernels)--([0-9A-Za-z_.-]{1,200})")
_NAME = re.compile(r"(?:[0-9A-Za-z_.-]+/)?[0-9A-Za-z_.-]+")
_KIND = re.compile(r"(?:models|datasets|spaces|kernels)--")
_SHARED_MARKER = ".huggingface-shared-blobs"


def repository_name(folder_name: str) -> str | None:
    """Return the name of the repository that a folder of the cache is for; None if it is none."""
    match = _REPOSITORY.fullmatch(folder_name)
    if match is None:
        return None
    kind, rest = match.groups()
    name = rest.replace("--", "/", 1)
    if _NAME.fullmatch(name) is None or {".", ".."} & set(name.split("/")):
        return None
    return name if kind == "models" else f"{kind}/{name}"


def is_repository(folder: Path) -> bool:
    """Whether `folder` is that of one repository in a cache."""
    return repository_name(folder.name) is not None and any(
        os.path.isdir(folder / part) for part in ("snapshots", "blobs", "refs")
    )


def is_snapshot(folder: Path) -> bool:
    """Whether `folder` is one snapshot: what `hf download` prints."""
    above = folder.parent
    return is_commit(folder.name) and above.name == "snapshots" and is_repository(above.parent)


def is_hub(folder: Path) -> bool:
    """Whether `folder` has folders of repositories. Raises OSError."""
    with os.scandir(folder) as entries:
        return any(is_repository(Path(entry.path)) for entry in entries if repository_name(entry.name) is not None)


def scan_huggingface(root: Path, report: Report) -> None:
    """Report the snapshots of a cache, of one of its repositories, or just one of them: what `root` is.

    Raises OSError if `root` cannot be read, Stopped.
    """
    if is_snapshot(root):
        _alone(root.parent.parent, report, only=root.name)
    elif is_repository(root):
        _alone(root, report)
    else:
        with os.scandir(root) as entries:
            found = sorted(entry.name for entry in entries if _KIND.match(entry.name))
        real = os.path.realpath(root)
        for name in found:
            _repository(root / name, Links(f"{real}/{name}", f"{real}/blobs"), report)


def _alone(folder: Path, report: Report, *, only: str | None = None) -> None:
    """Report a repository that the user named: perhaps by a link, and perhaps beside files that are of no cache."""
    real = os.path.realpath(folder)
    shared = os.path.join(os.path.dirname(real), "blobs")
    within = (real, shared) if os.path.lexists(os.path.join(shared, _SHARED_MARKER)) else (real,)
    _repository(folder, Links(*within), report, only=only, flags=FOLDER_FLAGS & ~os.O_NOFOLLOW)


def _repository(
    folder: Path, links: Links, report: Report, *, only: str | None = None, flags: int = FOLDER_FLAGS
) -> None:
    name = repository_name(folder.name)
    if name is None:
        report.problem(folder, "not the name of a repository")
        return
    real = os.path.realpath(folder)
    try:
        with (
            open_folder(folder, flags=flags) as repository_fd,
            open_folder("snapshots", dir_fd=repository_fd) as snapshots_fd,
        ):
            commits = [only] if only is not None else [entry.name for entry in entries_of(snapshots_fd)]
            for commit in commits:
                report.go_on()
                at = folder / "snapshots" / commit
                if not is_commit(commit):
                    if not ignored(commit):
                        report.problem(at, "not a commit")
                    continue
                listing = _listing(folder, repository_fd, commit, report)
                snapshot = Snapshot(at, real, links, listing, report)
                try:
                    with open_folder(commit, dir_fd=snapshots_fd) as snapshot_fd:
                        snapshot.walk(snapshot_fd, "")
                except (OSError, TooMany) as exc:
                    report.problem(at, exc)
                else:
                    report.models.append(snapshot.model(name))
    except FileNotFoundError:
        return  # Nothing was downloaded of it, or it was removed just now.
    except OSError as exc:
        report.problem(folder, exc)


def _listing(folder: Path, repository_fd: int, commit: str, report: Report) -> dict[str, Listed] | None:
    try:
        with open_folder("trees", dir_fd=repository_fd) as trees_fd:
            return read_listing(f"{commit}.json", dir_fd=trees_fd)
    except FileNotFoundError:
        return None  # An older client's cache, or one whose listing was never asked for.
    except (OSError, Damaged) as exc:
        report.problem(folder / "trees" / f"{commit}.json", exc)
        return None
