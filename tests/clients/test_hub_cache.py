"""A cache that the real client wrote has the layout that `p2phub adopt` relies on, and loads with nobody to ask.

A failure here after an update of huggingface_hub says what it changed in its cache.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.folders import paths_below
from tests.support.hf_client import ClientFailed, HfClient
from tests.support.real_model import real_model
from tests.support.real_repository import CACHE_FOLDER, NAME, add_real_repository
from tests.support.static_hub import StaticHub

pytestmark = pytest.mark.clients

LOAD_MODEL = Path(__file__).with_name("load_model.py")
SMALL = "acme/small"
SMALL_FOLDER = "models--acme--small"
SMALL_FILES = {"config.json": b"{}", "a/b/weights.safetensors": bytes(range(256))}


@pytest.fixture(scope="module")
def hub() -> Iterator[StaticHub]:
    with StaticHub(page_entries=5) as hub:
        add_real_repository(hub)
        hub.add(SMALL, SMALL_FILES)
        yield hub


@pytest.fixture(scope="module")
def downloaded(hub: StaticHub, tmp_path_factory: pytest.TempPathFactory) -> HfClient:
    """A user who downloaded the model; nobody may change the cache."""
    client = HfClient(tmp_path_factory.mktemp("downloaded"), hub.url)
    client.hf("download", NAME)
    return client


@pytest.fixture
def user(hub: StaticHub, tmp_path: Path) -> HfClient:
    """A user whose cache is empty."""
    return HfClient(tmp_path, hub.url)


def commit_of(hub: StaticHub, name: str) -> str:
    return hub.repositories["models", name].refs["refs/heads/main"]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_each_file_of_a_snapshot_is_a_relative_link_to_the_blob_that_its_etag_names(
    hub: StaticHub, downloaded: HfClient
) -> None:
    commit = commit_of(hub, NAME)
    files = hub.repositories["models", NAME].commits[commit]
    snapshot = downloaded.cache / CACHE_FOLDER / "snapshots" / commit
    links = {path: (snapshot / path).readlink().as_posix() for path in files}
    assert links == {path: f"{'../' * path.count('/')}../../blobs/{file.etag}" for path, file in files.items()}
    assert names_in(snapshot.parent) == {commit}
    assert set(paths_below(snapshot)) == set(files)
    blobs = downloaded.cache / CACHE_FOLDER / "blobs"
    assert names_in(blobs) == {file.etag for file in files.values()}
    for file in files.values():
        found = (blobs / file.etag).lstat()
        assert (stat.S_ISREG(found.st_mode), found.st_size) == (True, file.size)
    assert {len(file.etag) for file in files.values()} == {40, 64}


def test_the_listing_of_a_commit_stands_in_trees_with_sizes_and_hashes(hub: StaticHub, downloaded: HfClient) -> None:
    commit = commit_of(hub, NAME)
    expected = {
        path: {"size": file.size, "blob_id": file.oid}
        | ({} if file.sha256 is None else {"lfs_sha256": file.sha256, "lfs_size": file.size})
        for path, file in hub.repositories["models", NAME].commits[commit].items()
    }
    trees = downloaded.cache / CACHE_FOLDER / "trees"
    assert names_in(trees) == {f"{commit}.json"}
    assert json.loads((trees / f"{commit}.json").read_text()) == {"format_version": 1, "files": expected}


def test_a_ref_holds_forty_digits_and_no_newline(hub: StaticHub, downloaded: HfClient) -> None:
    refs = downloaded.cache / CACHE_FOLDER / "refs"
    assert {path: file.read_text() for path, file in paths_below(refs).items()} == {"main": commit_of(hub, NAME)}


def test_a_cache_has_nothing_else(hub: StaticHub, downloaded: HfClient) -> None:
    assert names_in(downloaded.cache) == {".locks", "CACHEDIR.TAG", CACHE_FOLDER}
    assert names_in(downloaded.cache / CACHE_FOLDER) == {"blobs", "refs", "snapshots", "trees"}
    tag = (downloaded.cache / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    locks = names_in(downloaded.cache / ".locks" / CACHE_FOLDER)
    assert locks == {f"{name}.lock" for name in names_in(downloaded.cache / CACHE_FOLDER / "blobs")}


def test_a_second_revision_shares_blobs_and_a_ref_may_have_folders(hub: StaticHub, user: HfClient) -> None:
    commit = hub.add(SMALL, {**SMALL_FILES, "config.json": b'{"more": 1}'}, ref="refs/pr/1")
    user.hf("download", SMALL)
    user.hf("download", SMALL, "--revision", "refs/pr/1")
    cache = user.cache / SMALL_FOLDER
    refs = {path: file.read_text() for path, file in paths_below(cache / "refs").items()}
    assert refs == {"main": commit_of(hub, SMALL), "refs/pr/1": commit}
    assert names_in(cache / "snapshots") == set(refs.values())
    assert len(names_in(cache / "blobs")) == 3


def test_a_commit_downloaded_by_its_digits_has_no_ref(hub: StaticHub, user: HfClient) -> None:
    commit = commit_of(hub, SMALL)
    user.hf("download", SMALL, "--revision", commit)
    assert names_in(user.cache / SMALL_FOLDER) == {"blobs", "snapshots", "trees"}


def test_a_partial_download_has_the_whole_listing_and_the_ref_so_only_the_listing_tells(
    hub: StaticHub, user: HfClient
) -> None:
    commit = commit_of(hub, SMALL)
    user.hf("download", SMALL, "--include", "config.json")
    cache = user.cache / SMALL_FOLDER
    assert set(paths_below(cache / "snapshots" / commit)) == {"config.json"}
    assert set(json.loads((cache / "trees" / f"{commit}.json").read_text())["files"]) == set(SMALL_FILES)
    assert (cache / "refs" / "main").read_text() == commit


def test_single_files_leave_no_listing_and_an_absent_one_is_noted(hub: StaticHub, user: HfClient) -> None:
    commit = commit_of(hub, SMALL)
    user.python("print(json.dumps(hf_hub_download(sys.argv[1], 'config.json')))", SMALL)
    with pytest.raises(ClientFailed, match="RemoteEntryNotFoundError"):
        user.python("hf_hub_download(sys.argv[1], 'chat_template.jinja')", SMALL)
    cache = user.cache / SMALL_FOLDER
    assert names_in(cache) == {".no_exist", "blobs", "refs", "snapshots"}
    noted = paths_below(cache / ".no_exist")
    assert {path: file.stat().st_size for path, file in noted.items()} == {f"{commit}/chat_template.jinja": 0}


def test_without_links_a_snapshot_has_the_files_themselves_and_no_name_has_their_hash(
    hub: StaticHub, user: HfClient
) -> None:
    HfClient(user.folder, user.endpoint, {"HF_HUB_DISABLE_SYMLINKS": "1"}).hf("download", SMALL)
    commit, cache = commit_of(hub, SMALL), user.cache / SMALL_FOLDER
    snapshot = paths_below(cache / "snapshots" / commit)
    assert {path: file.read_bytes() for path, file in snapshot.items()} == SMALL_FILES
    assert not any(file.is_symlink() for file in snapshot.values())
    assert names_in(cache / "blobs") == set()
    assert names_in(cache / "trees") == {f"{commit}.json"}


def test_a_dataset_stands_in_a_folder_of_its_kind_and_no_name_has_what_parts_it(hub: StaticHub, user: HfClient) -> None:
    commit = hub.add("acme/data", {"data/train.parquet": b"PAR1"}, kind="datasets")
    user.hf("download", "acme/data", "--repo-type", "dataset")
    assert set(paths_below(user.cache / "datasets--acme--data" / "snapshots" / commit)) == {"data/train.parquet"}
    with pytest.raises(ClientFailed, match=r"Cannot have -- or \.\. in repo_id"):
        user.hf("download", "acme/some--data", "--repo-type", "dataset")


def test_the_model_loads_from_the_cache_with_nobody_to_ask(hub: StaticHub, downloaded: HfClient) -> None:
    asked = len(hub.asked)
    offline = downloaded.offline()
    loaded = offline.file(LOAD_MODEL, NAME)
    assert loaded == offline.file(LOAD_MODEL, str(real_model()))
    assert (loaded["model"], loaded["hidden_size"], len(loaded["tensors"])) == ("BertConfig", 384, 104)
    assert loaded["text"] == "models move between machines, chunk by verified chunk."
    assert len(hub.asked) == asked


def test_the_client_finds_its_own_cache_whole(hub: StaticHub, downloaded: HfClient) -> None:
    count = len(hub.repositories["models", NAME].commits[commit_of(hub, NAME)])
    said = downloaded.hf("cache", "verify", NAME, "--fail-on-missing-files", "--fail-on-extra-files")
    assert f"Verified {count} file(s)" in said
    warned = downloaded.offline().python("print(json.dumps([str(each) for each in scan_cache_dir().warnings]))")
    assert warned == []
