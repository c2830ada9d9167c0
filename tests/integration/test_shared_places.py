"""Shared places as users have them: one home writes, others read, each a process of its own, without a network."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.as_nobody import NOBODY
from tests.support.covers import covers
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Event, Scene

END_S = 120.0
MIB = 1 << 20


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    lab = tmp_path / "lab"
    lab.mkdir()
    return lab


def run(scene: Scene, title: str, *words: str | Path) -> tuple[Event, int]:
    """Run a command; return the last object that it printed, and its exit code."""
    process = scene.start(title, *words, "--no-lan")
    code = process.finish(timeout_s=END_S)
    return process.events[-1], code


def done(scene: Scene, title: str, *words: str | Path) -> Event:
    event, code = run(scene, title, *words)
    assert code == 0, event
    return event


def model(lab: Path, name: str, *, seed: int, mib: int = 3) -> Path:
    return make_safetensors_folder(lab / name, mib * MIB, files=2, seed=seed)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what stands in a folder, with what changes when it is written."""
    return {
        str(each.relative_to(folder)): (status.st_mtime_ns, status.st_ino)
        for each in sorted(folder.rglob("*"))
        for status in [each.lstat()]
    }


def test_what_one_home_shares_another_fetches_by_its_name_without_a_network(
    scene: Scene, lab: Path, tmp_path: Path
) -> None:
    folder = model(lab, "one", seed=1)
    reference = scene.publish("ann", folder, name="one")["reference"]
    shared = done(scene, "ann", "share", lab)["items"]
    assert [(each["listed"], each["named"], each["others_may_read"]) for each in shared] == [(1, 1, True)]
    before = tree(lab)
    assert done(scene, "bob", "attach", lab)["items"][0]["listed"] == 1
    plan = done(scene, "bob", "plan", reference)
    assert (plan["bytes_missing"], plan["bytes_here"]) == (0, plan["bytes"])
    fetched = done(scene, "bob", "fetch", reference, "--into", tmp_path / "copy")
    assert (fetched["bytes_received"], fetched["bytes_reused"]) == (0, plan["bytes"])
    assert tree_digest(tmp_path / "copy") == tree_digest(folder)
    assert tree(lab) == before  # Nothing is written below what is attached.


def test_what_is_attached_is_not_called_held_before_it_was_verified_here(scene: Scene, lab: Path) -> None:
    folder = model(lab, "one", seed=1)
    scene.publish("ann", folder, name="one")
    done(scene, "ann", "share", lab)
    done(scene, "bob", "attach", lab)
    [item] = done(scene, "bob", "ls")["items"]
    assert (item["origin"], item["complete"], item["folder"]) == ("shared", False, str(folder))
    assert done(scene, "bob", "verify", folder)["origin"] == "shared"
    [item] = done(scene, "bob", "ls")["items"]
    assert item["complete"]
    assert done(scene, "bob", "du")["bytes"] == 0
    failed, code = run(scene, "bob", "rm", folder)
    assert (code, "detach" in failed["hint"]) == (3, True)
    done(scene, "bob", "gc")
    done(scene, "bob", "detach", lab)
    assert done(scene, "bob", "ls")["items"] == []
    assert folder.is_dir()


def test_two_readers_fetch_while_the_writer_adds_and_removes_models(scene: Scene, lab: Path, tmp_path: Path) -> None:
    first, second = model(lab, "first", seed=1), model(lab, "second", seed=2)
    reference = scene.publish("ann", first, name="first")["reference"]
    done(scene, "ann", "share", lab)
    for reader in ("bob", "cy"):
        done(scene, reader, "attach", lab)
    readers = [
        scene.start(title, "fetch", reference, "--into", tmp_path / title, "--no-lan") for title in ("bob", "cy")
    ]
    added = scene.publish("ann", second, name="second")["reference"]
    for reader in readers:
        assert reader.finish(timeout_s=END_S) == 0
        assert reader.events[-1]["bytes_received"] == 0
    assert tree_digest(tmp_path / "bob") == tree_digest(tmp_path / "cy") == tree_digest(first)
    fetched = done(scene, "bob", "fetch", added, "--into", tmp_path / "added")
    assert fetched["bytes_received"] == 0
    done(scene, "ann", "unpublish", added)
    folders = {item["folder"] for item in done(scene, "cy", "ls")["items"]}
    assert folders == {str(first), str(tmp_path / "cy")}


@covers("T58")
def test_what_is_private_or_becomes_so_is_never_listed(scene: Scene, lab: Path) -> None:
    secret, plain = model(lab, "secret", seed=1), model(lab, "plain", seed=2)
    scene.publish("ann", secret, name="secret", arguments=["--private"])
    scene.publish("ann", plain, name="plain")
    done(scene, "ann", "share", lab)
    done(scene, "bob", "attach", lab)
    assert {item["folder"] for item in done(scene, "bob", "ls")["items"]} == {str(plain)}
    listing = b"".join(each.read_bytes() for each in (lab / ".p2phub-shared").rglob("*") if each.is_file())
    assert b"secret" not in listing
    assert os.fsencode(lab) not in listing  # No absolute path.
    scene.publish("ann", plain, name="plain", arguments=["--private"])
    assert done(scene, "bob", "ls")["items"] == []


def test_a_second_home_is_refused_and_told_who_shares_it(scene: Scene, lab: Path) -> None:
    scene.publish("ann", model(lab, "one", seed=1), name="one")
    done(scene, "ann", "share", lab)
    who = done(scene, "ann", "init")["peer_id"]
    failed, code = run(scene, "bob", "share", lab)
    assert (code, who in failed["message"]) == (6, True)
    failed, code = run(scene, "bob", "share", "--stop", lab)
    assert code == 3
    assert done(scene, "ann", "share")["items"][0]["listed"] == 1
    done(scene, "ann", "share", "--stop", lab)
    assert not (lab / ".p2phub-shared").exists()
    assert done(scene, "bob", "share", lab)["items"][0]["listed"] == 0


def test_a_place_that_vanished_gives_nothing_and_is_back_when_it_is(scene: Scene, lab: Path, tmp_path: Path) -> None:
    folder = model(lab, "one", seed=1)
    reference = scene.publish("ann", folder, name="one")["reference"]
    done(scene, "ann", "share", lab)
    done(scene, "bob", "attach", lab)
    other = tmp_path / "elsewhere"
    lab.rename(other)
    assert done(scene, "bob", "ls")["items"] == []
    assert done(scene, "bob", "attach")["items"][0]["problem"]
    failed, code = run(scene, "bob", "fetch", reference, "--into", tmp_path / "copy")
    assert (code, failed["event"]) == (7, "failed")
    own = scene.publish("bob", model(tmp_path, "own", seed=9), name="own")
    assert own["event"] == "published"
    other.rename(lab)
    assert done(scene, "bob", "fetch", reference, "--into", tmp_path / "copy")["bytes_received"] == 0


def test_a_place_that_is_mounted_elsewhere_serves_as_well_by_the_settings(
    scene: Scene, lab: Path, tmp_path: Path
) -> None:
    reference = scene.publish("ann", model(lab, "one", seed=1), name="one")["reference"]
    done(scene, "ann", "share", lab)
    mounted = tmp_path / "mnt"
    shutil.copytree(lab, mounted)
    shutil.move(lab, tmp_path / "gone")
    scene.environment["bob"] = {"P2PHUB_SHARED": str(mounted)}
    fetched = done(scene, "bob", "fetch", reference, "--into", tmp_path / "copy")
    assert fetched["bytes_received"] == 0
    failed, code = run(scene, "bob", "detach", mounted)
    assert (code, "settings" in failed["message"]) == (2, True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may look into: pytest's own are for one user alone."""
    folder = Path(tempfile.mkdtemp(prefix="p2phub-shared-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@covers("T54")
def test_another_user_reads_what_it_may_not_write_to(scene: Scene, open_folder: Path) -> None:
    """As a user of its own where the tests may become one; else from a tree without the right to write."""
    lab = open_folder / "lab"
    lab.mkdir(mode=0o755)
    folder = model(lab, "one", seed=1)
    reference = scene.publish("ann", folder, name="one")["reference"]
    done(scene, "ann", "share", lab)
    before = tree(lab)
    mine = open_folder / "reader"
    mine.mkdir()
    program = [sys.executable, "-m", "p2phub"]
    if os.geteuid() == 0:
        os.chown(mine, NOBODY, NOBODY)
        program = [sys.executable, "-m", "tests.support.as_nobody"]
    folders = [each for each in (lab, *lab.rglob("*")) if each.is_dir()]
    for each in folders:
        each.chmod(0o555)
    try:
        with Scene(mine / "scene", program=program) as reader:
            os.chown(mine / "scene", mine.stat().st_uid, mine.stat().st_gid)
            done(reader, "bob", "attach", lab)
            fetched = done(reader, "bob", "fetch", reference, "--into", mine / "copy")
            assert fetched["bytes_received"] == 0
            assert done(reader, "bob", "verify", folder)["damaged"] == []
            failed, code = run(reader, "bob", "share", lab)
            assert (code, failed["event"]) == (6, "failed")
    finally:
        for each in folders:
            each.chmod(0o755)
    assert tree_digest(mine / "copy") == tree_digest(folder)
    assert tree(lab) == before
    assert (mine / "copy").stat().st_uid == mine.stat().st_uid
