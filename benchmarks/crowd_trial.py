"""One trial in a crowd: start capped providers, then all requesters at once, measure, compare every tree, clean up.

Timed: from the start of the first requester's process until each one is *verified* and *done* (see the contestant's
description). What the providers sent is counted by the kernel (`sockets`). Untimed: as in `trial`.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants.crowd import CrowdContestant, Finished, Member, Scene
from benchmarks.memory import MemoryWatch
from benchmarks.payload import Payload, read_tree
from benchmarks.processes import Command, ContestantFailed, Running, started
from benchmarks.sockets import SendWatch
from benchmarks.trial import compare_with_source


@dataclass(frozen=True, slots=True)
class CrowdTrial:
    """What one trial measured: seconds since the first requester's start, CPU seconds, bytes, peaks of memory."""

    verified_s: tuple[float, ...]
    done_s: tuple[float, ...]
    sent_bytes: tuple[int, ...] | None  # of each provider; None: the kernel does not tell
    providers_cpu_s: float
    requesters_cpu_s: float
    provider_peak_bytes: int
    requester_peak_bytes: int

    @property
    def last_verified_s(self) -> float:
        """When the last requester had every byte checked."""
        return max(self.verified_s)

    @property
    def last_done_s(self) -> float:
        """When the last requester was done."""
        return max(self.done_s)


def run_crowd_trial(
    contestant: CrowdContestant, payload: Payload, scene: Scene, directory: Path, *, timeout_s: float
) -> CrowdTrial:
    """Run one trial in `directory`, which is removed afterwards. Raises ContestantFailed."""
    members = [Member(directory / f"into-{number}", directory / f"own-{number}") for number in range(scene.requesters)]
    for member in members:
        member.into.mkdir(parents=True)
        member.scratch.mkdir()
    if read_tree(payload.root) != payload.files:
        raise ContestantFailed(f"the source {payload.root} is not what its record says; delete its directory")
    os.sync()  # what earlier trials left to write must not be written during this one
    try:
        trial = _measure(contestant, scene, directory, members, timeout_s=timeout_s)
        for member in members:
            compare_with_source(contestant.tree(member.into), payload)
        return trial
    finally:
        shutil.rmtree(directory)


def _measure(
    contestant: CrowdContestant, scene: Scene, directory: Path, members: list[Member], *, timeout_s: float
) -> CrowdTrial:
    # The threads that wait come first, so that a failure ends the processes they wait for before it waits for them.
    with ThreadPoolExecutor(len(members)) as threads, MemoryWatch() as memory, ExitStack() as processes:

        def start(command: Command, name: str) -> Running:
            running = processes.enter_context(started(command, stderr=directory / f"{name}.stderr"))
            memory.add(running.pid)
            return running

        providers = [start(contestant.provider(n), f"provider-{n}") for n in range(scene.providers)]
        addresses = [contestant.address(provider) for provider in providers]
        before_s = sum(provider.cpu_s() for provider in providers)
        commands = contestant.requesters(addresses, members)
        with SendWatch([provider.pid for provider in providers]) as sending:
            requesters = [start(command, f"requester-{n}") for n, command in enumerate(commands)]

            def finish(requester: Running) -> Finished:
                return contestant.finish(requester, timeout_s=timeout_s)

            finished = list(threads.map(finish, requesters))
            sent_bytes = sending.sent_bytes()
        began = requesters[0].began
        return CrowdTrial(
            verified_s=tuple(sorted(one.verified - began for one in finished)),
            done_s=tuple(sorted(one.done - began for one in finished)),
            sent_bytes=sent_bytes,
            providers_cpu_s=sum(provider.cpu_s() for provider in providers) - before_s,
            requesters_cpu_s=sum(one.cpu_s for one in finished),
            provider_peak_bytes=max(memory.peak_bytes(provider.pid) for provider in providers),
            requester_peak_bytes=max(memory.peak_bytes(requester.pid) for requester in requesters),
        )
