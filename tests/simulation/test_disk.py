"""What stands on a simulated disk is compared with the truth byte by byte, and providers that never change share it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from p2phub import limits
from simnet.descriptors import Descriptors, descriptors, system_calls
from simnet.det import Chance
from simnet.disk import AnyStore, SimFilesystemStore, SimStore, wrong_paths
from simnet.truth import Truth, publish, truth_of
from simnet.witness import Witness

FOLDER = Path("out")
SIZE = 600 * limits.KIB  # Two pieces and a half.
TRUTH = truth_of({"model.bin": SIZE, "empty.bin": 0}, 256 * limits.KIB, Chance(1))
GOOD = TRUTH.files["model.bin"]


def on_a_real_disk(files: dict[str, bytes], at: Path) -> tuple[AnyStore, Path]:
    folder = at / "out"
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return SimFilesystemStore("bob", TRUTH, Witness(TRUTH, {}, frozenset()), at), folder


def in_memory(files: dict[str, bytes], at: Path) -> tuple[AnyStore, Path]:
    store = SimStore("bob", TRUTH, Witness(TRUTH, {}, frozenset()))
    for path, data in files.items():
        store.put_file(FOLDER, path, data)
    return store, FOLDER


@pytest.mark.parametrize("made", [in_memory, on_a_real_disk])
@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({"model.bin": GOOD, "empty.bin": b""}, []),
        ({"model.bin": GOOD}, []),  # That one is missing is for others to judge.
        ({"model.bin": GOOD[:-1] + bytes([GOOD[-1] ^ 1])}, ["model.bin"]),
        ({"model.bin": bytes([GOOD[0] ^ 1]) + GOOD[1:]}, ["model.bin"]),
        ({"model.bin": GOOD[:-1]}, ["model.bin"]),
        ({"model.bin": GOOD[: 512 * limits.KIB]}, ["model.bin"]),
        ({"model.bin": GOOD + b"x"}, ["model.bin"]),
        ({"empty.bin": b"x"}, ["empty.bin"]),
        ({"sub/more.bin": GOOD}, ["sub/more.bin"]),
    ],
)
def test_what_was_not_signed_is_found(
    files: dict[str, bytes],
    wrong: list[str],
    made: Callable[[dict[str, bytes], Path], tuple[AnyStore, Path]],
    tmp_path: Path,
) -> None:
    store, folder = made(files, tmp_path)
    assert wrong_paths(store, folder, TRUTH) == wrong
    store.close()


def published(truth: Truth, *, shared: bool) -> SimStore:
    store = SimStore("ann", truth, Witness(truth, {}, frozenset()))
    publish(store, truth, FOLDER, shared=shared)
    return store


def test_who_publishes_and_changes_nothing_shares_the_bytes_with_others() -> None:
    truth = truth_of({"model.bin": SIZE}, 256 * limits.KIB, Chance(1))
    ann, bob = published(truth, shared=True), published(truth, shared=True)
    assert ann.folders[FOLDER]["model.bin"] is bob.folders[FOLDER]["model.bin"]
    with pytest.raises(AssertionError, match="others have that file"):
        ann.change(FOLDER, "model.bin")
    assert not wrong_paths(bob, FOLDER, truth)


def test_a_change_of_ones_own_files_is_nobody_elses() -> None:
    truth = truth_of({"model.bin": SIZE}, 256 * limits.KIB, Chance(1))
    ann, bob = published(truth, shared=False), published(truth, shared=True)
    ann.change(FOLDER, "model.bin")
    assert wrong_paths(ann, FOLDER, truth) == ["model.bin"]
    assert not wrong_paths(bob, FOLDER, truth)


def test_a_file_in_memory_is_open_until_the_last_copy_of_its_descriptor_is_closed() -> None:
    calls = Descriptors()
    first = calls.memfd_create("test")
    assert calls.pwrite(first, b"text", 0) == 4
    copies = [calls.dup(first), calls.dup(first)]
    copies.append(calls.dup(copies[0]))
    assert len({first, *copies}) == 4
    for descriptor in (first, *copies[:2]):
        calls.close(descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            calls.pread(descriptor, 4, 0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            calls.close(descriptor)
        assert calls.pread(copies[2], 4, 0) == b"text"
        assert os.fstat(first)
    calls.close(copies[2])
    assert calls.copies == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first)


def test_many_who_read_one_file_in_memory_have_one_descriptor_of_the_system() -> None:
    """Of a thousand nodes each has thirty links, and the system gives a process some thousand descriptors."""
    truth = truth_of({"model.bin": SIZE}, 256 * limits.KIB, Chance(1))
    with system_calls():
        store = SimStore("bob", truth, Witness(truth, {}, frozenset()))
        publish(store, truth, FOLDER, shared=True)
        plan = store.read_plan(truth.root)
        assert plan is not None
        gc.collect()  # What other tests left is closed now, and not while it is counted.
        before = len(os.listdir("/proc/self/fd"))
        readers = [plan.open(0) for _ in range(30)]
        assert len(os.listdir("/proc/self/fd")) == before
        assert descriptors.copies == 30
        for reader in readers[1:]:
            reader.close()
        assert descriptors.pread(readers[0].descriptor, 4, 0) == truth.files["model.bin"][:4]
        readers[0].close()
        store.close()


def test_a_copy_that_a_run_leaves_open_is_told() -> None:
    truth = truth_of({"model.bin": SIZE}, 256 * limits.KIB, Chance(1))

    def leave_one_open() -> None:
        with system_calls():
            store = SimStore("bob", truth, Witness(truth, {}, frozenset()))
            publish(store, truth, FOLDER, shared=True)
            plan = store.read_plan(truth.root)
            assert plan is not None
            plan.open(0)
            store.close()

    with pytest.raises(AssertionError, match="1 copies of descriptors of files in memory were left open"):
        leave_one_open()
    assert descriptors.copies == 0
