"""What the node's processes use, read from /proc: anonymous memory and open descriptors, each and together.

Anonymous is what a process has made its own; mapped files and the page cache, which the kernel takes back when
it needs them, are not in it. Linux only, as the carriers are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec


class Use(msgspec.Struct, frozen=True):
    """`role` is "node" or "bulk"."""

    pid: int
    role: str
    anonymous_bytes: int
    descriptors: int


def uses(bulk: Iterable[int]) -> list[Use]:
    """Return what this process and the `bulk` children use; one that has ended is left out."""
    found = [_use(os.getpid(), "node"), *(_use(pid, "bulk") for pid in bulk)]
    return [use for use in found if use is not None]


def uses_json(found: list[Use]) -> dict[str, Any]:
    """Return it as `status` tells it."""
    return {
        "processes": [
            {"pid": use.pid, "role": use.role, "anonymous_bytes": use.anonymous_bytes, "descriptors": use.descriptors}
            for use in found
        ],
        "anonymous_bytes": sum(use.anonymous_bytes for use in found),
        "descriptors": sum(use.descriptors for use in found),
    }


def _use(pid: int, role: str) -> Use | None:
    process = Path("/proc") / str(pid)
    try:
        status = (process / "status").read_text("ascii", "replace")
        descriptors = len(os.listdir(process / "fd"))
    except OSError:
        return None
    kib = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")), 0)
    return Use(pid, role, kib * 1024, descriptors)
