"""`state.log` on a real disk: torn tails, damage, other processes, and being written anew."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from p2phub.content import pack
from p2phub.errors import Damaged, DiskError
from p2phub.identity import PeerId
from p2phub.store import Accepted
from p2phub.store import state_log as state_log_module
from p2phub.store.disk import Disk
from p2phub.store.ledger import FileLedger
from p2phub.store.records import decode_records, encode_record
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


@pytest.mark.covers("F03")
def test_what_was_taken_back_is_taken_back_for_who_read_it_meanwhile(tmp_path: Path) -> None:
    reader = StateLog(tmp_path)

    class ReadBeforeItFails(FailingDisk):
        def fdatasync(self, fd: int) -> None:
            if self.failing:
                assert reader.get("kind", ("a",)) == ["lost"]
            super().fdatasync(fd)

    disk = ReadBeforeItFails()
    log = StateLog(tmp_path, disk)
    log.set("kind", ("a",), ["kept"])
    disk.failing = True
    with pytest.raises(DiskError):
        log.set("kind", ("a",), ["lost"])
    disk.failing = False
    log.set("kind", ("a",), ["late"])  # As long, at the same place.
    log.set("kind", ("b",), ["more"])
    assert reader.all("kind") == {("a",): ["late"], ("b",): ["more"]}
    log.close()
    reader.close()


class FullDisk(Disk):
    """Has no room for another file once `full` is set, or (`names`) cannot make names durable."""

    full = names = False

    def open(self, name: str | os.PathLike[str], flags: int, mode: int = 0o666, *, dir_fd: int | None = None) -> int:
        if self.full and flags & os.O_CREAT and not os.access(name, os.F_OK, dir_fd=dir_fd):
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().open(name, flags, mode, dir_fd=dir_fd)

    def fsync(self, fd: int) -> None:
        if self.names:
            raise OSError(errno.EIO, "Input/output error")
        super().fsync(fd)


@pytest.mark.covers("F01")
def test_a_log_that_there_is_no_room_to_write_anew_takes_every_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_log_module, "COMPACT_ABOVE_BYTES", 2_000)
    disk = FullDisk()
    log = StateLog(tmp_path, disk)
    log.set("kind", ("kept",), ["as it is"])
    disk.full = True
    for number in range(200):
        log.set("kind", ("changes",), [number])
    log.remove("kind", ("changes",))
    assert (tmp_path / "state.log").stat().st_size > 4_000
    disk.full = False
    for number in range(200):
        log.set("kind", ("again",), [number])
    assert (tmp_path / "state.log").stat().st_size < 4_000, "written anew once there is room"
    log.close()
    again = StateLog(tmp_path)
    assert again.all("kind") == {("kept",): ["as it is"], ("again",): [199]}
    again.close()


@covers("F04")
def test_a_torn_tail_is_cut_off_also_where_there_is_no_room_to_keep_it(tmp_path: Path) -> None:
    """As a power cut on a full disk leaves it: whatever makes room there is written down first."""
    ends = three_names(tmp_path)
    os.truncate(tmp_path / "state.log", ends[2] - 1)
    disk = FullDisk()
    disk.full = True
    log = StateLog(tmp_path, disk)
    log.set("kind", ("a",), [1])
    log.close()
    assert not (tmp_path / "state.log.torn").exists()
    assert names_in(tmp_path) == {"a": "target", "b": "target"}
    again = StateLog(tmp_path)
    assert again.all("kind") == {("a",): [1]}
    again.close()


@pytest.mark.covers("F01")
def test_what_could_not_be_written_anew_leaves_nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_log_module, "COMPACT_ABOVE_BYTES", 2_000)

    class Short(Disk):
        def replace(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    log = StateLog(tmp_path, Short())
    for number in range(200):
        log.set("kind", ("changes",), [number])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.lock", "state.log"]
    log.close()


@pytest.mark.covers("F03")
def test_a_log_written_anew_takes_nothing_more_before_its_name_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_log_module, "COMPACT_ABOVE_BYTES", 2_000)
    disk = FullDisk()
    log, other = StateLog(tmp_path, disk), StateLog(tmp_path, disk)
    log.set("kind", ("changes",), [0])
    disk.names = True
    was = (tmp_path / "state.log").stat().st_ino
    number = 0
    while (tmp_path / "state.log").stat().st_ino == was:  # What holds already is in the old one and in the new one.
        number += 1
        log.set("kind", ("changes",), [number])
    for each in (log, other):
        with pytest.raises(DiskError, match="input/output"):
            each.set("kind", ("changes",), ["lost"])
    disk.names = False
    for each in (log, other):
        assert each.get("kind", ("changes",)) == [number]
        each.close()


def test_a_log_written_anew_is_never_taken_for_the_one_that_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that nobody has open gives its inode number to the next that is made."""
    monkeypatch.setattr(state_log_module, "COMPACT_ABOVE_BYTES", 2_000)
    writer, idle = StateLog(tmp_path), StateLog(tmp_path)
    writer.set("name", ("a",), ["first"])
    assert idle.get("name", ("a",)) == ["first"]
    inodes = []
    for number in range(100):
        writer.set("name", ("a",), [f"{number:0100}"])
        inodes.append((tmp_path / "state.log").stat().st_ino)
    anew = [inode for inode in inodes if inode != inodes[0]]
    assert anew
    assert inodes[-len(anew) :] == anew, "what an idle process has open is the log again, and another"
    assert idle.get("name", ("a",)) == [f"{99:0100}"]
    writer.close()
    idle.close()


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


@covers("F08")
def test_records_of_a_newer_versions_form_are_kept_when_the_log_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_log_module, "COMPACT_ABOVE_BYTES", 2_000)
    log = StateLog(tmp_path)
    log.set("kind", ("first",), [0])
    log.close()
    file = tmp_path / "state.log"
    length = file.stat().st_size
    record = encode_record(pack(["revoked", ["key"], [1], "a fourth field"]), length)
    with file.open("ab") as opened:
        opened.write(record)
    log = StateLog(tmp_path)
    was = file.stat().st_ino
    for number in range(400):
        log.set("kind", ("changes",), [number])
    assert file.stat().st_ino != was
    bodies, end = decode_records(file.read_bytes(), 0)
    assert end == file.stat().st_size
    assert bodies.count(pack(["revoked", ["key"], [1], "a fourth field"])) == 1
    assert log.all("kind") == {("first",): [0], ("changes",): [399]}
    log.close()


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
