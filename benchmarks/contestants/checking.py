"""The check that follows a tool which has none of its own, as its user would have to do it: BLAKE3 on all cores."""

import sys
from pathlib import Path

from benchmarks.payload import Payload
from benchmarks.processes import Command


def check_command(payload: Payload, into: Path) -> Command:
    """Return what compares the files below `into` with the payload's record, and fails if one differs."""
    return Command([sys.executable, "-m", "benchmarks.programs.check_files", str(payload.record), str(into)])
