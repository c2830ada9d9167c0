"""A dataset of a million small files is published, listed and fetched, and no process holds much more than its list.

Twenty minutes and more, 5 GB of disk and 3 million inodes below the temporary folder. `SMALL_FILES` in the environment
sets another number of files.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.chaos import anonymous_bytes
from tests.support.processes import Process, Scene

pytestmark = pytest.mark.endurance

FILES = int(os.environ.get("SMALL_FILES", "1000000"))
FILES_PER_FOLDER = 4_000
FILE_BYTES = 100
MANIFEST_BYTES_PER_FILE = 600
"""What the list itself takes: of each file an entry with its path and three digests (440 bytes as Python has them), its
chunk in the table (48), and its part of the pages as they came (130)."""
BESIDE_BYTES = 256 << 20
"""What a process may hold beside the list, itself included."""
SAMPLE_S = 0.05
PATIENCE_S = 7200.0


def test_a_million_small_files_are_published_listed_and_fetched_in_bounded_memory(tmp_path: Path) -> None:
    source = tmp_path / "dataset"
    make_files(source)
    bound = FILES * MANIFEST_BYTES_PER_FILE + BESIDE_BYTES
    peaks: dict[str, int] = {}
    with Scene(tmp_path / "scene") as scene:
        publishing = scene.start("publisher", "publish", source, "--name", "dataset")
        with watched(publishing, peaks, "publish"):
            published = publishing.wait_for("published", timeout_s=PATIENCE_S)
            assert publishing.finish(timeout_s=PATIENCE_S) == 0
        assert published["files"] == FILES
        listing = scene.start("publisher", "ls")
        with watched(listing, peaks, "ls"):
            assert listing.finish(timeout_s=PATIENCE_S) == 0
        provider = scene.node("publisher")
        fetching = scene.start_fetch(
            "fetcher", published["reference"], tmp_path / "out", arguments=["--provider", provider.address]
        )
        with watched(provider, peaks, "node"), watched(fetching, peaks, "fetch"):
            fetching.wait_for("done", timeout_s=PATIENCE_S)
            assert fetching.finish(timeout_s=PATIENCE_S) == 0
    print({name: f"{peak >> 20} MiB" for name, peak in peaks.items()}, f"bound {bound >> 20} MiB")
    assert all((tmp_path / "out" / path).read_bytes() == data for path, data in files())
    shutil.rmtree(tmp_path)
    assert max(peaks.values()) <= bound


def files() -> Iterator[tuple[str, bytes]]:
    for number in range(FILES):
        yield f"{number // FILES_PER_FOLDER:04}/{number:07}.txt", b"%020d" % number * (FILE_BYTES // 20)


def make_files(folder: Path) -> None:
    for path, data in files():
        target = folder / path
        if not target.parent.exists():
            target.parent.mkdir(parents=True)
        target.write_bytes(data)


@contextmanager
def watched(process: Process, peaks: dict[str, int], name: str) -> Iterator[None]:
    """Within, note the highest anonymous memory of `process` as that of `name`."""
    ended = threading.Event()
    peaks[name] = 0

    def watch() -> None:
        while not ended.wait(SAMPLE_S):
            try:
                peaks[name] = max(peaks[name], anonymous_bytes(process))
            except (OSError, AssertionError):  # It has ended: no such process, or one without memory.
                return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()
