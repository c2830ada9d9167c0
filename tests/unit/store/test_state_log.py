"""`state.log` on a real disk: torn tails, damage, other processes, and being written anew."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from p2phub.errors import Damaged, DiskError
from p2phub.identity import PeerId
from p2phub.store import Accepted
from p2phub.store import state_log as state_log_module
from p2phub.store.disk import Disk
from p2phub.store.ledger import FileLedger
from p2phub.store.state_log import StateLog, salvage
from tests.support.covers import covers

ANN = PeerId(b"\1" * 32)


def names_in(home: Path) -> dict[str, str]:
    ledger = FileLedger(home)
    try:
        return ledger.names()
    finally:
        ledger.close()


def three_names(home: Path) -> list[int]:
    """Write three names; return where each record ends."""
    ledger = FileLedger(home)
    ends = []
    for alias in ("a", "b", "c"):
        ledger.name(alias, "target")
        ends.append((home / "state.log").stat().st_size)
    ledger.close()
    return ends


@pytest.mark.covers("F02")
def test_a_torn_tail_is_ignored_and_cut_off_at_the_next_append(tmp_path: Path) -> None:
    ends = three_names(tmp_path)
    log = tmp_path / "state.log"
    os.truncate(log, ends[2] - 1)
    torn = log.read_bytes()[ends[1] :]
    assert names_in(tmp_path) == {"a": "target", "b": "target"}
    ledger = FileLedger(tmp_path)
    ledger.name("d", "target")
    ledger.close()
    assert names_in(tmp_path) == {"a": "target", "b": "target", "d": "target"}
    assert (tmp_path / "state.log.torn").read_bytes() == torn


@covers("F05")
def test_damage_in_the_middle_is_refused_and_said_where(tmp_path: Path) -> None:
    ends = three_names(tmp_path)
    log = tmp_path / "state.log"
    damaged = bytearray(log.read_bytes())
    damaged[ends[1] - 1] ^= 1
    log.write_bytes(damaged)
    with pytest.raises(Damaged, match=f"byte {ends[0]}"):
        names_in(tmp_path)
    with pytest.raises(Damaged):
        FileLedger(tmp_path).name("d", "target")
    assert log.read_bytes() == damaged


def test_salvage_keeps_every_record_that_can_be_read_and_the_damaged_log(tmp_path: Path) -> None:
    ends = three_names(tmp_path)
    log = tmp_path / "state.log"
    damaged = bytearray(log.read_bytes())
    damaged[ends[1] - 1] ^= 1
    log.write_bytes(damaged)
    assert "kept 2 records" in salvage(tmp_path)[0]
    assert names_in(tmp_path) == {"a": "target", "c": "target"}
    assert (tmp_path / "state.log.damaged").read_bytes() == damaged
    assert salvage(tmp_path) == ()


def test_a_reader_sees_what_another_appended(tmp_path: Path) -> None:
    one, two = FileLedger(tmp_path), FileLedger(tmp_path)
    for number in range(5):
        (one if number % 2 else two).name(f"n{number}", "target")
        assert one.names() == two.names()
        assert len(one.names()) == number + 1
    one.close()
    two.close()


def test_a_log_of_mostly_dead_records_is_written_anew_and_others_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_log_module, "COMPACT_ABOVE_BYTES", 2_000)
    writer, reader = FileLedger(tmp_path), FileLedger(tmp_path)
    reader.name("kept", "target")
    for number in range(200):
        writer.name("changes", f"target {number}")
        assert reader.names() == {"changes": f"target {number}", "kept": "target"}
    assert (tmp_path / "state.log").stat().st_size < 3_000
    writer.close()
    reader.close()
    assert names_in(tmp_path) == {"changes": "target 199", "kept": "target"}


def append_names(home: Path, prefix: str) -> None:
    ledger = FileLedger(home)
    for number in range(25):
        ledger.name(f"{prefix}{number}", "target")
        ledger.accept(ANN, "model", "main", Accepted(b"x", number))
    ledger.close()


@pytest.mark.covers("F07")
def test_several_processes_append_to_one_log_and_nothing_is_lost(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("spawn")
    processes = [fork.Process(target=append_names, args=(tmp_path, prefix)) for prefix in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(names_in(tmp_path)) == 75
    ledger = FileLedger(tmp_path)
    assert ledger.accepted(ANN, "model", "main") == Accepted(b"x", 24)
    ledger.close()


class FailingDisk(Disk):
    """Refuses to sync once `failing` is set."""

    failing = False

    def fdatasync(self, fd: int) -> None:
        if self.failing:
            raise OSError(5, "Input/output error")
        super().fdatasync(fd)


@pytest.mark.covers("F03")
def test_what_could_not_be_synced_does_not_hold(tmp_path: Path) -> None:
    disk = FailingDisk()
    log = StateLog(tmp_path, disk)
    log.set("kind", ("a",), ["kept"])
    disk.failing = True
    with pytest.raises(DiskError, match="input/output"):
        log.set("kind", ("a",), ["lost"])
    assert log.get("kind", ("a",)) == ["kept"]
    disk.failing = False
    log.set("kind", ("b",), ["later"])
    log.close()
    again = StateLog(tmp_path)
    assert again.all("kind") == {("a",): ["kept"], ("b",): ["later"]}
    again.close()


@covers("T47")
def test_the_log_is_its_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        three_names(tmp_path / "home")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "home" / "state.log").stat().st_mode) == 0o600


@covers("F08")
def test_a_record_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    log = StateLog(tmp_path)
    log.set("of the future", ("x",), [{"any": [1, b"thing"]}])
    log.close()
    assert names_in(tmp_path) == {}


def test_a_version_is_another_when_its_kind_changed_or_the_log_was_written_anew(
    tmp_path: Path,
) -> None:
    log, other = StateLog(tmp_path), StateLog(tmp_path)
    log.set("a", ("x",), [1])
    log.set("b", ("x",), [1])
    a, b = log.version("a"), log.version("b")
    assert (log.version("a"), log.version("none")) == (a, 0)
    other.set("a", ("x",), [2])
    assert log.version("a") != a
    assert log.version("b") == b
    a, b = log.version("a"), log.version("b")
    os.unlink(tmp_path / "state.log")
    assert log.all("a") == {}
    assert log.version("a") != a
    assert log.version("b") != b
    log.close()
    other.close()
