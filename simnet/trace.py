"""The fingerprint of a run: a SHA-256 over everything that arrived anywhere, and when."""

from __future__ import annotations

import hashlib


class Trace:
    """Fed with each arrival; equal digests mean equal runs. `keep` keeps the lines, to find where two runs part."""

    def __init__(self, *, keep: bool = False) -> None:
        self._hash = hashlib.sha256()
        self.count = 0
        self.lines: list[str] | None = [] if keep else None

    def add(self, at_s: float, source: str, target: str, kind: str, length: int) -> None:
        line = f"{at_s!r} {source} {target} {kind} {length}"
        self._hash.update(line.encode() + b"\n")
        self.count += 1
        if self.lines is not None:
            self.lines.append(line)

    def digest(self) -> str:
        return self._hash.hexdigest()
