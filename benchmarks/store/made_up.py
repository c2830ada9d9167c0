"""Publish what is too large to be read: the command as it is, over hollow files, with made-up digests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.processes import Command
from benchmarks.store.ground import Ground


def publish_made_up(ground: Ground, home: Path, folder: Path) -> Command:
    """Return what publishes `folder` as `made-up` and reads no more of it than the files' headers."""
    command = ground.p2phub.command(home, "publish", str(folder), "--name", "made-up")
    python, m, _, *words = command.arguments
    return replace(command, arguments=[python, m, "benchmarks.programs.made_up", *words])
