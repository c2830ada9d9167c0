"""Which fetches began and did not end: noted in the home, shown by `ls`, and never needed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from p2phub.content import digest_of
from p2phub.errors import DiskError, NotFound, Unsafe
from p2phub.node import unfinished
from p2phub.node.capping import JobCaps
from p2phub.node.rates import Rates
from p2phub.node.running import Running
from p2phub.node.unfinished import NOTE_BYTES_MAX, NOTES_FOLDER, Begun, begun, forget, note
from p2phub.node.verbs import Verbs
from p2phub.node.verbs.holding import _told
from p2phub.store.destination import is_unfinished_in
from p2phub.store.journal import JOURNAL
from tests.support.content import content_of
from tests.support.covers import covers
from tests.support.stores import DiskScene, arrive, deliver, deliver_rest
from tests.support.verbs import Scene

CONTENT = content_of({"a.bin": b"a" * 3000, "b.bin": b"b" * 2000}, 1000)
ONE = Begun("x/one", digest_of(b"one"), Path("/models/one"))
TWO = Begun("p2phub:ticket", digest_of(b"two"), Path("/models/t\udcffwo"))  # A folder may have any bytes in its name.


def test_what_is_noted_is_found_until_it_is_forgotten_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    for fetch in (ONE, TWO, ONE):
        note(tmp_path, fetch)
    assert set(begun(tmp_path)) == {ONE, TWO}
    folder = tmp_path / NOTES_FOLDER
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    forget(tmp_path, ONE)
    forget(tmp_path, ONE)
    assert list(begun(tmp_path)) == [TWO]


def test_the_options_of_a_fetch_are_noted_with_it_unless_they_are_too_many(tmp_path: Path) -> None:
    chosen = replace(ONE, options=(("tensor", "*layers*"), ("include", "caf\u00e9 \udcff"), ("link", "")))
    note(tmp_path, chosen)
    assert list(begun(tmp_path)) == [chosen]
    assert chosen.is_same(ONE)
    note(tmp_path, replace(ONE, options=(("include", "x"),) * 10_000))
    assert list(begun(tmp_path)) == [ONE]


async def test_a_fetch_of_another_process_cannot_be_explained_and_it_is_said_what_can_be_done(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    with pytest.raises(NotFound, match="no node runs for this home") as nobody:
        await scene.call("explain", job=1)
    assert "p2phub node" in str(nobody.value.hint)
    running = Running(scene.parts, announcer=scene.announcer)
    with pytest.raises(NotFound, match="no job 1 is under way here"):
        await Verbs(running).call("explain", {"job": 1}, lambda event: None)


def test_a_home_without_notes_has_none(tmp_path: Path) -> None:
    assert list(begun(tmp_path)) == []
    forget(tmp_path, ONE)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"\xff", b"[" * 10_000, b'{"reference": 1, "manifest": "' + b"00" * 32 + b'", "folder": "/x"}',
     b'{"reference": "x", "manifest": "00", "folder": "/x"}', b" " * (NOTE_BYTES_MAX + 1)],
    ids=range(8),
)  # fmt: skip
def test_a_note_that_makes_no_sense_is_passed_over(text: bytes, tmp_path: Path) -> None:
    note(tmp_path, ONE)
    (tmp_path / NOTES_FOLDER / "other").write_bytes(text)
    (tmp_path / NOTES_FOLDER / "link").symlink_to(tmp_path / NOTES_FOLDER / "other")
    assert list(begun(tmp_path)) == [ONE]


def test_of_many_notes_the_oldest_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "NOTES_MAX", 3)
    for number in range(5):
        note(tmp_path, Begun(f"x/{number}", digest_of(b"m"), Path(f"/models/{number}")))
    assert len(list((tmp_path / NOTES_FOLDER).iterdir())) == 3
    assert len(list(begun(tmp_path))) == 3


def leave_unfinished(at: Path, number: int) -> Begun:
    """Leave what a killed fetch leaves: a journal, in a folder of its own."""
    fetch = Begun(f"x/{number}", digest_of(b"m"), at / str(number))
    partials = fetch.folder / ".p2phub" / fetch.manifest.raw.hex()[:16]
    partials.mkdir(parents=True)
    (partials / JOURNAL).touch()
    return fetch


def test_notes_that_lead_to_unfinished_files_do_not_give_way_however_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nothing tells of those files any more: they are not listed, not given up, and the own store's collected."""
    monkeypatch.setattr(unfinished, "NOTES_MAX", 3)
    left = [leave_unfinished(tmp_path, number) for number in range(5)]
    (tmp_path / "empty").mkdir()
    nothing = Begun("x/nothing", digest_of(b"m"), tmp_path / "empty")
    away = Begun("x/away", digest_of(b"m"), tmp_path / "unmounted")
    for fetch in (nothing, away, *left):
        note(tmp_path, fetch)
    assert set(begun(tmp_path)) == {away, *left}
    assert set(unfinished.every_begun(tmp_path)) == {away, *left}


def test_a_note_that_a_clock_set_back_makes_the_oldest_does_not_give_way_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "NOTES_MAX", 3)
    for number in range(3):
        note(tmp_path, leave_unfinished(tmp_path, number))
    for path in (tmp_path / NOTES_FOLDER).iterdir():
        os.utime(path, (1 << 32, 1 << 32))
    (tmp_path / "new").mkdir()
    new = Begun("x/new", digest_of(b"m"), tmp_path / "new")
    note(tmp_path, new)
    assert new in set(begun(tmp_path))


async def test_a_job_that_fails_stays_noted_and_one_that_ends_does_not_however_soon_the_node_ends(scene: Scene) -> None:
    parts = scene.parts
    running = Running(parts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running.keep_notes)
        with running.job(reference="x/done", into="/models/done", caps=JobCaps(digest_of(b"done"), Rates())):
            pass
        with (
            pytest.raises(RuntimeError),
            running.job(reference="x/m", into="/models/m", caps=JobCaps(digest_of(b"m"), Rates())),
        ):
            raise RuntimeError
        nursery.cancel_scope.cancel()
    assert list(begun(parts.config.home)) == [Begun("x/m", digest_of(b"m"), Path("/models/m"))]


async def test_what_a_fetch_left_is_listed_until_it_is_whole(scene: Scene, tmp_path: Path) -> None:
    disk = DiskScene(tmp_path / "disk")
    fetch = Begun("x/m", CONTENT.root, disk.folder)
    note(scene.parts.config.home, fetch)
    arrival = arrive(disk, CONTENT)
    deliver(arrival, CONTENT, (0, 3))
    arrival.sync()
    [item] = (await scene.call("unfinished"))["items"]
    assert (item["reference"], item["folder"], item["job"]) == ("x/m", str(disk.folder), None)
    assert not is_unfinished_in(disk.folder, digest_of(b"another"))
    deliver_rest(arrival, CONTENT)
    arrival.finish()
    assert (await scene.call("unfinished"))["items"] == []
    arrival.close()
    disk.store.close()


async def test_what_was_refused_as_unsafe_says_so_until_it_runs_again(scene: Scene, tmp_path: Path) -> None:
    running = Running(scene.parts)
    own = scene.real_store.own_folder(CONTENT.root)
    (own / ".p2phub" / CONTENT.root.raw.hex()[:16]).mkdir(parents=True)
    (own / ".p2phub" / CONTENT.root.raw.hex()[:16] / JOURNAL).touch()
    caps = JobCaps(CONTENT.root, Rates())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running.keep_notes)
        with pytest.raises(Unsafe), running.job(reference="x/m", into=str(own), caps=caps):
            raise Unsafe("it may run code")
        nursery.cancel_scope.cancel()
    verbs = Verbs(running)
    [item] = (await verbs.call("unfinished", {}, lambda event: None))["items"]
    assert (item["unsafe"], item["own"], item["job"], item["references"]) == (True, True, None, [])
    with running.job(reference="x/m", into=str(own), caps=caps) as told:
        [item] = (await verbs.call("unfinished", {}, lambda event: None))["items"]
        assert (item["unsafe"], item["job"]) == (False, told["job"])
        assert [job["manifest"] for job in running.jobs] == [item["manifest"]]


async def test_nothing_is_read_of_what_lies_in_the_folder(scene: Scene, tmp_path: Path) -> None:
    """Anybody may have unpacked it there: a journal is as long as it likes, a folder or a link is none."""
    home = scene.parts.config.home
    for number, plant in enumerate(
        (lambda at: at.write_bytes(b"\xff" * 1000), Path.mkdir, lambda at: at.symlink_to("/etc/passwd"))
    ):
        folder = tmp_path / str(number)
        own = folder / ".p2phub" / CONTENT.root.raw.hex()[:16]
        own.mkdir(parents=True)
        plant(own / "journal")
        note(home, Begun(f"x/{number}", CONTENT.root, folder))
    items = (await scene.call("unfinished"))["items"]
    assert [(item["reference"], item["bytes"], item["percent"]) for item in items] == [("x/0", None, None)]


async def test_a_note_is_forgotten_when_its_folder_is_there_without_anything_and_kept_when_it_is_not(
    scene: Scene, tmp_path: Path
) -> None:
    home = scene.parts.config.home
    (tmp_path / "here").mkdir()
    away = Begun("x/away", CONTENT.root, tmp_path / "unmounted")
    for fetch in (Begun("x/here", CONTENT.root, tmp_path / "here"), away):
        note(home, fetch)
    assert (await scene.call("unfinished"))["items"] == []
    assert list(begun(home)) == [away]


async def test_a_folder_whose_name_no_path_can_have_ends_nothing(scene: Scene) -> None:
    note(scene.parts.config.home, Begun("x/m", CONTENT.root, Path("/x\0y")))
    assert (await scene.call("unfinished"))["items"] == []
    running = Running(scene.parts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running.keep_notes)
        with running.job(reference="x/m", into="/x\ud800", caps=JobCaps(CONTENT.root, Rates())):
            pass
        nursery.cancel_scope.cancel()


async def test_a_job_is_told_of_the_fetch_that_it_carries_out_and_of_no_other_in_its_folder(
    scene: Scene, tmp_path: Path
) -> None:
    fetch, other = (Begun("x/m", digest_of(word), tmp_path) for word in (b"new", b"old"))
    running = Running(scene.parts)
    with running.job(reference="x/m", into=str(tmp_path), caps=JobCaps(fetch.manifest, Rates())) as told:
        assert running.job_of(fetch) is told
        assert running.job_of(other) is None
    assert running.job_of(fetch) is None


def test_no_share_is_told_of_a_fetch_that_wants_nothing_now() -> None:
    """One for readers wants what they ask for, and between two of them nothing."""
    fetch = Begun("x/m", CONTENT.root, Path("/x"))
    shares = [_told(fetch, {"bytes_verified": 5, "bytes_total": total, "job": 1})["percent"] for total in (0, 10)]
    assert shares == [None, 50]


def begun_in_own_store(scene: Scene) -> Path:
    """Leave an unfinished fetch in the home's own store, and a note of it."""
    store = scene.real_store
    folder = store.own_folder(CONTENT.root)
    note(scene.parts.config.home, Begun("x/m", CONTENT.root, folder))
    store.put_blobs(list(CONTENT.blobs.values()))
    arrival = store.arrive(CONTENT.manifest, CONTENT.root, CONTENT.table, folder, force=False)
    deliver(arrival, CONTENT, (0, 3))
    arrival.sync()
    arrival.close()
    return folder


@covers("F03")
@pytest.mark.parametrize("at", [NOTES_FOLDER, "note", JOURNAL])
async def test_where_the_disk_does_not_say_what_did_not_end_nothing_of_it_is_collected(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    folder = begun_in_own_store(scene)
    [path] = (scene.parts.config.home / NOTES_FOLDER).iterdir()
    bad = path.name if at == "note" else at

    def failing(really: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **named: Any) -> Any:
            if Path(os.fspath(path) if not isinstance(path, int) else "").name == bad:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            return really(path, *args, **named)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "scandir", "lstat"):
            patch.setattr(os, name, failing(getattr(os, name)))
        with contextlib.suppress(DiskError):
            await scene.call("gc")
        await scene.call("unfinished")  # Which shows what it can, and forgets nothing.
    assert list(folder.glob(".p2phub/*/0"))
    assert [each.manifest for each in begun(scene.parts.config.home)] == [CONTENT.root]
    await scene.call("gc")
    assert list(folder.glob(".p2phub/*/0"))


def test_a_note_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    really = os.fsync

    def fsync(fd: int) -> None:
        really(fd)
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(os, "fsync", fsync)
    note(tmp_path, ONE)
    assert synced[0] == str(tmp_path)
    assert synced[-1] == str(tmp_path / NOTES_FOLDER)
