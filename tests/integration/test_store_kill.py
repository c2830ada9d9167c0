"""kill -9 of a process that writes a fetch, at moments that differ; what it had told as verified is there again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from p2phub.content import RangeSet
from tests.support.content import Content, content_of
from tests.support.stores import DiskScene, arrive, deliver_rest

ROUNDS = 4
CHUNK = 64 << 10

WRITER = """
    import os, sys, threading, time
    from pathlib import Path
    from p2phub.content import RangeSet
    from tests.integration.test_store_kill import content
    from tests.support.stores import DiskScene, arrive

    scene, made = DiskScene(Path(sys.argv[1])), content()
    arrival = arrive(scene, made)
    print("have", " ".join(map(str, arrival.have)), flush=True)

    def sync():
        while True:
            arrival.sync()
            time.sleep(0.002)

    threading.Thread(target=sync, daemon=True).start()
    for chunk in made.whole - arrival.have:
        arrival.write(chunk, made.chunk(chunk))
        arrival.verified(RangeSet.of([(chunk, chunk + 1)]))
        print(chunk, flush=True)
    print("all", flush=True)
    time.sleep(60)
"""


def content() -> Content:
    files = {f"part-{number}.bin": random.Random(number).randbytes(60 * CHUNK + number) for number in range(3)}
    return content_of({**files, **{f"small/{number}": b"%d" % number for number in range(50)}}, CHUNK)


@pytest.mark.covers("F01")
def test_after_kill_9_all_that_was_verified_is_had_again_and_the_fetch_ends_bit_exact(tmp_path: Path) -> None:
    made = content()
    told: set[int] = set()
    rng = random.Random(1)
    for _ in range(ROUNDS):
        have, fresh = run_until(tmp_path, rng.randrange(1, 2 * len(made.table) // ROUNDS))
        assert told <= have, "kill -9 loses nothing that was verified: the pages live on in the system"
        told |= fresh
    scene = DiskScene(tmp_path)
    arrival = arrive(scene, made)
    assert told <= set(arrival.have)
    plan = arrival.read_plan()
    for chunk in arrival.have:
        ref = made.table.chunk(chunk)
        file = plan.open(ref.file)
        assert os.pread(file.descriptor, ref.length, ref.offset) == made.chunk(chunk)
        file.close()
    deliver_rest(arrival, made)
    arrival.finish()
    assert scene.files() == made.files
    assert scene.store.holdings()[0].held == RangeSet.whole(len(made.table))
    scene.store.close()


def run_until(at: Path, lines: int) -> tuple[set[int], set[int]]:
    """Let the writer run until it told of so many chunks, and kill it. Returns what it had and what it told of."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), at], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    have = {int(word) for word in process.stdout.readline().split()[1:]}
    told: set[int] = set()
    for _ in range(lines):
        line = process.stdout.readline().strip()
        if not line.isdigit():
            break
        told.add(int(line))
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    told |= {int(line) for line in rest.splitlines() if line.isdigit()}
    return have, told
