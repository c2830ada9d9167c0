"""What differs between two manifests, against folders that differ in a known way."""

from __future__ import annotations

import itertools

import numpy as np
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from p2phub.content import ChunkList, chunk_list, cut_points, encode_lists
from p2phub.engine.difference import Described, Difference, Kind, compare
from p2phub.formats import Layout, boundaries
from p2phub.manifest import FileEntry, Manifest
from tests.support.reading import layout

LARGE, SMALL = 20_000, 10  # Numbers of four bytes: more than 64 KiB, and less.


def weights(length: int, seed: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).random(length, np.float32)


def described(files: dict[str, bytes]) -> Described:
    entries: list[FileEntry] = []
    lists: list[ChunkList] = []
    layouts: dict[str, Layout] = {}
    for path, data in sorted(files.items()):
        found = layout(data, path)
        cuts = cut_points(boundaries(found), len(data))
        parts = [data[start:stop] for start, stop in itertools.pairwise(cuts)]
        chunks = chunk_list([len(part) for part in parts], b"".join(blake3(part).digest() for part in parts))
        root, _ = encode_lists(chunks)
        entries.append(FileEntry(path, len(data), len(chunks), root, bytes(32)))
        lists.append(chunks)
        if found.spans:
            layouts[path] = found
    return Described(Manifest(tuple(entries)), lists, layouts)


def compared(before: dict[str, bytes], after: dict[str, bytes]) -> Difference:
    return compare(described(before), described(after))


def kinds(found: Difference) -> dict[str, Kind]:
    return {change.name: change.kind for change in found.tensors}


MODEL = {"a": weights(LARGE, 1), "b": weights(LARGE, 2), "norm": weights(SMALL, 3), "bias": weights(SMALL, 4)}


def test_nothing_differs_from_itself() -> None:
    files = {"model.safetensors": save(MODEL), "config.json": b"{}"}
    found = compared(files, files)
    assert (found.files, found.tensors, found.bytes_new) == ((), (), 0)
    assert (found.files_same, found.tensors_same, found.bytes_after) == (2, 4, sum(map(len, files.values())))


def test_files_are_added_removed_changed_and_moved() -> None:
    found = compared(
        {"kept": b"k", "changed": b"before", "gone": b"g", "old/name": b"the same"},
        {"kept": b"k", "changed": b"now", "new": b"n", "name": b"the same"},
    )
    assert [(change.kind, change.path, change.was) for change in found.files] == [
        (Kind.CHANGED, "changed", None),
        (Kind.REMOVED, "gone", None),
        (Kind.MOVED, "name", "old/name"),
        (Kind.ADDED, "new", None),
    ]
    assert found.files_same == 1
    assert found.bytes_new == len(b"now") + len(b"n")


def test_of_equal_files_only_as_many_moved_as_are_gone() -> None:
    found = compared({"a": b"same"}, {"b": b"same", "c": b"same"})
    assert [(change.kind, change.path) for change in found.files] == [(Kind.MOVED, "b"), (Kind.ADDED, "c")]
    assert found.bytes_new == 0


def test_a_fine_tune_changes_the_tensors_that_it_changed() -> None:
    tuned = {**MODEL, "b": weights(LARGE, 9)}
    found = compared({"model.safetensors": save(MODEL)}, {"model.safetensors": save(tuned)})
    assert kinds(found) == {"b": Kind.CHANGED}
    assert found.tensors_same == 3
    assert found.bytes_new == tuned["b"].nbytes


def test_resharding_changes_no_tensor() -> None:
    after = {f"{number}.safetensors": save({name: value}) for number, (name, value) in enumerate(MODEL.items())}
    found = compared(
        {"model.safetensors": save({**MODEL, "norm": weights(LARGE, 3), "bias": weights(LARGE, 4)})}, after
    )
    assert {name: kind for name, kind in kinds(found).items() if name in "ab"} == {}
    assert {change.kind for change in found.files} == {Kind.ADDED, Kind.REMOVED}


def test_of_small_tensors_in_one_chunk_nobody_can_tell_which_changed() -> None:
    tuned = {**MODEL, "norm": weights(SMALL, 9)}
    found = compared({"model.safetensors": save(MODEL)}, {"model.safetensors": save(tuned)})
    assert kinds(found) == {"norm": Kind.MAYBE, "bias": Kind.MAYBE}


def test_another_form_is_a_change_whatever_the_bytes_are() -> None:
    same_bytes = {**MODEL, "a": MODEL["a"].reshape(2, -1), "norm": MODEL["norm"].view(np.int32)}
    found = compared({"model.safetensors": save(MODEL)}, {"model.safetensors": save(same_bytes)})
    assert kinds(found) == {"a": Kind.CHANGED, "norm": Kind.CHANGED}


def test_a_name_in_several_files_is_compared_within_its_file() -> None:
    before = {"x.safetensors": save({"a": weights(LARGE, 1)}), "y.safetensors": save({"a": weights(LARGE, 2)})}
    after = {"x.safetensors": save({"a": weights(LARGE, 1)}), "y.safetensors": save({"a": weights(LARGE, 3)})}
    found = compared(before, after)
    assert [(change.path, change.name, change.kind) for change in found.tensors] == [
        ("y.safetensors", "a", Kind.CHANGED)
    ]
    assert found.tensors_same == 1


def test_tensors_are_added_and_removed_and_an_empty_one_is_equal() -> None:
    none = np.zeros(0, np.float32)
    found = compared(
        {"m.safetensors": save({"gone": MODEL["a"], "none": none})},
        {"m.safetensors": save({"new": MODEL["b"], "none": none})},
    )
    assert kinds(found) == {"gone": Kind.REMOVED, "new": Kind.ADDED}
    assert found.tensors_same == 1


contents = st.dictionaries(st.sampled_from("abcd"), st.binary(min_size=1, max_size=3), max_size=4)


@given(contents, contents)
def test_every_file_is_the_same_or_stands_among_the_changes(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    found = compared(before, after)
    counted = {kind: sum(change.kind is kind for change in found.files) for kind in Kind}
    assert found.files_same + sum(counted.values()) - counted[Kind.REMOVED] == len(after)
    assert found.files_same + sum(counted.values()) - counted[Kind.ADDED] == len(before)
    assert found.bytes_new == sum(map(len, set(after.values()) - set(before.values())))
