"""Carriers never wait for the disk: a sync that hangs holds up neither what is noted nor what is opened."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from p2phub.content import RangeSet
from p2phub.errors import DiskError
from p2phub.store.disk import Disk
from tests.support.content import content_of, random_files
from tests.support.stores import DiskScene, arrive, deliver

CONTENT = content_of({**random_files(9, a=50_000, b=50_000, c=3), "d/e": b"e" * 4_000}, 1_000)
PATIENCE_S = 20.0


class HangingDisk(Disk):
    """The first sync of file data hangs until it is let go."""

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self.let_go = threading.Event()

    def fdatasync(self, fd: int) -> None:
        self.hangs.set()
        assert self.let_go.wait(PATIENCE_S)


def test_while_a_sync_hangs_chunks_are_noted_and_files_opened(tmp_path: Path) -> None:
    disk = HangingDisk()
    disk.let_go.set()  # For the home's own files.
    scene = DiskScene(tmp_path, disk)
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(10))
    disk.hangs.clear()
    disk.let_go.clear()
    syncing = threading.Thread(target=arrival.sync)
    syncing.start()
    assert disk.hangs.wait(PATIENCE_S)
    deliver(arrival, CONTENT, range(10, 60))
    assert arrival.have == RangeSet.of([(0, 60)])
    assert syncing.is_alive()
    disk.let_go.set()
    syncing.join(PATIENCE_S)
    deliver(arrival, CONTENT, range(60, len(CONTENT.table)))
    arrival.finish()
    assert scene.files() == CONTENT.files
    scene.store.close()


def test_many_carriers_and_a_syncing_thread_write_one_fetch(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    arrival = arrive(scene, CONTENT)
    done = threading.Event()

    def sync() -> None:
        while not done.is_set():
            arrival.sync()

    syncing = threading.Thread(target=sync)
    syncing.start()
    try:
        with ThreadPoolExecutor(4) as carriers:
            parts = [range(first, len(CONTENT.table), 4) for first in range(4)]
            for finished in [carriers.submit(deliver, arrival, CONTENT, part) for part in parts]:
                finished.result()
    finally:
        done.set()
        syncing.join()
    arrival.finish()
    assert scene.files() == CONTENT.files
    scene.store.close()


def test_closing_while_carriers_open_files_touches_no_other_descriptor(tmp_path: Path) -> None:
    """A descriptor number that was closed is soon another file's: nothing may be opened below it."""
    scene = DiskScene(tmp_path)
    for _ in range(20):
        arrival = arrive(scene, CONTENT)
        began = threading.Event()

        def carry(began: threading.Event = began, arrival=arrival) -> str:  # type: ignore[no-untyped-def]
            try:
                while True:
                    os.close(arrival.plan.open(0))
                    began.set()
            except DiskError:
                return "told so"

        with ThreadPoolExecutor(2) as carriers:
            ends = [carriers.submit(carry) for _ in range(2)]
            assert began.wait(PATIENCE_S)
            arrival.close()
            assert {end.result() for end in ends} == {"told so"}
        assert not (scene.folder / "0").exists()
    scene.store.close()
