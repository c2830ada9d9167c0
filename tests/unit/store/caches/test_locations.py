"""Where other programs keep models, and what a folder that a user names is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.store.caches import CACHES, default_places, makes_symlinks, scan_cache, which
from tests.support.hub_cache import COMMIT, small_model

HOME = Path("/home/me")
HF = "/home/me/.cache/huggingface/hub"


@pytest.mark.parametrize(
    ("cache", "environ", "places"),
    [
        ("hf", {}, [HF]),
        ("hf", {"HF_HUB_CACHE": ""}, [HF]),
        ("hf", {"XDG_CACHE_HOME": "/xdg"}, ["/xdg/huggingface/hub"]),
        ("hf", {"XDG_CACHE_HOME": "/xdg", "HF_HOME": "/hf"}, ["/hf/hub"]),
        ("hf", {"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, ["/old"]),
        ("hf", {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/new"}, ["/new"]),
        ("hf", {"HF_HUB_CACHE": "~/models"}, ["/home/me/models"]),
        ("hf", {"LLAMA_CACHE": "/llama"}, [HF, "/llama"]),
        ("hf", {"LLAMA_CACHE": "/same", "HF_HUB_CACHE": "/same/"}, ["/same"]),
        ("llamacpp", {}, ["/home/me/.cache/llama.cpp"]),
        ("llamacpp", {"XDG_CACHE_HOME": "/xdg"}, ["/xdg/llama.cpp"]),
        ("llamacpp", {"XDG_CACHE_HOME": "/xdg", "LLAMA_CACHE": "/llama"}, ["/llama"]),
        ("ollama", {}, ["/home/me/.ollama/models", "/usr/share/ollama/.ollama/models"]),
        ("ollama", {"OLLAMA_MODELS": "/big/ollama"}, ["/big/ollama"]),
        ("lmstudio", {}, ["/home/me/.lmstudio/models", "/home/me/.cache/lm-studio/models"]),
    ],
)
def test_a_cache_is_where_its_program_looks_for_it(cache: str, environ: dict[str, str], places: list[str]) -> None:
    assert default_places(cache, environ, HOME) == tuple(map(Path, places))


@pytest.mark.parametrize(("value", "links"), [(None, True), ("", True), ("0", True), ("1", False), ("yes", False)])
def test_the_clients_own_setting_says_whether_links_are_made(value: str | None, links: bool) -> None:
    assert makes_symlinks({} if value is None else {"HF_HUB_DISABLE_SYMLINKS": value}) is links


def test_each_cache_has_a_place_and_it_is_absolute() -> None:
    for cache in CACHES:
        places = default_places(cache, {"HF_HOME": "here", "LLAMA_CACHE": "here", "OLLAMA_MODELS": "here"}, HOME)
        assert places
        assert all(place.is_absolute() for place in places)


@pytest.mark.parametrize("program", [".lmstudio", ".cache/lm-studio"])
def test_lm_studio_says_in_its_settings_where_models_are(tmp_path: Path, program: str) -> None:
    settings = tmp_path / program / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"downloadsFolder": "/big/models", "language": "en"}))
    newer, older = tmp_path / ".lmstudio" / "models", tmp_path / ".cache" / "lm-studio" / "models"
    assert default_places("lmstudio", {}, tmp_path) == (Path("/big/models"), newer, older)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"downloadsFolder": 7}',
        '{"downloadsFolder": null}',
        '{"downloadsFolder": "a\\u0000b"}',
        '{"x":' + "[" * 100_000,
    ],
    ids=["empty", "an array", "a number", "null", "NUL", "deep"],
)
def test_settings_that_say_nothing_are_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / ".lmstudio").mkdir()
    (tmp_path / ".lmstudio" / "settings.json").write_text(text)
    assert len(default_places("lmstudio", {}, tmp_path)) == 2


def test_settings_that_are_too_long_or_a_pipe_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / ".lmstudio" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"downloadsFolder": "/big/models"}))
    monkeypatch.setattr(limits, "CACHE_SETTINGS_BYTES_MAX", settings.stat().st_size - 1)
    assert len(default_places("lmstudio", {}, tmp_path)) == 2
    settings.unlink()
    os.mkfifo(settings)
    assert len(default_places("lmstudio", {}, tmp_path)) == 2


def test_a_hugging_face_cache_is_told_by_its_repositories(tmp_path: Path) -> None:
    made = small_model(tmp_path / "huggingface" / "hub", "datasets--org--name")
    for place in (tmp_path / "huggingface", made.hub, made.folder, made.snapshot):
        assert which(place) == "hf"
        assert [model.revision for model in scan_cache("hf", place).models] == [COMMIT]


def test_ollama_is_told_by_manifests_and_blobs(tmp_path: Path) -> None:
    models = tmp_path / ".ollama" / "models"
    (models / "manifests" / "host").mkdir(parents=True)
    (models / "blobs").mkdir()
    assert which(models) == "folder"
    (models / "blobs" / f"sha256-{'0' * 64}").touch()
    assert which(models) == which(tmp_path / ".ollama") == "ollama"
    assert scan_cache("ollama", tmp_path / ".ollama").problems == ()


def test_anything_else_is_a_folder(tmp_path: Path) -> None:
    assert which(tmp_path) == "folder"
    assert which(tmp_path / "none") == "folder"
    (tmp_path / "models--org--name").mkdir()  # With nothing in it, it may be anybody's.
    (tmp_path / "blobs").mkdir()
    assert which(tmp_path) == "folder"
    (tmp_path / "file").touch()
    assert which(tmp_path / "file") == "folder"


def test_a_folder_that_may_not_be_read_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_model(tmp_path)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert which(tmp_path) == "folder"
