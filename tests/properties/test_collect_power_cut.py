"""A power cut at any effect of a collection: nothing is claimed that is not there, and nothing unnamed stays for ever.

The index is SQLite's, which is durable when it says so: with each disk that could be left goes the index of then.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.store import Keep, Spare, Store
from p2phub.store.blobs import YOUNG_S
from p2phub.store.database import INDEX
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.ledger import FileLedger
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.crashing import QuickDisk, RecordingDisk, StepsWithIndex, image, said_before

GOES = content_of({**random_files(1, a=2_600, z=700), "sub/b.bin": b"b" * 1_500, "sub/deep/c.bin": b"c" * 300}, 700)
STAYS = content_of({**random_files(2, kept=1_900), "sub/b.bin": b"b" * 1_500}, 700)
PINNED = Keep(pinned=frozenset({STAYS.root}))
WAYS = ("lost", "ordered", "chance", "chance", "killed")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(limits, "ALONE_BYTES_MIN", 2_000)
    shared_memory = Path("/dev/shm")  # For many short-lived files: in memory, where there is one.
    with tempfile.TemporaryDirectory(dir=shared_memory if os.access(shared_memory, os.W_OK) else tmp_path) as scratch:
        made = Path(scratch) / "home"
        made.mkdir()
        yield made


def own(store: Store, content: Content) -> Spare:
    store.put_blobs(list(content.blobs.values()))
    folder = store.own_folder(content.root)
    arrival = store.arrive(content.manifest, content.root, content.table, folder, force=False)
    for chunk in content.whole:
        arrival.write(chunk, content.chunk(chunk))
        arrival.verified(RangeSet.of([(chunk, chunk + 1)]))
    arrival.finish()
    return Spare(content.root, folder, content.manifest.bytes_total)


def age_blobs(home: Path) -> None:
    for path in (home / "blobs").iterdir():
        os.utime(path, times=(time.time() - 25 * YOUNG_S,) * 2)


def collect_all(home: Path, store: Store) -> None:
    for spare in store.collectable(PINNED).spare:
        store.collect(spare, PINNED)
    age_blobs(home)
    store.sweep(PINNED, lambda: False)


def check_claims(store: Store) -> set[bytes]:
    """Read all that is claimed; return what is claimed whole."""
    whole = set()
    for content in (GOES, STAYS):
        plan = store.read_plan(content.root)
        held = RangeSet() if plan is None else plan.held
        for chunk in held:
            ref = content.table.chunk(chunk)
            file = store.open_held(content.root, store.own_folder(content.root), ref.file)
            assert os.pread(file.descriptor, ref.length, ref.offset) == content.chunk(chunk)
            file.close()
        if held == content.whole:
            whole.add(content.root.raw)
    return whole


@covers("F01", "F02", "F33")
def test_after_a_power_cut_in_a_collection_nothing_is_claimed_that_is_gone_and_nothing_is_left_for_ever(
    home: Path,
) -> None:
    disk = RecordingDisk(home)
    steps = StepsWithIndex(home)
    disk.log = steps
    store = FilesystemStore(home, disk)
    goes, _ = own(store, GOES), own(store, STAYS)
    ledger = FileLedger(home, disk)
    ledger.pin(STAYS.root, pinned=True)
    ledger.close()
    age_blobs(home)
    begin_at = len(steps)
    assert store.collect(goes, PINNED) is not None
    disk.say("collected")
    store.sweep(PINNED, lambda: False)
    disk.say("swept")
    store.close()
    steps.indexes.append(steps.read())
    shutil.rmtree(home)

    count = 0
    for stop in range(begin_at, len(steps) + 1):
        for number, way in enumerate(WAYS):
            for index in {steps.indexes[stop], steps.indexes[stop + 1], b""}:
                image(steps, stop, way, stop * 31 + number, home)
                if index:
                    (home / INDEX).write_bytes(index)
                try:
                    _look(home, said_before(steps, stop), has_index=bool(index))
                except BaseException as exc:
                    exc.add_note(f"power cut after step {stop} of {len(steps)}, {way}, seed {stop * 31 + number}")
                    raise
                shutil.rmtree(home)
                count += 1
    assert count > 200


def _look(home: Path, said: list[object], *, has_index: bool) -> None:
    left = FilesystemStore(home, QuickDisk())
    claimed = check_claims(left)
    if has_index:
        assert STAYS.root.raw in claimed
    left.check()  # Whatever is in doubt is hashed again.
    claimed = check_claims(left)
    assert STAYS.root.raw in claimed
    if "collected" in said:
        assert not left.holdings(GOES.root)
    collect_all(home, left)
    assert os.listdir(home / "files") == [STAYS.root.raw.hex()]
    assert check_claims(left) == {STAYS.root.raw}
    assert not left.holdings(GOES.root)
    lying = {run.file.path for run in left.local(GOES.table, GOES.whole)}
    assert lying <= {left.own_folder(STAYS.root) / "sub/b.bin"}
    only_of_what_went = [blob for blob in GOES.blobs if blob not in STAYS.blobs]
    assert only_of_what_went
    assert all(left.blob(blob) is None for blob in only_of_what_went)
    found = left.collectable(PINNED)
    assert (found.spare, found.leftovers, found.blobs, found.rows) == ((), (), 0, 0)
    left.close()
