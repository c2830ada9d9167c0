"""Local reuse where the file system shares blocks: a copy takes as long whatever its size, and hardly any room.

XFS and btrfs, each made in a file and mounted on a loop device, which takes root. A fetch of a large renamed copy and
one of a small one run in turn.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.payload import GIB, make_payload
from benchmarks.peers import Program
from benchmarks.store.ground import MAKERS, Ground, Measured
from benchmarks.store.reuse import Held, fetch_renamed, forget, hold

LARGE_SHARE, SMALL_SHARE = 2, 32  # Of `--bytes`.
TIMES = SMALL_SHARE // LARGE_SHARE
FILES = 4
KINDS = tuple(MAKERS)


def large(kind: str) -> str:
    return f"s of the large copy, {kind}"


def small(kind: str) -> str:
    return f"s of one of 1/{TIMES} of it, {kind}"


def taken(kind: str) -> str:
    return f"% of its size taken, {kind}"


def measure_reflink(measured: Measured, ground: Ground, work: Path) -> None:
    """Measure on each file system that can be had here."""
    measured.skipped += [f"{kind}: {why}" for kind, why in ground.unable.items()]
    for kind, maker in ground.makers.items():
        if os.geteuid() != 0:
            measured.skipped.append(f"{kind}: to mount it takes root")
            continue
        try:
            with _mounted(kind, maker, work, ground.size * 2 + GIB) as at:
                _measure(measured, ground, kind, at)
        except _NotHere as why:
            measured.skipped.append(f"{kind}: {why}")


def _measure(measured: Measured, ground: Ground, kind: str, at: Path) -> None:
    copies = {large(kind): LARGE_SHARE, small(kind): SMALL_SHARE}
    held: dict[str, Held] = {}
    for label, share in copies.items():
        sizes = (ground.size // share // FILES // 2 * 2,) * FILES
        payload = make_payload(f"reflink-{share}", file_sizes=sizes, cache=at)
        held[label] = hold(ground, at / f"home-{share}", payload.root)
    for number in range(ground.how.rounds):
        for label in copies if number % 2 else reversed(copies):
            into = at / "got"
            before = _free_bytes(at)
            ended = fetch_renamed(ground, held[label], into)
            used = before - _free_bytes(at)
            forget(ground, held[label], into)
            measured.add(label, ended.wall_s)
            if label == large(kind):
                measured.add(taken(kind), 100 * used / sum(file.size for file in held[label].files))
            ground.tell(measured, f"{ended.wall_s:.2f} {label}")


class _NotHere(Exception):
    """This machine cannot mount such a file system."""


@contextmanager
def _mounted(kind: str, maker: Program, work: Path, size: int) -> Iterator[Path]:
    """Make a file system of this kind and mount it. Raises _NotHere."""
    image, at = work / f"{kind}.image", work / kind
    at.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    _call([maker.path, "-q", str(image)], dict(maker.environment))
    _call(["mount", "-o", "loop", str(image), str(at)])
    try:
        yield at
    finally:
        _call(["umount", str(at)])
        image.unlink()


def _call(arguments: list[str], environment: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            arguments, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
        )
    except OSError as exc:
        raise _NotHere(f"{arguments[0]}: {exc}") from exc
    if done.returncode != 0:
        raise _NotHere(f"{' '.join(arguments)}: {done.stderr.strip()}")


def _free_bytes(at: Path) -> int:
    os.sync()
    found = os.statvfs(at)
    return found.f_bavail * found.f_frsize
