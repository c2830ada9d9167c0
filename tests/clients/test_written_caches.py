"""What the real client makes of a cache that another program wrote: the rules that a writer into it has to keep.

Each scene writes a cache by hand, whole but for one thing, and asks the client, offline where nothing else is said.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.folders import bytes_below, paths_below
from tests.support.hf_client import ClientFailed, HfClient
from tests.support.static_hub import HubFile, StaticHub

pytestmark = pytest.mark.clients

NAME = "acme/small"
FOLDER = "models--acme--small"
FILES = {"config.json": b'{"model_type": "bert"}', "a/b/weights.safetensors": bytes(range(256)), "empty.txt": b""}
OURS = "1" * 40
"""A commit that the hub does not know: whoever has the content alone cannot know the hub's."""

SNAPSHOT = "print(json.dumps(snapshot_download(sys.argv[1], revision=sys.argv[2])))"
ONE_FILE = "print(json.dumps(hf_hub_download(sys.argv[1], sys.argv[2])))"
SCAN = """
found = scan_cache_dir()
revisions = {each.commit_hash: sorted(each.refs) for repo in found.repos for each in repo.revisions}
print(json.dumps([revisions, [str(each) for each in found.warnings]]))
"""


@pytest.fixture
def hub() -> Iterator[StaticHub]:
    with StaticHub() as hub:
        hub.add(NAME, FILES)
        yield hub


@pytest.fixture
def cache(hub: StaticHub, tmp_path: Path) -> Cache:
    return Cache(hub, HfClient(tmp_path, hub.url))


class Cache:
    """A cache to be written by hand, and the user whose it is."""

    def __init__(self, hub: StaticHub, user: HfClient) -> None:
        self.hub = hub
        self.user = user
        self.folder = user.cache / FOLDER
        self.hub_commit = hub.repositories["models", NAME].refs["refs/heads/main"]
        self.files: dict[str, HubFile] = hub.repositories["models", NAME].commits[self.hub_commit]

    def write(
        self,
        *,
        commit: str = OURS,
        trees: bool = True,
        ref: bool = True,
        missing: Sequence[str] = (),
        store: Path | None = None,
    ) -> None:
        """Write all that a cache takes; with `store`, blobs are hard links of files there."""
        (self.folder / "blobs").mkdir(parents=True)
        listing: dict[str, Any] = {}
        for path, file in self.files.items():
            listing[path] = {"size": file.size, "blob_id": file.oid}
            if file.sha256 is not None:
                listing[path] |= {"lfs_sha256": file.sha256, "lfs_size": file.size}
            if path in missing:
                continue
            blob, link = self.folder / "blobs" / file.etag, self.folder / "snapshots" / commit / path
            if store is None:
                blob.write_bytes(FILES[path])
            else:
                store.mkdir(exist_ok=True)
                (store / file.etag).write_bytes(FILES[path])
                os.link(store / file.etag, blob)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(f"{'../' * path.count('/')}../../blobs/{file.etag}")
        if trees:
            (self.folder / "trees").mkdir()
            (self.folder / "trees" / f"{commit}.json").write_text(json.dumps({"format_version": 1, "files": listing}))
        if ref:
            (self.folder / "refs").mkdir()
            (self.folder / "refs" / "main").write_text(commit)

    def snapshot(self, revision: str = "main") -> Path:
        """Ask for the whole snapshot; return where the client says that it stands."""
        return Path(self.user.offline().python(SNAPSHOT, NAME, revision))

    def scan(self) -> tuple[dict[str, list[str]], list[str]]:
        """Return the refs of each revision that `hf cache` sees, and what it warns of."""
        revisions, warnings = self.user.offline().python(SCAN)
        return revisions, warnings

    def asked_by(self, *words: str) -> list[str]:
        """Run `hf`, with the hub there; return what files it got by GET."""
        before = len(self.hub.asked)
        self.user.hf(*words)
        paths = [path for method, path in self.hub.asked[before:] if method == "GET" and "/resolve/" in path]
        return [path.partition("/resolve/")[2].partition("/")[2] for path in paths]


def test_blobs_may_be_hard_links_and_the_client_never_writes_into_them(cache: Cache, tmp_path: Path) -> None:
    store = tmp_path / "store"
    cache.write(store=store)
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_mode) for path in store.iterdir()}
    assert {path.stat().st_nlink for path in store.iterdir()} == {2}
    assert bytes_below(cache.snapshot()) == FILES
    assert cache.scan() == ({OURS: ["main"]}, [])
    assert sorted(cache.asked_by("download", NAME, "--force-download")) == sorted(set(FILES) - {"empty.txt"})
    cache.user.hf("cache", "rm", f"model/{NAME}", "--yes")
    assert not cache.folder.exists()
    after = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_mode) for path in store.iterdir()}
    assert after == before
    assert {path.stat().st_nlink for path in store.iterdir()} == {1}
    assert sorted(path.read_bytes() for path in store.iterdir()) == sorted(FILES.values())


def test_with_the_hubs_own_commit_it_asks_for_nothing_more(cache: Cache) -> None:
    cache.write(commit=cache.hub_commit)
    assert cache.asked_by("download", NAME) == []
    assert cache.scan() == ({cache.hub_commit: ["main"]}, [])


def test_with_a_commit_of_our_own_it_takes_the_blobs_over_and_lets_the_ref_go_on(cache: Cache) -> None:
    cache.write()
    assert cache.snapshot().name == cache.snapshot(OURS).name == OURS
    assert cache.asked_by("download", NAME) == []
    assert cache.scan() == ({OURS: [], cache.hub_commit: ["main"]}, [])
    cache.user.hf("cache", "prune", "--yes")
    assert cache.scan() == ({cache.hub_commit: ["main"]}, [])
    assert bytes_below(cache.snapshot()) == FILES


def test_with_a_listing_a_partial_snapshot_is_refused_whole_and_gives_the_files_it_has(cache: Cache) -> None:
    cache.write(missing=["config.json"])
    with pytest.raises(ClientFailed, match=r"IncompleteSnapshotError: .* 1 file\(s\) are missing \(config.json\)"):
        cache.snapshot()
    assert Path(cache.user.offline().python(ONE_FILE, NAME, "a/b/weights.safetensors")).stat().st_size == 256
    with pytest.raises(ClientFailed, match="LocalEntryNotFoundError"):
        cache.user.offline().python(ONE_FILE, NAME, "config.json")
    assert cache.scan() == ({OURS: ["main"]}, [])
    assert cache.asked_by("download", NAME) == ["config.json"]


@pytest.mark.parametrize("trees", [None, '{"format_version": 1, "fil', '{"format_version": 2, "files": {}}'])
def test_without_a_listing_that_it_reads_a_partial_snapshot_passes_for_a_whole_one(
    cache: Cache, trees: str | None
) -> None:
    cache.write(missing=["config.json"], trees=trees is not None)
    if trees is not None:
        (cache.folder / "trees" / f"{OURS}.json").write_text(trees)
    assert set(paths_below(cache.snapshot())) == {"a/b/weights.safetensors", "empty.txt"}


def test_without_a_ref_only_the_commit_finds_it_and_pruning_takes_it_away(cache: Cache) -> None:
    cache.write(ref=False)
    with pytest.raises(ClientFailed, match="LocalEntryNotFoundError"):
        cache.snapshot()
    assert set(paths_below(cache.snapshot(OURS))) == set(FILES)
    cache.user.hf("cache", "prune", "--yes")
    assert not cache.folder.exists()


@pytest.mark.parametrize(
    ("path", "text", "warning"),
    [
        ("refs/other", "2" * 40, "Reference"),
        ("refs/main", OURS + "\n", "Reference"),
        ("refs/.main.tmp", "", "Reference"),
        ("snapshots/tmp", "", "Found a file"),
        ("snapshots/" + OURS + "/config.json.tmp", None, "broken symlink"),
    ],
    ids=[
        "a ref to no snapshot",
        "a newline in a ref",
        "a new ref half written",
        "a file in snapshots",
        "a broken link",
    ],
)
def test_one_thing_out_of_place_hides_the_whole_repository_from_hf_cache(
    cache: Cache, path: str, text: str | None, warning: str
) -> None:
    cache.write()
    if text is None:
        (cache.folder / path).symlink_to("../../blobs/none")
    else:
        (cache.folder / path).write_text(text)
    revisions, warnings = cache.scan()
    assert (revisions, len(warnings)) == ({}, 1)
    assert warning in warnings[0]


def test_a_folder_in_snapshots_is_a_revision_that_pruning_takes_away(cache: Cache) -> None:
    cache.write()
    (cache.folder / "snapshots" / ".new").mkdir()
    assert cache.scan() == ({OURS: ["main"], ".new": []}, [])
    cache.user.hf("cache", "prune", "--yes")
    assert [path.name for path in (cache.folder / "snapshots").iterdir()] == [OURS]


def test_what_is_being_written_is_left_alone_beside_blobs_and_listings_unless_called_incomplete(cache: Cache) -> None:
    cache.write()
    ours = [cache.folder / name for name in ("blobs/new.tmp", "trees/new.tmp", "new.tmp")]
    for path in [*ours, cache.folder / "blobs" / "new.incomplete"]:
        path.write_text("half")
    assert cache.scan() == ({OURS: ["main"]}, [])
    cache.user.hf("cache", "prune", "--yes")
    assert [path for path in ours if not path.exists()] == []
    assert not (cache.folder / "blobs" / "new.incomplete").exists()
    assert set(paths_below(cache.snapshot())) == set(FILES)
