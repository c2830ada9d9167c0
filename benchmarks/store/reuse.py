"""Fetching a renamed copy of a held model, with nobody to ask, against `cp` of the same files on the same disk, in
turn.

Held against each other twice: until all is copied, and until it is on the disk (`cp` with an fsync of each file and
folder behind it; a fetch has synced when it ends). Where the file system shares blocks (`reflink`), a larger copy must
not take longer than a smaller one.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants.p2phub import the_event, verified_moment
from benchmarks.payload import PayloadFile, read_tree
from benchmarks.plan import four_files
from benchmarks.processes import Command, ContestantFailed, Ended
from benchmarks.store.ground import Ground, Measured, settle
from benchmarks.trial import sync_tree

COPIED, SYNCED = "s until copied", "s until on the disk"
CP_COPIED, CP_SYNCED = "s of cp until copied", "s of cp until on the disk"
# An address where nothing listens, of a peer that nobody is.
NOBODY = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"


@dataclass(frozen=True, slots=True)
class Held:
    """A folder that a home holds, and the ticket of the same files below another folder."""

    home: Path
    folder: Path
    files: tuple[PayloadFile, ...]
    renamed: str


def measure_reuse(measured: Measured, ground: Ground, work: Path) -> None:
    """Fetch and copy the payload in turn."""
    held = hold(ground, work / "home", four_files(ground.size, ground.cache).root)
    for number in range(ground.how.rounds):
        turns: list[Callable[[], None]] = [
            lambda: _copy_with_cp(measured, ground, held, work / "copy"),
            lambda: _fetch(measured, ground, held, work / "got"),
        ]
        for turn in turns if number % 2 else reversed(turns):
            _ready(held)
            turn()


def hold(ground: Ground, home: Path, folder: Path) -> Held:
    """Publish a folder, and describe a renamed copy to the home that holds it."""
    settle()  # A young file is hashed again, and not cloned.
    manifest = ground.publish(home, folder, "held")["manifest"]
    said = ground.run(
        Command([sys.executable, "-m", "benchmarks.programs.rename_held", str(home), manifest]), home
    ).said
    return Held(home, folder, read_tree(folder), said[-1].line)


def fetch_renamed(ground: Ground, held: Held, into: Path) -> Ended:
    """Fetch the renamed copy from this disk alone, and see that it is one. Raises ContestantFailed."""
    words = ["fetch", held.renamed, "--provider", NOBODY, "--into", str(into), "--no-lan", "--no-serve", "--wait", "0"]
    ended = ground.p2p(held.home, *words)
    done = the_event(ended.said, "done")
    size = sum(file.size for file in held.files)
    if (done["bytes_received"], done["bytes_reused"]) != (0, size):
        raise ContestantFailed(f"of {size} bytes {done['bytes_reused']} came from this disk")
    return ended


def forget(ground: Ground, held: Held, into: Path) -> None:
    """Compare a renamed copy with its source; remove it, and what the home knows of it."""
    try:
        if read_tree(into / "renamed") != held.files:
            raise ContestantFailed("the renamed copy is not its source")
    finally:
        shutil.rmtree(into, ignore_errors=True)
        ground.p2p(held.home, "rm", str(into))


def _ready(held: Held) -> None:
    if read_tree(held.folder) != held.files:
        raise ContestantFailed(f"{held.folder} has changed")
    os.sync()  # What earlier trials left to write must not be written during this one.


def _copy_with_cp(measured: Measured, ground: Ground, held: Held, into: Path) -> None:
    command = Command(["cp", "-r", "--reflink=never", "--sparse=never", str(held.folder), str(into)])
    try:
        copied_s = ground.run(command, held.home).wall_s
        synced_s = copied_s + sync_tree(into)
    finally:
        shutil.rmtree(into, ignore_errors=True)
    measured.add(CP_COPIED, copied_s)
    measured.add(CP_SYNCED, synced_s)
    ground.tell(measured, f"cp {copied_s:.2f} s, synced {synced_s:.2f} s")


def _fetch(measured: Measured, ground: Ground, held: Held, into: Path) -> None:
    ended = fetch_renamed(ground, held, into)
    forget(ground, held, into)
    copied_s = verified_moment(ended) - (ended.moment - ended.wall_s)
    measured.add(COPIED, copied_s)
    measured.add(SYNCED, ended.wall_s)
    ground.tell(measured, f"p2phub {copied_s:.2f} s, synced {ended.wall_s:.2f} s")
