"""A place between two homes: what the one lists, the other may copy from, once each chunk is hashed, and no more."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Digest, RangeSet, pack
from p2phub.errors import ContentChanged, Damaged, DiskError, HubError, NotFound, Occupied, UsageError
from p2phub.identity import PeerId
from p2phub.manifest import alone_digest
from p2phub.store import Keep, LookedAgain, Origin
from p2phub.store.disk import Disk
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.records import encode_record
from p2phub.store.sharing import Named, Public
from p2phub.store.sharing.catalogue import decode_catalogue
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, hashed, put_all

ONE = content_of({**random_files(1, model=5_500), "sub/config.json": b"{}", "empty": b""}, 1000)
TWO = content_of(random_files(2, other=2_000), 1000)
KEY = PeerId(b"k" * 32)


class House:
    """A place with `ann`, who shares it, and `bob`, who attaches it."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self.place = at / "place"
        self.place.mkdir()
        self.ann, self.bob = DiskScene(at / "ann"), DiskScene(at / "bob")
        self.private: set[Digest] = set()
        self.names: list[tuple[Digest, Named]] = []

    @property
    def catalogue(self) -> Path:
        return self.place / ".p2phub-shared" / "catalogue"

    @property
    def public(self) -> Public:
        return Public(lambda manifest: manifest not in self.private, self.names)

    def hold(self, content: Content, folder: str, scene: DiskScene | None = None) -> None:
        scene = scene or self.ann
        scene.folder = self.place / folder
        put_all(scene, content)
        scene.store.put_blobs(list(content.blobs.values()))
        scene.store.hold(content.manifest, content.root, scene.folder, hashed(scene, content))

    def share(self) -> Any:
        return store(self.ann).places.share(self.place, "ann", self.public)

    def tell(self) -> Any:
        return store(self.ann).places.bring_up_to_date(self.place, "ann", self.public)

    def look(self, place: Path | None = None) -> bool:
        """Whether bob found anything new."""
        places, where = store(self.bob).places, place or self.place
        seen = places.look(where)
        if seen is not None:
            places.take_in(where, seen)
        return seen is not None

    def shared(self) -> list[str]:
        """The folders that bob has by the place's word."""
        holdings = self.bob.store.holdings()
        return sorted(str(each.folder) for each in holdings if each.origin is Origin.SHARED)

    def copied(self, content: Content, to: str = "copy") -> RangeSet:
        """Which chunks bob's fetch takes from this disk."""
        folder = self.at / to
        arrival = self.bob.store.arrive(content.manifest, content.root, content.table, folder, force=False)
        try:
            found = [run for run in self.bob.store.local(content.table, content.whole) if not arrival.clone(run)]
            return RangeSet.of(run for local in found for run in arrival.copy(local).runs)
        finally:
            arrival.close()


def store(scene: DiskScene) -> FilesystemStore:
    assert isinstance(scene.store, FilesystemStore)
    return scene.store


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.ann.store.close()
    made.bob.store.close()


@pytest.fixture
def shared(house: House) -> House:
    """ONE stands in `one` and is shared; bob has attached it."""
    house.hold(ONE, "one")
    house.share()
    store(house.bob).places.attach(house.place)
    return house


# --- what a reader may do, and may not ------------------------------------------------------------------------------


@covers("T54")
def test_what_is_listed_can_be_copied_and_is_not_held(shared: House) -> None:
    [held] = shared.bob.store.holdings()
    assert (held.origin, held.complete, held.held) == (Origin.SHARED, False, RangeSet())
    assert (held.source.cache, held.source.name) == ("shared", str(shared.place)) if held.source else False
    assert shared.bob.store.read_plan(ONE.root) is None
    assert all(not run.file.trusted for run in shared.bob.store.local(ONE.table, ONE.whole))
    assert shared.copied(ONE) == ONE.whole
    assert all(shared.bob.store.blob(digest) == blob for digest, blob in ONE.blobs.items())


def test_all_that_a_place_lists_can_be_verified_and_none_of_it_is_ours_to_replace(shared: House) -> None:
    files = RangeSet.whole(len(ONE.manifest.files))
    assert shared.bob.store.recorded(ONE.root, shared.place / "one") == files
    assert shared.bob.store.read_only(ONE.root, shared.place / "one") == files
    assert shared.bob.store.read_only(ONE.root, shared.at / "elsewhere") == RangeSet()


def test_what_describes_it_is_not_there_without_the_place(shared: House) -> None:
    shared.bob.reopen()  # Nobody looked yet.
    assert shared.bob.store.blob(ONE.root) is None
    assert shared.bob.store.holdings() == ()
    assert not shared.bob.store.local(ONE.table, ONE.whole)
    assert shared.look()
    assert shared.copied(ONE) == ONE.whole


def test_once_it_was_read_and_is_right_it_is_held(shared: House) -> None:
    folder = shared.place / "one"
    for number, _ in enumerate(ONE.manifest.files):
        file = shared.bob.store.open_held(ONE.root, folder, number)
        shared.bob.store.mark_right(ONE.root, folder, number, shared.bob.store.fingerprint_of(file), trusted=True)
        file.close()
    assert shared.bob.store.holdings()[0].complete
    plan = shared.bob.store.read_plan(ONE.root)
    assert plan is not None
    assert plan.held == ONE.whole
    shared.ann.put("model.bin", b"?" * 5_500)
    with pytest.raises(ContentChanged):
        plan.open(ONE.manifest.number_of("model.bin") or 0)


@covers("T54", "T33")
def test_a_file_that_lies_gives_what_of_it_is_right(shared: House) -> None:
    path = shared.place / "one" / "model.bin"
    path.write_bytes(path.read_bytes()[:2_000] + b"?" * 3_500)
    [number] = [n for n, entry in enumerate(ONE.manifest.files) if entry.path == "model.bin"]
    first, stop = ONE.table.span(number)
    assert shared.copied(ONE) == ONE.whole - RangeSet.of([(first + 2, stop)])


@covers("T54", "T22")
@pytest.mark.parametrize("what", ["folder", "file", "absolute", "pipe", "gone", "unreadable"])
def test_what_leads_out_of_the_place_or_is_no_file_gives_nothing(shared: House, what: str) -> None:
    outside = shared.at / "outside"
    shutil.copytree(shared.place / "one", outside)
    path = shared.place / "one" / "model.bin"
    if what == "folder":
        shutil.rmtree(shared.place / "one")
        (shared.place / "one").symlink_to("../outside")
    else:
        path.unlink()
        if what == "file":
            path.symlink_to("../../outside/model.bin")
        elif what == "absolute":
            path.symlink_to(outside / "model.bin")
        elif what == "pipe":
            os.mkfifo(path)
        elif what == "unreadable":
            path.mkdir()
    copied = shared.copied(ONE)
    [number] = [n for n, entry in enumerate(ONE.manifest.files) if entry.path == "model.bin"]
    assert not copied & RangeSet.of([ONE.table.span(number)])


def test_a_link_within_the_place_is_followed(shared: House) -> None:
    (shared.place / "one").rename(shared.place / "moved")
    (shared.place / "one").symlink_to("moved")
    assert shared.copied(ONE) == ONE.whole


def test_nothing_is_written_where_it_is_attached(shared: House) -> None:
    def tree() -> dict[str, tuple[int, int, int]]:
        stats = {str(path): path.lstat() for path in sorted(shared.place.rglob("*"))}
        return {path: (each.st_ino, each.st_mtime_ns, each.st_ctime_ns) for path, each in stats.items()}

    before = tree()
    blob = shared.place / ".p2phub-shared" / "blobs" / ONE.root.raw.hex()
    shared.bob.reopen()
    shared.look()
    shared.copied(ONE)
    shared.bob.store.check()
    shared.bob.store.sweep(Keep(), lambda: False)
    store(shared.bob).places.detach(shared.place)
    assert tree() == before
    blob.write_bytes(b"rotten")  # The home's own would be removed when it is read.
    store(shared.bob).places.attach(shared.place)
    assert shared.bob.store.blob(ONE.root) is None
    assert blob.read_bytes() == b"rotten"


def test_a_check_hashes_nothing_of_a_place_and_says_nothing_of_it(shared: House) -> None:
    for number, _ in enumerate(ONE.manifest.files):
        assert shared.bob.store.look_again(ONE.root, number) == LookedAgain(0, ())
    assert shared.bob.store.check() == ()
    assert not shared.bob.store.holdings()[0].complete
    (shared.place / "one" / "model.bin").unlink()
    assert shared.bob.store.check() == ()


@covers("T54", "T58")
def test_by_the_word_of_a_place_nothing_private_is_for_others(shared: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place may list a manifest that has a file of a private one: who asks for that file gets it of neither."""
    monkeypatch.setattr(limits, "ALONE_BYTES_MIN", 5_000)
    shared.hold(ONE, "again")
    shared.tell()
    shared.look()
    part = alone_digest(next(entry for entry in ONE.manifest.files if entry.path == "model.bin"))
    assert shared.bob.store.parts(ONE.root) == (part,)
    assert shared.bob.store.manifests_with(part) == ()
    assert shared.bob.store.read_plan(part) is None


def test_what_the_user_holds_there_themselves_is_theirs(shared: House) -> None:
    shared.hold(ONE, "one", shared.bob)
    assert [each.origin for each in shared.bob.store.holdings()] == [Origin.PUBLISHED]
    shared.bob.reopen()
    shared.look()
    assert [each.origin for each in shared.bob.store.holdings()] == [Origin.PUBLISHED]
    store(shared.bob).places.detach(shared.place)
    assert shared.bob.store.holdings()[0].complete


def test_to_forget_what_is_held_forgets_nothing_of_a_place(shared: House) -> None:
    shared.bob.folder = shared.at / "own"
    put_all(shared.bob, ONE)
    shared.bob.store.hold(ONE.manifest, ONE.root, shared.bob.folder, hashed(shared.bob, ONE))
    shared.bob.store.release(ONE.root)
    assert [each.origin for each in shared.bob.store.holdings()] == [Origin.SHARED]
    shared.bob.store.release(ONE.root, shared.place / "one")
    assert shared.copied(ONE) == ONE.whole


def test_what_a_place_has_takes_nothing_of_this_disk(shared: House) -> None:
    shared.bob.folder = shared.at / "own"
    put_all(shared.bob, TWO)
    shared.bob.store.put_blobs(list(TWO.blobs.values()))
    shared.bob.store.hold(TWO.manifest, TWO.root, shared.bob.folder, hashed(shared.bob, TWO))
    shared.hold(TWO, "two")
    shared.tell()
    shared.look()
    usage = shared.bob.store.usage()
    assert (usage.bytes, usage.bytes_files, usage.bytes_content) == (2_000, 2_000, 2_000)
    own = next(each for each in usage.holdings if each.holding.origin is not Origin.SHARED)
    assert own.bytes_once == 2_000
    assert sorted(each.bytes for each in usage.holdings) == [2_000, 2_000, 5_502]


# --- what changes ---------------------------------------------------------------------------------------------------


def test_what_is_added_and_removed_is_found_and_a_look_at_what_stayed_reads_nothing(shared: House) -> None:
    assert not shared.look()
    shared.hold(TWO, "sub/two")
    assert shared.tell().listed == 2
    assert shared.look()
    assert shared.shared() == [str(shared.place / "one"), str(shared.place / "sub/two")]
    assert shared.copied(TWO) == TWO.whole
    before = shared.catalogue.stat()
    shared.tell()
    assert shared.catalogue.stat() == before  # Nothing changed, so nothing is written.
    shared.ann.store.release(ONE.root)
    shared.tell()
    assert shared.look()
    assert shared.shared() == [str(shared.place / "sub/two")]
    blobs = {path.name for path in (shared.place / ".p2phub-shared" / "blobs").iterdir()}
    assert blobs == {digest.raw.hex() for digest in TWO.blobs}


def test_what_there_was_no_time_for_is_taken_in_by_the_next_look(house: House) -> None:
    house.hold(ONE, "one")
    house.hold(TWO, "two")
    house.share()
    places = store(house.bob).places
    for count in (1, 2):
        seen = places.look(house.place)
        assert seen is not None
        taken = iter([False, True])
        places.take_in(house.place, seen, lambda taken=taken: next(taken))  # type: ignore[misc]
        assert len(house.shared()) == count
    assert not house.look()


def test_a_lost_index_loses_nothing_of_a_place(shared: House) -> None:
    shared.bob.store.close()
    for path in shared.bob.home.glob("index.sqlite*"):
        path.unlink()
    shared.bob.store = FilesystemStore(shared.bob.home)
    shared.look()
    assert shared.copied(ONE) == ONE.whole


def test_a_place_that_is_away_gives_nothing_and_is_told_of_once(
    shared: House, caplog: pytest.LogCaptureFixture
) -> None:
    shared.place.rename(shared.at / "away")
    with caplog.at_level(logging.WARNING):
        assert not shared.look()
        assert not shared.look()
    assert len(caplog.records) == 1
    assert shared.bob.store.holdings() == ()
    assert not shared.bob.store.local(ONE.table, ONE.whole)
    assert store(shared.bob).places.told(shared.place).problem
    (shared.at / "away").rename(shared.place)
    assert shared.look()
    assert shared.copied(ONE) == ONE.whole


def test_of_two_places_that_list_one_folder_the_other_stays_when_one_goes(shared: House) -> None:
    inner = DiskScene(shared.at / "cy")
    inner.folder = shared.place / "one"
    inner.store.put_blobs(list(ONE.blobs.values()))
    inner.store.hold(ONE.manifest, ONE.root, inner.folder, hashed(inner, ONE))
    store(inner).places.share(inner.folder, "cy", shared.public)
    inner.store.close()
    store(shared.bob).places.attach(inner.folder)
    store(shared.bob).places.detach(inner.folder)
    assert shared.look()
    assert shared.copied(ONE) == ONE.whole


def test_what_was_taken_out_of_the_settings_is_forgotten_by_a_collection(shared: House) -> None:
    places = store(shared.bob).places
    places.detach(shared.place)
    shared.look()  # As by the settings.
    assert shared.shared()
    places.forget_others([])
    assert not shared.shared()
    assert shared.look()
    assert shared.shared()


# --- hostile places -------------------------------------------------------------------------------------------------


@covers("T54")
@pytest.mark.parametrize("what", ["link", "folder link", "pipe", "folder", "nothing", "garbage", "large"])
def test_a_catalogue_that_is_none_attaches_nothing(house: House, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    house.hold(ONE, "one")
    house.share()
    real = house.at / "real"
    if what == "folder link":
        house.catalogue.parent.rename(real)
        house.catalogue.parent.symlink_to(real)
    elif what == "garbage":
        house.catalogue.write_bytes(b"\xf5p2\x01" + b"garbage" * 9)
    elif what == "large":
        monkeypatch.setattr(limits, "SHARED_CATALOGUE_BYTES_MAX", 20)
    else:
        house.catalogue.rename(real)
        if what == "link":
            house.catalogue.symlink_to(real)
        elif what == "pipe":
            os.mkfifo(house.catalogue)
        elif what == "folder":
            house.catalogue.mkdir()
    places = store(house.bob).places
    with pytest.raises(HubError) as caught:
        places.attach(house.place)
    assert isinstance(caught.value, Damaged if what in ("garbage", "large") else DiskError)
    assert places.attached() == ()
    assert not house.look()
    assert house.bob.store.holdings() == ()


@covers("T54")
def test_a_catalogue_that_lies_about_what_it_lists_gets_nothing_in(house: House) -> None:
    house.hold(ONE, "one")
    house.hold(TWO, "two")
    house.share()
    right = decode_catalogue(house.catalogue.read_bytes())
    lies = [[each.folder, each.manifest.raw, each.files, each.chunks + (each.folder == "one")] for each in right.listed]
    lies.append(["zz", b"9" * 32, 1, 1])  # Which nothing describes.
    house.catalogue.unlink()
    house.catalogue.write_bytes(encode_record(pack([1, "ann", lies, []]), 0))
    told = store(house.bob).places.attach(house.place)
    assert [folder for folder, _ in told.left_out] == ["one", "zz"]
    assert house.shared() == [str(house.place / "two")]


@covers("T54")
@pytest.mark.parametrize("what", ["garbage", "link", "pipe", "long", "gone"])
def test_a_blob_that_is_wrong_keeps_out_what_it_describes(house: House, what: str) -> None:
    house.hold(ONE, "one")
    house.share()
    blob = house.place / ".p2phub-shared" / "blobs" / ONE.root.raw.hex()
    elsewhere = house.at / "elsewhere"
    blob.rename(elsewhere)
    if what == "garbage":
        blob.write_bytes(b"garbage")
    elif what == "link":
        blob.symlink_to(elsewhere)
    elif what == "pipe":
        os.mkfifo(blob)
    elif what == "long":
        with blob.open("wb") as file:
            file.truncate(1 << 40)
    store(house.bob).places.attach(house.place)
    assert house.shared() == []


def test_a_folder_that_nobody_shares_is_told_from_one_that_is_not_there(house: House) -> None:
    places = store(house.bob).places
    with pytest.raises(DiskError, match="is not shared") as caught:
        places.attach(house.place)
    assert "p2phub share" in str(caught.value.hint)
    with pytest.raises(DiskError, match="never there"):
        places.attach(house.at / "nowhere")


def test_no_more_places_are_attached_than_are_looked_at_in_time(shared: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHARED_PLACES_MAX", 1)
    store(shared.bob).places.attach(shared.place)
    with pytest.raises(UsageError, match="1 places"):
        store(shared.bob).places.attach(shared.at)


# --- who writes -----------------------------------------------------------------------------------------------------


def test_only_what_is_whole_public_and_below_the_place_is_listed(house: House) -> None:
    house.hold(ONE, "one")
    house.hold(TWO, "secret")
    house.private.add(TWO.root)
    house.ann.folder = house.at / "elsewhere"
    put_all(house.ann, TWO)
    house.names = [(ONE.root, Named(KEY, "m", "main", b"signed")), (TWO.root, Named(KEY, "s", "main", b"signed"))]
    assert house.share().listed == 1
    catalogue = decode_catalogue(house.catalogue.read_bytes())
    assert [(each.folder, each.manifest) for each in catalogue.listed] == [("one", ONE.root)]
    assert [each.name for each in catalogue.named] == ["m"]
    house.ann.store.mark_damaged(ONE.root, house.place / "one", 1)
    assert house.tell().listed == 0


def test_what_the_home_keeps_for_itself_is_not_listed(tmp_path: Path) -> None:
    home = DiskScene(tmp_path / "lab")  # A home below the place.
    home.folder = home.store.own_folder(ONE.root)
    home.store.put_blobs(list(ONE.blobs.values()))
    arrival = home.store.arrive(ONE.manifest, ONE.root, ONE.table, home.folder, force=False)
    for chunk in ONE.whole:
        arrival.write(chunk, ONE.chunk(chunk))
    arrival.verified(ONE.whole)
    arrival.finish()
    assert store(home).places.share(tmp_path, "ann", Public(lambda manifest: True, [])).listed == 0
    with pytest.raises(UsageError, match="home of p2phub"):
        store(home).places.share(home.home / "files", "ann", Public(lambda manifest: True, []))
    home.store.close()


def test_the_place_itself_can_be_what_is_held_and_its_list_is_not_published(house: House) -> None:
    house.hold(ONE, ".")
    house.share()
    store(house.bob).places.attach(house.place)
    assert house.shared() == [str(house.place)]
    assert house.copied(ONE) == ONE.whole
    scan = house.ann.store.scan(house.place, lambda path, is_folder: None)
    assert {each.path for each in scan.files} == set(ONE.files)
    assert (".p2phub-shared", "p2phub's own") in scan.left_out


@covers("F05")
@pytest.mark.parametrize("missing", ["root", "list"])
def test_what_describes_it_stays_at_the_place_where_the_home_has_it_no_more(house: House, missing: str) -> None:
    house.hold(ONE, "one")
    house.hold(TWO, "two")
    house.share()
    model = next(entry for entry in ONE.manifest.files if entry.path == "model.bin")
    lost = ONE.root if missing == "root" else model.root
    (house.ann.home / "blobs" / lost.raw.hex()).write_bytes(b"rotted")
    house.ann.reopen()
    house.ann.store.release(TWO.root)
    house.tell()
    assert [each.manifest for each in decode_catalogue(house.catalogue.read_bytes()).listed] == [ONE.root]
    store(house.bob).places.attach(house.place)
    assert house.copied(ONE) == ONE.whole


def test_a_second_home_may_not_write_and_takes_nothing_away(shared: House) -> None:
    shared.hold(TWO, "two", shared.bob)
    places = store(shared.bob).places
    with pytest.raises(Occupied, match="of the node ann"):
        places.share(shared.place, "bob", shared.public)
    with pytest.raises(NotFound):
        places.unshare(shared.place, "bob")
    assert decode_catalogue(shared.catalogue.read_bytes()).writer == "ann"


def test_a_catalogue_that_is_damaged_is_written_anew_by_its_own_home_alone(shared: House) -> None:
    shared.catalogue.write_bytes(b"damaged")
    with pytest.raises(Damaged, match="seems to be shared"):
        store(shared.bob).places.share(shared.place, "bob", shared.public)
    assert shared.tell().listed == 1
    assert shared.look()
    assert shared.copied(ONE) == ONE.whole


@covers("T22")
@pytest.mark.parametrize("what", ["link", "writable"])
def test_a_folder_that_others_could_have_made_is_not_written_to(house: House, what: str) -> None:
    victim = house.at / "victim"
    victim.mkdir()
    if what == "link":
        house.catalogue.parent.symlink_to(victim)
    else:
        house.catalogue.parent.mkdir()
        house.catalogue.parent.chmod(0o777)
    with pytest.raises(DiskError):
        house.share()
    assert list(victim.iterdir()) == []
    assert store(house.ann).places.shared() == ()


def test_to_stop_removes_what_was_written_and_nothing_else(shared: House) -> None:
    folder = shared.catalogue.parent
    (folder / "blobs" / "mine.txt").write_bytes(b"mine")
    (folder / f".catalogue.{'0' * 16}").write_bytes(b"left over by a crash")
    store(shared.ann).places.unshare(shared.place, "ann")
    assert [str(path.relative_to(folder)) for path in folder.rglob("*")] == ["blobs", "blobs/mine.txt"]
    assert store(shared.ann).places.shared() == ()
    assert ONE.files == {name: (shared.place / "one" / name).read_bytes() for name in ONE.files}


def test_everybody_may_read_the_list_as_far_as_the_umask_lets_them(house: House) -> None:
    house.hold(ONE, "one")
    before = os.umask(0o022)
    try:
        assert house.share().others_may_read
        blobs = house.catalogue.parent / "blobs"
        assert {oct(path.stat().st_mode & 0o777) for path in blobs.iterdir()} == {"0o644"}
        assert [oct(each.stat().st_mode & 0o777) for each in (blobs.parent, blobs, house.catalogue)] == [
            "0o755",
            "0o755",
            "0o644",
        ]
        store(house.ann).places.unshare(house.place, "ann")
        os.umask(0o077)
        assert not house.share().others_may_read
    finally:
        os.umask(before)


class Failing(Disk):
    """A disk whose effect number `left` fails; 0: none."""

    def __init__(self) -> None:
        self.left = 0
        self.failed = False

    def _effect(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.failed = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self._effect()
        super().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        self._effect()
        super().fdatasync(fd)

    def fsync(self, fd: int) -> None:
        self._effect()
        super().fsync(fd)

    def replace(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
        self._effect()
        super().replace(source, target, source_fd=source_fd, target_fd=target_fd)

    def unlink(self, name: str, *, dir_fd: int) -> None:
        self._effect()
        super().unlink(name, dir_fd=dir_fd)


def test_wherever_writing_ends_a_reader_finds_all_that_was_listed_before_or_after(tmp_path: Path) -> None:
    for number in range(1, 100):
        disk = Failing()
        house = House(tmp_path / str(number)) if not (tmp_path / str(number)).mkdir() else House(tmp_path)
        house.ann.store.close()
        house.ann = DiskScene(tmp_path / str(number) / "ann", disk)
        house.hold(ONE, "one")
        house.share()
        house.hold(TWO, "two")
        house.ann.store.release(ONE.root)
        disk.left = number
        try:
            house.tell()
        except DiskError:
            assert disk.failed
        disk.left = 0
        store(house.bob).places.attach(house.place)
        [folder] = house.shared()
        assert house.copied(ONE if folder.endswith("one") else TWO)
        house.tell()
        house.look()
        assert house.shared() == [str(house.place / "two")]
        names = {path.name for path in house.catalogue.parent.iterdir()}
        assert names == {"blobs", "catalogue", "lock"}
        house.ann.store.close()
        house.bob.store.close()
        if not disk.failed:
            break
    assert number > 5


def test_the_newest_are_listed_where_there_is_not_room_for_all(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.hold(ONE, "one")
    house.hold(TWO, "two")
    monkeypatch.setattr(limits, "SHARED_LISTED_MAX", 1)
    told = house.share()
    assert (told.listed, told.left_out) == (1, ((str(house.place / "one"), "the catalogue is full"),))
    assert [each.folder for each in decode_catalogue(house.catalogue.read_bytes()).listed] == ["two"]


def test_releases_are_found_by_the_name_that_they_are_listed_under(house: House) -> None:
    house.hold(ONE, "one")
    named = Named(KEY, "m", "main", b"signed")
    house.names = [(ONE.root, named), (ONE.root, replace(named, tag="old", signed=b"older"))]
    house.share()
    places = store(house.bob).places
    assert places.releases(KEY, "m", "main") == []
    places.attach(house.place)
    assert places.releases(KEY, "m", "main") == [b"signed"]
    assert places.releases(KEY, "m", "old") == [b"older"]
    places.detach(house.place)
    assert places.releases(KEY, "m", "main") == []


@covers("F06")
@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES])
def test_a_place_that_the_disk_does_not_show_now_stays_shared(
    shared: House, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Else it would list for ever what this home has long forgotten to have told."""
    really = os.stat

    def stat(path: Any, **named: Any) -> os.stat_result:
        if str(path) == str(shared.catalogue.parent):
            raise OSError(error, os.strerror(error))
        return really(path, **named)

    places = store(shared.ann).places
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stat)
        patch.setattr(os, "lstat", stat)
        with pytest.raises(DiskError):
            places.unshare(shared.place, "ann")
    assert places.shared() == (shared.place,)
    places.unshare(shared.place, "ann")
    assert places.shared() == ()
    assert not shared.catalogue.parent.exists()
