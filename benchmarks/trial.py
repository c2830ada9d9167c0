"""One trial: start a contestant's provider, fetch with a new requester, measure, sync, compare, clean up.

Timed: from the start of the requester's (first) process to
- *verified*: every byte checked and written. For a tool that says nothing about it, the end of its (last) process.
- *exit*: the end of its last process.
- *durable*: *exit*, plus an fsync of each file and directory that arrived (of the whole file system, if there are more
  than a thousand). A tool that synced by itself has little left here.
Untimed: reading the source into the page cache before, comparing the fetched tree with the source afterwards.
"""

import ctypes
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import Contestant
from benchmarks.memory import MemoryWatch
from benchmarks.payload import Payload, read_tree
from benchmarks.processes import Command, ContestantFailed, Ended, Running, started

_FSYNCS_MAX = 1000  # ten thousand in turn would take longer than the transfer; whoever has that many syncs them at once


@dataclass(frozen=True, slots=True)
class Trial:
    """What one trial measured: seconds since the requester's start, CPU seconds, peaks of anonymous memory in bytes."""

    verified_s: float
    exit_s: float
    durable_s: float
    provider_cpu_s: float
    requester_cpu_s: float
    provider_peak_bytes: int
    requester_peak_bytes: int


def run_trial(contestant: Contestant, payload: Payload, directory: Path, *, timeout_s: float) -> Trial:
    """Run one trial in `directory`, which is removed afterwards. Raises ContestantFailed."""
    into, scratch = directory / "into", directory / "scratch"
    into.mkdir(parents=True)
    scratch.mkdir()
    if read_tree(payload.root) != payload.files:
        raise ContestantFailed(f"the source {payload.root} is not what its record says; delete its directory")
    os.sync()  # what earlier trials left to write must not be written during this one
    try:
        provider_stderr = directory / "provider.stderr"
        with MemoryWatch() as memory, started(contestant.provider(), stderr=provider_stderr) as provider:
            memory.add(provider.pid)
            address = contestant.address(provider)
            cpu_before_s = provider.cpu_s()
            commands = contestant.requester(address, into, scratch)
            began, ended, peaks = _run_requester(commands, directory, memory, timeout_s=timeout_s)
            provider_cpu_s = provider.cpu_s() - cpu_before_s
        sync_s = sync_tree(contestant.tree(into))
        compare_with_source(contestant.tree(into), payload)
        exit_s = ended[-1].moment - began
        return Trial(
            verified_s=contestant.verified_at(ended) - began,
            exit_s=exit_s,
            durable_s=exit_s + sync_s,
            provider_cpu_s=provider_cpu_s,
            requester_cpu_s=sum(process.cpu_s for process in ended),
            provider_peak_bytes=memory.peak_bytes(provider.pid),
            requester_peak_bytes=max(peaks),
        )
    finally:
        shutil.rmtree(directory)


def _run_requester(
    commands: Sequence[Command], directory: Path, memory: MemoryWatch, *, timeout_s: float
) -> tuple[float, list[Ended], list[int]]:
    """Run one process after the other; return when the first began, how each ended, and each one's peak of memory."""
    running: list[Running] = []
    ended: list[Ended] = []
    for index, command in enumerate(commands):
        with started(command, stderr=directory / f"requester-{index}.stderr") as process:
            memory.add(process.pid)
            running.append(process)
            ended.append(process.wait(timeout_s=timeout_s))
    return running[0].began, ended, [memory.peak_bytes(process.pid) for process in running]


def sync_tree(root: Path) -> float:
    """Force each file and directory under `root` to disk; return how many seconds that took."""
    paths = [path for path in sorted(root.rglob("*")) if not path.is_symlink() and (path.is_file() or path.is_dir())]
    began = time.monotonic()
    if len(paths) > _FSYNCS_MAX:
        _sync_file_system(root)
    else:
        for path in [*paths, root]:
            _with_descriptor(path, os.fsync)
    return time.monotonic() - began


def _sync_file_system(root: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def syncfs(descriptor: int) -> None:
        if libc.syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), f"syncfs {root}")

    _with_descriptor(root, syncfs)


def _with_descriptor(path: Path, act: Callable[[int], None]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        act(descriptor)
    finally:
        os.close(descriptor)


def compare_with_source(tree: Path, payload: Payload) -> None:
    """Raise ContestantFailed if a fetched tree is not the source, byte for byte."""
    fetched, wanted = set(read_tree(tree)), set(payload.files)
    if fetched != wanted:
        wrong = sorted(file.path for file in fetched ^ wanted)
        raise ContestantFailed(f"what was fetched is not the source: {', '.join(dict.fromkeys(wrong))}")
