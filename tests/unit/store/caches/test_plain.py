"""Reading folders of plain files: a whole one that a user names, and LM Studio's, file by file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.store import Fingerprint, scanning
from p2phub.store.caches import CachedModel, scan_cache
from p2phub.store.folders import fingerprint


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode("utf-8", "surrogateescape"))


def only_model(cache: str, root: Path) -> CachedModel:
    scan = scan_cache(cache, root)
    assert scan.problems == ()
    (model,) = scan.models
    return model


def paths_of(model: CachedModel) -> list[str]:
    return [file.path for file in model.files]


# --- a folder ----------------------------------------------------------------------------------------------------


def test_a_folder_is_one_complete_model_of_all_its_files(tmp_path: Path) -> None:
    put(tmp_path, "b/a.txt", "b.txt", ".gitattributes", "b-c.txt", ".env")
    model = only_model("folder", tmp_path)
    assert (model.cache, model.name, model.revision, model.folder) == ("folder", str(tmp_path), None, tmp_path)
    assert model.complete
    assert paths_of(model) == [".env", ".gitattributes", "b-c.txt", "b.txt", "b/a.txt"]
    assert model.files[4].place == tmp_path / "b" / "a.txt"
    assert model.files[4].fingerprint == fingerprint((tmp_path / "b" / "a.txt").lstat())
    assert {file.claim for file in model.files} == {None}
    assert model.left_out == ()


def test_a_clone_and_a_download_into_a_folder_have_the_files_of_the_repository(tmp_path: Path) -> None:
    """What git and `hf download --local-dir` put beside them is left out, an ignore file of ours too."""
    put(tmp_path, ".gitattributes", "README.md", "onnx/model.onnx")
    put(tmp_path, ".git/config", ".git/lfs/objects/a", "sub/.git", ".p2phub/lock", ".p2phubignore")
    put(tmp_path, ".cache/huggingface/download/README.md.metadata", ".cache/huggingface/.gitignore", "a.incomplete")
    model = only_model("folder", tmp_path)
    assert paths_of(model) == [".gitattributes", "README.md", "onnx/model.onnx"]
    assert model.complete
    assert [path for path, _ in model.left_out] == [
        ".cache",
        ".git",
        ".p2phub",
        ".p2phubignore",
        "a.incomplete",
        "sub/.git",
    ]


def test_links_within_a_folder_are_followed_and_others_left_out(tmp_path: Path) -> None:
    root = tmp_path / "model"
    put(root, "deep/weights.bin", "extra/x")
    put(tmp_path, "private")
    (root / "alias.bin").symlink_to("way/weights.bin")
    (root / "way").symlink_to("deep")
    (root / "private").symlink_to("../private")
    (root / "gone").symlink_to("nothing")
    (root / "circle").symlink_to("circle")
    os.mkfifo(root / "pipe")
    model = only_model("folder", root)
    assert [(file.path, file.place) for file in model.files] == [
        ("alias.bin", root / "deep" / "weights.bin"),
        ("deep/weights.bin", root / "deep" / "weights.bin"),
        ("extra/x", root / "extra" / "x"),
    ]
    why = "a link that leaves the folder, leads nowhere or in circles"
    assert dict(model.left_out) == {
        "circle": why,
        "gone": why,
        "pipe": "not a regular file",
        "private": why,
        "way": "a link to a folder or a special file",
    }


def test_a_folder_is_read_through_a_link_to_it(tmp_path: Path) -> None:
    put(tmp_path / "model", "file")
    (tmp_path / "way").symlink_to("model")
    model = only_model("folder", tmp_path / "way")
    assert model.folder == tmp_path / "way"
    assert model.files[0].place == tmp_path / "model" / "file"


def test_paths_that_no_manifest_can_hold_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "a:b", "con.txt", "fine")
    os.symlink("fine", os.fsencode(tmp_path) + b"/b\xff")
    model = only_model("folder", tmp_path)
    assert paths_of(model) == ["fine"]
    assert sorted(path for path, _ in model.left_out) == ["a:b", "b\\xff", "con.txt"]


def test_files_that_are_one_on_some_systems_cannot_be_held_together(tmp_path: Path) -> None:
    put(tmp_path, "README.md", "readme.md")
    scan = scan_cache("folder", tmp_path)
    assert not scan.models[0].complete
    assert len(scan.models[0].files) == 2
    assert "are one file on some systems" in scan.problems[0][1]


def test_of_a_folder_of_which_a_part_may_not_be_read_the_rest_is_told_but_not_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "closed/file", "file")
    (tmp_path / "link").symlink_to("closed/file")
    real_open = os.open

    def refuse(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "closed":
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    model = only_model("folder", tmp_path)
    assert (paths_of(model), model.complete) == (["file"], False)
    assert model.left_out == tuple((path, "cannot read it: permission denied") for path in ("closed", "link"))


def test_a_folder_that_may_be_listed_and_not_entered_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "closed/file", "file")
    looks = scanning.fingerprint

    def refuse(status: os.stat_result) -> Fingerprint:  # As `stat` does of what stands in such a folder.
        if status.st_size == len("closed/file"):
            raise PermissionError(13, "Permission denied")
        return looks(status)

    monkeypatch.setattr(scanning, "fingerprint", refuse)
    model = only_model("folder", tmp_path)
    assert (paths_of(model), model.complete) == (["file"], False)
    assert model.left_out == (("closed/file", "cannot read it: permission denied"),)


def test_a_folder_of_more_files_than_a_manifest_has_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", "b", "c")
    monkeypatch.setattr(limits, "FILES_MAX", 2)
    scan = scan_cache("folder", tmp_path)
    assert scan.models == ()
    assert [why for _, why in scan.problems] == ["more than 2 files"]


def test_what_is_removed_while_a_folder_is_read_is_not_in_it(tmp_path: Path) -> None:
    put(tmp_path, "a", "b", "c/d", "e")
    looked = 0

    def remove_behind_its_back() -> bool:
        nonlocal looked
        looked += 1
        if looked == 1:  # All names of the folder are known by now.
            (tmp_path / "b").unlink()
            (tmp_path / "c" / "d").unlink()
            (tmp_path / "c").rmdir()
        return False

    scan = scan_cache("folder", tmp_path, stopped=remove_behind_its_back)
    assert scan.problems == ()
    assert paths_of(scan.models[0]) == ["a", "e"]


def test_once_stopped_a_folder_is_not_told(tmp_path: Path) -> None:
    put(tmp_path, "a", "b", "c")
    scan = scan_cache("folder", tmp_path, stopped=iter([False, True]).__next__)
    assert (scan.models, scan.problems) == ((), ())


# --- LM Studio ---------------------------------------------------------------------------------------------------


def test_lm_studio_keeps_models_by_publisher_and_their_weights_stand_alone(tmp_path: Path) -> None:
    put(tmp_path, "org/m-GGUF/m-Q4.gguf", "org/m-GGUF/mmproj-m.gguf", "org/m-GGUF/.DS_Store", "org/m-GGUF/part/a.GGUF")
    put(tmp_path, "mlx/m/model.safetensors", "mlx/m/config.json", "mlx/empty/notes.txt", "stray.gguf", "org/stray.gguf")
    put(tmp_path, ".internal/x/y.gguf")
    scan = scan_cache("lmstudio", tmp_path)
    assert scan.problems == ()
    mlx, gguf = scan.models
    assert (gguf.cache, gguf.name, gguf.folder) == ("lmstudio", "org/m-GGUF", tmp_path / "org" / "m-GGUF")
    assert paths_of(gguf) == ["m-Q4.gguf", "mmproj-m.gguf", "part/a.GGUF"]
    assert (gguf.complete, gguf.files[0].claim) == (False, None)
    assert gguf.files[2].place == tmp_path / "org" / "m-GGUF" / "part" / "a.GGUF"
    assert (mlx.name, paths_of(mlx)) == ("mlx/m", ["model.safetensors"])
    assert mlx.left_out == (("config.json", "not a weight file: none stands alone but those"),)


def test_one_bad_model_of_lm_studio_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "models"
    put(root, "a/closed/m.gguf", "b/good/m.gguf", "c:c/bad/m.gguf", "d-closed/m/m.gguf", "e/x/m.gguf")
    (root / "b" / "linked").symlink_to(root / "e" / "x")
    (root / "f").symlink_to(root / "e")
    real_open = os.open

    def refuse(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if "closed" in os.fspath(path).rpartition("/")[2]:
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    scan = scan_cache("lmstudio", root)
    assert [model.name for model in scan.models] == ["b/good", "e/x"]
    problems = {str(Path(where).relative_to(root)): why for where, why in scan.problems}
    linked = "a link, which is not followed: name the folder that it leads to"
    assert problems == {
        "a/closed": "cannot read it: permission denied",
        "b/linked": linked,
        "c:c/bad": "'c:c/bad' begins with a drive",
        "d-closed": "cannot read it: permission denied",
        "f": linked,
    }
