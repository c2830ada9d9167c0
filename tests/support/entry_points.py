"""p2phub's entry points as an installed package has them, for programs that run this source tree.

A folder with a `.dist-info` made of pyproject.toml: whatever is on a program's path is found there, as after `pip
install`, and not what is installed in the environment of the tests.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.support.house import ROOT


def entry_points_in(folder: Path) -> Path:
    """Write them; return the folder that has to be on the path."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name']}_entry_points-{project['version']}.dist-info"
    info.mkdir(parents=True)
    name = f"{project['name']}-entry-points"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {project['version']}\n")
    groups = (
        f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in points.items())
        for group, points in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n")
    return folder
