"""A node that runs: its parts, what it announces, the jobs under way, and what every verb asks of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2phub.content import Digest
from p2phub.errors import NotFound
from p2phub.manifest import Manifest, decode_manifest
from p2phub.node.compose import Parts
from p2phub.observe import Explanation
from p2phub.store import Holding

if TYPE_CHECKING:
    from p2phub.engine.announce import Announcer
    from p2phub.engine.fetch import Explain

JsonObject = dict[str, Any]


class Running:
    """`announcer` is None where nothing is announced: in a command's transient node."""

    def __init__(self, parts: Parts, announcer: Announcer | None = None) -> None:
        self.parts = parts
        self.announcer = announcer
        self.began = time.time()
        self._jobs: dict[int, JsonObject] = {}
        self._explains: dict[int, Explain] = {}
        self._job_count = 0

    @property
    def jobs(self) -> list[JsonObject]:
        """What each fetch under way has told last."""
        return list(self._jobs.values())

    @contextmanager
    def job(self, *, reference: str, into: str) -> Iterator[JsonObject]:
        """List a fetch as under way; yields what is told of it, to be kept up to date."""
        number, self._job_count = self._job_count, self._job_count + 1
        self._jobs[number] = {"job": number, "reference": reference, "into": into}
        try:
            yield self._jobs[number]
        finally:
            del self._jobs[number]
            self._explains.pop(number, None)

    def explained_by(self, number: int, explain: Explain) -> None:
        """Note what can say of job `number` why it is as fast as it is."""
        self._explains[number] = explain

    def explanation(self, number: int) -> Explanation:
        """Say why job `number` is as fast as it is. Raises NotFound if there is none of that number."""
        explain = self._explains.get(number)
        if explain is None:
            known = ", ".join(map(str, self._jobs)) or "none"
            raise NotFound(f"no job {number} is under way here (there are: {known})", hint="`p2phub status` lists them")
        return explain()

    def shelf_changed(self, manifest: Digest) -> None:
        """Note that what we hold of `manifest`, or may give away, changed."""
        self.parts.shelf.forget(manifest)
        if self.announcer is not None:
            self.announcer.refresh()

    def holding_of(self, ref: str) -> Holding:
        """Return the newest holding that `ref` means. Blocks. Raises NotFound, UsageError."""
        return self.holdings_of(ref)[0]

    def holdings_of(self, ref: str) -> list[Holding]:
        """Return what `ref` means: all that a folder holds, or all folders that hold what a reference names; at least
        one, the newest first. Blocks. Raises NotFound, UsageError."""
        holdings = self.parts.store.holdings()
        folder = Path(os.path.abspath(ref))
        found = [holding for holding in holdings if holding.folder == folder]
        if not found:
            manifest = self.parts.resolver.local(ref)
            found = [holding for holding in holdings if holding.manifest == manifest]
        if not found:
            raise NotFound(f"{ref} is not held here", hint="`p2phub ls` shows what is")
        return found

    def manifest_of(self, digest: Digest) -> Manifest | None:
        """Return a manifest whose pages are all here, else None."""
        root = self.parts.store.blob(digest)
        return None if root is None else decode_manifest(root, self.parts.store.blob)
