"""Which fetches began and did not end: noted in the home, shown by `ls`, and never needed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import trio

from p2phub.content import digest_of
from p2phub.node import unfinished
from p2phub.node.capping import JobCaps
from p2phub.node.rates import Rates
from p2phub.node.running import Running
from p2phub.node.unfinished import NOTE_BYTES_MAX, NOTES_FOLDER, Begun, begun, forget, note
from p2phub.store.destination import portion_in
from tests.support.content import content_of
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


async def test_what_a_fetch_left_is_listed_with_how_much_is_there_until_it_is_whole(
    scene: Scene, tmp_path: Path
) -> None:
    disk = DiskScene(tmp_path / "disk")
    fetch = Begun("x/m", CONTENT.root, disk.folder)
    note(scene.parts.config.home, fetch)
    assert (await scene.call("unfinished"))["items"] == []
    arrival = arrive(disk, CONTENT)
    deliver(arrival, CONTENT, (0, 3))
    arrival.sync()
    [item] = (await scene.call("unfinished"))["items"]
    assert (item["reference"], item["folder"], item["bytes"], item["percent"]) == ("x/m", str(disk.folder), 5000, 40)
    assert item["job"] is None
    assert portion_in(disk.folder, digest_of(b"another")) is None
    deliver_rest(arrival, CONTENT)
    arrival.finish()
    assert (await scene.call("unfinished"))["items"] == []
    arrival.close()
    disk.store.close()


@pytest.mark.parametrize("length", [0, 3, 40, 90])
def test_a_journal_that_is_torn_or_made_up_tells_no_more_than_it_can(length: int, tmp_path: Path) -> None:
    disk = DiskScene(tmp_path / "disk")
    arrival = arrive(disk, CONTENT)
    deliver(arrival, CONTENT, (0, 3))
    arrival.sync()
    arrival.close()
    disk.store.close()
    [journal] = disk.folder.glob(".p2phub/*/journal")
    journal.write_bytes(journal.read_bytes()[:length])
    found = portion_in(disk.folder, CONTENT.root)
    assert found is None or found.chunks <= 2
    journal.write_bytes(b"\xff" * 1000)
    assert portion_in(disk.folder, CONTENT.root) is None
