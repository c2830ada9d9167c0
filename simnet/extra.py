"""What simulating takes besides p2phub stands in an extra of the package: where that is missing, one line says so."""

from __future__ import annotations

import sys
from importlib import import_module

PACKAGES = ("greenlet", "matplotlib", "numpy")  # Those of `sim` in pyproject.toml.


def run_command(module: str) -> int:
    """Load `module`, which may need the extra, and return what its `main` returns; 2 if the extra is missing."""
    try:
        return int(import_module(module).main())
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in PACKAGES:
            raise
        print(
            f"this takes {name}, of the extra `sim`: pip install -e '.[sim]' in a checkout of p2phub", file=sys.stderr
        )
        return 2


def need_plots() -> None:
    """Raise ModuleNotFoundError before any work is done, rather than when its outcome is to be drawn."""
    import_module("matplotlib")
