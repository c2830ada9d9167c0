"""Manifests as blobs. Rules one by one stand in the vectors; here is what holds for all manifests."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2phub import limits
from p2phub.content import EMPTY_ROOT, Digest, digest_of, pack, unpack
from p2phub.errors import Damaged, Malformed, UsageError
from p2phub.manifest import (
    FileEntry,
    Manifest,
    check_paths,
    decode_manifest,
    encode_manifest,
    manifest_pages,
)
from tests.support.covers import covers

SHA256 = bytes(32)


def entry(path: str, size: int = 5) -> FileEntry:
    root = digest_of(path.encode()) if size else EMPTY_ROOT
    return FileEntry(path, size, -(-size // limits.CHUNK_BYTES_MAX), root, SHA256)


def many(count: int, *, depth: str = "data/train") -> Manifest:
    return Manifest(tuple(entry(f"{depth}/{index:07d}.bin") for index in range(count)))


def decoded(blobs: tuple[bytes, ...]) -> Manifest:
    held = {digest_of(blob): blob for blob in blobs}
    return decode_manifest(blobs[0], held.get)


names = st.text(st.sampled_from("abcXYZ019-_é概"), min_size=1, max_size=8)
entries = st.builds(
    lambda path, size, git, layout: FileEntry(
        path,
        size,
        -(-size // limits.CHUNK_BYTES_MAX),
        digest_of(path.encode()) if size else EMPTY_ROOT,
        SHA256,
        git if size <= limits.GIT_SHA1_FILE_BYTES_MAX else None,
        layout,
    ),
    st.lists(names, min_size=1, max_size=3).map("/".join),
    st.one_of(st.integers(0, 3), st.integers(0, 1 << 42)),
    st.none() | st.binary(min_size=20, max_size=20),
    st.none() | st.binary(min_size=32, max_size=32).map(Digest),
)


@given(st.lists(entries, max_size=8))
def test_what_is_written_is_read(files: list[FileEntry]) -> None:
    manifest = Manifest(tuple(sorted(files, key=lambda file: file.path)))
    if manifest.chunks_total > limits.CHUNKS_MAX:
        with pytest.raises(Malformed):
            encode_manifest(manifest)
        return
    try:
        check_paths([file.path for file in files])
    except Malformed:
        with pytest.raises(Malformed):
            encode_manifest(manifest)
        return
    blobs = encode_manifest(manifest)
    assert decoded(blobs) == manifest
    assert manifest_pages(blobs[0]) == ()


@pytest.mark.parametrize("count", [0, 1, 300, 700, 20_000])
def test_pages_hold_what_the_root_page_cannot(count: int) -> None:
    manifest = many(count)
    root, *pages = blobs = encode_manifest(manifest)
    assert decoded(blobs) == manifest
    assert len(root) <= limits.MANIFEST_ROOT_BYTES_MAX
    assert all(len(page) <= limits.MANIFEST_PAGE_BYTES_MAX for page in pages)
    assert manifest_pages(root) == tuple((digest_of(page), len(page)) for page in pages)
    assert bool(pages) == (count > 300)
    assert all(len(page) > 256 * limits.KIB for page in pages[:-1])


def test_a_file_added_to_a_dataset_changes_a_page_or_two_and_not_all_that_follow() -> None:
    before = many(20_000)
    extra = entry("data/train/0000000.aaa")
    after = Manifest(tuple(sorted((*before.files, extra), key=lambda file: file.path)))
    old, new = set(encode_manifest(before)[1:]), set(encode_manifest(after)[1:])
    assert len(old) >= 5
    assert len(new - old) <= 2


def test_paths_that_never_end_a_page_fill_pages_to_their_bound() -> None:
    files = tuple(entry(f"{'x' * 200}/{'y' * 200}/{index:07d}") for index in range(6000))
    blobs = encode_manifest(Manifest(files))
    assert max(map(len, blobs)) > limits.MANIFEST_PAGE_BYTES_MAX - 8 * limits.KIB
    assert decoded(blobs).files == files


@settings(max_examples=150)
@given(st.data())
@covers("T14")
def test_no_changed_byte_of_a_root_page_reads_as_the_same_revision(data: st.DataObject) -> None:
    manifest = many(3)
    (root,) = encode_manifest(manifest)
    at = data.draw(st.integers(0, len(root) - 1))
    changed = root[:at] + bytes([root[at] ^ data.draw(st.integers(1, 255))]) + root[at + 1 :]
    with contextlib.suppress(Malformed):
        other = decode_manifest(changed, {}.get)
        assert other != manifest
        assert encode_manifest(other) == (changed,)


@covers("T14")
def test_a_page_of_another_revision_is_refused() -> None:
    root, *pages = encode_manifest(many(700))
    other = encode_manifest(many(701))
    with pytest.raises(Malformed, match="manifest-page-digest"):
        decode_manifest(root, lambda digest: other[1])
    with pytest.raises(Damaged, match="missing"):
        decode_manifest(root, {}.get)
    assert len(pages) == 1


@covers("T27")
@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_malformed(data: bytes) -> None:
    for parse in (manifest_pages, lambda root: decode_manifest(root, {}.get)):
        with pytest.raises(Malformed):
            parse(data)


json_like = st.recursive(
    st.one_of(st.booleans(), st.integers(-2, 1 << 43), st.text(max_size=4), st.binary(max_size=33)),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["git", "layout", "x"]), inner),
)


@settings(max_examples=200)
@given(json_like, json_like, json_like)
def test_any_fields_are_a_manifest_or_malformed(files: object, pages: object, count: object) -> None:
    for fields in (
        {"bytes": 5, "chunks": 1, "count": count, "files": files},
        {"bytes": 5, "chunks": 1, "count": 1, "files": [files]},
        {"bytes": 5, "chunks": 1, "count": 1, "files": [["a", 5, 1, bytes(32), bytes(32), pages]]},
        {"bytes": 5, "chunks": 1, "count": 1, "pages": pages},
    ):
        with contextlib.suppress(Malformed, Damaged):
            decode_manifest(pack(["p2phub manifest", 1, fields]), {}.get)


@covers("T25")
def test_a_manifest_that_claims_two_million_files_costs_no_memory_for_them() -> None:
    root = pack(
        ["p2phub manifest", 1, {"bytes": 0, "chunks": 0, "count": 1 << 21, "pages": [[bytes(32), 1 << 20]] * 900}]
    )
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="manifest-page-digest"):
            decode_manifest(root, lambda digest: b"short")
        assert tracemalloc.get_traced_memory()[1] < 8 * len(root) + 200_000
    finally:
        tracemalloc.stop()


@covers("T25")
def test_a_manifest_has_as_many_chunks_as_a_node_can_hold_and_not_one_more() -> None:
    half = limits.CHUNKS_MAX * limits.CHUNK_BYTES_MAX // 2
    full = (entry("a", half), entry("b", half))
    assert decoded(encode_manifest(Manifest(full))).chunks_total == limits.CHUNKS_MAX
    with pytest.raises(Malformed, match="chunk-total"):
        encode_manifest(Manifest((*full, entry("c", 1))))


@covers("T25")
def test_too_many_chunks_are_refused_before_a_page_is_asked_for() -> None:
    kind, version, fields = unpack(encode_manifest(many(700))[0])  # type: ignore[misc]
    root = pack([kind, version, fields | {"chunks": limits.CHUNKS_MAX + 1}])
    asked: list[Digest] = []
    with pytest.raises(Malformed, match="chunk-total"):
        decode_manifest(root, asked.append)
    with pytest.raises(Malformed, match="chunk-total"):
        manifest_pages(root)
    assert asked == []


@covers("T25")
def test_pages_beyond_the_announced_count_are_not_read() -> None:
    manifest = many(700)
    root, page = encode_manifest(manifest)
    kind, version, fields = unpack(root)  # type: ignore[misc]
    fields |= {"count": 3, "pages": fields["pages"] * 50}
    with pytest.raises(Malformed, match="field-range"):
        decode_manifest(pack([kind, version, fields]), {digest_of(page): page}.get)
    read: list[Digest] = []

    def blob(digest: Digest) -> bytes:
        read.append(digest)
        return page

    with pytest.raises(Malformed, match="manifest-total"):
        decode_manifest(pack([kind, version, fields | {"count": 700}]), blob)
    assert len(read) == 2


@covers("F32")
def test_unknown_fields_change_nothing_and_stay_in_the_bytes() -> None:
    kind, version, fields = unpack(encode_manifest(many(2))[0])  # type: ignore[misc]
    fields["note"] = "of a later version"
    fields["files"][0][5]["note"] = 1
    root = pack([kind, version, fields])
    assert decode_manifest(root, {}.get) == many(2)
    assert b"of a later version" in root


@pytest.mark.parametrize("files", [[entry("b"), entry("a")], [entry("a"), entry("a")], [entry("../a")]])
def test_what_would_be_refused_is_not_written(files: list[FileEntry]) -> None:
    with pytest.raises(Malformed):
        encode_manifest(Manifest(tuple(files)))


def test_a_table_that_the_root_page_cannot_list_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANIFEST_ROOT_BYTES_MAX", 64)
    with pytest.raises(UsageError) as caught:
        encode_manifest(many(700))
    assert caught.value.hint == "publish the folder in several parts"


def test_work_is_linear_in_the_number_of_files() -> None:
    """Counted, not timed: calls made for twice the files are twice as many."""
    import sys

    def calls(count: int) -> int:
        blobs = encode_manifest(many(count))
        made = 0

        def count_call(frame: object, event: str, arg: object) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(count_call)
        try:
            decoded(blobs)
        finally:
            sys.setprofile(None)
        return made

    small, large = calls(1000), calls(4000)
    assert large < 4.2 * small
