"""A power cut at any moment: the store may forget a chunk that it has, it never claims one that it lacks.

Short workloads run on a disk that writes down every effect; after each of them the power "goes", several disks that
could be left are made, and the store begins again on each.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from p2phub.content import RangeSet, digest_of
from p2phub.errors import Damaged, Unsafe
from p2phub.identity import PeerId
from p2phub.store import (
    Accepted,
    Arrival,
    Judge,
    LocalFile,
    LocalRun,
    Made,
    Part,
    Selected,
    ToMake,
    arriving,
    placing,
    rehash,
    survey,
)
from p2phub.store import arrival as arrival_module
from p2phub.store.arrival import FilesystemArrival
from p2phub.store.arriving import begin_arrival
from p2phub.store.blobs import Blobs
from p2phub.store.disk import Disk
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import open_place
from p2phub.store.journal import Binding, Identity, Journal, Remembered, read_journal
from p2phub.store.ledger import FileLedger
from p2phub.store.placing import Places
from p2phub.store.state_log import StateLog, open_home, salvage
from tests.support.content import Content, content_of, random_files
from tests.support.crashing import WAYS, QuickDisk, RecordingDisk, images, short_lived
from tests.support.stores import deliver, deliver_rest, files_below

CONTENT = content_of(
    {**random_files(3, a=2_600, z=700), "sub/b.bin": b"b" * 1_500, "sub/empty": b"", "sub/deep/c.bin": b"c" * 300}, 700
)
Workload = Callable[[RecordingDisk, Path], None]


def begin(
    disk: Disk,
    folder: Path,
    *,
    force: bool = False,
    selected: Selected | None = None,
    judge: Judge | None = None,
) -> Arrival:
    return begin_arrival(
        disk,
        CONTENT.manifest,
        CONTENT.root,
        CONTENT.table,
        folder,
        force=force,
        known=lambda path, found: None,
        record=lambda standing, found, made_bytes: None,
        secret=b"home" * 8,
        selected=selected,
        judge=judge,
    )


def write(disk: RecordingDisk, arrival: Arrival, chunks: list[int]) -> None:
    """Write through the store's own hands, so that the disk sees it. Says the number of each chunk that was noted."""
    for chunk in chunks:
        arrival.write(chunk, CONTENT.chunk(chunk))
        arrival.verified(RangeSet.of([(chunk, chunk + 1)]))
        disk.say(chunk)


def straight_through(disk: RecordingDisk, folder: Path) -> None:
    arrival = begin(disk, folder)
    chunks = list(CONTENT.whole)
    write(disk, arrival, chunks[:3])
    arrival.sync()
    disk.say(arrival.have)
    write(disk, arrival, chunks[5:])
    arrival.sync()
    disk.say(arrival.have)
    write(disk, arrival, chunks[3:5])
    arrival.finish()
    disk.say("done")


def resumed_twice(disk: RecordingDisk, folder: Path) -> None:
    for part in ([1, 6], [0, 2], [3, 4, 5]):
        arrival = begin(disk, folder)
        write(disk, arrival, part)
        if part != [0, 2]:
            arrival.sync()
            disk.say(arrival.have)
        write(disk, arrival, [7])
        arrival.close()


def synced_before_anything_came(disk: RecordingDisk, folder: Path) -> None:
    """A sync of nothing, at the begin of an attempt and of the next."""
    chunks = list(CONTENT.whole)
    for part in (chunks[:3], chunks[3:]):
        arrival = begin(disk, folder)
        arrival.sync()
        write(disk, arrival, part)
        arrival.sync()
        disk.say(arrival.have)
        arrival.close()
    begin(disk, folder).finish()
    disk.say("done")


def over_other_files(disk: RecordingDisk, folder: Path) -> None:
    put(disk, folder, "z.bin", b"other")
    arrival = begin(disk, folder, force=True)
    write(disk, arrival, list(CONTENT.whole))
    arrival.finish()
    disk.say("done")


def beside_equal_files(disk: RecordingDisk, folder: Path) -> None:
    put(disk, folder, "z.bin", CONTENT.files["z.bin"], durable=False)
    arrival = begin(disk, folder)
    write(disk, arrival, list(CONTENT.whole - arrival.have))
    arrival.finish()
    disk.say("done")


def put(disk: RecordingDisk, folder: Path, name: str, data: bytes, *, durable: bool = True) -> None:
    """Let a file be there before anything begins, synced by whoever wrote it or not."""
    folder_fd = os.open(folder, os.O_RDONLY)
    fd = disk.open(name, os.O_RDWR | os.O_CREAT, dir_fd=folder_fd)
    disk.pwrite(fd, data, 0)
    if durable:
        disk.syncfs(fd)
    os.close(fd)
    os.close(folder_fd)


TOLD = 1 << 40  # In what passes for an inode's number.


class SameFiles:
    """Lets the copy of a disk pass for the disk: a file is told from another by its number in the log.

    What a journal says of durable chunks is believed of the file that they were written to, and of no copy.
    """

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.most_believed = 0

    def learn(self, numbers: dict[int, int]) -> None:
        self.numbers = numbers

    def of(self, status: os.stat_result) -> Identity:
        return Identity(0, self._number(status.st_ino), status.st_size, 0)

    def but_ctime(self, found: Fingerprint) -> bytes:
        """Stand in for `Fingerprint.but_ctime`, of what is on a disk and of what a journal says of it."""
        _, inode, size, _, _ = found.values()
        return Fingerprint(0, self._number(inode), size, 0, 0)[:-8]

    def _number(self, inode: int) -> int:
        return inode if inode & TOLD else TOLD | self.numbers.get(inode, 1 << 32 | inode)

    def read_journal(self, folder_fd: int, binding: Binding, secret: bytes) -> Remembered:
        past = read_journal(folder_fd, binding, secret)
        if past.lying or past.placed:
            self.most_believed = max(self.most_believed, len(past.durable))
        return past


@pytest.fixture
def same_files(monkeypatch: pytest.MonkeyPatch) -> SameFiles:
    made = SameFiles()
    monkeypatch.setattr(Identity, "of", made.of)
    monkeypatch.setattr(Fingerprint, "but_ctime", lambda found: made.but_ctime(found))
    monkeypatch.setattr(arriving, "read_journal", made.read_journal)
    return made


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    with short_lived(tmp_path) as made:
        yield made


def is_truly_there(arrival: Arrival, content: Content) -> bool:
    plan = arrival.read_plan()
    for chunk in plan.held:
        ref = content.table.chunk(chunk)
        file = plan.open(ref.file)
        found = os.pread(file.descriptor, ref.length, ref.offset)
        file.close()
        if found != content.chunk(chunk):
            return False
    return True


def copied_from_here(disk: RecordingDisk, folder: Path) -> None:
    """Some of it is copied from another file of this disk, the rest comes as ever."""
    elsewhere = Path(tempfile.mkdtemp(dir=folder.parent)) / "held"
    elsewhere.write_bytes(b"-" * 100 + CONTENT.files["a.bin"])
    first = CONTENT.table.span(next(n for n, entry in enumerate(CONTENT.manifest.files) if entry.path == "a.bin"))[0]
    file = LocalFile(elsewhere, 2_700, False, lambda: open_place(elsewhere))
    arrival = begin(disk, folder)
    for at in range(3):
        copied = arrival.copy(LocalRun(first + at, 1, file, 100 + 700 * at))
        assert len(copied) == 1
        arrival.verified(copied)
        disk.say(first + at)
    arrival.sync()
    disk.say(arrival.have)
    write(disk, arrival, list(CONTENT.whole - arrival.have))
    arrival.finish()
    disk.say("done")


def resumed_beside_placed_files(disk: RecordingDisk, folder: Path) -> None:
    """The next attempt begins when files went to their place and no sync has told of that yet."""
    arrival = begin(disk, folder)
    write(disk, arrival, list(CONTENT.whole)[2:])
    arrival.sync()
    disk.say(arrival.have)
    arrival.close()
    arrival = begin(disk, folder)
    write(disk, arrival, [0, 1])
    arrival.finish()
    disk.say("done")


def resumed_over_bad_sectors(disk: RecordingDisk, folder: Path) -> None:
    """Two files cannot be read in one place each, of which a sample shows one: the other was called durable."""
    arrival = begin(disk, folder)
    for chunk in range(4, 7):
        arrival.write(chunk, CONTENT.chunk(chunk))
    arrival.write(0, CONTENT.chunk(0))
    arrival.write(1, CONTENT.chunk(1))
    arrival.write(2, CONTENT.chunk(2))
    arrival.verified(RangeSet.of([(0, 3), (4, 6)]))
    arrival.sync()
    arrival.close()
    really, failed = rehash._read, {0: False, 700: False}

    def read(fd: int, view: memoryview, offset: int) -> int:
        is_long = os.fstat(fd).st_size == 2_600
        if (is_long and offset == 0) or (not is_long and offset == 700):
            failed[offset] = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(fd, view, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rehash, "_read", read)
        patch.setattr(survey, "block_bytes", lambda status: 512)
        arrival = begin(disk, folder)
    assert all(failed.values())
    write(disk, arrival, list(CONTENT.whole - arrival.have))
    arrival.finish()
    disk.say("done")


WORKLOADS = [
    straight_through,
    resumed_over_bad_sectors,
    resumed_twice,
    resumed_beside_placed_files,
    synced_before_anything_came,
    over_other_files,
    beside_equal_files,
    copied_from_here,
]


@pytest.mark.covers("F01", "F02")
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("one_by_one", [32, 1], ids=["few files", "many files"])
def test_after_a_power_cut_nothing_is_claimed_that_is_not_there_and_the_fetch_ends_bit_exact(
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    same_files: SameFiles,
    workload: Workload,
    one_by_one: int,
) -> None:
    cut_everywhere(scratch, monkeypatch, same_files, workload, one_by_one)


def cut_everywhere(
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    same_files: SameFiles,
    workload: Workload,
    one_by_one: int,
    ways: Sequence[str] = WAYS,
) -> None:
    """Run `workload`, let the power go after each of its steps, and go on from what is left. Raises AssertionError for
    a claim that does not hold, or an end that is not bit for bit."""
    monkeypatch.setattr(arriving, "PREALLOCATE_ABOVE_BYTES", 1_000)
    monkeypatch.setattr(arrival_module, "ONE_BY_ONE_MAX", one_by_one)
    monkeypatch.setattr(placing, "ONE_BY_ONE_MAX", one_by_one)
    folder = scratch / "out"
    folder.mkdir()
    disk = RecordingDisk(folder)
    put(disk, folder, "mine.txt", b"mine")
    begin_at = len(disk.log) + 3 * (workload is over_other_files)
    same_files.numbers = disk.numbers
    workload(disk, folder)

    def look(at: Path, said: list[object], *, noted_count: bool = False) -> None:
        # A file that its user never synced may be left in any state: it is no longer equal, and in the way.
        force = workload is over_other_files or (workload is beside_equal_files and "done" not in said)
        arrival = begin(QuickDisk(), at, force=force)
        assert is_truly_there(arrival, CONTENT)
        assert files_below(at)["mine.txt"] == b"mine"
        for promised in said:
            if isinstance(promised, RangeSet):
                assert not promised - arrival.have
            elif promised == "done":
                assert arrival.have == CONTENT.whole
            elif noted_count:
                assert isinstance(promised, int)
                assert promised in arrival.have
        deliver_rest(arrival, CONTENT)
        arrival.finish()
        assert files_below(at) == {**CONTENT.files, "mine.txt": b"mine"}
        assert not (at / ".p2phub").exists()

    same_files.most_believed = 0
    assert images(disk, scratch, look, begin_at=begin_at, ways=ways, learn=same_files.learn) > 200
    assert same_files.most_believed > 1, "all was hashed again, so no claim was put to the test"
    # kill -9 instead: nothing that was done is lost, so what was noted must be had again, too.
    noted_look = partial(look, noted_count=True)
    assert images(disk, scratch, noted_look, begin_at=begin_at, ways=("killed",), learn=same_files.learn) > 50


def leave_data_unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FilesystemArrival, "_make_durable", lambda self, files, names_made: None)


def journal_before_data(monkeypatch: pytest.MonkeyPatch) -> None:
    sync, mark = FilesystemArrival._make_durable, Journal.mark
    later: list[Callable[[], None]] = []

    def sync_later(self: FilesystemArrival, files: list[int], *, names_made: bool) -> None:
        later.append(partial(sync, self, files, names_made=names_made))

    def mark_first(self: Journal, *what: Any) -> None:
        mark(self, *what)
        while later:
            later.pop()()

    monkeypatch.setattr(FilesystemArrival, "_make_durable", sync_later)
    monkeypatch.setattr(Journal, "mark", mark_first)


def done_before_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Places, "make_durable", lambda self: None)


@pytest.mark.parametrize("mistake", [leave_data_unsynced, journal_before_data, done_before_names])
def test_a_wrong_order_of_syncs_is_found_out(
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    same_files: SameFiles,
    mistake: Callable[[pytest.MonkeyPatch], None],
) -> None:
    mistake(monkeypatch)
    with pytest.raises(AssertionError) as found:
        cut_everywhere(scratch, monkeypatch, same_files, straight_through, 32, ways=(*WAYS, *("chance",) * 12))
    assert any("power cut after step" in note for note in found.value.__notes__)


def begins_with_b(size: int, read: Callable[[int, int], bytes]) -> str | None:
    """A judge that refuses sub/b.bin."""
    return "it begins with a b" if read(0, 1) == b"b" else None


@pytest.mark.covers("T31", "F01")
def test_after_a_power_cut_what_is_refused_is_not_in_its_place_and_not_lost(
    scratch: Path, same_files: SameFiles
) -> None:
    folder = scratch / "out"
    folder.mkdir()
    disk = RecordingDisk(folder)
    same_files.numbers = disk.numbers
    arrival = begin(disk, folder, judge=begins_with_b)
    chunks = list(CONTENT.whole)
    for part in (chunks[2:], chunks[:2]):
        write(disk, arrival, part)
        with pytest.raises(Unsafe):
            arrival.sync()
        disk.say(arrival.have)
    arrival.close()

    def look(at: Path, said: list[object]) -> None:
        assert "sub/b.bin" not in files_below(at)
        again = begin(QuickDisk(), at, judge=begins_with_b)
        assert all(not each - again.have for each in said if isinstance(each, RangeSet))
        deliver_rest(again, CONTENT)
        with pytest.raises(Unsafe):
            again.finish()
        again.close()
        assert "sub/b.bin" not in files_below(at)
        last = begin(QuickDisk(), at)
        deliver_rest(last, CONTENT)
        last.finish()
        assert files_below(at) == CONTENT.files

    assert images(disk, scratch, look, ways=(*WAYS, "killed"), learn=same_files.learn) > 200


@pytest.mark.covers("F01", "F02")
def test_after_a_power_cut_a_selection_ends_with_just_what_was_selected(scratch: Path, same_files: SameFiles) -> None:
    """Some chunks of a.bin, of which a file is made, and the whole of z.bin."""
    first, last = CONTENT.table.span(0)[0], CONTENT.table.span(len(CONTENT.files) - 1)
    made = Made("sub/new/a.selected", (b"head", Part(0, 100, 650), Part(0, 1_500, 2_000)))
    data = CONTENT.files["a.bin"]
    expected = {
        "z.bin": CONTENT.files["z.bin"],
        made.path: b"head" + data[100:650] + data[1_500:2_000],
        "mine.txt": b"mine",
    }
    chunks = RangeSet.of([(first, first + 1), (first + 2, first + 3), last])
    files = RangeSet.of([(len(CONTENT.files) - 1, len(CONTENT.files))])
    selected = Selected(chunks, files, (ToMake(made.path, 1_000, 1_100),))
    folder = scratch / "out"
    folder.mkdir()
    disk = RecordingDisk(folder)
    put(disk, folder, "mine.txt", b"mine")
    begin_at = len(disk.log)
    same_files.numbers = disk.numbers
    arrival = begin(disk, folder, selected=selected)
    write(disk, arrival, list(chunks)[:1])
    arrival.sync()
    disk.say(arrival.have)
    write(disk, arrival, list(chunks)[1:])
    arrival.finish([made])
    disk.say("done")
    assert files_below(folder) == expected

    def look(at: Path, said: list[object]) -> None:
        if "done" in said:
            assert files_below(at) == expected
        again = begin(QuickDisk(), at, selected=selected)
        assert is_truly_there(again, CONTENT)
        for promised in said if files_below(at) != expected else ():  # Else they may be cleared away by now.
            assert not isinstance(promised, RangeSet) or not promised - again.have
        deliver(again, CONTENT, chunks - again.have)
        again.finish([made])
        assert files_below(at) == expected
        assert not (at / ".p2phub").exists()

    assert images(disk, scratch, look, begin_at=begin_at, learn=same_files.learn) > 100
    assert images(disk, scratch, look, begin_at=begin_at, ways=("killed",), learn=same_files.learn) > 25


@pytest.mark.covers("F02")
def test_a_destination_that_was_made_for_a_fetch_is_there_after_a_power_cut_once_it_is_done(scratch: Path) -> None:
    (scratch / "root").mkdir()
    disk = RecordingDisk(scratch / "root")
    straight_through(disk, scratch / "root" / "models" / "out")

    def look(at: Path, said: list[object]) -> None:
        if "done" in said:
            assert files_below(at / "models" / "out") == CONTENT.files

    images(disk, scratch, look, begin_at=len(disk.log) - 5)


@pytest.mark.covers("F02")
def test_a_ledger_keeps_through_a_power_cut_what_it_said_is_kept(scratch: Path) -> None:
    home = scratch / "home"
    home.mkdir()
    disk = RecordingDisk(home)
    ann = PeerId(b"\1" * 32)
    ledger = FileLedger(home, disk)
    for number in range(4):
        ledger.accept(ann, "model", "main", Accepted(b"signed" * 100, number))
        disk.say(number)
    ledger.close()

    def look(at: Path, said: list[object]) -> None:
        left = FileLedger(at, QuickDisk())
        accepted = left.accepted(ann, "model", "main")
        assert (accepted.sequence if accepted else -1) >= len(said) - 1
        left.accept(ann, "model", "main", Accepted(b"new", 9))  # Behind a torn tail, too, a record is found again.
        left.close()
        again = FileLedger(at, QuickDisk())
        assert again.accepted(ann, "model", "main") == Accepted(b"new", 9)
        again.close()

    images(disk, scratch, look)


@pytest.mark.covers("F02")
def test_blobs_that_were_put_survive_a_power_cut(scratch: Path) -> None:
    home = scratch / "home"
    home.mkdir()
    disk = RecordingDisk(home)
    fd = open_home(disk, home)
    blobs = Blobs(fd, disk, home)
    put = [b"one" * 400, b"two", b"three"]
    blobs.put(put[:2])
    disk.say(2)
    blobs.put(put)
    disk.say(3)
    blobs.close()
    os.close(fd)

    def look(at: Path, said: list[object]) -> None:
        fd = open_home(QuickDisk(), at)
        left = Blobs(fd, QuickDisk(), at)
        for number, blob in enumerate(put):
            held = left.get(digest_of(blob))
            assert held in (None, blob)
            assert held == blob or number >= max((int(str(count)) for count in said), default=0)
        left.put(put)
        assert [left.get(digest_of(blob)) for blob in put] == put
        left.close()
        os.close(fd)

    images(disk, scratch, look)


class Killed(BaseException):
    """Ends a process, as far as it goes."""


@pytest.mark.covers("F01", "F02")
def test_blobs_that_another_had_put_when_it_was_killed_survive_a_power_cut_once_they_were_put_again(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = scratch / "home"
    home.mkdir()
    disk = RecordingDisk(home)
    fd = open_home(disk, home)
    killed, blobs = Blobs(fd, disk, home), Blobs(fd, disk, home)

    def kill(fd: int) -> None:
        raise Killed

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(disk, "fsync", kill)
        with pytest.raises(Killed):
            killed.put([b"one"])
    blobs.put([b"one"])
    disk.say("put")
    killed.close()
    blobs.close()
    os.close(fd)

    def look(at: Path, said: list[object]) -> None:
        fd = open_home(QuickDisk(), at)
        left = Blobs(fd, QuickDisk(), at)
        assert left.get(digest_of(b"one")) in ((b"one",) if said else (None, b"one"))
        left.close()
        os.close(fd)

    images(disk, scratch, look)


@pytest.mark.covers("F01", "F02", "F05")
def test_a_log_that_is_salvaged_is_there_at_every_moment(scratch: Path) -> None:
    """Without one the home would pass for an empty one, and every sequence and pin be forgotten."""
    home = scratch / "home"
    home.mkdir()
    disk = RecordingDisk(home)
    log = StateLog(home)
    for key in ("a", "b", "c"):
        log.set("kind", (key,), [key])
    log.close()
    damaged = bytearray((home / "state.log").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (home / "state.log").unlink()
    fd = open_home(disk, home)
    put(disk, home, "state.log", bytes(damaged))
    os.close(fd)
    begin_at = len(disk.log)
    salvage(home, disk)
    disk.say("salvaged")

    def look(at: Path, said: list[object]) -> None:
        try:
            left = StateLog(at)
            assert left.all("kind") == {("a",): ["a"], ("c",): ["c"]}
            left.close()
        except Damaged:
            assert not said
            assert (at / "state.log").read_bytes() == damaged
        else:
            assert (at / "state.log.damaged").read_bytes() == damaged

    assert images(disk, scratch, look, begin_at=begin_at, ways=(*WAYS, "killed")) > 20
