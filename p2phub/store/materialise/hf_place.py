"""What one commit of one repository is called in a Hugging Face cache, and what may be called so.

Source: huggingface_hub 2.4 (`utils/_validators.py`, `file_download.py`).
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from p2phub.errors import Malformed, UsageError
from p2phub.manifest import check_path, is_commit

REPO_TYPES = ("model", "dataset", "space", "kernel")
_REPO_PART = r"(?=[\w.-]{1,96}(?:/|$))\w(?:[\w.-]*\w)?"  # As the client has it.
_REPO = re.compile(rf"(?:{_REPO_PART}/)?{_REPO_PART}", re.ASCII)


class HfPlace(msgspec.Struct, frozen=True):
    """One commit of one repository in one cache. `repo` is "org/name" (or "name"), `commit` 40 hex digits.

    `ref`: the branch or tag that is to lead to it from now on; None: it is found by its commit alone.
    """

    cache: Path
    repo: str
    commit: str
    repo_type: str = "model"
    ref: str | None = "main"

    @property
    def folder(self) -> str:
        """What the repository's folder in the cache is called."""
        return "--".join((f"{self.repo_type}s", *self.repo.split("/")))

    @property
    def snapshot(self) -> Path:
        """Where its files are found."""
        return self.cache / self.folder / "snapshots" / self.commit

    def check(self) -> None:
        """Raise UsageError for what the client would not accept, or that no path may be made of."""
        if self.repo_type not in REPO_TYPES:
            raise UsageError(f"{self.repo_type!r} is no kind of repository", hint="one of " + ", ".join(REPO_TYPES))
        if not _REPO.fullmatch(self.repo) or "--" in self.repo or ".." in self.repo or self.repo.endswith(".git"):
            raise UsageError(f"{self.repo!r} cannot be a repository's name on the hub", hint="name it as ORG/NAME")
        if not is_commit(self.commit):
            raise UsageError(f"{self.commit!r} is no commit: 40 hex digits")
        if self.ref is not None:
            try:
                check_path(self.ref)
            except Malformed as exc:
                raise UsageError(f"{self.ref!r} cannot be a branch or tag: {exc.what}") from exc
