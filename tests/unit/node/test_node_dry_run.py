"""A dry run lists all of a folder, also what publish refuses."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from p2phub.engine.selection import IGNORE_FILE
from p2phub.errors import DiskError, UsageError
from tests.support.verbs import Scene, publish


async def test_a_dry_run_lists_secrets_as_what_publish_refuses_and_publish_refuses(
    scene: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / ".env").write_text("TOKEN=1")
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "old.tmp").write_text("x")
    (folder / "weights.bin").write_bytes(b"w")
    found = await scene.call("survey", folder=str(folder), ignore=(), include=())
    assert [file["path"] for file in found["files"]] == [".env", "weights.bin"]
    assert found["left_out"] == [{"path": "old.tmp", "why": "junk (built-in rule)"}]
    assert {each["path"]: each["why"] for each in found["refused"]} == {
        ".env": "looks like a secret",
        "link": "a link that leaves the folder",
    }
    with pytest.raises(UsageError) as refused:
        await publish(scene, folder)
    assert found["refused_because"] == refused.value.message
    assert scene.real_ledger.publications() == ()


async def test_a_dry_run_of_what_may_be_published_refuses_nothing(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOKEN=1")
    found = await scene.call("survey", folder=str(tmp_path), ignore=("home",), include=(".env",))
    assert found["refused"] == []
    assert found["refused_because"] is None


async def test_what_is_left_out_is_what_the_folders_own_file_and_the_options_say(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / ".git").mkdir(parents=True)
    for name in (".git/config", ".DS_Store", "a.partial", "kept.tmp", "notes.log", "raw.bin", "weights.bin"):
        (folder / name).write_bytes(b"x")
    (folder / IGNORE_FILE).write_text("*.log\n!kept.tmp\n")
    found = await scene.call("survey", folder=str(folder), ignore=("raw.bin",), include=("a.partial",))
    assert [file["path"] for file in found["files"]] == ["a.partial", "kept.tmp", "weights.bin"]
    junk, own = "junk (built-in rule)", f"your rule ({IGNORE_FILE} or --ignore)"
    assert {each["path"]: each["why"] for each in found["left_out"]} == {
        ".git": junk,
        ".DS_Store": junk,
        IGNORE_FILE: junk,
        "notes.log": own,
        "raw.bin": own,
    }


async def test_a_dry_run_says_that_a_name_fits_not_every_machine(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"1")
    (folder / "A.bin").write_bytes(b"2")
    found = await scene.call("survey", folder=str(folder), ignore=(), include=())
    assert len(found["files"]) == 2
    assert "not every machine" in found["refused_because"]


async def test_what_this_user_cannot_read_is_refused_before_anything_is_hashed(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"w")
    denied = folder / "weights.bin"
    monkeypatch.setattr("p2phub.engine.publish.os.access", lambda path, *_, **__: Path(path) != denied)
    found = await scene.call("survey", folder=str(folder), ignore=(), include=())
    assert found["refused"] == [{"path": "weights.bin", "why": "cannot be read: permission denied"}]
    with pytest.raises(DiskError, match=r"cannot read weights.bin .*permission denied") as refused:
        await publish(scene, folder)
    assert found["refused_because"] == refused.value.message
    denied = folder
    with pytest.raises(DiskError, match="permission denied") as refused:
        await publish(scene, folder)
    assert refused.value.message.startswith(f"cannot read {folder}:")
    assert refused.value.hint == "let this user read that folder"


async def test_a_link_that_cannot_be_read_is_told_as_that(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "cwd").symlink_to("nothing")

    def denied(path: str, *, dir_fd: int) -> str:  # As of another user's processes in /proc.
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("p2phub.store.folders.os.readlink", denied)
    with pytest.raises(DiskError, match="cannot read cwd: permission denied"):
        await scene.call("survey", folder=str(folder), ignore=(), include=())


@pytest.mark.parametrize("root", ["/", "/proc/.."])
async def test_all_of_a_machine_is_not_looked_through(scene: Scene, root: str) -> None:
    with pytest.raises(UsageError, match="all of this machine"):
        await scene.call("survey", folder=root, ignore=(), include=())
