"""kill -9 at random moments of any command, and what a home claims after that.

A moment is drawn from a seed: so long after the process has opened its home's index, at most as long as a run that
nobody ended took from there, or half of that for one that goes on. Which instruction that hits is up to the machine;
no assertion depends on it. A job is killed some times in a row, going on from there each time, and then runs to its
end: a chain. Then it begins anew.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from p2phub.content import ReadPlan, digest_of
from p2phub.errors import HubError
from p2phub.manifest import decode_manifest
from p2phub.store.filesystem import FilesystemStore
from tests.support.processes import Process, Scene

END_S = 300.0
"""How long a command may take that nobody ends. Generous: it is there to end a test that hangs."""

OPEN_S = 60.0
LOOK_S = 0.001
STEP_S = 0.005

IN_A_ROW = (1, 4)
"""How many kills in a row a job gets before it may run to its end: from, to."""

CHAINS_PER_KILL = 10
"""How many chains a kill may take: one whose moment is late finds its process gone, which is no kill."""


@dataclass
class Tally:
    """What kills cost one job: `kills` that hit a process that still ran; `lost`: bytes of verified work that had to be
    done again, a number for each kill that had any, by the most unfavourable count; `lost_s`: the seconds that this
    had taken, by the clock, those included in which it was held back; `claimed`: bytes that homes claimed after a kill,
    all read back and right.
    """

    kills: int = 0
    chains: int = 0
    lost: list[int] = field(default_factory=list)
    lost_s: list[float] = field(default_factory=list)
    claimed: int = 0

    def __str__(self) -> str:
        worst, worst_s = max(self.lost, default=0), max(self.lost_s, default=0.0)
        mean = sum(self.lost) / max(1, len(self.lost))
        return (
            f"{self.kills} kills in {self.chains} chains; lost at most {worst / 2**20:.1f} MiB and {worst_s:.2f} s, "
            f"{mean / 2**20:.1f} MiB on average; {self.claimed / 2**20:.0f} MiB claimed after kills and read back right"
        )


class Job(ABC):
    """A command that can be ended at any moment and run again. With `bytes_per_s` an attempt that is to be killed reads
    no more than that, where it would else be over too soon to lose anything."""

    def __init__(self, scene: Scene, *, bytes_per_s: int | None = None) -> None:
        self.scene = scene
        self.bytes_per_s = bytes_per_s
        self.tally = Tally()

    @property
    @abstractmethod
    def home(self) -> Path:
        """The home that the next attempt works in."""

    @abstractmethod
    def begin_anew(self) -> None:
        """Make sure that there is all of the work to do, as it was before the first attempt."""

    @abstractmethod
    def start(self) -> Process: ...

    @abstractmethod
    def killed(self, process: Process, ran_s: float) -> None:
        """Look at what is left of an attempt that was killed `ran_s` after it began. Raises AssertionError."""

    @abstractmethod
    def ended(self, process: Process) -> None:
        """Look at what an attempt came to that nobody ended; its exit code is right. Raises AssertionError."""


def run_through_kills(
    job: Job, kills: int, chance: Random, *, in_a_row: tuple[int, int] = IN_A_ROW, span_s: float | None = None
) -> Tally:
    """Run `job` until it was killed `kills` times, each chain to its end. Returns what that cost. `span_s`: the latest
    moment of a kill; None: how long a run takes that nobody ends."""
    if span_s is None:
        span_s = _uninterrupted_s(job)
    for _ in range(CHAINS_PER_KILL * kills):
        if job.tally.kills >= kills:
            return job.tally
        job.begin_anew()
        for number in range(min(chance.randint(*in_a_row), kills - job.tally.kills)):
            process = _begun(job)
            # One that goes on has less to do: with the same moments it would mostly have ended.
            ran_s = kill_after(process, chance.uniform(0, span_s if number == 0 else span_s / 2))
            if ran_s is None:
                break
            job.tally.kills += 1
            job.killed(process, ran_s)
        _to_the_end(job)
        job.tally.chains += 1
    raise AssertionError(f"only {job.tally.kills} of {kills} kills hit a process that still ran")


def _uninterrupted_s(job: Job) -> float:
    """Run a job that nobody ends; return the seconds from when its home is open."""
    job.begin_anew()
    process = _begun(job)
    began = time.monotonic()
    _finish(process)
    took_s = time.monotonic() - began
    job.ended(process)
    return took_s


def _begun(job: Job) -> Process:
    """Start an attempt, and return once it has its home open."""
    process = job.start()
    until_open(process, job.home)
    if job.bytes_per_s is not None:  # Not before: what it may read adds up while it does not.
        read_slowly(process, job.bytes_per_s)
    return process


def _to_the_end(job: Job) -> None:
    process = job.start()
    _finish(process)
    job.ended(process)


def _finish(process: Process) -> None:
    code = process.finish(timeout_s=END_S)
    if code != 0:
        raise process.failed(f"ended with code {code}")


def kill_after(process: Process, moment_s: float) -> float | None:
    """Kill a process (-9) in `moment_s`. Returns how long that took, None if it had ended by itself."""
    began = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.popen.wait(timeout=moment_s)
    process.kill()
    ran_s = time.monotonic() - began
    return ran_s if process.popen.returncode == -signal.SIGKILL else None


def read_slowly(process: Process, bytes_per_s: int) -> None:
    """From now on let a process read so many bytes a second, as from a slow disk: else it is stopped for a while."""

    def hold_back() -> None:
        read, began = _bytes_read(process), time.monotonic()
        while process.popen.poll() is None:
            ahead = _bytes_read(process) - read > bytes_per_s * (time.monotonic() - began)
            process.popen.send_signal(signal.SIGSTOP if ahead else signal.SIGCONT)
            time.sleep(STEP_S)

    threading.Thread(target=hold_back, name=f"slow disk of {process.title}", daemon=True).start()


def _bytes_read(process: Process) -> int:
    with contextlib.suppress(OSError):
        found = re.search(r"rchar: (\d+)", Path(f"/proc/{process.pid}/io").read_text())
        return int(found[1]) if found is not None else 0
    return 0


def until_open(process: Process, home: Path) -> None:
    """Return once a process has the index of `home` open, or has ended."""
    index = os.fspath(home / "index.sqlite")
    deadline = time.monotonic() + OPEN_S
    while not any(file.startswith(index) for file in _open_files(process)):
        if process.popen.poll() is not None:
            return
        if time.monotonic() > deadline:
            raise process.failed(f"did not open {index}")
        time.sleep(LOOK_S)


def _open_files(process: Process) -> Iterator[str]:
    with contextlib.suppress(OSError):  # It ends, or closes one, while we look.
        for descriptor in os.listdir(f"/proc/{process.pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{process.pid}/fd/{descriptor}")


def read_claims(home: Path, *, whole: bool = True) -> int:
    """Read back, as a node would to serve it, every chunk that the store of `home` claims. Returns how many bytes.

    Raises AssertionError for a wrong byte; and, if `whole`, for one that is claimed and cannot be read. Without `whole`
    a file that is not as it was recorded may be refused: it was damaged behind the store's back.
    """
    store = FilesystemStore(home)
    try:
        plans = [store.read_plan(manifest) for manifest in {holding.manifest for holding in store.holdings()}]
        return sum(_read_chunk(plan, chunk, whole=whole) for plan in plans if plan is not None for chunk in plan.held)
    finally:
        store.close()


def _read_chunk(plan: ReadPlan, chunk: int, *, whole: bool) -> int:
    """Return how many bytes of a claimed chunk can be read and are right; 0 if its file is refused. See above."""
    ref, what = plan.table.chunk(chunk), f"chunk {chunk} of {plan.manifest}, which is claimed,"
    try:
        file = plan.open(ref.file)
    except HubError as error:
        if whole:
            raise AssertionError(f"{what} cannot be read: {error}") from error
        return 0
    try:
        data = os.pread(file.descriptor, ref.length, ref.offset)
        if not file.unchanged():
            assert not whole, f"{what} is in a file that changed"
            return 0
        assert digest_of(data).raw == ref.digest, f"{what} is wrong"
        return ref.length
    finally:
        file.close()


def signed_digests(home: Path) -> dict[str, str]:
    """Return what the one manifest that `home` holds says of its files: path to SHA-256, as `tree_digest` has it."""
    store = FilesystemStore(home)
    try:
        (holding,) = store.holdings()
        assert holding.complete
        root = store.blob(holding.manifest)
        assert root is not None
        return {entry.path: entry.sha256.hex() for entry in decode_manifest(root, store.blob).files}
    finally:
        store.close()
