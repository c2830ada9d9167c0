"""Reading the cache of the Hugging Face tools: what is whole, what is missing, what is claimed of each file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.store.caches import CachedModel, Claim, scan_cache
from p2phub.store.caches.snapshot import UNLISTED
from p2phub.store.folders import fingerprint
from tests.support.hub_cache import COMMIT, OTHER_COMMIT, Repository, git_sha1, listed, sha256, small_model


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    made = tmp_path / "hub"
    made.mkdir()
    (made / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    (made / ".locks" / "models--org--name").mkdir(parents=True)
    return made


def only_model(root: Path) -> CachedModel:
    """Return the one model that is found without a problem."""
    scan = scan_cache("hf", root)
    assert scan.problems == ()
    (model,) = scan.models
    return model


def paths_of(model: CachedModel) -> list[str]:
    return [file.path for file in model.files]


# --- what is there -----------------------------------------------------------------------------------------------


def test_a_snapshot_with_all_that_its_listing_names_is_complete(hub: Path) -> None:
    made = small_model(hub)
    model = only_model(hub)
    assert (model.cache, model.name, model.revision, model.folder) == ("hf", "org/name", COMMIT, made.snapshot)
    assert model.complete
    assert paths_of(model) == ["README.md", "model.safetensors", "onnx/config.json"]
    assert (model.missing, model.left_out) == ((), ())


def test_a_file_is_its_blob_as_it_is_now_with_the_claim_of_its_name(hub: Path) -> None:
    made = small_model(hub)
    readme, weights, _ = only_model(hub).files
    assert weights.place == made.blobs / sha256(b"weights")
    assert weights.fingerprint == fingerprint(weights.place.lstat())
    assert weights.claim == Claim(sha256=bytes.fromhex(sha256(b"weights")))
    assert readme.claim == Claim(git_sha1=bytes.fromhex(git_sha1(b"# hello")))


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("models--gpt2", "gpt2"),
        ("models--meta-llama--Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("models--org--two--lines", "org/two--lines"),
        ("datasets--nyu-mll--glue", "datasets/nyu-mll/glue"),
        ("spaces--org--app", "spaces/org/app"),
        ("kernels--org--fast", "kernels/org/fast"),
    ],
)
def test_a_repository_is_named_by_its_folder(hub: Path, folder: str, name: str) -> None:
    small_model(hub, folder)
    assert only_model(hub).name == name


@pytest.mark.parametrize("folder", ["models--", "models--..--x", "models--org--", "models--a b--c", "models--a\udcff"])
def test_a_folder_that_names_no_repository_is_a_problem(hub: Path, folder: str) -> None:
    small_model(hub)
    small_model(hub, folder)
    scan = scan_cache("hf", hub)
    assert [model.name for model in scan.models] == ["org/name"]
    assert [why for _, why in scan.problems] == ["not the name of a repository"]
    scan.problems[0][0].encode()


def test_models_are_told_in_the_order_of_their_names(hub: Path) -> None:
    for name in ("models--b", "datasets--z--a", "models--a--z"):
        small_model(hub, name)
    assert [model.name for model in scan_cache("hf", hub).models] == ["a/z", "b", "datasets/z/a"]


def test_snapshots_of_one_repository_share_blobs_and_are_models_each(hub: Path) -> None:
    small_model(hub)
    second = Repository(hub, "models--org--name", OTHER_COMMIT)
    second.add("model.safetensors", b"weights", lfs=True)
    second.list()
    second_model, first_model = scan_cache("hf", hub).models
    assert [second_model.revision, first_model.revision] == [OTHER_COMMIT, COMMIT]
    assert second_model.complete
    assert first_model.complete
    assert second_model.files[0] == first_model.files[1]


def test_a_shared_blob_is_found_by_the_second_link_and_claimed_by_the_first(hub: Path) -> None:
    made = Repository(hub, "models--org--name")
    shared = made.add_shared("model.safetensors", b"weights")
    made.list()
    model = only_model(hub)
    assert model.complete
    assert model.files[0].place == shared
    assert model.files[0].claim == Claim(sha256=bytes.fromhex(sha256(b"weights")))


def test_a_link_to_a_shared_blob_itself_claims_nothing_for_xet_names_are_no_sha256(hub: Path) -> None:
    made = Repository(hub, "models--org--name")
    shared = made.add_shared("other", b"weights")
    made.link("model.safetensors", shared)
    assert [file.claim for file in only_model(hub).files if file.path == "model.safetensors"] == [None]


@pytest.mark.parametrize("lfs", [False, True])
def test_where_there_are_no_links_the_listing_says_what_a_file_is(hub: Path, lfs: bool) -> None:
    made = Repository(hub, "models--org--name")
    made.add("sub/file", b"content", lfs=lfs, there=False)
    made.list()
    (made.snapshot / "sub").mkdir()
    (made.snapshot / "sub" / "file").write_bytes(b"content")
    model = only_model(hub)
    assert model.complete
    assert model.files[0].place == made.snapshot / "sub" / "file"
    digest = bytes.fromhex(sha256(b"content") if lfs else git_sha1(b"content"))
    assert model.files[0].claim == (Claim(sha256=digest) if lfs else Claim(git_sha1=digest))


def test_a_small_file_under_its_sha256_is_claimed_by_both_names(hub: Path) -> None:
    made = Repository(hub, "models--org--name")
    made.listing["file"] = listed(b"content")
    blob = made.blobs / sha256(b"content")
    blob.write_bytes(b"content")
    made.link("file", blob)
    made.list()
    both = Claim(bytes.fromhex(sha256(b"content")), bytes.fromhex(git_sha1(b"content")))
    assert only_model(hub).files[0].claim == both


@pytest.mark.parametrize("name", ["A" * 64, "g" * 64, "a" * 63, "a" * 64 + "\n", "weights"])
def test_a_blob_whose_name_is_no_hash_claims_nothing(hub: Path, name: str) -> None:
    made = Repository(hub, "models--org--name")
    (made.blobs / name).write_bytes(b"x")
    made.link("file", made.blobs / name)
    assert only_model(hub).files[0].claim is None


def test_nothing_is_opened_but_folders_and_listings(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_model(hub)
    lying = made.blobs / sha256(b"something else")
    lying.write_bytes(b"weights")
    made.link("lying", lying)
    opened: list[str] = []
    real_open = os.open

    def note(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not flags & os.O_DIRECTORY:
            opened.append(os.fspath(path))
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", note)
    scan_cache("hf", hub)
    assert opened == [f"{COMMIT}.json"]


def test_a_large_snapshot_costs_one_link_read_and_one_look_a_file(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Repository(hub, "models--org--name")
    for number in range(300):
        made.add(f"data/{number % 3}/{number}", b"%d" % number, lfs=True)
    made.list()
    calls = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def count(*args: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            return function(*args, **named)

        return count

    for name in ("lstat", "stat", "readlink", "open", "scandir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    assert len(only_model(hub).files) == 300
    assert calls < 2 * 300 + 150


# --- what is not there -------------------------------------------------------------------------------------------


def test_what_the_listing_names_and_is_not_there_is_missing(hub: Path) -> None:
    made = small_model(hub)
    made.add("part-2.safetensors", b"more", lfs=True, there=False)
    made.list()
    model = only_model(hub)
    assert model.missing == ("part-2.safetensors",)
    assert not model.complete
    assert len(model.files) == 3


def test_without_a_listing_files_are_taken_and_nothing_is_complete(hub: Path) -> None:
    made = Repository(hub, "models--org--name")
    made.add("file", b"content")
    model = only_model(hub)
    assert not model.complete
    assert paths_of(model) == ["file"]
    assert model.missing == ()


def test_a_link_to_a_blob_that_was_removed_is_missing_or_without_a_listing_left_out(hub: Path) -> None:
    made = small_model(hub)
    (made.blobs / sha256(b"weights")).unlink()
    model = only_model(hub)
    assert model.missing == ("model.safetensors",)
    assert model.left_out == ()
    (made.folder / "trees" / f"{COMMIT}.json").unlink()
    model = only_model(hub)
    assert model.missing == ()
    assert model.left_out == (("model.safetensors", "a link to what is not there"), (str(model.folder), UNLISTED))


def test_unfinished_downloads_and_notes_of_absence_are_of_no_concern(hub: Path) -> None:
    made = small_model(hub)
    (made.blobs / f"{sha256(b'more')}.0a1b2c3d.incomplete").write_bytes(b"mo")
    (made.folder / ".no_exist" / COMMIT).mkdir(parents=True)
    (made.folder / ".no_exist" / COMMIT / "added_tokens.json").touch()
    (made.folder / "refs").mkdir()
    (made.folder / "refs" / "main").write_text(COMMIT)
    model = only_model(hub)
    assert model.complete
    assert (len(model.files), model.left_out) == (3, ())


def test_a_link_to_an_unfinished_download_is_not_taken(hub: Path) -> None:
    made = Repository(hub, "models--org--name")
    blob = made.blobs / f"{sha256(b'more')}.0a1b2c3d.incomplete"
    blob.write_bytes(b"mo")
    made.link("model.safetensors", blob)
    assert ("model.safetensors", "a download that is not finished") in only_model(hub).left_out


def test_a_repository_of_which_nothing_was_downloaded_is_no_model(hub: Path) -> None:
    (hub / "models--org--name" / "refs").mkdir(parents=True)
    scan = scan_cache("hf", hub)
    assert (scan.models, scan.problems) == ((), ())


def test_a_repository_that_lists_nothing_is_not_complete(hub: Path) -> None:
    Repository(hub, "models--org--name").list()
    assert not only_model(hub).complete


# --- what does not belong ----------------------------------------------------------------------------------------


def test_a_file_that_is_not_in_the_listing_is_left_out(hub: Path) -> None:
    made = small_model(hub)
    made.link("extra.bin", made.blobs / sha256(b"weights"))
    model = only_model(hub)
    assert model.complete
    assert model.left_out == (("extra.bin", "not in the repository's listing"),)


def test_junk_is_left_out_whether_it_is_listed_or_not_and_never_missing(hub: Path) -> None:
    made = small_model(hub)
    made.add(".DS_Store", b"mac")
    made.add(".ipynb_checkpoints/a.ipynb", b"{}")
    made.add("b.tmp", b"x", there=False)
    made.list()
    (made.snapshot / "onnx" / "._config.json").write_bytes(b"mac")
    model = only_model(hub)
    assert model.complete
    assert len(model.files) == 3
    assert [path for path, _ in model.left_out] == [".DS_Store", ".ipynb_checkpoints", "onnx/._config.json"]
    assert {why for _, why in model.left_out} == {"junk (built-in rule)"}


def test_a_path_that_no_manifest_can_hold_is_left_out_and_the_repository_not_whole(hub: Path) -> None:
    made = small_model(hub)
    made.add("results_12:30.json", b"{}")
    made.list()
    scan = scan_cache("hf", hub)
    (model,) = scan.models
    assert not model.complete
    assert (len(model.files), model.missing) == (3, ())
    assert [path for path, _ in model.left_out] == ["results_12:30.json"]
    assert "cannot stand in one manifest" in scan.problems[0][1]


def test_paths_that_are_one_on_some_systems_are_files_each_but_no_whole_repository(hub: Path) -> None:
    made = small_model(hub)
    made.add("readme.md", b"# other")
    made.list()
    scan = scan_cache("hf", hub)
    (model,) = scan.models
    assert not model.complete
    assert "readme.md" in paths_of(model)
    assert "are one file on some systems" in scan.problems[0][1]


def test_a_name_that_is_not_utf8_is_left_out_in_text_that_can_be_written(hub: Path) -> None:
    made = small_model(hub)
    os.symlink(made.blobs / sha256(b"weights"), os.fsencode(made.snapshot) + b"/b\xff.bin")
    model = only_model(hub)
    assert model.complete
    assert [path for path, _ in model.left_out] == ["b\\xff.bin"]


def test_folders_deeper_than_any_path_of_a_manifest_are_not_entered(hub: Path) -> None:
    made = small_model(hub)
    made.link("/".join("d" * 31) + "/file", made.blobs / sha256(b"weights"))
    made.link("/".join("e" * 32) + "/file", made.blobs / sha256(b"weights"))
    (made.folder / "trees" / f"{COMMIT}.json").unlink()
    model = only_model(hub)
    assert "/".join("d" * 31) + "/file" in paths_of(model)
    assert [path for path, why in model.left_out if why != UNLISTED] == ["/".join("e" * 32)]


def test_a_snapshot_of_more_files_than_a_manifest_has_is_a_problem_alone(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_model(hub, "models--a--four").add("fourth", b"4")
    small_model(hub, "models--b--three")
    monkeypatch.setattr(limits, "FILES_MAX", 3)
    scan = scan_cache("hf", hub)
    assert [model.name for model in scan.models] == ["b/three"]
    assert [why for _, why in scan.problems] == ["more than 3 files"]


# --- what lies ---------------------------------------------------------------------------------------------------


def test_a_file_of_another_size_than_listed_is_a_problem_and_missing(hub: Path) -> None:
    made = small_model(hub)
    (made.blobs / sha256(b"weights")).write_bytes(b"weigh")
    scan = scan_cache("hf", hub)
    (model,) = scan.models
    assert model.missing == ("model.safetensors",)
    assert not model.complete
    assert scan.problems == ((str(made.snapshot / "model.safetensors"), "5 bytes; the listing says 7"),)


@pytest.mark.parametrize("lfs", [False, True])
def test_a_file_whose_name_says_another_content_than_the_listing_is_a_problem_and_missing(hub: Path, lfs: bool) -> None:
    made = small_model(hub)
    made.add("file", b"content", lfs=lfs)
    made.listing["file"] = listed(b"Content", lfs=lfs)
    made.list()
    scan = scan_cache("hf", hub)
    (model,) = scan.models
    assert model.missing == ("file",)
    assert scan.problems == ((str(made.snapshot / "file"), "its name says another content than the listing"),)


def test_a_listing_of_a_newer_format_is_a_problem_and_none(hub: Path) -> None:
    made = small_model(hub)
    made.list(json.dumps({"format_version": 2, "files": [{"path": "model.safetensors"}]}))
    scan = scan_cache("hf", hub)
    (model,) = scan.models
    assert not model.complete
    assert len(model.files) == 3
    ((where, why),) = scan.problems
    assert where == str(made.folder / "trees" / f"{COMMIT}.json")
    assert "format version 2" in why


ENTRY = listed(b"weights", lfs=True)


NO_LISTINGS: dict[str, str | bytes] = {
    "nothing": "",
    "null": "null",
    "an array": "[]",
    "cut off": "{",
    "no version": '{"files": {}}',
    "no files": '{"format_version": 1}',
    "a version that is text": '{"format_version": "1", "files": {}}',
    "a version that is true": '{"format_version": true, "files": {}}',
    "an array of files": '{"format_version": 1, "files": []}',
    "a file that is null": '{"format_version": 1, "files": {"a": null}}',
    "a file without a name of its bytes": '{"format_version": 1, "files": {"a": {"size": 1}}}',
    "a negative size": json.dumps({"format_version": 1, "files": {"a": {**ENTRY, "size": -1}}}),
    "half a byte": json.dumps({"format_version": 1, "files": {"a": {**ENTRY, "size": 1.5}}}),
    "a size of an exabyte": json.dumps({"format_version": 1, "files": {"a": {**ENTRY, "lfs_size": 1 << 60}}}),
    "capitals": json.dumps({"format_version": 1, "files": {"a": {**ENTRY, "blob_id": "A" * 40}}}),
    "a line end": json.dumps({"format_version": 1, "files": {"a": {**ENTRY, "lfs_sha256": "0" * 64 + "\n"}}}),
    "a digit too many": json.dumps({"format_version": 1, "files": {"a": {**ENTRY, "blob_id": "0" * 41}}}),
    "something behind it": json.dumps({"format_version": 1, "files": {"a": ENTRY}}) + "}",
    "arrays without end": '{"format_version": 1, "files": ' + "[" * 100_000,
    "a deep tree": '{"format_version": 1, "x": ' + '{"a":' * 100_000 + "1" + "}" * 100_001,
    "bytes that are not UTF-8": b'{"format_version": 1, "files": {"\xff": {}}}',
    "half a character": '{"format_version": 1, "files": {"\\ud800": {}}}',
}


@pytest.mark.parametrize("text", NO_LISTINGS.values(), ids=NO_LISTINGS)
def test_what_is_not_a_listing_is_a_problem_and_none(hub: Path, text: str | bytes) -> None:
    made = small_model(hub)
    made.list(text)
    scan = scan_cache("hf", hub)
    (model,) = scan.models
    assert not model.complete
    assert len(model.files) == 3
    assert [where for where, _ in scan.problems] == [str(made.folder / "trees" / f"{COMMIT}.json")]


def test_a_listing_that_is_too_long_is_not_read_to_its_end(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_model(hub)
    size = (made.folder / "trees" / f"{COMMIT}.json").stat().st_size
    monkeypatch.setattr(limits, "CACHE_LISTING_BYTES_MAX", size)
    assert only_model(hub).complete
    monkeypatch.setattr(limits, "CACHE_LISTING_BYTES_MAX", size - 1)
    scan = scan_cache("hf", hub)
    assert not scan.models[0].complete
    assert "a listing of more than" in scan.problems[0][1]


def test_a_listing_of_more_files_than_a_manifest_has_is_none(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_model(hub)
    monkeypatch.setattr(limits, "FILES_MAX", 2)
    assert "a listing of 3 files" in scan_cache("hf", hub).problems[0][1]


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_a_listing_that_is_no_file_is_a_problem_and_never_waited_for(hub: Path, what: str) -> None:
    made = small_model(hub)
    listing = made.folder / "trees" / f"{COMMIT}.json"
    listing.rename(made.folder / "elsewhere.json")
    if what == "link":
        listing.symlink_to("../elsewhere.json")
    elif what == "folder":
        listing.mkdir()
    else:
        os.mkfifo(listing)
    scan = scan_cache("hf", hub)
    assert not scan.models[0].complete
    assert [where for where, _ in scan.problems] == [str(listing)]


# --- links -------------------------------------------------------------------------------------------------------


def test_links_that_do_not_lead_to_a_file_of_the_repository_are_left_out_and_say_why(hub: Path) -> None:
    (hub.parent / "id_rsa").write_bytes(b"secret")
    other = small_model(hub, "models--org--other")
    (hub.parent / "blobs").mkdir()
    made = Repository(hub, "models--org--name")
    made.link("a-circle", "a-circle")
    made.link("b-circle-1", "b-circle-2")
    made.link("b-circle-2", "b-circle-1")
    made.link("c-circle-of-folders/x", "../d/file")
    made.link("d", "d")
    made.link("e-up", "../../../../id_rsa")
    made.link("f-absolute", str(hub.parent / "id_rsa"))
    made.link("g-neighbour", other.blobs / sha256(b"weights"))
    made.link("h-folder", made.blobs)
    made.link("i-slash", "../../blobs/")
    made.link("j-dots", "../..")
    os.mkfifo(made.blobs / ("a" * 64))
    made.link("k-pipe", made.blobs / ("a" * 64))
    os.mkfifo(made.snapshot / "l-pipe")
    made.link("m-out-and-in", f"../../../../hub/{made.folder.name}/blobs/none")
    (made.snapshot / "n").write_bytes(b"n")
    made.link("n-through-a-file", "n/x")
    made.link("n-through-a-file-2", "n/x/y")
    models = {model.name: model for model in scan_cache("hf", hub).models}
    assert paths_of(models["org/name"]) == ["n"]
    assert {path: why for path, why in models["org/name"].left_out if why != UNLISTED} == {
        "a-circle": "a link that goes in circles",
        "b-circle-1": "a link that goes in circles",
        "b-circle-2": "a link that goes in circles",
        "c-circle-of-folders/x": "a link that goes in circles",
        "d": "a link that goes in circles",
        "e-up": "a link that leads elsewhere",
        "f-absolute": "a link that leads elsewhere",
        "g-neighbour": "a link that leads elsewhere",
        "h-folder": "a folder or special file, or a link to one",
        "i-slash": "a folder or special file, or a link to one",
        "j-dots": "a folder or special file, or a link to one",
        "k-pipe": "a folder or special file, or a link to one",
        "l-pipe": "not a regular file",
        "m-out-and-in": "a link to what is not there",
        "n-through-a-file": "a link to what is not there",
        "n-through-a-file-2": "a link to what is not there",
    }


def test_a_listed_file_whose_link_leads_elsewhere_is_missing_and_says_why(hub: Path) -> None:
    (hub.parent / "id_rsa").write_bytes(b"secret")
    made = small_model(hub)
    made.add("key", b"secret", there=False)
    made.link("key", hub.parent / "id_rsa")
    made.list()
    model = only_model(hub)
    assert model.missing == ("key",)
    assert model.left_out == (("key", "a link that leads elsewhere"),)
    assert not model.complete


def test_an_absolute_link_into_the_repository_is_followed(hub: Path) -> None:
    made = small_model(hub)
    made.listing["again"] = listed(b"weights", lfs=True)
    made.link("again", str(made.blobs / sha256(b"weights")))
    made.list()
    assert only_model(hub).complete


def test_a_link_to_a_link_in_the_snapshot_is_followed(hub: Path) -> None:
    made = small_model(hub)
    made.listing["again"] = listed(b"weights", lfs=True)
    made.link("again", "model.safetensors")
    made.list()
    model = only_model(hub)
    assert model.complete
    assert model.files[1].place == model.files[-2].place == made.blobs / sha256(b"weights")


@pytest.mark.parametrize("part", ["blobs", "models--org--name/blobs"])
def test_a_folder_of_blobs_that_is_a_link_leads_nowhere(hub: Path, part: str) -> None:
    made = small_model(hub)
    made.add_shared("shared", b"shared")
    made.list()
    (hub / part).rename(hub.parent / "private")
    (hub / part).symlink_to(hub.parent / "private")
    model = only_model(hub)
    assert dict(model.left_out)["shared"] == "a link that leads elsewhere"
    assert "shared" in model.missing


def test_folders_that_are_links_are_not_entered(hub: Path) -> None:
    small_model(hub, "models--a--good")
    elsewhere = small_model(hub.parent, "models--org--name")
    (hub / "models--b--linked").symlink_to(elsewhere.folder)
    (hub / "models--c--linked").mkdir()
    (hub / "models--c--linked" / "snapshots").symlink_to(elsewhere.folder / "snapshots")
    (hub / "models--d--linked" / "snapshots").mkdir(parents=True)
    (hub / "models--d--linked" / "snapshots" / COMMIT).symlink_to(elsewhere.snapshot)
    scan = scan_cache("hf", hub)
    assert [model.name for model in scan.models] == ["a/good"]
    assert [where for where, _ in scan.problems] == [
        str(hub / "models--b--linked"),
        str(hub / "models--c--linked"),
        str(hub / "models--d--linked" / "snapshots" / COMMIT),
    ]


def test_a_cache_is_read_through_a_link_to_it(hub: Path) -> None:
    made = small_model(hub)
    made.add_shared("shared", b"shared")
    made.list()
    (hub.parent / "way").symlink_to(hub)
    model = only_model(hub.parent / "way")
    assert model.complete
    assert model.folder == hub.parent / "way" / made.folder.name / "snapshots" / COMMIT
    assert model.files[1].place == made.blobs / sha256(b"weights")


# --- one of it ---------------------------------------------------------------------------------------------------


def test_one_repository_or_snapshot_can_be_named(hub: Path) -> None:
    small_model(hub, "models--org--other")
    small_model(hub)
    made = Repository(hub, "models--org--name", OTHER_COMMIT)
    made.add_shared("shared", b"shared")
    made.list()
    found = scan_cache("hf", made.folder)
    assert [(model.name, model.revision) for model in found.models] == [
        ("org/name", OTHER_COMMIT),
        ("org/name", COMMIT),
    ]
    assert all(model.complete for model in found.models)
    assert scan_cache("hf", made.snapshot).models == found.models[:1]


def test_a_repository_or_snapshot_named_by_a_link_is_found(hub: Path) -> None:
    made = small_model(hub)
    (hub.parent / "models--my--link").symlink_to(made.folder)
    (hub.parent / "mine").symlink_to(made.snapshot)
    assert only_model(hub.parent / "models--my--link").complete
    assert only_model(hub.parent / "mine").name == "org/name"


def test_a_repository_named_alone_reaches_nothing_beside_it(tmp_path: Path) -> None:
    made = Repository(tmp_path, "models--org--name")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "notes").write_bytes(b"my own")
    made.link("file", tmp_path / "blobs" / "notes")
    assert ("file", "a link that leads elsewhere") in only_model(made.folder).left_out


def test_a_snapshot_that_is_not_there_is_a_problem(hub: Path) -> None:
    made = small_model(hub)
    scan = scan_cache("hf", made.folder / "snapshots" / OTHER_COMMIT)
    assert scan.models == ()
    assert len(scan.problems) == 1


# --- what cannot be read, and what changes -----------------------------------------------------------------------


def test_a_folder_that_is_no_commit_is_a_problem_alone(hub: Path) -> None:
    made = small_model(hub)
    (made.folder / "snapshots" / "main").mkdir()
    (made.folder / "snapshots" / ".DS_Store").touch()
    scan = scan_cache("hf", hub)
    assert scan.models[0].complete
    assert scan.problems == ((str(made.folder / "snapshots" / "main"), "not a commit"),)


@pytest.mark.parametrize("part", ["models--b--closed", "snapshots", "trees", COMMIT, "onnx"])
def test_what_may_not_be_read_is_a_problem_and_the_rest_is_found(
    hub: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    small_model(hub, "models--a--open")
    closed = small_model(hub, "models--b--closed").folder
    inode = next(path for path in (closed, *sorted(closed.rglob("*"))) if path.name == part).stat().st_ino
    real_open = os.open

    def refuse(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        # As for a user who may not: this may run as root, who may read all.
        if os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino == inode:
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    scan = scan_cache("hf", hub)
    assert scan.models[0].name == "a/open"
    assert scan.models[0].complete
    assert not any(model.complete for model in scan.models[1:])
    ((where, why),) = scan.problems
    assert where.startswith(str(closed))
    assert why == "cannot read it: permission denied"


def test_blobs_that_may_not_be_reached_are_left_out(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_model(hub)
    real_lstat = os.lstat

    def refuse(path: str | Path) -> os.stat_result:
        if os.fspath(path).startswith(f"{made.blobs}/"):
            raise PermissionError(13, "Permission denied")
        return real_lstat(path)

    monkeypatch.setattr(os, "lstat", refuse)
    model = only_model(hub)
    assert set(model.missing) == {"README.md", "model.safetensors", "onnx/config.json"}
    assert {why for _, why in model.left_out} == {"cannot read it: permission denied"}


def test_what_is_removed_while_it_is_read_is_missing(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`hf cache rm` at any moment: the blob, the link, a folder, the whole snapshot."""
    made = small_model(hub)
    made.add("more/file", b"more")
    made.add("z", b"z")
    made.list()
    real_readlink, real_scandir = os.readlink, os.scandir

    def remove_blob_of_readme(path: str, *, dir_fd: int | None = None) -> str:
        target = real_readlink(path, dir_fd=dir_fd)
        if path == "README.md":
            (made.blobs / git_sha1(b"# hello")).unlink()
            (made.snapshot / "more").rename(hub.parent / "gone")
            (made.snapshot / "z").unlink()
        return target

    monkeypatch.setattr(os, "readlink", remove_blob_of_readme)
    model = only_model(hub)
    assert paths_of(model) == ["model.safetensors", "onnx/config.json"]
    assert model.missing == ("README.md", "more/file", "z")

    def remove_snapshot(path: int | str | Path) -> object:
        if isinstance(path, int) and made.snapshot.exists():
            made.snapshot.rename(hub.parent / "gone too")
        return real_scandir(path)

    monkeypatch.setattr(os, "scandir", remove_snapshot)
    assert scan_cache("hf", hub).models == ()


def test_once_stopped_it_returns_with_what_it_has(hub: Path) -> None:
    for number in range(4):
        small_model(hub, f"models--org--{number}")
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 12

    scan = scan_cache("hf", hub, stopped=stopped)
    assert [model.name for model in scan.models] == ["org/0", "org/1"]
    assert asked == 13
