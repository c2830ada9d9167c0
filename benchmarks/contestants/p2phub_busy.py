"""p2phub from a node that has a lot to compute: what a gateway or a large index beside costs those who fetch."""

import sys

from benchmarks.contestants.p2phub import P2phub
from benchmarks.processes import Command


class BusyP2phub(P2phub):
    """As `P2phub`, but the provider is `programs.busy_p2phub node`."""

    name = "p2phub-busy"
    description = "as p2phub, from a node whose trio loop is kept busy (this takes a core from everybody)"

    def provider(self) -> Command:
        plain = super().provider()
        after = list(plain.arguments).index("p2phub") + 1
        return Command(
            [sys.executable, "-m", "benchmarks.programs.busy_p2phub", *plain.arguments[after:]], plain.environment
        )
