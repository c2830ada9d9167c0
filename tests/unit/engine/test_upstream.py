"""What a hub may tell and give: each odd answer is refused as the hub's, before anything of it is kept."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.engine.upstream import Listing, Upstream
from p2phub.engine.upstream_api import Repo
from p2phub.engine.workers import Workers
from p2phub.errors import Damaged, DiskError, DiskFull, NotFound, PeerGone, ProtocolViolation, UsageError
from p2phub.identity import MirrorId, parse_mirror
from p2phub.net import Mirrors
from p2phub.net.interface import Take
from p2phub.store import hub_copy
from p2phub.store.hub_copy import HubCopy, HubFile, _write_whole, hash_beginning
from p2phub.store.hub_lock import alone
from tests.support.covers import covers

COMMIT = "c0ffee" + "0" * 34
REPO = Repo("model", "acme/mini")
BIG = bytes(range(256)) * (12 * limits.MIB // 256)


def entry(path: str, content: bytes, **other: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    lfs = {"oid": sha256, "size": len(content), "pointerSize": 130}
    return {"type": "file", "path": path, "size": len(content), "oid": "0" * 40, "lfs": lfs, **other}


class FakeHub:
    """`net.Hub`. `tree`: its pages; `content`: what it sends of each path; `fails_at`: where it breaks off, once
    each."""

    def __init__(self, tree: list[Any], content: dict[str, bytes] | None = None) -> None:
        self.sha = COMMIT
        self.tree = tree
        self.content = content or {}
        self.fails_at: list[int] = []
        self.spans: list[tuple[int, int]] = []
        self.waits: trio.Event | None = None

    async def told(self, path: str, query: str = "", *, most: int) -> tuple[bytes, str | None]:
        if "/tree/" not in path:
            return json.dumps({"sha": self.sha}).encode(), None
        page = int(query.partition("page=")[2] or 0)
        told = self.tree[page]
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        return body, f"page={page + 1}" if page + 1 < len(self.tree) else None

    async def span(self, path: str, start: int, stop: int, *, size: int, take: Take) -> None:
        self.spans.append((start, stop))
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        if name not in self.content:
            raise NotFound(f"nothing at {path}")
        while start < stop:
            until = min(start + limits.MIB, stop)
            if self.fails_at and self.fails_at[0] < until:
                await take(self.content[name][start : self.fails_at[0]])
                self.fails_at.pop(0)
                raise PeerGone("its answer ended too early")
            await take(self.content[name][start:until])
            start = until
        if self.waits is not None:
            await self.waits.wait()

    async def aclose(self) -> None: ...


class FakeMirrors:
    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub

    def open_hub(self, mirror: MirrorId, token: str | None) -> FakeHub:
        return self.hub


Ask = Callable[[FakeHub, trio.Nursery], Upstream]


@pytest.fixture
def kept() -> list[Listing]:
    return []


@pytest.fixture
def wanted() -> list[int]:
    """What room was asked for; below zero as the last: there is none."""
    return []


@pytest.fixture
def ask(tmp_path: Path, kept: list[Listing], wanted: list[int]) -> Ask:
    async def room(count: int) -> None:
        if wanted and wanted[-1] < 0:
            raise DiskFull(f"{count} bytes more would be over the quota")
        wanted.append(count)

    def make(hub: FakeHub, nursery: trio.Nursery) -> Upstream:
        return Upstream(
            parse_mirror("https://hub.example"),
            token=None,
            folder=tmp_path,
            workers=Workers(),
            mirrors=cast(Mirrors, FakeMirrors(hub)),
            nursery=nursery,
            kept=kept.append,
            make_room=room,
        )

    return make


@pytest.mark.parametrize(
    "page",
    [
        b"<html>",
        b"[" * 100_000,
        {"error": "no list"},
        [entry("../x", b"1")],
        [entry("x" * (limits.PATH_BYTES_MAX + 1), b"1")],
        [entry("/etc/passwd", b"1")],
        [entry("a", b"1"), entry("A", b"2")],
        [entry("a", b"1"), entry("a/b", b"2")],
        [entry("a", b"1", lfs={"oid": "../../x", "size": 1})],
        [entry("a", b"1", lfs={"oid": "0" * 64, "size": -1})],
        [entry("a", b"1", lfs={"oid": "0" * 64, "size": 1 << 50})],
        [entry("a", b"1", lfs=None, oid="/" * 40)],
        [entry("a", b"1", lfs=None, oid="0" * 40, size=limits.GIT_SHA1_FILE_BYTES_MAX)],
    ],
)
async def test_a_listing_that_breaks_a_rule_is_the_hubs_fault_and_leaves_nothing(
    ask: Ask, tmp_path: Path, page: Any
) -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(ProtocolViolation):
            await ask(FakeHub([page]), nursery).listing(REPO, "main")
    assert list(tmp_path.iterdir()) == []


async def test_a_commit_that_is_none_and_pages_without_end_are_refused(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2phub.engine.upstream._PAGES_MAX", 3)
    async with trio.open_nursery() as nursery:
        hub = FakeHub([[]] * 5)
        with pytest.raises(ProtocolViolation, match="pages without end"):
            await ask(hub, nursery).listing(REPO, "main")
        hub.sha = "../" * 13 + "x"
        with pytest.raises(ProtocolViolation, match="a commit"):
            await ask(hub, nursery).listing(REPO, "main")
        monkeypatch.setattr(limits, "UPSTREAM_LISTING_BYTES_MAX", 5000)
        with pytest.raises(ProtocolViolation, match="more than 5000 bytes"):
            await ask(FakeHub([[{"type": "directory", "path": "x" * 3000}]] * 2), nursery).listing(REPO, "main")


async def test_a_branch_and_its_commit_that_are_asked_for_at_once_are_one_listing(ask: Ask) -> None:
    found: list[Listing] = []
    async with trio.open_nursery() as nursery:
        upstream = ask(FakeHub([[entry("a", b"1")]]), nursery)

        async def look(revision: str) -> None:
            found.append(await upstream.listing(REPO, revision))

        for revision in ("main", COMMIT, "main", COMMIT):
            nursery.start_soon(look, revision)
    assert len(found) == 4
    assert all(each is found[0] for each in found)


def test_what_is_written_whole_at_once_by_two_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: _write_whole(tmp_path / "list", b"%d" % (number % 2)), range(200)))
    assert [each.name for each in tmp_path.iterdir()] == ["list"]


KEY_NAME = "12D3KooWHeC6yqozs8uUKBZXkqzFiDXUp4w1hoZzEMJrb3743aLf/Mini"
"""What looks like a publisher's, and is none of a publisher's: those have no capitals."""


@pytest.mark.parametrize(
    "name", ["", "..", "a/..", "../a", "a/b/c", "a--b/c", "a/b?x", "a/b c", "a" * 97, "a\n", KEY_NAME]
)
def test_a_name_that_no_hub_has_is_asked_of_none(name: str) -> None:
    with pytest.raises(UsageError):
        Repo("model", name)


async def test_what_breaks_off_goes_on_from_there_and_nothing_is_told_of_before_it_was_checked(
    ask: Ask, kept: list[Listing]
) -> None:
    hub = FakeHub([[entry("big.bin", BIG)]], {"big.bin": BIG})
    hub.fails_at = [5 * limits.MIB + 7]
    told: list[tuple[bytes, int]] = []

    def arrived(place: Path, start: int, stop: int) -> None:
        told.append((place.read_bytes()[start:stop], stop))

    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        await upstream.bring(listing, "big.bin", 0, len(BIG), arrived)
    assert [start for start, _ in hub.spans] == [0, 5 * limits.MIB + 7]
    assert all(content == BIG[:stop] for content, stop in told)
    assert [stop for _, stop in told if stop > len(BIG) - limits.UPSTREAM_HELD_BACK_BYTES] == [len(BIG)]
    assert [each.commit for each in kept] == [COMMIT]


async def leave_half(ask: Ask, hub: FakeHub) -> Path:
    """Have a download end in the middle, and return where what came of it is."""
    hub.fails_at = [5 * limits.MIB] * 4
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        with pytest.raises(PeerGone):
            await upstream.bring(listing, "big.bin", 0, len(BIG), lambda place, start, stop: None)
    place = listing.copy.coming(listing.files["big.bin"])
    assert place.stat().st_size == 5 * limits.MIB
    hub.spans.clear()
    return place


@covers("F01")
async def test_what_came_for_a_process_that_ended_is_gone_on_with(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2phub.engine.upstream._AGAIN_S", 0)
    hub = FakeHub([[entry("big.bin", BIG)]], {"big.bin": BIG})
    await leave_half(ask, hub)
    told: list[int] = []
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        await upstream.bring(listing, "big.bin", 0, len(BIG), lambda place, start, stop: told.append(stop))
    assert [start for start, _ in hub.spans] == [5 * limits.MIB]
    assert max(told) == len(BIG)


@covers("F02")
async def test_what_a_power_cut_left_of_a_file_is_neither_told_of_nor_laid_to_the_hub(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2phub.engine.upstream._AGAIN_S", 0)
    hub = FakeHub([[entry("big.bin", BIG)]], {"big.bin": BIG})
    with (await leave_half(ask, hub)).open("r+b") as coming:
        coming.seek(limits.MIB)
        coming.write(bytes(limits.MIB))
    monkeypatch.setattr("p2phub.engine.upstream_beginning.this_boot", lambda: "another")
    told: list[tuple[bytes, int]] = []

    def arrived(place: Path, start: int, stop: int) -> None:
        told.append((place.read_bytes()[start:stop], stop))

    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        await upstream.bring(listing, "big.bin", 0, len(BIG), arrived)
    assert all(content == BIG[:stop] for content, stop in told)
    assert max(stop for _, stop in told) == len(BIG)
    assert list((listing.copy.folder / ".coming").iterdir()) == []


async def test_what_is_left_of_a_file_that_is_not_as_listed_is_nothing(ask: Ask, kept: list[Listing]) -> None:
    hub = FakeHub([[entry("big.bin", BIG)]], {"big.bin": BIG[:-1] + b"!"})
    told: list[int] = []
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        for _ in range(2):
            with pytest.raises(Damaged):
                await upstream.bring(listing, "big.bin", 0, len(BIG), lambda place, start, stop: told.append(stop))
    assert len(hub.spans) == 1, "it is not asked for again"
    assert max(told) <= len(BIG) - limits.UPSTREAM_HELD_BACK_BYTES
    assert kept == []
    assert listing.copy.standing(listing.files["big.bin"]) is None


@covers("T26", "F04")
async def test_files_that_the_disk_has_no_room_for_are_not_begun(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub may list any size, and send as much: the room of all that comes is looked at, before any of it does."""
    disk = SimpleNamespace(f_bavail=100, f_blocks=1000, f_frsize=limits.MIB)
    monkeypatch.setattr("p2phub.store.destination.os.statvfs", lambda fd: disk)
    large = {"oid": "0" * 64, "size": 101 * limits.MIB}
    half, other = ({"oid": digit * 64, "size": 60 * limits.MIB} for digit in "12")
    hub = FakeHub([[entry("large", b"", lfs=large), entry("half", b"", lfs=half), entry("other", b"", lfs=other)]])
    hub.content = {"large": BIG, "half": BIG, "other": BIG}
    hub.waits = trio.Event()
    comes = trio.Event()

    def nothing(place: Path, start: int, stop: int) -> None:
        raise AssertionError("nothing comes of it")

    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        with pytest.raises(DiskFull):
            await upstream.bring(listing, "large", 0, 101 * limits.MIB, nothing)
        assert hub.spans == []
        nursery.start_soon(upstream.bring, listing, "half", 0, 60 * limits.MIB, lambda *came: comes.set())
        await comes.wait()
        with pytest.raises(DiskFull):
            await upstream.bring(listing, "other", 0, 60 * limits.MIB, nothing)
        assert len(hub.spans) == 1
        nursery.cancel_scope.cancel()


@covers("F31")
async def test_a_fault_of_our_own_in_a_file_ends_that_file_alone_and_is_logged(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub = FakeHub([[entry("a", b"1"), entry("b", b"2")]], {"a": b"1", "b": b"2"})
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        with monkeypatch.context() as planted:
            planted.setattr(FakeHub, "span", lambda *args, **more: 1 // 0)
            with pytest.raises(PeerGone):
                await upstream.bring(listing, "a", 0, 1, lambda place, start, stop: None)
        await upstream.bring(listing, "b", 0, 1, lambda place, start, stop: None)
    assert "a fault of our own" in caplog.text


async def test_a_blob_that_changed_on_the_disk_is_not_there(ask: Ask) -> None:
    content = b"weights"
    hub = FakeHub([[entry("a.bin", content)]], {"a.bin": content})
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        await upstream.bring(listing, "a.bin", 0, 7, lambda place, start, stop: None)
        place = listing.copy.standing(listing.files["a.bin"])
        assert place is not None
        place.write_bytes(b"changed")
        assert listing.copy.standing(listing.files["a.bin"]) is None
        await upstream.bring(listing, "a.bin", 0, 7, lambda place, start, stop: None)
    assert place.read_bytes() == content


def kept_copy(at: Path, data: bytes) -> tuple[HubCopy, HubFile, Path]:
    file = HubFile("w.bin", len(data), hashlib.sha256(data).hexdigest(), None)
    copy = HubCopy(at, "models", "a/b", "0" * 40)
    copy.begin({"w.bin": file})
    copy.coming(file).write_bytes(data)
    return copy, file, copy.keep(file)


def test_a_blob_that_was_written_in_and_has_its_times_back_is_not_there(tmp_path: Path) -> None:
    copy, file, place = kept_copy(tmp_path, b"right" * 100)
    was = place.stat()
    with place.open("r+b") as opened:
        opened.write(b"WRONG")
    os.utime(place, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert copy.standing(file) is None


def test_a_blob_that_has_another_time_of_change_alone_is_read_and_is_there(tmp_path: Path) -> None:
    copy, file, place = kept_copy(tmp_path, b"right" * 100)
    seen = copy.folder / ".seen" / file.blob
    noted = seen.read_bytes()
    os.utime(place, ns=(1, 1))
    assert copy.standing(file) == place
    assert seen.read_bytes() != noted
    now = seen.read_bytes()
    seen.write_bytes(b" ".join(now.split()[:3]) + b"\n")  # As it was noted before.
    assert copy.standing(file) == place
    assert seen.read_bytes() == now


def test_a_blob_of_another_size_than_is_listed_is_not_there(tmp_path: Path) -> None:
    """Two listings may say so of one digest: whoever asks would be told of bytes that there are not."""
    copy, file, place = kept_copy(tmp_path, b"right" * 100)
    assert copy.standing(msgspec.structs.replace(file, size=501)) is None
    assert copy.standing(msgspec.structs.replace(file, path="other.bin")) == place


def test_a_blob_whose_keeper_was_killed_before_it_was_noted_is_read_and_is_there(tmp_path: Path) -> None:
    copy, file, place = kept_copy(tmp_path, b"right" * 100)
    seen = copy.folder / ".seen" / file.blob
    noted = seen.read_bytes()
    seen.unlink()
    assert copy.standing(file) == place
    assert seen.read_bytes() == noted
    seen.unlink()
    place.write_bytes(b"wrong" * 100)
    assert copy.standing(file) is None


def test_what_was_kept_is_known_as_such_after_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[str] = set()
    really = os.fsync

    def fsync(fd: int) -> None:
        really(fd)
        synced.add(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(os, "fsync", fsync)
    copy, _, _ = kept_copy(tmp_path / "cache", b"right" * 100)
    held = {copy.folder / "blobs", copy.folder / ".seen"}
    assert {
        str(folder) for each in held for folder in (each, *each.parents) if tmp_path in (folder, *folder.parents)
    } <= synced


def test_what_could_not_be_made_durable_is_not_taken_for_what_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that failed says so once: what it lost is still read as it should be, and the next sync says nothing."""

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    data = b"right" * 100
    file = HubFile("w.bin", len(data), hashlib.sha256(data).hexdigest(), None)
    copy = HubCopy(tmp_path, "models", "a/b", "0" * 40)
    copy.begin({"w.bin": file})
    copy.coming(file).write_bytes(data)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(DiskError, match="input/output"):
            copy.keep(file)
    assert copy.coming(file).read_bytes() == b""
    assert copy.standing(file) is None


class FailingFile:
    """An open file in which the disk fails from `at` on."""

    def __init__(self, really: Any, at: int) -> None:
        self._really, self._at = really, at

    def __enter__(self) -> FailingFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._really.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._really, name)

    def read(self, count: int) -> bytes:
        most = self._at - self._really.tell()
        if most <= 0:
            raise OSError(errno.EIO, "Input/output error")
        return bytes(self._really.read(min(count, most)))


def test_of_a_beginning_that_the_disk_cannot_read_is_kept_what_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each download of the file would end there, until the machine begins anew."""
    place = tmp_path / "coming"
    place.write_bytes(b"right" * 2_000)
    really = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *args, **named: FailingFile(really(path, *args, **named), 4_096))
    hasher = hashlib.sha256()
    assert hash_beginning(place, hasher, 10_000) == 4_096
    assert hasher.digest() == hashlib.sha256((b"right" * 2_000)[:4_096]).digest()
    assert place.stat().st_size == 4_096


def test_what_stands_here_and_cannot_be_read_does_not_stand_and_is_replaced_by_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, file, blob = kept_copy(tmp_path, b"right" * 2_000)
    os.utime(blob, ns=(1, 1))  # So that it is read again.
    really = hub_copy.open_for_reading

    @contextlib.contextmanager
    def failing(place: Path) -> Iterator[FailingFile]:
        with really(place) as opened:
            yield FailingFile(opened, 4_096)

    with monkeypatch.context() as patch:
        patch.setattr(hub_copy, "open_for_reading", failing)
        assert copy.standing(file) is None
    copy.coming(file).write_bytes(b"right" * 2_000)
    assert copy.keep(file) == copy.standing(file) == blob
    assert blob.read_bytes() == b"right" * 2_000


async def test_many_who_want_a_file_wait_for_one_download(ask: Ask) -> None:
    content = b"weights"
    hub = FakeHub([[entry("a.bin", content)]], {"a.bin": content})
    hub.waits = trio.Event()
    got: list[int] = []
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        for _ in range(5):
            nursery.start_soon(upstream.bring, listing, "a.bin", 0, 7, lambda place, start, stop: got.append(stop))
        await trio.testing.wait_all_tasks_blocked()
        hub.waits.set()
    assert (hub.spans, got) == ([(0, 7)], [7] * 5)


async def test_two_files_that_are_one_content_and_come_at_once_are_both_there(ask: Ask, kept: list[Listing]) -> None:
    content = b"tokens"
    hub = FakeHub([[entry("a.json", content), entry("b/a.json", content)]], {"a.json": content, "b/a.json": content})
    hub.waits = trio.Event()
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        async with trio.open_nursery() as clients:
            for path in [*listing.files] * 4:
                clients.start_soon(upstream.bring, listing, path, 0, 6, lambda place, start, stop: None)
            await trio.testing.wait_all_tasks_blocked()
            hub.waits.set()
    assert listing.is_whole
    assert [each.commit for each in kept] == [COMMIT]
    snapshot = listing.copy.folder / "snapshots" / COMMIT
    assert [(snapshot / path).read_bytes() for path in listing.files] == [content] * 2


async def test_files_for_which_the_quota_has_no_room_are_not_begun(ask: Ask, tmp_path: Path, wanted: list[int]) -> None:
    hub = FakeHub([[entry("big.bin", BIG), entry("small.bin", b"few")]], {"big.bin": BIG, "small.bin": b"few"})
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        await upstream.bring(listing, "small.bin", 0, 3, lambda *_: None)
        assert (wanted, upstream.left) == ([3], 0)
        wanted.append(-1)
        with pytest.raises(DiskFull, match="over the quota"):
            await upstream.bring(listing, "big.bin", 0, len(BIG), lambda *_: None)
        assert (hub.spans, upstream.left) == ([(0, 3)], 0)
        wanted.append(0)
        await upstream.bring(listing, "big.bin", 0, len(BIG), lambda *_: None)
    assert wanted[-1] == len(BIG)


async def test_a_snapshot_that_was_collected_after_it_was_listed_comes_again_whole(
    ask: Ask, tmp_path: Path, kept: list[Listing]
) -> None:
    files = {"one.bin": b"one", "two.bin": b"two"}
    hub = FakeHub([[entry(path, data) for path, data in files.items()]], files)
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        for path in files:
            await upstream.bring(listing, path, 0, 3, lambda *_: None)
        assert kept == [listing]
        shutil.rmtree(listing.copy.folder)
        for path in files:
            await upstream.bring(listing, path, 0, 3, lambda *_: None)
        assert len(hub.spans) == 4
        assert kept == [listing, listing]
    for path, data in files.items():
        assert (listing.copy.snapshot / path).read_bytes() == data


async def test_a_snapshot_of_which_a_file_is_coming_has_its_folder_in_use(ask: Ask) -> None:
    hub = FakeHub([[entry("small.bin", b"few")]], {"small.bin": b"few"})
    hub.waits = trio.Event()
    async with trio.open_nursery() as nursery:
        upstream = ask(hub, nursery)
        listing = await upstream.listing(REPO, "main")
        with alone(listing.copy.snapshot) as fd:
            assert fd is not None
        nursery.start_soon(upstream.bring, listing, "small.bin", 0, 3, lambda *_: None)
        while not hub.spans:
            await trio.testing.wait_all_tasks_blocked()
        with alone(listing.copy.snapshot) as fd:
            assert fd is None
        hub.waits.set()
    with alone(listing.copy.snapshot) as fd:
        assert fd is not None
