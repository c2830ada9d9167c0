"""What of a repository of the Hugging Face hub is in the manifest that whoever adopts it at a commit gets.

Two people who have one commit, in whatever cache or folder, must come to one manifest, or they cannot share. So nothing
of a machine decides: all that the hub lists, minus one list that is the same for everybody, for as long as this version
of manifests lasts. Source: proto/manifest.md §8. What a user leaves out of an own publication: engine/selection.
"""

from __future__ import annotations

from collections.abc import Iterable

from p2phub.manifest.paths import check_paths

ADOPT_IGNORED = (
    ".git",
    ".hg/",
    ".svn/",
    ".p2phub/",
    ".p2phubignore",
    ".cache/",
    "__pycache__/",
    ".ipynb_checkpoints/",
    ".DS_Store",
    "._*",
    "Thumbs.db",
    "desktop.ini",
    "*.partial",
    "*.incomplete",
    "*.crdownload",
    "*.tmp",
    "*.swp",
    "*~",
)
"""Patterns of gitignore(5). Never changed: another list would give old repositories other manifests.

What programs put beside a repository's files (version control, downloads that are not finished, `hf download`, editors,
desktops), and nothing that a repository is made of: `.gitattributes` and README.md are of it. `.git` is no folder in a
work tree of a submodule, so it is left out as a file too.
"""

_FOLDERS = frozenset(each[:-1] for each in ADOPT_IGNORED if each.endswith("/"))
_NAMES = frozenset(each for each in ADOPT_IGNORED if "*" not in each and not each.endswith("/"))
_BEGINNINGS = tuple(each[:-1] for each in ADOPT_IGNORED if each.endswith("*"))
_ENDINGS = tuple(each[1:] for each in ADOPT_IGNORED if each.startswith("*"))


def ignored(path: str, is_folder: bool = False) -> bool:
    """Whether `path` (relative, `/` between its parts) is left out: by its own name, or by a folder that it is in."""
    folder, _, name = path.rpartition("/")
    if _by_name(name) or (is_folder and name in _FOLDERS):
        return True
    return folder != "" and any(part in _FOLDERS or _by_name(part) for part in folder.split("/"))


def _by_name(part: str) -> bool:
    return part in _NAMES or part.endswith(_ENDINGS) or part.startswith(_BEGINNINGS)


def adopted_paths(listing: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of the manifest of a repository that lists `listing`, in the manifest's order.

    Raises Malformed, by a rule of `check_paths`, if they cannot be those of a manifest: then the repository has none,
    rather than one without them.
    """
    paths = [path for path in listing if not ignored(path)]
    check_paths(paths)
    return tuple(sorted(paths, key=str.encode))
