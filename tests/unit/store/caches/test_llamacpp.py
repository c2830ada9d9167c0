"""Reading the flat cache of older llama.cpp: one model a file, or the parts that it was split into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2phub.store.caches import scan_cache
from p2phub.store.folders import fingerprint


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))


def test_each_gguf_is_a_model_and_what_lies_beside_it_is_none(tmp_path: Path) -> None:
    put(tmp_path, "org_name_b.gguf", "org_name_a.gguf", "org_name_a.gguf.etag", "org_name_a.gguf.json")
    put(tmp_path, "manifest=org=name=latest.json", "org_name_c.gguf.downloadInProgress")
    scan = scan_cache("llamacpp", tmp_path)
    assert scan.problems == ()
    assert [model.name for model in scan.models] == ["org_name_a.gguf", "org_name_b.gguf"]
    model = scan.models[0]
    (file,) = model.files
    assert (model.cache, model.folder, model.complete, model.revision) == ("llamacpp", tmp_path, False, None)
    assert (file.path, file.place, file.claim) == ("org_name_a.gguf", tmp_path / "org_name_a.gguf", None)
    assert file.fingerprint == fingerprint(file.place.lstat())


def test_the_parts_of_a_model_are_together(tmp_path: Path) -> None:
    put(tmp_path, "m-Q4-00002-of-00002.gguf", "m-Q4-00001-of-00002.gguf", "m-Q8-00001-of-00001.gguf")
    models = scan_cache("llamacpp", tmp_path).models
    assert {model.name: [file.path for file in model.files] for model in models} == {
        "m-Q4.gguf": ["m-Q4-00001-of-00002.gguf", "m-Q4-00002-of-00002.gguf"],
        "m-Q8.gguf": ["m-Q8-00001-of-00001.gguf"],
    }


def test_a_link_within_is_followed_and_what_is_no_file_is_a_problem(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    root.mkdir()
    put(root, "real.bin", "b:c.gguf", "d\udcff.gguf")
    (tmp_path / "private").write_bytes(b"private")
    (root / "linked.gguf").symlink_to("real.bin")
    (root / "gone.gguf").symlink_to("nothing")
    (root / "outside.gguf").symlink_to("../private")
    (root / "circle.gguf").symlink_to("circle.gguf")
    (root / "folder.gguf").mkdir()
    os.mkfifo(root / "pipe.gguf")
    scan = scan_cache("llamacpp", root)
    assert [(model.name, model.files[0].place) for model in scan.models] == [("linked.gguf", root / "real.bin")]
    assert [(Path(where).name, why) for where, why in scan.problems[1:]] == [
        ("circle.gguf", "a link that goes in circles"),
        ("d\\xff.gguf", "'d\\udcff.gguf' is not text: the file's name is not UTF-8"),
        ("folder.gguf", "a folder or special file, or a link to one"),
        ("outside.gguf", "a link that leads elsewhere"),
        ("pipe.gguf", "a folder or special file, or a link to one"),
    ]
    assert Path(scan.problems[0][0]).name == "b:c.gguf"


@pytest.mark.parametrize("cache", ["hf", "llamacpp", "lmstudio", "ollama", "folder"])
def test_a_place_that_is_not_there_is_a_problem(tmp_path: Path, cache: str) -> None:
    scan = scan_cache(cache, tmp_path / "none")
    assert scan.models == ()
    ((where, why),) = scan.problems
    assert where == str(tmp_path / "none")
    assert "is gone or was never there" in why


@pytest.mark.parametrize("cache", ["hf", "llamacpp", "lmstudio", "ollama", "folder"])
def test_a_place_that_is_a_file_is_a_problem(tmp_path: Path, cache: str) -> None:
    put(tmp_path, "file")
    scan = scan_cache(cache, tmp_path / "file")
    assert (scan.models, len(scan.problems)) == ((), 1)


@pytest.mark.parametrize("cache", ["hf", "llamacpp", "lmstudio", "ollama", "folder"])
def test_an_empty_place_holds_nothing_complete(tmp_path: Path, cache: str) -> None:
    scan = scan_cache(cache, tmp_path)
    assert scan.problems == ()
    assert not any(model.complete or model.files for model in scan.models)
