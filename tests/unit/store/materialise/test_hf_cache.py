"""What is written into a Hugging Face cache is laid out as its client does it, and harms nothing that stands there."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from p2phub import limits
from p2phub.errors import ContentChanged, DiskError, DiskFull, Malformed, Occupied, UsageError
from p2phub.store import Fingerprint
from p2phub.store.clone import Stopped
from p2phub.store.disk import Disk
from p2phub.store.folders import fingerprint
from p2phub.store.materialise import HfPlace, Source, write_snapshot
from p2phub.store.materialise import placer as placer_module
from p2phub.store.rules import FAT, MACOS, WINDOWS, FileRules
from tests.support.covers import covers
from tests.support.folders import write_files
from tests.support.hf_reading import NotCached, scan, snapshot, tree
from tests.support.materialising import (
    FILES,
    LARGE,
    DiskWithoutLinks,
    git_sha1,
    pointer,
    source,
    sources,
    tree_of,
)
from tests.support.opening import all_closed_again

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
STAGING = f".p2phub-new-{os.geteuid()}"


class Scene:
    """A cache, not made yet, and a folder with the files."""

    def __init__(self, at: Path) -> None:
        self.cache = at / "hub"
        self.folder = at / "files"
        write_files(self.folder, FILES)
        self.place = HfPlace(self.cache, "acme/m", COMMIT)
        self.repo = self.cache / "models--acme--m"

    def write(self, files: list[Source] | None = None, *, disk: Disk | None = None, **more: Any) -> Path:
        place = more.pop("place", self.place)
        return write_snapshot(
            disk or Disk(),
            place,
            sources(self.folder) if files is None else files,
            link=more.pop("link", False),
            **more,
        )

    @property
    def blobs(self) -> dict[str, bytes | str]:
        return tree_of(self.repo / "blobs")

    @property
    def snapshot_folder(self) -> Path:
        return self.repo / "snapshots" / COMMIT


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def blob_of(path: str) -> str:
    data = FILES[path]
    return hashlib.sha256(data).hexdigest() if path in LARGE else git_sha1(data).hex()


# --- as the client does it -------------------------------------------------------------------------------------------


def test_the_whole_layout_is_the_clients(scene: Scene) -> None:
    assert scene.write() == scene.snapshot_folder
    expected: dict[str, bytes | str] = {f"models--acme--m/blobs/{blob_of(path)}": FILES[path] for path in FILES}
    for path in FILES:
        way = "../" * (2 + path.count("/"))
        expected[f"models--acme--m/snapshots/{COMMIT}/{path}"] = f"{way}blobs/{blob_of(path)}"
    expected["models--acme--m/refs/main"] = COMMIT.encode()
    found = tree_of(scene.cache)
    listing = found.pop(f"models--acme--m/trees/{COMMIT}.json")
    tag = found.pop("CACHEDIR.TAG")
    assert found == expected
    assert isinstance(tag, bytes)
    assert tag.startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    assert isinstance(listing, bytes)
    entries = {
        path: {"size": len(data), "blob_id": git_sha1(data).hex()}
        if path not in LARGE
        else {
            "size": len(data),
            "blob_id": git_sha1(pointer(data)).hex(),
            "lfs_sha256": hashlib.sha256(data).hexdigest(),
            "lfs_size": len(data),
        }
        for path, data in FILES.items()
    }
    assert json.loads(listing) == {"format_version": 1, "files": entries}
    assert list(json.loads(listing)["files"]) == sorted(FILES)


def test_the_client_finds_it_offline_by_branch_and_by_commit(scene: Scene) -> None:
    scene.write()
    assert snapshot(scene.repo) == FILES
    assert snapshot(scene.repo, COMMIT) == FILES
    assert scan(scene.cache) == {"models--acme--m": {COMMIT: {"main"}}}


def test_blobs_may_be_read_by_others_and_written_by_their_owner(scene: Scene) -> None:
    before = os.umask(0o022)
    try:
        scene.write()
    finally:
        os.umask(before)
    modes = {path.lstat().st_mode & 0o777 for path in (scene.repo / "blobs").iterdir()}
    assert modes == {0o644}
    assert {path.stat().st_mode & 0o777 for path in scene.repo.iterdir()} == {0o755}


@pytest.mark.parametrize("kind", ["model", "dataset", "space", "kernel"])
@pytest.mark.parametrize("repo", ["acme/m", "gpt2", "a.b-c_d/e.f"])
def test_each_kind_of_repository_has_its_folder(scene: Scene, kind: str, repo: str) -> None:
    place = HfPlace(scene.cache, repo, COMMIT, repo_type=kind)
    scene.write(place=place)
    assert list(scan(scene.cache)) == [f"{kind}s--{repo.replace('/', '--')}"]
    assert snapshot(scene.cache / place.folder) == FILES


@pytest.mark.parametrize("ref", ["main", "v1.0", "refs/pr/7"])
def test_a_ref_may_have_parts(scene: Scene, ref: str) -> None:
    scene.write(place=HfPlace(scene.cache, "acme/m", COMMIT, ref=ref))
    assert snapshot(scene.repo, ref) == FILES
    assert scan(scene.cache) == {"models--acme--m": {COMMIT: {ref}}}


def test_without_a_ref_it_is_found_by_its_commit_alone(scene: Scene) -> None:
    scene.write(place=HfPlace(scene.cache, "acme/m", COMMIT, ref=None))
    assert snapshot(scene.repo, COMMIT) == FILES
    with pytest.raises(NotCached):
        snapshot(scene.repo)
    assert scan(scene.cache) == {"models--acme--m": {COMMIT: set()}}


def test_a_file_that_is_not_here_is_listed_so_that_the_client_says_what_is_missing(scene: Scene) -> None:
    files = [
        Source(file.path, file.size, file.sha256, file.git_sha1, None) if file.path == "config.json" else file
        for file in sources(scene.folder)
    ]
    scene.write(files)
    assert set(tree(scene.repo, COMMIT) or ()) == set(FILES)
    with pytest.raises(NotCached, match=r"config\.json"):
        snapshot(scene.repo)
    scene.write()  # It came later.
    assert snapshot(scene.repo) == FILES


def test_a_second_commit_shares_the_blobs_and_moves_the_ref(scene: Scene) -> None:
    scene.write()
    newer = FILES | {"config.json": b'{"a": 2}\n'}
    write_files(scene.folder, newer)
    scene.write(sources(scene.folder, newer), place=HfPlace(scene.cache, "acme/m", OTHER))
    assert snapshot(scene.repo) == newer
    assert snapshot(scene.repo, COMMIT) == FILES
    assert len(scene.blobs) == len(set(FILES.values())) + 1


def test_nothing_of_ours_is_left_in_the_cache_and_no_descriptor_is_open(scene: Scene) -> None:
    with all_closed_again():
        scene.write()
        with suppress(Occupied):
            (scene.repo / "blobs" / blob_of("config.json")).write_bytes(b"other")
            scene.write()
    assert sorted(os.listdir(scene.repo)) == ["blobs", "refs", "snapshots", "trees"]
    assert sorted(os.listdir(scene.cache)) == ["CACHEDIR.TAG", "models--acme--m"]


# --- what is here already --------------------------------------------------------------------------------------------


def test_writing_it_again_changes_nothing(scene: Scene) -> None:
    scene.write()
    before = {path: path.lstat() for path in scene.repo.rglob("*") if not path.is_dir()}
    scene.write()
    after = {path: path.lstat() for path in scene.repo.rglob("*") if not path.is_dir()}
    assert {path: fingerprint(status) for path, status in after.items()} == {
        path: fingerprint(status) for path, status in before.items()
    }


def test_right_blobs_are_used_and_their_sources_not_even_opened(scene: Scene) -> None:
    scene.write()

    def must_not(path: str) -> Callable[[], Any]:
        def open_it() -> Any:
            raise AssertionError(f"{path} is in the cache already")

        return open_it

    files = [
        Source(file.path, file.size, file.sha256, file.git_sha1, must_not(file.path)) for file in sources(scene.folder)
    ]
    scene.write(files, place=HfPlace(scene.cache, "acme/m", OTHER))
    assert snapshot(scene.repo) == FILES


@pytest.mark.parametrize("wrong", [b"x" * len(FILES["config.json"]), b"", FILES["config.json"] + b"x"])
@covers("T54")
def test_a_blob_with_other_bytes_is_neither_used_nor_replaced(scene: Scene, wrong: bytes) -> None:
    (scene.repo / "blobs").mkdir(parents=True)
    blob = scene.repo / "blobs" / blob_of("config.json")
    blob.write_bytes(wrong)
    with pytest.raises(Occupied, match=blob.name):
        scene.write()
    assert blob.read_bytes() == wrong
    assert not (scene.repo / "refs" / "main").exists()
    assert not scene.snapshot_folder.exists()
    blob.unlink()
    scene.write()
    assert snapshot(scene.repo) == FILES


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a link to nowhere"])
def test_what_is_no_blob_in_the_place_of_one_is_refused_and_never_waited_for(scene: Scene, what: str) -> None:
    (scene.repo / "blobs").mkdir(parents=True)
    blob = scene.repo / "blobs" / blob_of("config.json")
    if what == "a folder":
        blob.mkdir()
    elif what == "a pipe":
        os.mkfifo(blob)
    else:
        blob.symlink_to("../../blobs/ab/" + "a" * 64)
    with pytest.raises(Occupied, match=blob.name):
        scene.write()


def test_a_blob_that_lies_in_the_store_that_repositories_share_is_used(scene: Scene) -> None:
    shared = scene.cache / "blobs" / "ab"
    shared.mkdir(parents=True)
    (shared / ("ab" * 32)).write_bytes(FILES["model.safetensors"])
    (scene.repo / "blobs").mkdir(parents=True)
    blob = scene.repo / "blobs" / blob_of("model.safetensors")
    blob.symlink_to(f"../../blobs/ab/{'ab' * 32}")
    scene.write()
    assert blob.is_symlink()
    assert snapshot(scene.repo) == FILES


def test_a_small_file_that_the_client_has_in_lfs_keeps_its_name(scene: Scene) -> None:
    """Whether a file is in LFS a manifest does not say: a blob that is called by SHA-256 does."""
    (scene.repo / "blobs").mkdir(parents=True)
    name = hashlib.sha256(FILES["config.json"]).hexdigest()
    (scene.repo / "blobs" / name).write_bytes(FILES["config.json"])
    scene.write()
    assert os.readlink(scene.snapshot_folder / "config.json") == f"../../blobs/{name}"
    assert (tree(scene.repo, COMMIT) or {})["config.json"]["lfs_sha256"] == name
    assert git_sha1(FILES["config.json"]).hex() not in scene.blobs


def test_a_file_of_ten_mebibytes_is_taken_for_one_in_lfs_though_its_git_digest_is_known(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GIT_SHA1_FILE_BYTES_MAX", len(FILES["README.md"]))
    scene.write()
    assert hashlib.sha256(FILES["README.md"]).hexdigest() in scene.blobs
    assert git_sha1(FILES["config.json"]).hex() in scene.blobs


def listing_of(scene: Scene, **changed: Any) -> dict[str, Any]:
    """Return a listing as the hub gave it to a client: here every file but the README is in LFS, and some in Xet."""
    files: dict[str, Any] = {}
    for path, data in FILES.items():
        files[path] = {"size": len(data), "blob_id": git_sha1(data).hex()}
        if path != "README.md":
            name = hashlib.sha256(data).hexdigest()
            files[path] = {"size": len(data), "blob_id": "b" * 40, "lfs_sha256": name, "lfs_size": len(data)}
            files[path]["xet_hash"] = "c" * 64
    return {"format_version": 1, "files": files | changed}


def put_listing(scene: Scene, listing: Any) -> Path:
    path = scene.repo / "trees" / f"{COMMIT}.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(listing if isinstance(listing, bytes) else json.dumps(listing).encode())
    return path


def test_a_listing_of_the_client_says_what_blobs_are_called_and_stays(scene: Scene) -> None:
    path = put_listing(scene, listing_of(scene))
    before = path.read_bytes()
    scene.write()
    assert path.read_bytes() == before
    assert set(scene.blobs) == {
        git_sha1(data).hex() if path == "README.md" else hashlib.sha256(data).hexdigest()
        for path, data in FILES.items()
    }
    assert snapshot(scene.repo) == FILES


@pytest.mark.parametrize(
    "changed",
    [
        {"config.json": {"size": 9, "blob_id": "a" * 40}},
        {"config.json": {"size": 10, "blob_id": git_sha1(FILES["config.json"]).hex()}},
        {"config.json": {"size": 9, "blob_id": "b" * 40, "lfs_sha256": "../../../../etc/passwd", "lfs_size": 9}},
        {"more.txt": {"size": 9, "blob_id": "a" * 40}},
        {f"{'long' * 100}{number}": {"size": 9, "blob_id": "a" * 40} for number in range(1_000)},
    ],
    ids=["digest", "size", "a path for a name", "one more", "many more"],
)
def test_a_listing_that_says_the_commit_is_something_else_is_refused(scene: Scene, changed: dict[str, Any]) -> None:
    path = put_listing(scene, listing_of(scene, **changed))
    before = tree_of(scene.cache)
    with pytest.raises(Occupied, match="other files"):
        scene.write()
    assert {name: data for name, data in tree_of(scene.cache).items() if name != "CACHEDIR.TAG"} == before
    assert path.exists()


def test_of_a_listing_no_more_is_read_than_ours_could_have(scene: Scene) -> None:
    path = put_listing(scene, b"{")
    os.truncate(path, 1 << 40)
    with pytest.raises(Occupied, match="other files"):
        scene.write()


def test_a_listing_without_one_of_the_files_is_refused(scene: Scene) -> None:
    listing = listing_of(scene)
    del listing["files"]["config.json"]
    put_listing(scene, listing)
    with pytest.raises(Occupied, match=r"config\.json"):
        scene.write()


def test_a_listing_of_a_newer_format_is_refused(scene: Scene) -> None:
    path = put_listing(scene, {"format_version": 2, "entries": []})
    with pytest.raises(Occupied, match="newer"):
        scene.write()
    assert json.loads(path.read_bytes())["format_version"] == 2


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        b'{"format_version": 1, "fil',
        b"\0" * 50,
        b"[" * 100_000,
        b'{"format_version": 1, "files": {"a": 1}}',
        b"\xff",
    ],
    ids=["empty", "torn", "zeros", "deep", "other types", "no text"],
)
def test_a_listing_that_the_client_would_not_read_is_written_anew(scene: Scene, torn: bytes) -> None:
    many = {f"{'n' * 200}{number}": b"" for number in range(100)}  # What is longer than a listing of ours is not read.
    files = sources(scene.folder) + [source(scene.folder, path, b"", at="empty") for path in many]
    put_listing(scene, torn)
    scene.write(files)
    assert set(tree(scene.repo, COMMIT) or ()) == {file.path for file in files}
    assert snapshot(scene.repo).items() >= FILES.items()


def partly_by_client(scene: Scene) -> None:
    """A client that was told to fetch two files left this: no listing in older ones, and a ref already."""
    for path in ("config.json", "onnx/deep/model.onnx"):
        blob = scene.repo / "blobs" / hashlib.sha256(FILES[path]).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(FILES[path])
        link = scene.snapshot_folder / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (scene.repo / "refs").mkdir()
    (scene.repo / "refs" / "main").write_text(COMMIT)


def test_a_snapshot_that_the_client_began_is_completed(scene: Scene) -> None:
    partly_by_client(scene)
    before = tree_of(scene.repo)
    scene.write()
    assert tree_of(scene.repo).items() >= before.items()
    assert snapshot(scene.repo) == FILES


def test_a_link_of_the_client_to_the_other_name_of_a_right_blob_stays(scene: Scene) -> None:
    scene.write()
    data = FILES["config.json"]
    other = hashlib.sha256(data).hexdigest()
    (scene.repo / "blobs" / other).write_bytes(data)
    link = scene.snapshot_folder / "config.json"
    link.unlink()
    link.symlink_to(f"../../blobs/{other}")
    scene.write()
    assert os.readlink(link).endswith(other)
    assert snapshot(scene.repo) == FILES


def test_a_file_that_stands_in_a_snapshot_itself_stays_if_it_is_right(scene: Scene) -> None:
    scene.snapshot_folder.mkdir(parents=True)
    (scene.snapshot_folder / "config.json").write_bytes(FILES["config.json"])
    scene.write()
    assert not (scene.snapshot_folder / "config.json").is_symlink()
    assert snapshot(scene.repo) == FILES


@pytest.mark.parametrize("what", ["a file", "a link out", "a link to another blob", "a dangling link", "a folder"])
def test_what_stands_in_a_snapshot_and_is_something_else_is_not_replaced(scene: Scene, what: str) -> None:
    scene.snapshot_folder.mkdir(parents=True)
    path = scene.snapshot_folder / "config.json"
    if what == "a file":
        path.write_bytes(b"mine")
    elif what == "a link out":
        path.symlink_to(scene.folder / "config.json")
    elif what == "a link to another blob":
        path.symlink_to(f"../../blobs/{blob_of('README.md')}")
    elif what == "a dangling link":
        path.symlink_to(f"../../blobs/{hashlib.sha256(FILES['config.json']).hexdigest()}")
    else:
        path.mkdir()
    before = path.lstat()
    with pytest.raises(Occupied, match=r"config\.json"):
        scene.write()
    assert os.path.samestat(before, path.lstat())
    assert not (scene.repo / "refs" / "main").exists()


@pytest.mark.parametrize("what", ["a file", "a link"])
@covers("T22")
def test_nothing_is_written_through_what_stands_in_the_way_of_a_folder(scene: Scene, what: str, tmp_path: Path) -> None:
    scene.snapshot_folder.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    if what == "a file":
        (scene.snapshot_folder / "onnx").write_bytes(b"mine")
    else:
        (scene.snapshot_folder / "onnx").symlink_to(outside)
    with pytest.raises(Occupied, match="onnx"):
        scene.write()
    assert not list(outside.iterdir())


@pytest.mark.parametrize("name", ["models--acme--m", "models--acme--m/blobs", "models--acme--m/snapshots"])
@covers("T22")
def test_nothing_is_written_through_a_link_below_the_cache(scene: Scene, name: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (scene.cache / name).parent.mkdir(parents=True)
    (scene.cache / name).symlink_to(outside)
    with pytest.raises(DiskError):
        scene.write()
    assert not list(outside.iterdir())


def test_the_cache_itself_may_be_a_link(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    scene.cache.symlink_to(tmp_path / "big disk")
    assert scene.write() == scene.snapshot_folder
    assert snapshot(scene.repo) == FILES


def test_a_ref_that_led_elsewhere_leads_to_the_commit_now(scene: Scene) -> None:
    (scene.repo / "refs").mkdir(parents=True)
    (scene.repo / "refs" / "main").write_text(OTHER)
    scene.write(place=HfPlace(scene.cache, "acme/m", COMMIT, ref=None))
    assert (scene.repo / "refs" / "main").read_text() == OTHER
    scene.write()
    assert (scene.repo / "refs" / "main").read_text() == COMMIT


def test_a_ref_that_is_a_link_is_replaced_and_not_written_through(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (scene.repo / "refs").mkdir(parents=True)
    (scene.repo / "refs" / "main").symlink_to(tmp_path / "mine")
    scene.write()
    assert (tmp_path / "mine").read_text() == "mine"
    assert (scene.repo / "refs" / "main").read_text() == COMMIT


def test_a_tag_that_is_there_stays(scene: Scene) -> None:
    scene.cache.mkdir()
    (scene.cache / "CACHEDIR.TAG").write_text("mine")
    scene.write()
    assert (scene.cache / "CACHEDIR.TAG").read_text() == "mine"


# --- links, moves, file systems that cannot --------------------------------------------------------------------------


def test_by_default_an_edit_in_the_cache_never_changes_our_files(scene: Scene) -> None:
    scene.write()
    for blob in (scene.repo / "blobs").iterdir():
        blob.write_bytes(b"edited")
    assert tree_of(scene.folder) == FILES


def test_files_are_linked_where_that_is_asked_for_and_whoever_knows_them_is_told(scene: Scene) -> None:
    told: dict[str, Fingerprint] = {}
    scene.write(link=True, linked=lambda file, now: told.update({file.path: now}))
    assert snapshot(scene.repo) == FILES
    assert (scene.folder / "config.json").stat().st_nlink == 2
    for path, now in told.items():
        assert now == fingerprint((scene.folder / path).stat())
    assert told.keys() == FILES.keys() - {"model.safetensors", "again.safetensors"} | {
        path for path in LARGE if (scene.folder / path).stat().st_nlink == 2
    }


def test_a_file_of_ours_that_nobody_needs_any_more_is_moved(scene: Scene) -> None:
    files = sources(scene.folder, movable=True)
    inode = (scene.folder / "config.json").stat().st_ino
    scene.write(files)
    assert snapshot(scene.repo) == FILES
    assert (scene.repo / "blobs" / blob_of("config.json")).stat().st_ino == inode
    # Of two equal files one is needed.
    left = tree_of(scene.folder)
    assert left.keys() <= {"model.safetensors", "again.safetensors"}
    assert len(left) == 1


def test_a_file_that_has_another_name_is_copied_rather_than_moved(scene: Scene) -> None:
    os.link(scene.folder / "config.json", scene.folder / "mine.json")
    scene.write([source(scene.folder, "config.json", FILES["config.json"], movable=True)])
    assert (scene.folder / "mine.json").stat().st_nlink == 2
    assert (scene.folder / "config.json").exists()
    assert not os.path.samefile(scene.folder / "mine.json", scene.snapshot_folder / "config.json")
    assert snapshot(scene.repo) == {"config.json": FILES["config.json"]}


def test_what_lies_elsewhere_than_it_is_said_to_is_copied_rather_than_moved(scene: Scene) -> None:
    (scene.folder / "mine.json").write_bytes(b"mine")
    file = source(scene.folder, "config.json", FILES["config.json"])
    moved = Source(file.path, file.size, file.sha256, file.git_sha1, file.open, scene.folder / "mine.json")
    scene.write([moved])
    assert (scene.folder / "mine.json").read_bytes() == b"mine"
    assert snapshot(scene.repo) == {"config.json": FILES["config.json"]}


@pytest.mark.parametrize("movable", [False, True])
def test_where_no_links_can_be_files_stand_in_the_snapshot(scene: Scene, movable: bool) -> None:
    files = sources(scene.folder, movable=movable)
    scene.write(files, disk=DiskWithoutLinks())
    assert not any(path.is_symlink() for path in scene.repo.rglob("*"))
    assert tree_of(scene.snapshot_folder) == FILES
    assert snapshot(scene.repo) == FILES
    assert scene.blobs == {}
    assert bool(tree_of(scene.folder)) is not movable
    scene.write(disk=DiskWithoutLinks())
    assert snapshot(scene.repo) == FILES


def test_where_no_links_can_be_a_file_that_stands_there_and_is_wrong_is_not_replaced(scene: Scene) -> None:
    scene.snapshot_folder.mkdir(parents=True)
    (scene.snapshot_folder / "config.json").write_bytes(b"mine")
    with pytest.raises(Occupied, match=r"config\.json"):
        scene.write(disk=DiskWithoutLinks())
    assert (scene.snapshot_folder / "config.json").read_bytes() == b"mine"


@pytest.mark.parametrize("rules", [WINDOWS, FAT], ids=["windows", "fat"])
@pytest.mark.parametrize("link", [False, True])
def test_by_the_rules_of_another_platform_it_is_written_as_there(scene: Scene, rules: FileRules, link: bool) -> None:
    scene.write(link=link, rules=rules)
    assert not any(path.is_symlink() for path in scene.repo.rglob("*"))
    assert snapshot(scene.repo) == FILES
    linked = os.stat(scene.snapshot_folder / "config.json").st_nlink == 2
    assert linked is (link and rules.hard_links)


def test_where_the_client_is_told_to_make_no_links_none_are_made(scene: Scene) -> None:
    scene.write(symlinks=False)
    assert not any(path.is_symlink() for path in scene.repo.rglob("*"))
    assert tree_of(scene.snapshot_folder) == FILES
    assert (scene.blobs, scan(scene.cache)) == ({}, {"models--acme--m": {COMMIT: {"main"}}})


@pytest.mark.parametrize("first", [True, False])
def test_a_snapshot_of_the_other_kind_is_used_as_it_is_and_nothing_is_brought_twice(scene: Scene, first: bool) -> None:
    scene.write(symlinks=first)
    (scene.snapshot_folder / "config.json").unlink()
    before = tree_of(scene.snapshot_folder)
    scene.write(symlinks=not first)
    after = tree_of(scene.snapshot_folder)
    assert {path: after[path] for path in before} == before
    assert (scene.snapshot_folder / "config.json").is_symlink() is not first
    assert snapshot(scene.repo) == FILES
    assert set(scene.blobs) == ({blob_of("config.json")} if not first else {blob_of(path) for path in FILES})


@pytest.mark.parametrize("rules", [MACOS, WINDOWS], ids=["macos", "windows"])
@pytest.mark.parametrize(
    "place",
    [{"repo": "Acme/m"}, {"ref": "Main"}, {"ref": "MAIN/x"}],
    ids=["repository", "branch", "folder of a branch"],
)
def test_a_name_that_differs_in_case_alone_is_refused_before_anything_is_written(
    scene: Scene, rules: FileRules, place: dict[str, str]
) -> None:
    scene.write()
    before = tree_of(scene.cache)
    values = {"repo": "acme/m", "commit": OTHER, **place}
    with pytest.raises(Occupied, match="one name"):
        scene.write(place=HfPlace(scene.cache, **values), rules=rules)  # type: ignore[arg-type]
    assert tree_of(scene.cache) == before
    scene.write(place=HfPlace(scene.cache, "acme/m", OTHER, ref="other"), rules=rules)


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        {"repo": "acme/m/x"},
        {"repo": "../m"},
        {"repo": "acme--x/m"},
        {"repo": "acme/m.git"},
        {"repo": "acme/-m"},
        {"repo": "acme/m."},
        {"repo": "acme/é"},
        {"repo": "a" * 97},
        {"repo": ""},
        {"commit": "main"},
        {"commit": "A" * 40},
        {"commit": "a" * 41},
        {"repo_type": "bucket"},
        {"ref": "../main"},
        {"ref": "/main"},
        {"ref": ""},
        {"ref": "a//b"},
    ],
    ids=str,
)
def test_a_place_that_the_client_would_not_accept_is_refused_before_anything_is_made(
    scene: Scene, place: dict[str, str]
) -> None:
    whole: dict[str, Any] = {"cache": scene.cache, "repo": "acme/m", "commit": COMMIT} | place
    with pytest.raises(UsageError):
        scene.write(place=HfPlace(**whole))
    assert not scene.cache.exists()


@pytest.mark.parametrize("path", ["../x", "/x", "a/../x", "a\\x", ".p2phub/x", "con"])
@covers("T21")
def test_a_path_that_no_manifest_may_have_is_refused_before_anything_is_made(scene: Scene, path: str) -> None:
    with pytest.raises(Malformed):
        scene.write([source(scene.folder, path, FILES["config.json"], at="config.json")])
    assert not scene.cache.exists()


@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_is_not_as_it_was_hashed_makes_no_snapshot(scene: Scene, link: bool) -> None:
    files = sources(scene.folder)
    (scene.folder / "config.json").write_bytes(b"other")
    with pytest.raises(ContentChanged):
        scene.write(files, link=link)
    assert not (scene.repo / "refs").exists()
    assert not scene.snapshot_folder.exists()
    assert blob_of("config.json") not in scene.blobs


def test_a_file_of_another_size_than_it_should_have_is_refused(scene: Scene) -> None:
    file = source(scene.folder, "config.json", FILES["config.json"])
    with pytest.raises(ContentChanged, match="should have"):
        scene.write([Source(file.path, file.size + 1, file.sha256, file.git_sha1, file.open)])


def test_whoever_does_not_wait_any_more_stops_it_and_the_next_run_goes_on(scene: Scene) -> None:
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(Stopped):
        scene.write(stopped=stopped)
    assert not (scene.repo / "refs").exists()
    assert not (scene.repo / STAGING).exists()
    scene.write()
    assert snapshot(scene.repo) == FILES


def test_a_check_of_what_is_there_is_stopped_too_and_blames_nobody(scene: Scene) -> None:
    scene.write()
    with pytest.raises(Stopped):
        scene.write(stopped=lambda: True)


@covers("F07")
def test_a_second_process_at_the_same_repository_waits_for_nobody(scene: Scene) -> None:
    class Second(Disk):
        def symlink(self, target: str, name: str, *, dir_fd: int) -> None:
            with pytest.raises(Occupied, match="another p2phub"):
                scene.write()
            super().symlink(target, name, dir_fd=dir_fd)

    scene.write(disk=Second())
    assert snapshot(scene.repo) == FILES


def test_what_a_crash_left_in_our_folder_is_removed_and_nothing_else(scene: Scene, tmp_path: Path) -> None:
    staging = scene.repo / STAGING
    (staging / "7" / "onnx").mkdir(parents=True)
    (staging / "3").write_bytes(b"half")
    (staging / "7" / "onnx" / "x").symlink_to(tmp_path / "files")
    (scene.repo / "blobs").mkdir()
    download = scene.repo / "blobs" / f"{'a' * 64}.0123abcd.incomplete"
    download.write_bytes(b"a client is at it")
    scene.write()
    assert not staging.exists()
    assert download.exists()
    assert tree_of(scene.folder) == FILES


def test_another_users_folder_of_that_name_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (scene.repo / STAGING).mkdir(parents=True)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    (scene.repo / STAGING).rename(scene.repo / f".p2phub-new-{me + 1}")
    with pytest.raises(DiskError, match="another user"):
        scene.write()


def test_a_client_that_was_faster_with_the_same_blob_is_no_trouble(scene: Scene) -> None:
    class Racing(Disk):
        def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
            if target == blob_of("config.json"):
                (scene.repo / "blobs" / target).write_bytes(FILES["config.json"])
            super().rename_new(source, target, source_fd=source_fd, target_fd=target_fd)

    scene.write(disk=Racing())
    assert snapshot(scene.repo) == FILES


def test_a_client_that_was_faster_with_a_wrong_blob_is_not_believed(scene: Scene) -> None:
    class Racing(Disk):
        def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
            if target == blob_of("config.json"):
                (scene.repo / "blobs" / target).write_bytes(b"wrong")
            super().rename_new(source, target, source_fd=source_fd, target_fd=target_fd)

    with pytest.raises(Occupied):
        scene.write(disk=Racing())
    assert not (scene.repo / "refs").exists()


def test_a_client_that_makes_the_snapshot_meanwhile_has_it_completed(scene: Scene) -> None:
    class Racing(Disk):
        def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
            if target == COMMIT:
                scene.snapshot_folder.mkdir()
                (scene.snapshot_folder / "config.json").symlink_to(f"../../blobs/{blob_of('config.json')}")
            super().rename_new(source, target, source_fd=source_fd, target_fd=target_fd)

    scene.write(disk=Racing())
    assert snapshot(scene.repo) == FILES


@covers("F04")
def test_a_full_disk_is_said_and_the_next_run_goes_on(scene: Scene) -> None:
    class Full(Disk):
        left = 3

        def open(
            self, name: str | os.PathLike[str], flags: int, mode: int = 0o666, *, dir_fd: int | None = None
        ) -> int:
            if flags & os.O_CREAT:
                self.left -= 1
                if self.left < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().open(name, flags, mode, dir_fd=dir_fd)

    with pytest.raises(DiskFull):
        scene.write(disk=Full())
    assert not (scene.repo / "refs" / "main").exists()
    scene.write()
    assert snapshot(scene.repo) == FILES


@covers("T26")
def test_what_cannot_fit_is_refused_after_the_first_copy(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unsharing(Disk):
        def clone(self, source_fd: int, target_fd: int) -> bool:
            return False

    copied: list[str] = []

    def copy(*args: object, **more: object) -> Any:
        copied.append(str(more["shown"]))
        return make_copy(*args, **more)  # type: ignore[arg-type]

    make_copy = placer_module.make_copy
    monkeypatch.setattr(placer_module, "make_copy", copy)
    monkeypatch.setattr(limits, "FREE_SPACE_RESERVE_BYTES", 1 << 62)
    monkeypatch.setattr(os, "statvfs", lambda fd: os.statvfs_result((1, 1 << 20, 1 << 60, 100, 100, 9, 9, 9, 0, 255)))
    with pytest.raises(DiskFull):
        scene.write(disk=Unsharing())
    assert copied == ["README.md"]


@pytest.mark.parametrize("held", [False, True])
def test_a_large_blob_is_brought_under_the_clients_lock_or_without_if_that_is_held(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    monkeypatch.setattr(limits, "SYNC_BYTES", 2_500)
    lock = scene.cache / ".locks" / "models--acme--m" / f"{blob_of('model.safetensors')}.lock"
    if held:
        lock.parent.mkdir(parents=True)
        lock.touch()
    busy: list[bool] = []

    class Looking(Disk):
        def rename_new(self, source: str, target: str, *, source_fd: int, target_fd: int) -> None:
            if target == blob_of("model.safetensors"):
                with lock.open() as file:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        busy.append(True)
            super().rename_new(source, target, source_fd=source_fd, target_fd=target_fd)

    with ExitStack() as stack:
        if held:
            fcntl.flock(stack.enter_context(lock.open()), fcntl.LOCK_EX)
        scene.write(disk=Looking())
    assert busy == [True]
    assert snapshot(scene.repo) == FILES
    assert [path.name for path in (scene.cache / ".locks").rglob("*.lock")] == [lock.name]


@pytest.mark.parametrize("call", ["fdatasync", "fsync", "syncfs"])
@covers("F03")
def test_a_sync_that_fails_leaves_no_ref_and_the_next_run_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(placer_module, "ONE_BY_ONE_MAX", 8 if call != "syncfs" else 1)
    disk = Disk()

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk, call, fail)
    with pytest.raises(DiskError, match="input/output"):
        scene.write(disk=disk)
    assert not (scene.repo / "refs" / "main").exists()
    assert not scene.blobs
    scene.write()
    assert snapshot(scene.repo) == FILES


def test_many_files_share_a_sync_and_so_do_those_that_are_there(scene: Scene) -> None:
    files = {f"data/{number:03}.txt": b"%d" % number for number in range(50)}
    write_files(scene.folder, files)
    did: list[str] = []

    class Counting(Disk):
        def fdatasync(self, fd: int) -> None:
            did.append("file")
            super().fdatasync(fd)

        def syncfs(self, fd: int) -> bool:
            did.append("all")
            return super().syncfs(fd)

    scene.write(sources(scene.folder, files), disk=Counting())
    assert snapshot(scene.repo) == files
    assert did.count("all") == 1
    assert did.count("file") == 3  # Tag, listing, ref.
    did.clear()
    scene.write(sources(scene.folder, files), disk=Counting())
    assert did[-2:] == ["all", "file"]  # The ref is the last.
    assert did.count("all") == 2
    assert did.count("file") == 8 + 2


def test_where_nothing_can_be_synced_together_each_file_is(scene: Scene) -> None:
    files = {f"data/{number:03}.txt": b"%d" % number for number in range(50)}
    write_files(scene.folder, files)
    synced: set[int] = set()

    class OneByOne(Disk):
        def fdatasync(self, fd: int) -> None:
            synced.add(os.fstat(fd).st_ino)

        def syncfs(self, fd: int) -> bool:
            return False

    for _ in range(2):
        synced.clear()
        scene.write(sources(scene.folder, files), disk=OneByOne())
        assert {path.stat().st_ino for path in (scene.repo / "blobs").iterdir()} <= synced
